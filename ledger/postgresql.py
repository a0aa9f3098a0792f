"""PostgreSQL's side of a connection: who waits for whom, and for how long."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.waiting import Ready, Wait

Result = TypeVar("Result")

WAKE_SECONDS = 1 / 10
"""A wait looks up so often, as psycopg's own does."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long something may take before it is given up, in seconds."""

    connect_seconds: int = 10
    lock_seconds: int = 10
    """A statement waits so long for what another has locked."""
    write_pause_seconds: int = 15
    """So long a writer may stand still inside a transaction: others wait for the book meanwhile."""
    read_pause_seconds: int = 3_600
    """So long a reader may, such as an export into a slow program: it stops nobody, but old rows stay for it."""
    write_answer_seconds: int = 30
    """So long the server may be silent on a batch; one of 5,000 transfers takes a tenth of a second."""
    read_answer_seconds: int = 600
    """So long it may be silent on a reader's: some questions take it through the whole book."""


class PatientConnection(psycopg.Connection[Any]):
    """A connection that gives up, and closes, when the server says nothing for `answer_seconds`; None is for ever.

    Neither keepalives nor PostgreSQL's own limits notice a server that stands still: its kernel acknowledges for it.
    """

    answer_seconds: int | None = None

    def wait(self, gen: PQGen[Result], interval: float = WAKE_SECONDS, timeout: float | None = None) -> Result:
        return super().wait(self._answered(gen, interval), interval, timeout)

    def _answered(self, gen: PQGen[Result], interval: float) -> Generator[Wait, Ready | int, Result]:
        silent_seconds: float = 0
        try:
            awaited = next(gen)
            while True:
                ready = yield awaited
                silent_seconds = 0 if ready else silent_seconds + interval
                if self.answer_seconds is not None and silent_seconds >= self.answer_seconds:
                    self.close()
                    raise psycopg.OperationalError(f"the server has said nothing for {self.answer_seconds} seconds")
                awaited = gen.send(ready)
        except StopIteration as end:
            result: Result = end.value
            return result


def connect(_dialect: object, _record: object, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """A patient connection, for SQLAlchemy's event `do_connect`."""
    return PatientConnection.connect(*arguments, **options)


def connect_arguments(limits: Limits, pause_seconds: int) -> dict[str, Any]:
    """What libpq and the server are told when a connection is made that may pause so long in a transaction."""
    options = {
        "lock_timeout": f"{limits.lock_seconds}s",
        "idle_in_transaction_session_timeout": f"{pause_seconds}s",
        # The server looks too: what a lost gateway has locked is free when it is found to be gone.
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        # Every statement has its index: a plan that was made while a table was empty must not scan it when it is full.
        "enable_seqscan": "off",
        "jit": "off",
    }
    return {
        "connect_timeout": limits.connect_seconds,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 25_000,  # what was sent and is not acknowledged: there are no keepalives then
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
    }
