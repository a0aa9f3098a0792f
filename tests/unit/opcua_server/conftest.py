"""One running bank for each test file."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.unit.opcua_server.bank import ACCOUNTS, Bank, make_bank


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bank() -> AsyncIterator[Bank]:
    """The standard's own nodes take two seconds to build, hence one server for a file."""
    bank = make_bank()
    await bank.server.start(ACCOUNTS)
    yield bank
    await bank.server.stop()
