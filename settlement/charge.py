"""Usage × tariff → charge, with the working shown; pure.

A period that crosses a price or an hour boundary is split there, its usage in proportion to time: the
register says how much was used, only its distribution is estimated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from core.clock import Instant, from_datetime, to_datetime, to_text
from core.errors import Rejected
from core.exact import EXACT
from core.sample import Quality, Sample, TagId
from settlement.agreement import Agreement, SourceKind
from settlement.prices import PriceSeries

PARTS_MAX = 2_000
"""Quarters of an hour in three weeks, or minutes in a day and a half; what is left is priced at the last one's."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a tariff may look at beside usage: the tags' newest samples, the price series, the plant's time zone."""

    tags: Mapping[TagId, Sample]
    prices: Mapping[str, PriceSeries]
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Charge:
    """Priced usage of one agreement over one period; `amount` is exact, in whole currency."""

    agreement: str
    usage: Mapping[TagId, Decimal]
    from_time: Instant
    to_time: Instant
    amount: Decimal
    working: list[dict[str, Any]]


def charge(
    agreement: Agreement, usage: Mapping[TagId, Decimal], from_time: Instant, to_time: Instant, conditions: Conditions
) -> Charge:
    """Price what was used in a period. Rejected `not_priced_yet` when an input is not known: nothing is lost then."""
    total, working = Decimal(0), []
    for start, end, part in _parts(agreement, usage, from_time, to_time, conditions):
        amount, shown = agreement.tariff.priced(_values(agreement, part, start, conditions))
        total = EXACT.add(total, amount)
        working.append({"from": to_text(start), "to": to_text(end), **shown})
    return Charge(agreement.id, usage, from_time, to_time, total, working)


def _values(
    agreement: Agreement, usage: Mapping[TagId, Decimal], at: Instant, conditions: Conditions
) -> dict[str, Decimal]:
    local = to_datetime(at).astimezone(conditions.zone)
    times = {"hour": local.hour, "minute": local.minute, "weekday": local.weekday(), "month": local.month}
    values: dict[str, Decimal] = {}
    for name, source in agreement.sources.items():
        if source.kind is SourceKind.METER:
            values[name] = usage.get(TagId(source.name), Decimal(0))
        elif source.kind is SourceKind.TIME:
            values[name] = Decimal(times[source.name])
        elif source.kind is SourceKind.PRICE:
            price = conditions.prices[source.name].price_at(at)
            if price is None:
                raise Rejected("not_priced_yet", f"price {source.name!r} is not known for {to_text(at)}")
            values[name] = price
        else:
            sample = conditions.tags.get(TagId(source.name))
            if sample is None or sample.quality is not Quality.GOOD or isinstance(sample.value, str | None):
                state = "has not been read" if sample is None else f"is {sample.quality.name}: {sample.reason}"
                raise Rejected("not_priced_yet", f"tag {source.name} {state}")
            values[name] = Decimal(sample.value)
    return values


def _parts(
    agreement: Agreement, usage: Mapping[TagId, Decimal], start: Instant, end: Instant, conditions: Conditions
) -> Iterator[tuple[Instant, Instant, dict[TagId, Decimal]]]:
    left = dict(usage)
    length = end - start
    for _ in range(PARTS_MAX):
        cut = _next_boundary(agreement, start, conditions)
        if length <= 0 or cut is None or cut >= end:
            break
        share = Decimal(cut - start) / Decimal(length)
        part = {meter: _share(amount, share) for meter, amount in usage.items()}
        yield start, cut, part
        left = {meter: EXACT.subtract(left[meter], part[meter]) for meter in left}
        start = cut
    yield start, end, left


def _share(amount: Decimal, share: Decimal) -> Decimal:
    return EXACT.multiply(amount, share).quantize(Decimal("1E-12"), ROUND_DOWN, EXACT)


def _next_boundary(agreement: Agreement, at: Instant, conditions: Conditions) -> Instant | None:
    boundaries = []
    for source in agreement.sources.values():
        if source.kind is SourceKind.PRICE:
            boundaries.append(conditions.prices[source.name].changes_after(at))
        elif source.kind is SourceKind.TIME:
            step = timedelta(minutes=1 if source.name == "minute" else 15)
            boundaries.append(_next_full(at, step))
    return min((cut for cut in boundaries if cut is not None), default=None)


def _next_full(at: Instant, step: timedelta) -> Instant:
    """The next whole step of the UTC day; in every zone an hour begins at a quarter of an hour of UTC."""
    moment = to_datetime(at)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return from_datetime(midnight + ((moment - midnight) // step + 1) * step)
