"""Prices that depend on time, such as the spot price of electricity: known for a period, or not known."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from core.clock import SECOND, Instant, from_datetime, to_datetime
from core.errors import Misconfigured, Problem

COLUMNS = "from,to,price"

DAY = 24 * 3600 * SECOND
"""Microseconds from midnight to midnight on the clock on the wall."""

BYTES_MAX = 64 * 2**20
"""Quarters of an hour in some 30 years."""

DAYS_KEPT = 16
"""Days of repeating prices that are kept laid out in instants."""

PROBLEMS_MAX = 100

_PRICE = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?")
_LOCAL = re.compile(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?")


class PriceSettings(BaseModel):
    """A price that depends on time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    csv: Annotated[
        Path,
        Field(description="Lines of from,to,price: times of day (00:00,00:15,0.41) or ISO 8601 instants with offset."),
    ]
    unit: Annotated[str, Field(description="What the numbers are in.", examples=["kr/kWh"])]


class PriceSeries(Protocol):
    """A price over time."""

    def price_at(self, at: Instant) -> Decimal | None:
        """The price then; None when it is not known, never the last known one."""
        ...

    def changes_after(self, at: Instant) -> Instant | None:
        """The next instant at which the price may be another or unknown; None when there is none."""
        ...


class Period(NamedTuple):
    """A price from a time on, up to but not including another; in microseconds, of the day or since 1970."""

    start: int
    end: int
    price: Decimal | None


@dataclass(frozen=True, slots=True)
class DatedPrices:
    """Periods between instants, in order, none overlapping another."""

    periods: Sequence[Period]

    def price_at(self, at: Instant) -> Decimal | None:
        period = _period_at(self.periods, at)
        return None if period is None else period.price

    def changes_after(self, at: Instant) -> Instant | None:
        place = bisect_right(self.periods, int(at), key=_start)
        if place and at < self.periods[place - 1].end:
            return Instant(self.periods[place - 1].end)
        return Instant(self.periods[place].start) if place < len(self.periods) else None


