"""The four steps with real parts: what was delivered is settled at the end, and a bug of ours stops money, not eyes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from ledgers import Book, account, open_book, payment
from settlements import Cell, agreement, sample

from app.pipeline import Pipeline
from connectors.poller import Poller
from core.clock import ManualClock
from core.errors import Unavailable
from ledger.batch import Batch
from ledger.desk import Desk
from ledger.feed import ChangeFeed
from ledger.transfer import Refused
from opcua_server.address_space import Plant
from opcua_server.health import ask_sequence
from opcua_server.server import BankServer
from opcua_server.settings import OpcUaServerSettings

SECONDS_MAX = 20
NO_MACHINES: list[Poller] = []


class Running:
    """A pipeline over a real book and a real OPC UA server."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.cell = Cell(book, (agreement("work", "9 * parts"),))
        self.desk = Desk(book.writer, book.reader)
        self.server = BankServer(
            OpcUaServerSettings(endpoint="opc.tcp://127.0.0.1:0"), [], Plant("Test"), self.desk, ManualClock()
        )
        feed = ChangeFeed(asyncio.get_running_loop())
        self.pipeline = Pipeline(self.cell.engine, book.writer, self.desk, feed, self.server, "test")
        self.stop = asyncio.Event()


@pytest_asyncio.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    with open_book(tmp_path / "book.db") as book:
        found = Running(book)
        overview = book.reader.overview()
        await found.server.start(overview.statuses, found.pipeline.ledger_status(overview.head))
        yield found
        await found.server.stop()


async def asked_until_it_fails(endpoint: str) -> None:
    while True:
        await ask_sequence(endpoint, SECONDS_MAX)


async def test_what_was_delivered_before_the_stop_is_settled_before_the_end(running: Running) -> None:
    for second, parts in enumerate((100, 103, 107)):
        await running.pipeline.deliver([sample("parts", second, parts)])
    running.stop.set()
    async with asyncio.timeout(SECONDS_MAX):
        await running.pipeline.run(NO_MACHINES, running.stop)
    assert running.cell.earned == "63.00 SEK"


async def test_a_bug_stops_settling_is_told_by_health_and_leaves_the_books_alone(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await ask_sequence(running.server.endpoint, SECONDS_MAX) == 1

    def bug(batch: Batch) -> None:
        raise RuntimeError("two and two are five")

    monkeypatch.setattr(running.cell.engine, "absorb", lambda samples: bug)
    going = asyncio.create_task(running.pipeline.run(NO_MACHINES, running.stop))
    await running.pipeline.deliver([sample("parts", 0, 100)])
    async with asyncio.timeout(SECONDS_MAX):
        with pytest.raises(Unavailable, match="stopped settling"):
            await asked_until_it_fails(running.server.endpoint)
        await running.pipeline.deliver([sample("parts", 1, 103)])
        running.stop.set()
        await going
    assert not running.pipeline.is_settling
    assert running.cell.earned == "0.00 SEK"
    assert running.book.reader.verify().verified


async def test_a_payment_that_was_refused_at_the_desk_is_counted(running: Running) -> None:
    running.book.open(account("poor"))
    assert isinstance(await running.desk.post(payment("1", "poor", "cell", "1 kr")), Refused)
    assert running.pipeline.refused == 1
