"""Readings become usage: what may be billed of a counter, a running time, an integral, an event; pure.

A meter keeps a running `total` of what may be billed; usage is the difference between two totals. A reading
that is not plausible is held, never billed and never lost: the next plausible one bills across it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from core.clock import EPOCH, SECOND, Instant
from core.exact import EXACT
from core.quantity import UNITS, Unit
from core.sample import Quality, Sample, TagId

SKEW_MICROSECONDS_MAX = 5 * SECOND
"""A device's own time is believed while it is this close to ours; else the arrival time counts."""

VALUE_MAX = Decimal(10) ** 18
"""Beyond any register: a number of that size is garbage, and would drown the running total."""

RATE_MARGIN = Decimal("1.1")
STEPS_ALWAYS_PLAUSIBLE = 2
REFRESH_MICROSECONDS = 1 * SECOND
"""How far what a register shows may lag behind the machine: many renew it once a second, however often it is read."""


class Condition(StrEnum):
    """What a reading showed about its meter."""

    FIRST = "first"
    ROLLOVER = "rollover"
    SUSPECT = "suspect"
    GLITCH = "glitch"
    RESET = "reset"
    JUMP = "jump"
    GAP = "gap"
    CLOCK_STEPPED = "clock_stepped"
    AMBIGUOUS = "ambiguous"
    REDEFINED = "redefined"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a meter that an operator should know; `text` says what was read and what follows."""

    meter: TagId
    condition: Condition
    at: Instant
    text: str


@dataclass(frozen=True, slots=True)
class MeterState:
    """What is remembered of a meter. `total` counts in the meter's unit since the meter was first seen."""

    total: Decimal = Decimal(0)
    last: Decimal | None = None
    time: Instant = EPOCH
    segment: int = 1
    suspects: tuple[tuple[Decimal, Instant], ...] = ()

    def same_position(self, other: MeterState) -> bool:
        """Whether nothing that must survive a restart differs; time alone may pass unsaved."""
        return (
            self.total == other.total
            and self.last == other.last
            and self.segment == other.segment
            and self.suspects == other.suspects
        )


Reading = tuple[MeterState, list[Finding]]


class Meter(Protocol):
    """A rule that turns samples of one tag into a running total."""

    @property
    def tag(self) -> TagId: ...

    @property
    def unit(self) -> Unit:
        """What `total` counts in."""
        ...

    @property
    def definition(self) -> str:
        """What a stored total means: totals of two definitions cannot be subtracted."""
        ...

    def read(self, state: MeterState, sample: Sample) -> Reading:
        """The state after this sample, and what it showed. A sample without a good value changes nothing."""
        ...


def billing_time(sample: Sample) -> Instant:
    """The device's time when it agrees with ours, else ours."""
    if abs(sample.source_time - sample.arrival_time) <= SKEW_MICROSECONDS_MAX:
        return sample.source_time
    return sample.arrival_time


