"""Starts PLCs as the demo does, and makes sure that none outlives its test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.plant.plc_process import PlcProcess, StartPlc


@pytest.fixture
def start_plc() -> Iterator[StartPlc]:
    started: list[PlcProcess] = []

    def start(kind: str, retain: Path, *options: str) -> PlcProcess:
        started.append(PlcProcess(kind, retain, *options))
        return started[-1]

    yield start
    for plc in started:
        plc.close()
