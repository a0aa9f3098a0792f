"""Fixtures for connectors: a device on loopback, a place for samples, a clock."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.clock import SystemClock
from tests.unit.connectors.devices import Collected, Device


@pytest.fixture
async def device() -> AsyncIterator[Device]:
    device = Device()
    await device.start()
    yield device
    await device.stop()


@pytest.fixture
def collected() -> Collected:
    return Collected()


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()
