"""From a tag's settings to its meter."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Protocol

from core.clock import SECOND
from core.errors import Rejected
from core.quantity import UNITS, Quantity, Unit
from core.sample import TagId
from settlement.meter import Counter, Edges, Integral, Meter, RunningTime
from settlement.settings import CounterSettings, DurationSettings, EventSettings, MeterSettings

_UNSIGNED = re.compile(r"uint([0-9]+)")


class TagSettings(Protocol):
    """What every connector's tag settings have, whatever else is in them."""

    @property
    def unit(self) -> Unit: ...

    @property
    def scale(self) -> Decimal: ...


def build_meter(tag: TagId, settings: TagSettings, meter: MeterSettings) -> Meter:
    """The meter over a tag. Rejected `not_a_counter` or `unit_mismatch` when it does not go with the tag."""
    if isinstance(meter, CounterSettings):
        return _counter(tag, settings, meter)
    if isinstance(meter, DurationSettings):
        return RunningTime(tag, round(meter.max_gap.total_seconds() * SECOND))
    if isinstance(meter, EventSettings):
        return Edges(tag, rising=meter.edge != "falling", falling=meter.edge != "rising")
    return Integral(tag, settings.unit, round(meter.max_gap.total_seconds() * SECOND))


def _counter(tag: TagId, settings: TagSettings, meter: CounterSettings) -> Counter:
    type_ = str(getattr(settings, "type", ""))
    if type_ == "bool":
        raise Rejected("not_a_counter", "a bool does not count; use event: {edge: rising} or duration: {}")
    if settings.scale < 0:
        raise Rejected("not_a_counter", f"a counter goes up, its scale cannot be {settings.scale}")
    unsigned = _UNSIGNED.fullmatch(type_)
    bits = meter.bits or (int(unsigned[1]) if unsigned else None)
    return Counter(
        tag=tag,
        tag_unit=settings.unit,
        max_rate=None if meter.max_rate is None else _per_second(meter.max_rate, settings.unit),
        modulus=None if bits is None else 2**bits * settings.scale,
        step=settings.scale,
        confirm_reads=meter.confirm_reads,
    )


def _per_second(rate: Quantity, unit: Unit) -> Decimal:
    number = rate.to(unit / UNITS["s"])
    return Decimal(number.numerator) / Decimal(number.denominator)