@dataclass(frozen=True, slots=True)
class DailyPrices:
    """Periods of a day that repeats, by the clock on the wall in `zone`, where a day may have 23 or 25 hours."""

    periods: Sequence[Period]
    zone: tzinfo
    _days: dict[date, Sequence[Period]] = field(default_factory=dict, compare=False, repr=False)

    def price_at(self, at: Instant) -> Decimal | None:
        return self._period(at).price

    def changes_after(self, at: Instant) -> Instant | None:
        now = next_one = self._period(at)
        for _ in range(2 * len(self.periods) + 8):  # more than a day has
            next_one = self._period(Instant(next_one.end))
            if next_one.price != now.price:
                return Instant(next_one.start)
        return None

    def _period(self, at: Instant) -> Period:
        day = to_datetime(at).astimezone(self.zone).date()
        laid_out = self._days.get(day)
        if laid_out is None:
            if len(self._days) >= DAYS_KEPT:
                self._days.clear()
            laid_out = self._days.setdefault(day, self._laid_out(day))
        return laid_out[bisect_right(laid_out, int(at), key=_start) - 1]

    def _laid_out(self, day: date) -> Sequence[Period]:
        """The day from midnight to midnight in instants, with the clock's change in it, if it has one."""
        start, end = (self._instants(day + timedelta(days=days), 0)[0] for days in (0, 1))
        clocks = {clock for period in self.periods for clock in (period.start, period.end)}
        cuts = {cut for clock in clocks for cut in self._instants(day, clock)} | {self._clock_change(start, end)}
        edges = [start, *sorted(cut for cut in cuts if start < cut < end), end]
        return [Period(one, other, self._price_by_clock(one)) for one, other in pairwise(edges)]

    def _instants(self, day: date, clock: int) -> list[Instant]:
        """When the clock shows that time of that day: twice, when it is put back in between."""
        naive = datetime.combine(day, time()) + timedelta(microseconds=clock)
        return [from_datetime(naive.replace(tzinfo=self.zone, fold=fold)) for fold in (0, 1)]

    def _clock_change(self, start: Instant, end: Instant) -> Instant:
        """When the clock is put forward or back, to the microsecond; `end` if it is not."""
        before = self._offset(start)
        if self._offset(end) == before:
            return end
        while end - start > 1:
            middle = Instant((start + end) // 2)
            start, end = (middle, end) if self._offset(middle) == before else (start, middle)
        return end

    def _offset(self, at: Instant) -> timedelta | None:
        return to_datetime(at).astimezone(self.zone).utcoffset()

    def _price_by_clock(self, at: Instant) -> Decimal | None:
        shown = to_datetime(at).astimezone(self.zone).replace(tzinfo=None)
        period = _period_at(self.periods, (shown - datetime.combine(shown, time())) // timedelta(microseconds=1))
        return None if period is None else period.price


def _start(period: Period) -> int:
    return period.start


def _period_at(periods: Sequence[Period], at: int) -> Period | None:
    place = bisect_right(periods, at, key=_start)
    return periods[place - 1] if place and at < periods[place - 1].end else None


def load_price_csv(path: Path, timezone: tzinfo) -> PriceSeries:
    """Read `from,to,price` lines, `#` before a comment; raises Misconfigured with every line that is wrong.

    Times of day (`22:00,06:00,0.41`) repeat every day by the clock in `timezone`; instants
    (`2026-11-22T00:00+01:00`) have an offset. A file has one of the two.
    """
    try:
        if path.stat().st_size > BYTES_MAX:
            raise Misconfigured([Problem(f"expected at most {BYTES_MAX:,} bytes", file=str(path))])
        lines = path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise Misconfigured([Problem(f"cannot be read: {error.strerror}", file=str(path))]) from None
    except UnicodeDecodeError as error:
        raise Misconfigured([Problem(f"is not UTF-8 at byte {error.start}", file=str(path))]) from None
    rows, wrong = _rows(lines)
    daily = [line for line, _, is_daily in rows if is_daily]
    if daily and len(daily) < len(rows):
        line = next(line for line, _, is_daily in rows if is_daily is not rows[0][2])
        wrong.append((line, "times of day and dated times are mixed; write two files"))
    else:
        wrong.extend(_overlaps([(period, line) for line, period, _ in rows]))
    if not rows and not wrong:
        wrong.append((0, "has no prices"))
    if wrong:
        more = [(0, f"and {len(wrong) - PROBLEMS_MAX} more")] if len(wrong) > PROBLEMS_MAX else []
        shown = sorted(wrong)[:PROBLEMS_MAX] + more
        raise Misconfigured([Problem(text, file=str(path), line=line, column=int(line > 0)) for line, text in shown])
    periods = sorted(period for _, period, _ in rows)
    return DailyPrices(periods, timezone) if daily else DatedPrices(periods)


def _rows(lines: Sequence[str]) -> tuple[list[tuple[int, Period, bool]], list[tuple[int, str]]]:
    """(line number, period, whether of the day) of each good line, and (line number, text) of each bad one."""
    rows: list[tuple[int, Period, bool]] = []
    wrong: list[tuple[int, str]] = []
    header = False
    for number, line in enumerate(lines, start=1):
        fields = [cell.strip() for cell in line.split(",")]
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not header:
            header = True
            if [cell.lower() for cell in fields] != COLUMNS.split(","):
                wrong.append((number, f"expected the heading {COLUMNS!r}, got {line[:60]!r}"))
            continue
        if len(fields) != 3:
            wrong.append((number, f"expected {COLUMNS}, decimals with a point; got {line[:60]!r}"))
            continue
        try:
            rows.extend((number, period, daily) for period, daily in _periods(*fields))
        except ValueError as error:
            wrong.append((number, str(error)))
    return rows, wrong


def _periods(start: str, end: str, price: str) -> list[tuple[Period, bool]]:
    """One period, or two of a day when it spans midnight; ValueError says what is wrong."""
    if not _PRICE.fullmatch(price):
        raise ValueError(f"expected a price such as 0.4123, got {price!r}")
    amount = Decimal(price)
    if _LOCAL.fullmatch(start) and _LOCAL.fullmatch(end):
        from_clock, to_clock = _clock(start), _clock(end) or DAY
        if from_clock in (to_clock, DAY):
            raise ValueError(f"{start} to {end} has no length")
        if from_clock < to_clock:
            return [(Period(from_clock, to_clock, amount), True)]
        return [(Period(from_clock, DAY, amount), True), (Period(0, to_clock, amount), True)]
    from_time, to_time = _instant(start), _instant(end)
    if to_time <= from_time:
        raise ValueError(f"ends at {end}, not after it begins at {start}")
    return [(Period(from_time, to_time, amount), False)]


def _clock(text: str) -> int:
    match = _LOCAL.fullmatch(text)
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (99, 0, 0)
    clock = (hours * 3600 + minutes * 60 + seconds) * SECOND
    if minutes > 59 or seconds > 59 or clock > DAY:
        raise ValueError(f"expected a time of day from 00:00 to 24:00, got {text!r}")
    return clock


def _instant(text: str) -> Instant:
    try:
        return from_datetime(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise ValueError(
            f"expected a time such as 06:00, or with date and offset such as 2026-11-22T06:00+01:00, got {text!r}"
        ) from None


def _overlaps(rows: list[tuple[Period, int]]) -> list[tuple[int, str]]:
    wrong = []
    last_end, last_line = 0, 0
    for period, line in sorted(rows):
        if last_line and period.start < last_end:
            wrong.append((max(line, last_line), f"overlaps line {min(line, last_line)}"))
        if not last_line or period.end > last_end:
            last_end, last_line = period.end, line
    return wrong
