"""Take in what other books send to this one, beside everything else that a gateway does."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import structlog

from core.errors import OutcomeUnknown, Rejected, Unavailable
from ledger.courier import Courier

WAIT_SECONDS = 2.0
"""A book is looked at this often, when nothing is heard of it."""
REST_SECONDS = 0.5
"""Between two looks at a book that is heard of all the time: what it sends meanwhile is taken in together."""

log = structlog.get_logger()


class Couriers:
    """A thread for each other book, so that one that is missing or wrong holds up no other."""

    def __init__(self, couriers: Mapping[str, Courier]) -> None:
        """`couriers`, by the book that sends."""
        self._rounds = {book: _Round(book, courier) for book, courier in couriers.items()}

    def start(self) -> None:
        for each in self._rounds.values():
            each.thread.start()

    def stop(self) -> None:
        """What is being taken in is finished first."""
        for each in self._rounds.values():
            each.end()
        for each in self._rounds.values():
            if each.thread.is_alive():
                each.thread.join()

    def heard_of(self, book: str) -> None:
        """Something was written into that book; from any thread."""
        if book in self._rounds:
            self._rounds[book].news.set()


class _Round:
    """One courier, again and again."""

    def __init__(self, book: str, courier: Courier) -> None:
        self.news = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"courier-{book}", daemon=True)
        self._book = book
        self._courier = courier
        self._stop = threading.Event()
        self._problem = ""

    def end(self) -> None:
        self._stop.set()
        self.news.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.news.clear()
            try:
                self._deliver()
            except (Unavailable, OutcomeUnknown, Rejected) as problem:
                self._tell(str(problem))
            except Exception:  # a bug of ours, whatever its name: this courier stops, everything else goes on
                log.critical("the book takes nothing in from another any more", book=self._book, exc_info=True)
                return
            else:
                self._tell("")
            self._stop.wait(REST_SECONDS)
            self.news.wait(WAIT_SECONDS)

    def _deliver(self) -> None:
        """Until nothing is under way."""
        while not self._stop.is_set():
            delivered = self._courier.deliver()
            if delivered.bounced:
                log.warning("payments of another book were refused", book=self._book, payments=delivered.bounced)
            if delivered.returned:
                log.warning("payments to another book came back", book=self._book, payments=delivered.returned)
            if not delivered.count:
                return

    def _tell(self, problem: str) -> None:
        """Log changes, not heartbeats."""
        if problem and problem != self._problem:
            log.warning("what another book sends waits", book=self._book, problem=problem)
        elif self._problem and not problem:
            log.info("what another book sends waits no more", book=self._book)
        self._problem = problem