@dataclass(frozen=True, slots=True)
class Counter:
    """A cumulative register: only its differences are billed.

    `max_rate` is the largest change per second in the tag's unit that the machine can make, `step` the
    register's resolution, `modulus` where it starts over. `confirm_reads` readings over at least
    `confirm_microseconds` that count up from each other turn a doubt into a reset (a new segment) or a jump
    (not billed).
    """

    tag: TagId
    tag_unit: Unit
    max_rate: Decimal | None = None
    modulus: Decimal | None = None
    step: Decimal = Decimal(1)
    confirm_reads: int = 5
    confirm_microseconds: int = 2 * SECOND

    @property
    def unit(self) -> Unit:
        return self.tag_unit

    @property
    def definition(self) -> str:
        return f"counter in {self.tag_unit} by {self.step:f}"

    def read(self, state: MeterState, sample: Sample) -> Reading:
        value = _number(sample)
        if value is None:
            return state, []
        at = billing_time(sample)
        last = state.last
        if last is None:
            text = f"starts at {value:f} {self.tag_unit}; what was counted before is not billed"
            return replace(state, last=value, time=at), [self._finding(Condition.FIRST, at, text)]
        findings: list[Finding] = []
        if _is_late(state, at):
            return state, []  # the next reading carries it
        if at < state.time:
            findings.append(self._finding(Condition.CLOCK_STEPPED, at, "the clock stepped back; counting goes on"))
            state = replace(state, time=at)
        if not state.suspects and self._may_have_turned_over_unseen(at - state.time):
            text = (
                f"no reading for {(at - state.time) / SECOND:.0f} s, in which it can have started over more than once"
            )
            findings.append(self._finding(Condition.AMBIGUOUS, at, f"{text}; billed is the least that fits"))
        change = EXACT.subtract(value, last)
        if self._plausible(change, at - state.time):
            if state.suspects:
                seen = ", ".join(f"{suspect:f}" for suspect, _ in state.suspects)
                text = f"{seen} was a glitch; {value:f} {self.tag_unit} follows {last:f} and is billed as usual"
                findings.append(self._finding(Condition.GLITCH, at, text))
            return self._advance(state, value, at, change), findings
        wrapped = self._wrapped(last, change)
        if wrapped is not None and not state.suspects and self._plausible(wrapped, at - state.time):
            text = f"rolled over from {last:f} to {value:f} {self.tag_unit}"
            findings.append(self._finding(Condition.ROLLOVER, at, text))
            return self._advance(state, value, at, wrapped), findings
        return self._doubt(state, last, value, at, findings)

    def _doubt(self, state: MeterState, last: Decimal, value: Decimal, at: Instant, findings: list[Finding]) -> Reading:
        suspects: tuple[tuple[Decimal, Instant], ...] = ((value, at),)
        if self._continues(state.suspects, value, at):  # the first one and the newest ones tell enough
            suspects = (*state.suspects[:1], *state.suspects[1:][-self.confirm_reads :], *suspects)
        if not state.suspects:
            text = (
                f"read {value:f} {self.tag_unit} after {last:f}: not plausible, nothing is billed "
                f"until {self.confirm_reads} readings agree"
            )
            findings.append(self._finding(Condition.SUSPECT, at, text))
        if not self._confirmed(suspects):
            return replace(state, suspects=suspects), findings
        first = suspects[0][0]
        since = EXACT.subtract(value, first)
        condition = Condition.RESET if first < last else Condition.JUMP
        text = (
            f"confirmed at {value:f} {self.tag_unit} after {last:f}: segment {state.segment + 1} starts at "
            f"{first:f}; nothing between the two is billed, compare with the machine's own record"
        )
        findings.append(self._finding(condition, at, text))
        new = replace(
            state,
            total=EXACT.add(state.total, since),
            last=value,
            time=at,
            segment=state.segment + 1,
            suspects=(),
        )
        return new, findings

    def _confirmed(self, suspects: tuple[tuple[Decimal, Instant], ...]) -> bool:
        """Only a register that moves is believed: one that shows zeros may yet come back to where it was."""
        (first, since), (newest, until) = suspects[0], suspects[-1]
        return len(suspects) >= self.confirm_reads and until - since >= self.confirm_microseconds and newest > first

    def _advance(self, state: MeterState, value: Decimal, at: Instant, change: Decimal) -> MeterState:
        return replace(state, total=EXACT.add(state.total, change), last=value, time=at, suspects=())

    def _plausible(self, change: Decimal, microseconds: int) -> bool:
        if change < 0:
            return False
        if self.max_rate is None:
            return True
        seconds = Decimal(max(microseconds, 0) + REFRESH_MICROSECONDS) / SECOND
        largest = self.max_rate * seconds * RATE_MARGIN
        return change <= largest + STEPS_ALWAYS_PLAUSIBLE * self.step

    def _wrapped(self, last: Decimal, change: Decimal) -> Decimal | None:
        if self.modulus is None or self.max_rate is None or change >= 0 or last * 2 <= self.modulus:
            return None
        return EXACT.add(change, self.modulus)

    def _may_have_turned_over_unseen(self, microseconds: int) -> bool:
        if self.modulus is None or self.max_rate is None:
            return False
        return self.max_rate * microseconds >= self.modulus * SECOND

    def _continues(self, suspects: tuple[tuple[Decimal, Instant], ...], value: Decimal, at: Instant) -> bool:
        if not suspects:
            return True
        before, before_time = suspects[-1]
        return self._plausible(value - before, at - before_time)

    def _finding(self, condition: Condition, at: Instant, text: str) -> Finding:
        return Finding(self.tag, condition, at, text)


