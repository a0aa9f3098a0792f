"""One thread, one bounded queue, group commit: what is queued is decided together, committed once, then answered."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from core.clock import Clock
from core.errors import InvariantBroken, Rejected, Unavailable
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
        self._stopping = False
        self._broken = ""
        self._head: BookHead | None = None
        self._standings: dict[AccountId, Standing] = {}
        """What the last batch left; true as long as the book's head is the one it left."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take nothing more, finish what is queued, then end."""
        with self._door:
            self._stopping = True
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def submit(self, work: Work[Result]) -> Future[Result]:
        """Queue a piece of work. Unavailable at once when the queue is full or the writer was stopped; InvariantBroken
        when a bug of ours has closed the book."""
        asked = _Asked(work)
        with self._door:
            closed = self._why_closed()
            if closed is not None:
                raise closed
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
        try:
            with self._engine.connect() as connection:
                while works := self._next_works():
                    if self._broken:
                        self._fail(works, InvariantBroken(self._broken))
                    else:
                        self._commit(connection, works)
        except Exception as error:  # the thread may not end unseen: callers would wait for ever
            self._break(error)
        finally:
            self._refuse_the_rest()

    def _next_works(self) -> list[_Asked]:
        """Everything that is queued, up to a commit's worth; nothing when the writer shall end."""
        works: list[_Asked] = []
        asked = self._queue.get()
        while asked is not None:
            works.append(asked)
            if len(works) == WORKS_PER_COMMIT_MAX or self._queue.empty():
                return works
            asked = self._queue.get_nowait()
        if works:
            self._queue.put(None)
        return works

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
        except Unavailable as error:
            self._fail(works, error)
            return
        except Exception as error:  # a bug: nothing was kept, and nothing more will be taken
            self._break(error)
            self._fail(works, InvariantBroken(self._broken))
            return
        self._head = head if committed is None else committed.head
        self._standings = batch.standings
        try:
            batch.adopt()
            self.stats.commits += 1
            if committed is not None:
                self.stats.transfers += committed.transfers
                self._on_commit(committed)
        finally:
            for asked, result, problem in results:
                _answer(asked, result, problem)

    def _decide(self, batch: Batch, asked: _Asked) -> tuple[_Asked, Any, Exception | None]:
        """One caller's bad work is its own; a broken invariant or database is everybody's."""
        try:
            with batch.piece_of_work():
                return asked, asked.work(batch), None
        except (Rejected, ValueError, TypeError, LookupError, ArithmeticError) as error:
            return asked, None, error

    def _fail(self, works: list[_Asked], error: Exception) -> None:
        self.stats.failures += 1
        for asked in works:
            _answer(asked, None, type(error)(*error.args))

    def _break(self, error: Exception) -> None:
        with self._door:
            self._broken = f"the book is closed to writing since {type(error).__name__}: {error}"

    def _why_closed(self) -> Exception | None:
        """A new exception each time: one that is raised again and again carries every traceback along."""
        if self._broken:
            return InvariantBroken(self._broken)
        return Unavailable("the ledger is shutting down") if self._stopping else None

    def _refuse_the_rest(self) -> None:
        while not self._queue.empty():
            asked = self._queue.get_nowait()
            if asked is not None:
                _answer(asked, None, self._why_closed())


def _answer(asked: _Asked, result: Any, problem: Exception | None) -> None:
    """Answer a caller, who may have gone meanwhile."""
    with suppress(InvalidStateError):
        if problem is None:
            asked.answer.set_result(result)
        else:
            asked.answer.set_exception(problem)
