"""Sees what other gateways write into the same book: a notification wakes it, the cursor is the truth."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from core.errors import Rejected, Unavailable
from ledger.append import Committed
from ledger.database import DBAPIError, Engine, connect, driver_of, errors_of, said
from ledger.operations import Reader
from ledger.statements import run
from ledger.store import CHANNEL

WAIT_SECONDS = 1
"""A notification that was lost is made up for after so long."""


class Follower:
    """A thread that offers every change of a shared book, in the book's order; what this process wrote comes twice.

    Only PostgreSQL has books that several processes write; on SQLite there is nothing to follow. `heard_of` is told the
    name of every book in the database that was written, this one too.
    """

    def __init__(
        self,
        engine: Engine,
        reader: Reader,
        offer: Callable[[Committed], None],
        heard_of: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._offer = offer
        self._heard_of = heard_of
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-follower", daemon=True)
        self._seq = 0

    def start(self, seq: int) -> None:
        """Follow from batch `seq` on."""
        self._seq = seq
        if self._engine.dialect.name == "postgresql":
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for books in _notifications(self._engine, self._stop):
                    self._catch_up()
                    for book in books:
                        self._heard_of(book)
            except (Unavailable, Rejected):
                self._stop.wait(WAIT_SECONDS)

    def _catch_up(self) -> None:
        changed = self._reader.changes_after(self._seq)
        if changed is not None:
            self._seq = changed.head.seq
            self._offer(changed)


def _notifications(engine: Engine, stop: threading.Event) -> Iterator[set[str]]:
    """The books of each notification, and at least every so often none, until `stop`."""
    connection = connect(engine).execution_options(isolation_level="AUTOCOMMIT")
    books: set[str] = set()
    try:
        run(connection, f"LISTEN {CHANNEL}")
        while not stop.is_set():
            yield books
            books = {each.payload for each in driver_of(connection).notifies(timeout=WAIT_SECONDS, stop_after=1)}
    except (DBAPIError, errors_of(connection).Error) as error:
        raise Unavailable(f"the database cannot be followed: {said(error)}") from error
    finally:
        with suppress(Exception):  # it may be broken in any way
            connection.close()
