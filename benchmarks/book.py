"""A book to measure on: a fresh SQLite file with the product's schema and writer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from core.clock import SystemClock
from ledger.account import Account, Party
from ledger.database import open_engine
from ledger.operations import open_accounts
from ledger.writer import Writer
from migrations import upgrade

BOOK = "benchmark"


@contextmanager
def open_book(path: Path, parties: Sequence[Party], accounts: Sequence[Account]) -> Iterator[Writer]:
    """The running writer of a new book with these accounts."""
    engine = open_engine(f"sqlite:///{path}")
    upgrade(engine)
    writer = Writer(engine, BOOK, SystemClock())
    writer.start()
    try:
        writer.submit(open_accounts(parties, accounts)).result()
        yield writer
    finally:
        writer.stop()
        engine.dispose()
