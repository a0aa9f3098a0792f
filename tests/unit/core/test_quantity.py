"""Quantities add only like with like, and convert exactly."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from core.errors import Rejected
from core.quantity import Quantity, parse_duration, parse_unit


@pytest.mark.parametrize(
    ("text", "unit", "number"),
    [
        ("3 m/s", "km/h", Fraction(54, 5)),
        ("1 kWh", "Wh", Fraction(1000)),
        ("1 kW·h", "kWh", Fraction(1)),
        ("12.50 kr/h", "öre/s", Fraction(1250, 3600)),
        ("3000 rpm", "rev/s", Fraction(50)),
        ("2 m³", "l", Fraction(2000)),
    ],
)
def test_a_quantity_converts_exactly(text: str, unit: str, number: Fraction) -> None:
    assert Quantity.parse(text).to(parse_unit(unit)) == number


def test_metres_never_become_kilowatt_hours() -> None:
    with pytest.raises(Rejected, match="unit_mismatch"):
        Quantity.parse("3 m").to(parse_unit("kWh"))


def test_an_unknown_unit_names_the_nearest_known_one() -> None:
    with pytest.raises(Rejected, match="did you mean 'kWh'"):
        parse_unit("kwh")


@pytest.mark.parametrize("text", ["", "m/", "three m", "1e5 m", "5 %%"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(Rejected):
        Quantity.parse(text).to(parse_unit("m"))


def test_durations_are_times_above_zero() -> None:
    assert parse_duration("100 ms") == timedelta(milliseconds=100)
    assert parse_duration("1.5 min") == timedelta(seconds=90)
    for text in ("0 s", "-1 s", "5 m", "5"):
        with pytest.raises(Rejected):
            parse_duration(text)


def test_a_quantity_shows_as_it_was_written() -> None:
    assert str(Quantity(Decimal("0.50"), parse_unit("kr/kWh"))) == "0.50 kr/kWh"
