"""Days in the plant's time zone, as the ledger's instants."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import typer

from core.clock import EPOCH, Instant, from_datetime, to_datetime
from core.errors import Rejected
from ledger.totals import HOUR
from ledger.transfer import TIME_END


def begin_of(day: date, zone: ZoneInfo) -> Instant:
    """When the day begins there."""
    try:
        return from_datetime(datetime.combine(day, time.min, zone))
    except OverflowError:
        raise typer.BadParameter(f"{day} is beyond the calendar") from None


def end_of(day: date, zone: ZoneInfo) -> Instant:
    """When the day is over there: the begin of the next."""
    try:
        return begin_of(day + timedelta(days=1), zone)
    except OverflowError:
        raise typer.BadParameter(f"{day} is beyond the calendar") from None


def whole_hour(at: Instant, zone: ZoneInfo) -> Instant:
    """The same instant; Rejected `not_a_whole_hour` where a day does not begin with one of UTC."""
    if not EPOCH <= at <= TIME_END:
        raise typer.BadParameter("expected a day from 1970 to 2199: nothing is dated before or after")
    if at % HOUR:
        text = f"{to_local_text(at, zone)} is no whole hour of UTC: the ledger keeps totals per hour"
        raise Rejected("not_a_whole_hour", f"{text}; export the transfers and add them up")
    return at


def to_local_text(at: Instant, zone: ZoneInfo) -> str:
    """ISO 8601 with the zone's offset, such as `2026-11-01T00:00:00+01:00`."""
    return to_datetime(at).astimezone(zone).isoformat()


def last_day_before(at: Instant, zone: ZoneInfo) -> date:
    """The last day that was over by then."""
    return to_datetime(at).astimezone(zone).date() - timedelta(days=1)
