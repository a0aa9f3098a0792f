"""One thread, one bounded queue, group commit: what is queued is decided together, committed once, then answered."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from core.clock import Clock
from core.errors import InvariantBroken, MyntverkError, Rejected, Unavailable
from ledger import store
from ledger.account import AccountId
from ledger.batch import Batch, Committed
from ledger.database import Connection, Engine, transaction
from ledger.posting import Standing
from ledger.store import BookHead
from ledger.transfer import Outcome, TransferRequest

Result = TypeVar("Result")
Work = Callable[[Batch], Result]
"""A piece of work: decides on a batch, returns what its caller awaits. It may raise; then it leaves no trace."""

QUEUE_LENGTH_MAX = 10_000
WORKS_PER_COMMIT_MAX = 500


@dataclass(slots=True)
class WriterStats:
    """Counted since the writer was started."""

    commits: int = 0
    transfers: int = 0
    failures: int = 0


@dataclass(slots=True)
class _Asked:
    work: Work[Any]
    answer: Future[Any] = field(default_factory=Future)


class Writer:
    """The only writer of a book in this process.

    `on_commit` is called on the writer's thread with what each batch changed, after it is durable and
    before its callers are answered.
    """

    def __init__(
        self,
        engine: Engine,
        book: str,
        clock: Clock,
        on_commit: Callable[[Committed], None] = lambda _: None,
        queue_length_max: int = QUEUE_LENGTH_MAX,
    ) -> None:
        self.stats = WriterStats()
        self._engine = engine
        self._book = book
        self._clock = clock
        self._on_commit = on_commit
        self._queue: queue.Queue[_Asked | None] = queue.Queue(queue_length_max)
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._door = threading.Lock()
        self._closed: Exception | None = None
        self._head: BookHead | None = None
        self._standings: dict[AccountId, Standing] = {}
        """What the last batch left; true as long as the book's head is the one it left."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take nothing more, finish what is queued, then end."""
        with self._door:
            if self._closed is None:
                self._closed = Unavailable("the ledger is shutting down")
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def submit(self, work: Work[Result]) -> Future[Result]:
        """Queue a piece of work; Unavailable at once when the queue is full or the writer has stopped."""
        asked = _Asked(work)
        with self._door:
            if self._closed is not None:
                raise self._closed
            try:
                self._queue.put_nowait(asked)
            except queue.Full:
                raise Unavailable(
                    f"{self._queue.maxsize} pieces of work wait for the ledger already; ask again with the same id"
                ) from None
        return asked.answer

    async def run(self, work: Work[Result]) -> Result:
        """Queue a piece of work and wait until it is durable."""
        return await asyncio.wrap_future(self.submit(work))

    async def post(self, requests: Sequence[TransferRequest]) -> list[Outcome]:
        """Post transfers; every answer given is durable."""
        return await self.run(lambda batch: batch.post(requests))

    def _run(self) -> None:
        with self._engine.connect() as connection:
            while (asked := self._queue.get()) is not None:
                works = [asked]
                ending = False
                while len(works) < WORKS_PER_COMMIT_MAX and not ending:
                    try:
                        more = self._queue.get_nowait()
                    except queue.Empty:
                        break
                    if more is None:
                        ending = True
                    else:
                        works.append(more)
                self._commit(connection, works)
                if ending:
                    break
        self._refuse_the_rest()

    def _commit(self, connection: Connection, works: list[_Asked]) -> None:
        results: list[tuple[_Asked, Any, Exception | None]] = []
        standings, self._standings = self._standings, {}  # kept only if this batch is
        try:
            with transaction(connection):
                head = store.find_book(connection, self._book)
                if head is None:
                    head = store.create_book(connection, self._book)
                if head != self._head:
                    standings = {}  # somebody else moved the book
                batch = Batch(connection, head, self._clock.now(), standings)
                for asked in works:
                    if asked.answer.set_running_or_notify_cancel():
                        results.append(self._decide(batch, asked))
                committed = batch.flush()
        except Exception as error:  # nothing was kept: everyone who waits is told, nobody is left hanging
            self._fail(works, error)
            return
        self._head = head if committed is None else committed.head
        self._standings = batch.standings
        batch.adopt()
        self.stats.commits += 1
        if committed is not None:
            self.stats.transfers += committed.transfers
            self._on_commit(committed)
        for asked, result, problem in results:
            if problem is None:
                asked.answer.set_result(result)
            else:
                asked.answer.set_exception(problem)

    def _decide(self, batch: Batch, asked: _Asked) -> tuple[_Asked, Any, Exception | None]:
        try:
            with batch.piece_of_work():
                return asked, asked.work(batch), None
        except (Rejected, ValueError, TypeError, KeyError, ArithmeticError) as error:
            return asked, None, error

    def _fail(self, works: list[_Asked], error: Exception) -> None:
        self.stats.failures += 1
        if not isinstance(error, MyntverkError):
            with self._door:
                self._closed = error if isinstance(error, InvariantBroken) else InvariantBroken(str(error))
                self._closed.__cause__ = error
        for asked in works:
            if not asked.answer.done():
                asked.answer.set_exception(error)

    def _refuse_the_rest(self) -> None:
        while True:
            try:
                asked = self._queue.get_nowait()
            except queue.Empty:
                return
            if asked is not None:
                asked.answer.set_exception(self._closed or Unavailable("the ledger is shutting down"))
