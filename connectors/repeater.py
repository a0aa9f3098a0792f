"""Silence that is proved to mean "unchanged" becomes readings; for servers that tell only changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from connectors.connector import Reading
from core.clock import Clock, Instant
from core.sample import Quality, TagId

REPEAT_SECONDS = 0.9
"""How often an unchanged reading is told again: a little under the second that keep-alives are apart, to use each."""
LATE_SECONDS = 0.5
"""How much later than agreed a sign of life may come."""


class Repeater:
    """The last good readings of one subscription, told again while its server proves that it would tell a change.

    A message of the subscription is such a proof, for the moment at which it came. A server may insist on rarer
    messages than one a repeat; then it is believed for as long as agreed: `silence_seconds`, 0 for not at all.
    """

    def __init__(self, clock: Clock, silence_seconds: float = 0.0) -> None:
        self._clock = clock
        self._silence_seconds = silence_seconds + LATE_SECONDS if silence_seconds > 0 else 0.0
        self._good: dict[TagId, Reading] = {}
        self._told: dict[TagId, Instant] = {}
        """Times that we gave to readings, which later changes must not undercut."""
        self._shift: dict[TagId, int] = {}
        self._heard_at = self._repeated_at = clock.monotonic()

    def heard(self, changes: Iterable[Reading], *, newest: bool = True) -> list[Reading]:
        """After a message: the changes in it, then what did not change, when it is time to say so.

        `newest` is false when more messages may be waiting, whose changes must come first.
        """
        told: list[Reading] = []
        for change in changes:
            told.append(reading := self._in_order(change))
            if reading.quality is Quality.GOOD:
                self._good[reading.tag] = reading
            else:
                self._good.pop(reading.tag, None)
        if newest:
            self._heard_at = self._clock.monotonic()
            told += self._repeated(except_for={reading.tag for reading in told})
        return told

    def quiet(self) -> list[Reading]:
        """After the server answered something else: what did not change, as long as its silence is as agreed."""
        if self._clock.monotonic() - self._heard_at > self._silence_seconds:
            return []
        return self._repeated(except_for=())

    def forget(self) -> None:
        """Messages were lost: what was told before them may no longer be so, and is not told again."""
        self._good.clear()

    def _repeated(self, except_for: Iterable[TagId]) -> list[Reading]:
        at = self._clock.monotonic()
        if at - self._repeated_at < REPEAT_SECONDS:
            return []
        self._repeated_at = at
        now = self._clock.now()
        repeats = [
            replace(reading, source_time=now, reason="") for tag, reading in self._good.items() if tag not in except_for
        ]
        self._told.update((reading.tag, now) for reading in repeats)
        return repeats

    def _in_order(self, change: Reading) -> Reading:
        """A change that the device timed before our last word, being late or by a slow clock, comes after it.

        Else a meter would take the change for old news and pass over it.
        """
        told = self._told.get(change.tag)
        if told is None:
            return change
        now = self._clock.now()
        source_time = now if change.source_time is None else change.source_time
        shift = self._shift.get(change.tag, 0)
        if source_time + shift <= told:  # later changes keep their distance to this one
            shift = self._shift[change.tag] = told + 1 - source_time
        elif shift == 0:
            return change
        at = self._told[change.tag] = Instant(max(told + 1, min(now, source_time + shift)))
        return replace(change, source_time=at)
