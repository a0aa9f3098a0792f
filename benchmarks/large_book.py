"""A small book and a large one: what reading costs when a book has grown, and what memory does while it grows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import PAGESIZE
from pathlib import Path
from random import Random

from benchmarks.book import BOOK, open_book
from benchmarks.database import Database, catch_up
from benchmarks.figure import Figure
from benchmarks.load import OWNER, Load
from benchmarks.posting import post_works
from benchmarks.run import Run, say
from core.clock import Instant, SystemClock
from ledger.account import AccountId
from ledger.database import open_engine
from ledger.operations import Reader

SMALL = 100_000
LARGE = 2_000_000
"""Transfers in each book, times the run's size."""

PAGE = 50
READS = 300
READS_SECONDS_MAX = 15.0
BUSY_SHARE = 10
"""Statements are read of the busiest tenth of the accounts: theirs fill a page in the small book as well."""

MEMORY = Path("/proc/self/statm")
"""Linux tells here how many pages a process holds; elsewhere its memory is not measured."""
MEGABYTE = 1_000_000


def large_book(run: Run, small: Database, large: Database, load: Load) -> list[Figure]:
    """Fill two databases and read from both. Of SQLite, which lives in this process, the memory too."""
    memory: list[float] = []
    watch = (lambda: memory.append(resident_megabytes())) if large.name == "sqlite" and MEMORY.exists() else _no_watch
    with (
        _filled(small, load, run.sized(SMALL, load.per_work)) as of_small,
        _filled(large, load, run.sized(LARGE, load.per_work), watch) as of_large,
    ):
        figures = _reads(large.name, run, load, of_small, of_large)
    return [*figures, _growth(memory)] if memory else figures


def _no_watch() -> None:
    """When nothing else is watched."""


@dataclass(frozen=True, slots=True)
class _Filled:
    """A book to read from, its last batch, and when it was filled."""

    reader: Reader
    seq: int
    first: Instant
    last: Instant


@contextmanager
def _filled(database: Database, load: Load, transfers: int, watch: Callable[[], None] = _no_watch) -> Iterator[_Filled]:
    """About so many transfers, built as they are needed; `watch` is called after each work."""
    clock, posted, started = SystemClock(), 0, time.perf_counter()
    with open_book(database.url, [OWNER], load.accounts) as writer:
        first = clock.now()
        for answered in post_works(writer, (load.work() for _ in range(-(-transfers // load.per_work)))):
            posted += answered.posted
            watch()
        last = clock.now()
        catch_up(database)
    say(f"ledger: {database.name}: a book of {posted:,} transfers in {time.perf_counter() - started:.0f} s")
    engine = open_engine(database.url)
    reader = Reader(engine, BOOK)
    try:
        yield _Filled(reader, reader.overview().head.seq, first, last)
    finally:
        engine.dispose()


def _reads(name: str, run: Run, load: Load, small: _Filled, large: _Filled) -> list[Figure]:
    """Each kind of read in both books in turn: one of the busiest accounts, somewhere in the book's newer half."""
    random = Random(1)
    accounts = load.busiest(BUSY_SHARE)

    def page(book: _Filled, account: AccountId, place: float) -> None:
        seq = book.seq - int(place * book.seq / 2)
        book.reader.statement(account, PAGE, before=(seq + 1, 0))

    def balance(book: _Filled, account: AccountId, place: float) -> None:
        book.reader.status_at(account, Instant(book.last - int(place * (book.last - book.first) / 2)))

    figures = []
    for figure, read in ("statement_page_ms", page), ("balance_at_ms", balance):
        taken: tuple[list[float], list[float]] = ([], [])
        ending = time.perf_counter() + READS_SECONDS_MAX
        while len(taken[0]) < run.reduced(READS, least=10) and time.perf_counter() < ending:
            account, place = random.choice(accounts), random.random()
            for book, seconds in zip((large, small), taken, strict=True):
                started = time.perf_counter()
                read(book, account, place)
                seconds.append(time.perf_counter() - started)
        of_large, of_small = (statistics.median(seconds) * 1_000 for seconds in taken)
        against = "the same in a book of a twentieth of the transfers"
        figures.append(Figure(f"ledger.{name}.{figure}", of_large, "ms", of_small, against))
    return figures


def resident_megabytes() -> float:
    """What this process holds in memory now."""
    return int(MEMORY.read_text().split()[1]) * PAGESIZE / MEGABYTE


def _growth(memory: list[float]) -> Figure:
    """From half of the works on: the last tenth's median beside the first tenth's."""
    watched = memory[len(memory) // 2 :]
    tenth = max(len(watched) // 10, 1)
    first, last = statistics.median(watched[:tenth]), statistics.median(watched[-tenth:])
    return Figure("ledger.sqlite.memory_growth_mb", last - first, "MB", first, "resident memory when half was posted")
