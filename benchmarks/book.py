"""A book to measure on: a fresh database with the product's schema and writer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from core.clock import SystemClock
from ledger.account import Account, Party
from ledger.database import open_engine
from ledger.operations import open_accounts
from ledger.writer import Writer
from migrations import upgrade

BOOK = "benchmark"


@contextmanager
def open_book(url: str, parties: Sequence[Party], accounts: Sequence[Account]) -> Iterator[Writer]:
    """The running writer of a new book with these accounts."""
    with running_writer(url, create=True) as writer:
        writer.submit(open_accounts(parties, accounts)).result()
        yield writer


@contextmanager
def running_writer(url: str, create: bool = False) -> Iterator[Writer]:
    """A running writer of the book in this database, whose tables exist unless they shall be created."""
    engine = open_engine(url)
    if create:
        upgrade(engine)
    writer = Writer(engine, BOOK, SystemClock())
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()
        engine.dispose()