@dataclass(frozen=True, slots=True)
class RunningTime:
    """Seconds during which a tag was true. Between two readings further apart than `max_gap` nothing is known."""

    tag: TagId
    max_gap_microseconds: int = 10 * SECOND

    @property
    def unit(self) -> Unit:
        return UNITS["s"]

    @property
    def definition(self) -> str:
        return "duration"

    def read(self, state: MeterState, sample: Sample) -> Reading:
        return _over_time(self.tag, state, sample, _on_or_off(sample), self.max_gap_microseconds)


@dataclass(frozen=True, slots=True)
class Integral:
    """A gauge summed over time, its last value held between readings: kW become kW·s."""

    tag: TagId
    tag_unit: Unit
    max_gap_microseconds: int = 10 * SECOND

    @property
    def unit(self) -> Unit:
        return self.tag_unit * UNITS["s"]

    @property
    def definition(self) -> str:
        return f"integral of {self.tag_unit}"

    def read(self, state: MeterState, sample: Sample) -> Reading:
        return _over_time(self.tag, state, sample, _number(sample), self.max_gap_microseconds)


@dataclass(frozen=True, slots=True)
class Edges:
    """How often a tag turned true (`rising`) or false (`falling`). Edges between two readings are not seen."""

    tag: TagId
    rising: bool = True
    falling: bool = False
    unit: Unit = field(default_factory=lambda: UNITS["pieces"])

    @property
    def definition(self) -> str:
        return "edges" + " rising" * self.rising + " falling" * self.falling

    def read(self, state: MeterState, sample: Sample) -> Reading:
        now, at = _on_or_off(sample), billing_time(sample)
        if now is None or _is_late(state, at):
            return state, []
        counted = state.last is not None and ((self.rising and now > state.last) or (self.falling and now < state.last))
        return replace(state, total=state.total + (1 if counted else 0), last=now, time=at), []


def _over_time(tag: TagId, state: MeterState, sample: Sample, value: Decimal | None, max_gap: int) -> Reading:
    """The value of before, held until now."""
    at = billing_time(sample)
    if value is None or _is_late(state, at):
        return state, []
    if state.last is None:
        return replace(state, last=value, time=at), []
    elapsed = at - state.time
    if elapsed < 0:
        text = "the clock stepped back; nothing is counted for that step"
        return replace(state, last=value, time=at), [Finding(tag, Condition.CLOCK_STEPPED, at, text)]
    if elapsed > max_gap:
        text = f"no reading for {elapsed / SECOND:.1f} s; nothing is counted for that time"
        findings = [Finding(tag, Condition.GAP, at, text)] if state.last else []
        return replace(state, last=value, time=at), findings
    grown = EXACT.multiply(state.last, Decimal(elapsed).scaleb(-6))
    return replace(state, total=EXACT.add(state.total, grown), last=value, time=at), []


def _is_late(state: MeterState, at: Instant) -> bool:
    """Older than what was read before, by no more than clocks differ: a straggler, not a clock that was set back."""
    return state.last is not None and 0 < state.time - at <= SKEW_MICROSECONDS_MAX


def _number(sample: Sample) -> Decimal | None:
    if sample.quality is not Quality.GOOD or sample.value is None or isinstance(sample.value, str):
        return None
    number = Decimal(sample.value)
    return number if number.is_finite() and abs(number) < VALUE_MAX else None


def _on_or_off(sample: Sample) -> Decimal | None:
    number = _number(sample)
    return None if number is None else Decimal(1 if number else 0)
