"""One thread, one bounded queue, group commit: what is queued is decided together, committed once, then answered."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from core.clock import Clock
from core.errors import InvariantBroken, OutcomeUnknown, Rejected, Unavailable
from ledger import holds, store, totals
from ledger.account import AccountId
from ledger.append import Committed, append
from ledger.batch import Batch, BatchIsFull
from ledger.database import Connection, Engine, connect, transaction
from ledger.posting import Standing
from ledger.store import BookHead
from ledger.transfer import Outcomes, TransferRequest

Result = TypeVar("Result")
Work = Callable[[Batch], Result]
"""A piece of work: decides on a batch, returns what its caller awaits. It may raise; then it leaves no trace. Where the
batch has too little room left for it, it is taken back and done again in the next."""

QUEUE_LENGTH_MAX = 10_000
WORKS_PER_COMMIT_MAX = 500
ENTRIES_PER_COMMIT = 5_000
"""A commit that holds so many takes no more work: beyond this latency grows, not rate."""

OWN_FAULTS = (Rejected, ValueError, TypeError, LookupError, ArithmeticError, asyncio.CancelledError)
"""What a piece of work may raise for its own caller alone."""

SMALL_WORK = 100
"""Requests in a piece of work; with more, its own look at the database costs little of it."""

TOTALS_BEHIND_MAX = 500_000
"""Transfers that may wait to be added up per link while there is no moment without other work."""
TOTALS_STEP = 10_000
"""Transfers that are added up at once: who comes meanwhile waits for no more."""
IDLE_MILLISECONDS = 100
"""After so long without work the totals are brought up to date."""


@dataclass(slots=True)
class WriterStats:
    """Counted since the writer was started."""

    commits: int = 0
    transfers: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Posting:
    """The work that posts these requests. Of any work that has `requests` the writer looks up beforehand what posting
    them needs."""

    requests: Sequence[TransferRequest]

    def __call__(self, batch: Batch) -> Outcomes:
        return batch.post(self.requests)


def _looked_up_by(work: Work[Any]) -> Sequence[TransferRequest]:
    """What a small piece of work says that it will post."""
    requests = getattr(work, "requests", ())
    return requests if isinstance(requests, (list, tuple)) and len(requests) <= SMALL_WORK else ()


@dataclass(slots=True)
class _Asked:
    work: Work[Any]
    answer: Future[Any] = field(default_factory=Future)


@dataclass(slots=True)
class _Answer:
    asked: _Asked
    result: Any
    problem: BaseException | None


class Writer:
    """The only writer of a book in this process; on PostgreSQL other processes may write the same book.

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
        self._waiting: deque[_Asked] = deque()
        """Taken from the queue and not decided yet; what found too little room in the batch before comes first."""
        self._connection: Connection | None = None
        self._head: BookHead | None = None
        self._standings: dict[AccountId, Standing] = {}
        """What the last batch left; true as long as the book's head is the one it left."""
        self._behind = 0
        """Transfers that are not in the totals per link yet, as far as this writer knows."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take nothing more, finish what is queued, then end."""
        with self._door:
            self._stopping = True
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._refuse_the_rest()

    def submit(self, work: Work[Result]) -> Future[Result]:
        """Queue a piece of work. Unavailable at once when the queue is full or the writer was stopped; InvariantBroken
        when a bug of ours has closed the book. The future raises OutcomeUnknown when the database was lost during the
        commit: ask again with the same ids."""
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

    async def post(self, requests: Sequence[TransferRequest]) -> Outcomes:
        """Post transfers; every answer given is durable."""
        return await self.run(Posting(requests))

    def _run(self) -> None:
        try:
            while (asked := self._next()) is not None:
                if self._broken:
                    self._fail([asked], InvariantBroken(self._broken))
                else:
                    self._commit(asked)
                    is_quiet = self._behind >= TOTALS_STEP // 10 and self._queue.empty() and not self._waiting
                    if is_quiet or self._behind >= TOTALS_BEHIND_MAX:
                        self._add_up()
        except BaseException as error:  # the thread may not end unseen: callers would wait for ever
            self._break(error)
        finally:
            self._disconnect()
            self._refuse_the_rest()

    def _next(self) -> _Asked | None:
        """The next piece of work; None when the writer shall end. What is left to add up, it does while it waits."""
        if self._waiting:
            return self._waiting.popleft()
        while self._behind:
            try:
                return self._queue.get(timeout=IDLE_MILLISECONDS / 1_000)
            except queue.Empty:
                self._add_up()
        return self._queue.get()

    def _commit(self, first: _Asked) -> None:
        taken = [first]
        answers: list[_Answer] = []
        committed: Committed | None = None
        batch: Batch | None = None
        try:
            with transaction(self._connected()) as connection:
                batch = self._begin(connection)
                try:
                    self._decide_all(batch, taken, answers)
                except BatchIsFull:
                    self._waiting.appendleft(taken.pop())
                committed = append(batch)
        except OutcomeUnknown as error:
            kept = None if committed is None else self._was_kept(committed.head)
            if batch is None or not kept:
                self._lose(taken, error if kept is None else Unavailable(f"nothing was kept: {error}"))
                return
        except Unavailable as error:
            if batch is None:  # the database is not there: who waits shall not wait once more for each before him
                taken += self._take_all()
            self._lose(taken, error)
            return
        except BaseException as error:  # a bug: nothing was kept, and nothing more will be taken
            self._break(error)
            self._fail(taken, InvariantBroken(self._broken))
            return
        self._head = batch.head if committed is None else committed.head
        self._standings = batch.standings
        try:
            batch.adopt()
            self.stats.commits += 1
            if committed is not None:
                self.stats.transfers += committed.transfers
                self._behind += committed.transfers
                self._on_commit(committed)
        finally:
            for answer in answers:
                _tell(answer.asked, answer.result, answer.problem)

    def _begin(self, connection: Connection) -> Batch:
        """The next batch, with the accounts that are known from the last one."""
        head = store.find_book(connection, self._book, lock=True)
        if head is None:
            head = store.create_book(connection, self._book)
        standings, self._standings = self._standings, {}  # kept only if this batch is
        if self._head is None:
            self._behind = totals.waiting(connection, head.book, head.totalled_seq)
        moved = self._head is None or head.seq != self._head.seq  # by somebody else: totals are read anew
        batch = Batch(connection, head, self._clock.now(), {} if moved else standings, standings if moved else None)
        holds.expire(batch)
        return batch

    def _decide_all(self, batch: Batch, taken: list[_Asked], answers: list[_Answer]) -> None:
        """Decide what is queued, up to a commit's worth; every piece that was taken gets an answer."""
        self._look_ahead(batch, taken[-1], WORKS_PER_COMMIT_MAX - 1)
        while True:
            asked = taken[-1]
            if asked.answer.running() or asked.answer.set_running_or_notify_cancel():
                answers.append(self._decide(batch, asked))
            room = WORKS_PER_COMMIT_MAX - len(taken)
            if not room or batch.length >= ENTRIES_PER_COMMIT:
                return
            if not self._waiting:
                self._look_ahead(batch, None, room)
            if not self._waiting:
                return
            taken.append(self._waiting.popleft())

    def _look_ahead(self, batch: Batch, first: _Asked | None, works: int) -> None:
        """Take what is queued, up to so many works or a commit's worth, and look up for all of them at once what each
        would look up."""
        asked = list(self._waiting) if first is None else [first, *self._waiting]
        small = [request for each in asked for request in _looked_up_by(each.work)]
        while len(self._waiting) < works and batch.length + len(small) < ENTRIES_PER_COMMIT:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._queue.put(None)
                break
            self._waiting.append(following)
            small += _looked_up_by(following.work)
        with suppress(*OWN_FAULTS):  # whose fault it is will be told when his work is decided
            batch.look_ahead(small)

    def _decide(self, batch: Batch, asked: _Asked) -> _Answer:
        """One caller's bad work is its own; a broken invariant or database is everybody's."""
        try:
            with batch.piece_of_work():
                return _Answer(asked, asked.work(batch), None)
        except OWN_FAULTS as error:
            return _Answer(asked, None, error)

    def _was_kept(self, head: BookHead) -> bool | None:
        """The commit's answer was lost: does the book hold the batch? None when nobody can tell."""
        self._disconnect()
        try:
            with transaction(self._connected()) as connection:
                # The lock waits for a commit that is still under way; a book that this commit would make has none.
                if store.find_book(connection, self._book, lock=True) is None:
                    return None
                return store.find_seal_hash(connection, head.book, head.seq) == head.hash
        except (Unavailable, OutcomeUnknown):
            return None

    def _add_up(self) -> None:
        """Bring the totals per link a step nearer to the journal's end; another time if the database is not there."""
        added = self._behind
        try:
            with transaction(self._connected()) as connection:
                head = store.find_book(connection, self._book, lock=True)
                if head is not None:
                    added = totals.add_up(connection, head.book, head.totalled_seq, TOTALS_STEP)
        except (Unavailable, OutcomeUnknown):
            self._disconnect()
        self._behind = max(0, self._behind - added) if added else 0

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._engine)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(Exception):  # it may be broken in any way
                self._connection.close()
            self._connection = None

    def _lose(self, taken: list[_Asked], error: Unavailable | OutcomeUnknown) -> None:
        """The database failed: the next piece of work tries a new connection, and reads everything anew."""
        self._head = None
        self._disconnect()
        self._fail(taken, error)

    def _fail(self, taken: list[_Asked], error: Exception) -> None:
        self.stats.failures += 1
        for asked in taken:
            _tell(asked, None, type(error)(*error.args))

    def _break(self, error: BaseException) -> None:
        with self._door:
            self._broken = f"the book is closed to writing since {type(error).__name__}: {error}"

    def _why_closed(self) -> Exception | None:
        """A new exception each time: one that is raised again and again carries every traceback along."""
        if self._broken:
            return InvariantBroken(self._broken)
        return Unavailable("the ledger is shutting down") if self._stopping else None

    def _refuse_the_rest(self) -> None:
        for asked in self._take_all():
            _tell(asked, None, self._why_closed() or Unavailable("the ledger is shutting down"))

    def _take_all(self) -> list[_Asked]:
        """Everything that is not decided yet, up to the end of work if that was asked for."""
        taken = list(self._waiting)
        self._waiting.clear()
        with suppress(queue.Empty):
            while (asked := self._queue.get_nowait()) is not None:
                taken.append(asked)
            self._queue.put(None)
        return taken


def _tell(asked: _Asked, result: Any, problem: BaseException | None) -> None:
    """Answer a caller, who may have gone meanwhile."""
    with suppress(InvalidStateError):
        if problem is None:
            asked.answer.set_result(result)
        else:
            asked.answer.set_exception(problem)
