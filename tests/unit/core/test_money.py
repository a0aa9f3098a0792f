"""Money is exact, bounded, and rounded in one place."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Rejected
from core.money import CURRENCIES, EUR, SEK, UNITS_MAX, Money


@pytest.mark.parametrize(
    ("text", "units", "currency"),
    [
        ("50000 kr", 50_000 * 10**8, SEK),
        ("-5 öre", -5 * 10**6, SEK),
        ("1.25 EUR", 125_000_000, EUR),
        ("1 234.50 SEK", 123_450_000_000, SEK),
        ("0.00000001 kr", 1, SEK),
        ("7 JPY", 7_000_000, CURRENCIES["JPY"]),
    ],
)
def test_money_reads_as_people_write_it(text: str, units: int, currency: object) -> None:
    assert Money.parse(text) == Money(units, currency)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("12", "not_money"),
        ("1e9 kr", "not_money"),
        ("kr 5", "not_money"),
        ("1,50 kr", "not_money"),
        ("1 XXX", "unknown_currency"),
        ("0.000000001 kr", "too_precise"),
        ("99999999999999 kr", "too_large"),
    ],
)
def test_what_is_not_money_is_refused_with_a_reason(text: str, code: str) -> None:
    with pytest.raises(Rejected) as refusal:
        Money.parse(text)
    assert refusal.value.code == code


def test_currencies_do_not_mix() -> None:
    with pytest.raises(TypeError, match="exchange"):
        Money.parse("1 kr") + Money.parse("1 EUR")


def test_an_amount_between_two_units_goes_to_the_even_one() -> None:
    assert Money.rounded(Decimal("0.000000005"), SEK).units == 0
    assert Money.rounded(Decimal("0.000000015"), SEK).units == 2


def test_a_monstrous_exponent_is_refused_before_it_is_expanded() -> None:
    with pytest.raises(Rejected, match="too_large"):
        Money.rounded(Decimal("1E+999999"), SEK)
    with pytest.raises(Rejected, match="not_a_number"):
        Money.rounded(Decimal("NaN"), SEK)


@given(st.integers(-UNITS_MAX, UNITS_MAX), st.sampled_from(sorted(CURRENCIES)))
def test_what_is_shown_reads_back_to_the_unit(units: int, code: str) -> None:
    money = Money(units, CURRENCIES[code])
    assert Money.exact(Decimal(money.plain()), money.currency) == money
    assert Money.parse(str(money)) == money
