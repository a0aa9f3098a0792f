"""The names a tariff may use, and how `energy_kwh` finds the tag `energy`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from core.quantity import ONE, UNITS, Unit


class NameKind(Enum):
    """How a name takes part: only usage makes a cost, and it must."""

    USAGE = "usage"
    VALUE = "value"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Name:
    """What an identifier stands for. USAGE is a meter's quantity in the period, VALUE a gauge, price or constant."""

    kind: NameKind
    unit: Unit


TIME_NAMES: Mapping[str, Name] = {name: Name(NameKind.TIME, ONE) for name in ("hour", "minute", "weekday", "month")}
"""Local time in the plant: hour 0 to 23, minute 0 to 59, weekday 0 (Monday) to 6, month 1 to 12."""


def resolve_name(identifier: str, tags: Mapping[str, Name]) -> tuple[str, Fraction, Name] | None:
    """The tag an identifier names, what to multiply the tag's number by, and what the identifier then is.

    A tag by its name, a name of time, or `<tag>_<unit>`: `energy_kwh` is the tag `energy` in kWh. None when it
    is no such thing; Rejected `unit_mismatch` when the tag measures something else than that unit.
    """
    return find_name(identifier, tags.get)


def find_name(identifier: str, find: Callable[[str], Name | None]) -> tuple[str, Fraction, Name] | None:
    """As `resolve_name`, of tags that a function finds."""
    name = find(identifier) or TIME_NAMES.get(identifier)
    if name is not None:
        return identifier, Fraction(1), name
    tag, _, suffix = identifier.rpartition("_")
    unit, of_tag = _SUFFIXES.get(suffix), find(tag) if tag else None
    if unit is None or of_tag is None:
        return None
    return tag, of_tag.unit.factor_to(unit), Name(of_tag.kind, unit)


def _suffixes() -> dict[str, Unit]:
    """Unit symbols that can end an identifier, as written and in lower case."""
    written = {symbol: unit for symbol, unit in UNITS.items() if symbol.isidentifier()}
    return {symbol.lower(): unit for symbol, unit in written.items()} | written


_SUFFIXES: Mapping[str, Unit] = _suffixes()
