"""Handing works to a writer that is never idle, and what came of it."""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from ledger.batch import Batch
from ledger.transfer import Outcomes, TransferRequest
from ledger.writer import Work, Writer

WORKS_QUEUED = 4
"""Works handed over and not answered yet: one is being written, the others wait."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A work's answer, which is durable."""

    posted: int
    refused: int
    seconds: float
    """From handing it over to its answer."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of some works, and the seconds from the first handed over to the last answered."""

    posted: int
    refused: int
    seconds: float
    started: float
    """By `perf_counter`, which all processes of a machine share."""
    waits: list[float]
    """Of each work, the seconds from handing it over to its answer."""

    @property
    def rate(self) -> float:
        return self.posted / self.seconds

    @property
    def ended(self) -> float:
        return self.started + self.seconds


def posting(requests: list[TransferRequest]) -> Work[Outcomes]:
    def work(batch: Batch) -> Outcomes:
        return batch.post(requests)

    return work


def post_works(writer: Writer, works: Iterable[list[TransferRequest]]) -> Iterator[Answered]:
    """Hand works over, `WORKS_QUEUED` at a time, and tell of each answer in turn."""
    waiting: deque[tuple[float, Future[Outcomes]]] = deque()
    for requests in works:
        if len(waiting) == WORKS_QUEUED:
            yield _answer(*waiting.popleft())
        waiting.append((time.perf_counter(), writer.submit(posting(requests))))
    while waiting:
        yield _answer(*waiting.popleft())


def post_built(writer: Writer, works: list[list[TransferRequest]]) -> Tally:
    """Post works that are built already, as fast as it goes."""
    with clean_heap():
        started = time.perf_counter()
        answers = list(post_works(writer, works))
        seconds = time.perf_counter() - started
    posted = sum(answer.posted for answer in answers)
    refused = sum(answer.refused for answer in answers)
    return Tally(posted, refused, seconds, started, [answer.seconds for answer in answers])


@contextmanager
def clean_heap() -> Iterator[None]:
    """What was built beforehand is not looked through by the collector meanwhile: a gateway holds no such heap."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _answer(handed_over: float, future: Future[Outcomes]) -> Answered:
    outcomes = future.result()
    return Answered(outcomes.posted, len(outcomes.refused), time.perf_counter() - handed_over)
