"""Physical quantities: a number and a unit. Adds only like with like; conversions are exact."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from core.errors import Rejected
from core.money import CURRENCIES, SYMBOLS


@dataclass(frozen=True, slots=True)
class Dimension:
    """Powers of base quantities: m/s is length¹·time⁻¹. Money is one of them, a base per currency."""

    powers: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, powers: Mapping[str, int]) -> Dimension:
        return cls(tuple(sorted((base, power) for base, power in powers.items() if power)))

    def __mul__(self, other: Dimension) -> Dimension:
        powers = dict(self.powers)
        for base, power in other.powers:
            powers[base] = powers.get(base, 0) + power
        return Dimension.of(powers)

    def inverse(self) -> Dimension:
        return Dimension(tuple((base, -power) for base, power in self.powers))

    def __str__(self) -> str:
        return "·".join(base if power == 1 else f"{base}^{power}" for base, power in self.powers) or "a plain number"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure. `factor` is its size in the dimension's base unit, exact.

    `unece` is the common code of UNECE Recommendation 20, as invoices and OPC UA (Part 8, 5.6.3) use it;
    empty for compound units without one.
    """

    symbol: str
    dimension: Dimension
    factor: Fraction
    unece: str = field(default="", compare=False)

    def factor_to(self, other: Unit) -> Fraction:
        """Multiply a number in this unit by this to have it in `other`; Rejected `unit_mismatch`."""
        if self.dimension != other.dimension:
            raise Rejected(
                "unit_mismatch",
                f"{self.symbol or 'a number without a unit'} ({self.dimension}) cannot become "
                f"{other.symbol or 'a number without a unit'} ({other.dimension})",
            )
        return self.factor / other.factor

    def __mul__(self, other: Unit) -> Unit:
        return Unit(
            f"{self.symbol}·{other.symbol}".strip("·"), self.dimension * other.dimension, self.factor * other.factor
        )

    def __truediv__(self, other: Unit) -> Unit:
        return Unit(
            f"{self.symbol}/{other.symbol}" if other.symbol else self.symbol,
            self.dimension * other.dimension.inverse(),
            self.factor / other.factor,
        )

    def __str__(self) -> str:
        return self.symbol


ONE = Unit("", Dimension(), Fraction(1), "C62")


def _units() -> dict[str, Unit]:
    table: list[tuple[str, str, str, str]] = [
        # symbols (the first is shown), dimension's base, factor to the base, UNECE code
        ("m", "length", "1", "MTR"),
        ("mm", "length", "1/1000", "MMT"),
        ("cm", "length", "1/100", "CMT"),
        ("km", "length", "1000", "KMT"),
        ("s sec", "time", "1", "SEC"),
        ("ms", "time", "1/1000", "C26"),
        ("min", "time", "60", "MIN"),
        ("h", "time", "3600", "HUR"),
        ("d day", "time", "86400", "DAY"),
        ("kg", "mass", "1", "KGM"),
        ("g", "mass", "1/1000", "GRM"),
        ("t", "mass", "1000", "TNE"),
        ("Wh", "energy", "3600", "WHR"),
        ("kWh", "energy", "3600000", "KWH"),
        ("MWh", "energy", "3600000000", "MWH"),
        ("J", "energy", "1", "JOU"),
        ("kJ", "energy", "1000", "KJO"),
        ("MJ", "energy", "1000000", "3B"),
        ("l L", "volume", "1", "LTR"),
        ("m3 m³", "volume", "1000", "MTQ"),
        ("Pa", "pressure", "1", "PAL"),
        ("kPa", "pressure", "1000", "KPA"),
        ("bar", "pressure", "100000", "BAR"),
        ("°C degC", "temperature", "1", "CEL"),
        ("rev revolutions", "revolution", "1", "M44"),
        ("pieces piece pcs st", "piece", "1", "H87"),
        ("pallets pallet", "pallet", "1", "PF"),
        ("A", "current", "1", "AMP"),
        ("V", "voltage", "1", "VLT"),
        ("%", "ratio", "1", "P1"),
    ]
    units: dict[str, Unit] = {"": ONE, "1": ONE}
    for symbols, base, factor, unece in table:
        shown, *aliases = symbols.split()
        unit = Unit(shown, Dimension.of({base: 1}), Fraction(factor), unece)
        units.update(dict.fromkeys((shown, *aliases), unit))
    for symbol, factor, unece in (("W", "1", "WTT"), ("kW", "1000", "KWT"), ("MW", "1000000", "MAW")):
        units[symbol] = Unit(symbol, Dimension.of({"energy": 1, "time": -1}), Fraction(factor), unece)
    units["rpm"] = Unit("rpm", Dimension.of({"revolution": 1, "time": -1}), Fraction(1, 60), "RPM")
    for code in CURRENCIES:
        units[code] = Unit(code, Dimension.of({code: 1}), Fraction(1))
    for symbol, (of, decimals) in SYMBOLS.items():
        units[symbol] = Unit(symbol, Dimension.of({of.code: 1}), Fraction(1, 10**decimals))
    return units


UNITS = _units()


@lru_cache(maxsize=1024)
def parse_unit(text: str) -> Unit:
    """Read `kWh`, `m/s`, `kr/kWh`; Rejected `unknown_unit` names the nearest known one."""
    whole = text.strip()
    if whole in UNITS:
        return UNITS[whole]
    numerator, *denominators = [part.strip() for part in whole.split("/")]
    unit = _product(numerator, whole)
    for denominator in denominators:
        unit = unit / _product(denominator, whole)
    return Unit(whole, unit.dimension, unit.factor)


def _product(text: str, whole: str) -> Unit:
    unit = ONE
    for symbol in re.split(r"[·*]", text):
        known = UNITS.get(symbol.strip())
        if known is None or not symbol.strip():
            near = difflib.get_close_matches(symbol, UNITS, n=1, cutoff=0.6)
            hint = f"; did you mean {near[0]!r}?" if near and near[0] else ""
            raise Rejected("unknown_unit", f"unknown unit {symbol!r} in {whole!r}{hint}")
        unit = unit * known
    return unit


_QUANTITY = re.compile(r"\s*([+-]?[0-9]+(?:\.[0-9]+)?)\s*([^\d\s+-].*?)?\s*")


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact number of one unit."""

    value: Decimal
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """Read `3 m/s`, `50 kW`, `100 ms`; Rejected `not_a_quantity` or `unknown_unit`."""
        match = _QUANTITY.fullmatch(text)
        if match is None:
            raise Rejected("not_a_quantity", f"expected a number and a unit such as '3 m/s', got {text!r}")
        return cls(Decimal(match[1]), parse_unit(match[2] or ""))

    def to(self, unit: Unit) -> Fraction:
        """The number in another unit, exact; Rejected `unit_mismatch` when it measures something else."""
        return Fraction(self.value) * self.unit.factor_to(unit)

    def __str__(self) -> str:
        return f"{self.value:f} {self.unit.symbol}".rstrip()


def parse_duration(text: str) -> timedelta:
    """Read `100 ms`, `5 s`, `15 min`; Rejected when it is not a time above zero."""
    seconds = Quantity.parse(text).to(UNITS["s"])
    if seconds <= 0:
        raise Rejected("not_a_duration", f"expected a time above zero such as '100 ms', got {text!r}")
    return timedelta(microseconds=round(seconds * 1_000_000))
