"""Time comes from here and nowhere else, so that a run can be repeated bit for bit."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import NewType, Protocol

Instant = NewType("Instant", int)
"""Microseconds since 1970-01-01T00:00:00Z, without leap seconds (as POSIX time)."""

EPOCH = Instant(0)

SECOND = 1_000_000
"""Microseconds in one second."""

_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """What the rest of the system knows of time."""

    def now(self) -> Instant:
        """The wall clock."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step back: for cadence and timeouts, never for money."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> Instant:
        return Instant(time.time_ns() // 1_000)

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is told otherwise; for tests and simulations."""

    def __init__(self, at: Instant = EPOCH) -> None:
        self._now = at
        self._ticked = 0

    def now(self) -> Instant:
        return self._now

    def monotonic(self) -> float:
        return self._ticked / SECOND

    def advance(self, microseconds: int) -> Instant:
        """Let time pass; a negative step moves the wall clock back, as an operator or NTP may."""
        self._now = Instant(self._now + microseconds)
        self._ticked += max(microseconds, 0)
        return self._now


def to_datetime(at: Instant) -> datetime:
    """The same instant as an aware UTC datetime, exact to the microsecond."""
    return _EPOCH_UTC + timedelta(microseconds=at)


def from_datetime(moment: datetime) -> Instant:
    """An aware datetime as an `Instant`. A naive one is refused: its zone would be a guess."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return Instant((moment - _EPOCH_UTC) // _MICROSECOND)


def to_text(at: Instant) -> str:
    """ISO 8601 in UTC with microseconds, such as `2026-11-22T15:04:05.000001Z`."""
    return to_datetime(at).isoformat(timespec="microseconds").replace("+00:00", "Z")
