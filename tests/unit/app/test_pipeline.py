"""The four steps with real parts: what was delivered is settled at the end, and a bug of ours stops money, not eyes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from databases import cut_locks
from ledgers import Book, account, open_book, payment
from settlements import Cell, agreement, sample
from structlog.testing import capture_logs

from app.pipeline import Pipeline
from connectors.poller import Poller
from core.clock import ManualClock
from core.errors import Unavailable
from ledger.batch import Batch
from ledger.database_lock import DatabaseLock
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

    def __init__(self, book: Book, lock: DatabaseLock | None = None) -> None:
        self.book = book
        self.cell = Cell(book, (agreement("work", "9 * parts"),))
        self.desk = Desk(book.writer, book.reader)
        self.server = BankServer(
            OpcUaServerSettings(endpoint="opc.tcp://127.0.0.1:0"), [], Plant("Test"), self.desk, ManualClock()
        )
        feed = ChangeFeed(asyncio.get_running_loop())
        self.pipeline = Pipeline(self.cell.engine, book.writer, self.desk, feed, self.server, "test", lock)
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


async def test_a_gateway_whose_name_another_took_waits_and_then_goes_on_from_where_that_one_stood(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.pipeline.RETRY_WAIT_SECONDS", 0.01)
    lock, other = (DatabaseLock(postgresql_url) for _ in range(2))
    with open_book(postgresql_url) as book, capture_logs() as told:
        lock.acquire()
        found = Running(book, lock)
        overview = book.reader.overview()
        await found.server.start(overview.statuses, found.pipeline.ledger_status(overview.head))
        going = asyncio.create_task(found.pipeline.run(NO_MACHINES, found.stop))
        for second, parts in enumerate((100, 103)):
            await found.pipeline.deliver([sample("parts", second, parts)])
        await until(lambda: found.cell.earned == "27.00 SEK")
        cut_locks(postgresql_url)
        other.acquire()
        await found.pipeline.deliver([sample("parts", 3, 110)])
        await until(lambda: any("settles into this ledger already" in each.get("problem", "") for each in told))
        assert found.cell.earned == "27.00 SEK"
        theirs = found.cell.fresh_engine()
        await book.writer.run(theirs.absorb([sample("parts", 2, 107)]))
        assert found.cell.earned == "63.00 SEK"
        other.release()
        await until(lambda: found.cell.earned == "90.00 SEK")
        found.stop.set()
        await going
        await found.server.stop()
        assert [each["event"] for each in told if "ledger" in each["event"]] == [
            "the ledger takes nothing; samples wait",
            "the lock on the ledger was lost with its connection, and is held again",
            "the ledger takes payments again",
        ]
        assert caplog.records == []
        assert lock.is_held()
        lock.release()
        assert book.reader.verify().verified


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not is_so():  # noqa: ASYNC110  nobody tells it
            await asyncio.sleep(0.01)
