"""Money is an integer. This is the only place that rounds or splits an amount."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, Inexact, InvalidOperation, localcontext

from core.errors import Rejected
from core.exact import EXACT

LEDGER_DIGITS = 6
"""A ledger unit is a millionth of the currency's minor unit: a micro-öre, 10⁻⁸ SEK."""

UNITS_MAX = 2**62 - 1
"""Bound of a balance: sums of two still fit a signed 64-bit integer."""

TRANSFER_UNITS_MAX = 2**53
"""Bound of one transfer: 90 million kronor; up to here a Double on a screen is exact to the unit."""

_AMOUNT = re.compile(r"\s*(?P<number>[+-]?[0-9][0-9 _\u00a0]*(?:\.[0-9]+)?)\s*(?P<currency>[^\W\d_]+|€|\$|£)\s*")


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency of ISO 4217: alphabetic code, numeric code, and how many decimals its minor unit has."""

    code: str
    numeric: int
    exponent: int
    name: str

    @property
    def scale(self) -> int:
        """Decimals of a ledger unit; fixed for ever, since stored integers mean nothing without it."""
        return self.exponent + LEDGER_DIGITS

    def __str__(self) -> str:
        return self.code


CURRENCIES: dict[str, Currency] = {
    currency.code: currency
    for currency in (
        Currency("SEK", 752, 2, "Swedish krona"),
        Currency("EUR", 978, 2, "Euro"),
        Currency("NOK", 578, 2, "Norwegian krone"),
        Currency("DKK", 208, 2, "Danish krone"),
        Currency("ISK", 352, 0, "Icelandic króna"),
        Currency("USD", 840, 2, "US dollar"),
        Currency("GBP", 826, 2, "Pound sterling"),
        Currency("CHF", 756, 2, "Swiss franc"),
        Currency("PLN", 985, 2, "Polish złoty"),
        Currency("CZK", 203, 2, "Czech koruna"),
        Currency("JPY", 392, 0, "Yen"),
        Currency("CNY", 156, 2, "Yuan renminbi"),
    )
}
SEK = CURRENCIES["SEK"]
EUR = CURRENCIES["EUR"]

SYMBOLS: dict[str, tuple[Currency, int]] = {
    "kr": (SEK, 0),
    "öre": (SEK, 2),
    "€": (EUR, 0),
    "cent": (EUR, 2),
    "$": (CURRENCIES["USD"], 0),
    "£": (CURRENCIES["GBP"], 0),
}
"""How people write currencies, and the decimals of what they wrote: an öre is 10⁻² SEK."""


def currency(code: str) -> Currency:
    """The currency of that ISO 4217 code; Rejected `unknown_currency` otherwise."""
    found = CURRENCIES.get(code)
    if found is None:
        raise Rejected("unknown_currency", f"{code!r} is not one of {', '.join(CURRENCIES)}")
    return found


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount of one currency, in ledger units. Adds and compares only like with like."""

    units: int
    currency: Currency

    @classmethod
    def zero(cls, of: Currency) -> Money:
        return cls(0, of)

    @classmethod
    def exact(cls, amount: Decimal, of: Currency) -> Money:
        """An amount in whole currency; Rejected `too_precise` when a ledger unit would have to be split."""
        with localcontext(EXACT) as context:
            context.traps[Inexact] = True
            try:
                units = amount.scaleb(of.scale).to_integral_exact()
            except Inexact:
                raise Rejected(
                    "too_precise", f"{amount} {of} has more than {of.scale} decimals, the ledger's precision"
                ) from None
        return cls(int(_bounded(units, of)), of)

    @classmethod
    def rounded(cls, amount: Decimal, of: Currency) -> Money:
        """The nearest amount the ledger can hold, ties to even; Rejected `too_large` beyond its range."""
        with localcontext(EXACT):
            if not amount.is_finite():
                raise Rejected("not_a_number", f"{amount} is not an amount")
            units = _bounded(amount, of).scaleb(of.scale).to_integral_value(ROUND_HALF_EVEN)
        return cls(int(_bounded(units, of)), of)

    @classmethod
    def parse(cls, text: str) -> Money:
        """Read `50000 kr`, `-5 öre`, `1.25 EUR`; Rejected `not_money` otherwise."""
        match = _AMOUNT.fullmatch(text)
        if match is None:
            raise Rejected("not_money", f"expected an amount and a currency such as '50000 kr', got {text!r}")
        symbol = match["currency"]
        of, decimals = SYMBOLS[symbol] if symbol in SYMBOLS else (currency(symbol.upper()), 0)
        number = Decimal(re.sub(r"[ _\u00a0]", "", match["number"]))
        return cls.exact(number.scaleb(-decimals, EXACT), of)

    @property
    def amount(self) -> Decimal:
        """In whole currency, exact."""
        return Decimal(self.units).scaleb(-self.currency.scale, EXACT)

    def plain(self) -> str:
        """The exact amount for machines: plain decimals, six of them or more, no currency."""
        return self._digits("f", LEDGER_DIGITS)

    def __str__(self) -> str:
        """The exact amount for people: `1 234.50 SEK`, more decimals only where there are any."""
        return f"{self._digits(',f', self.currency.exponent)} {self.currency.code}".replace(",", "\u00a0")

    def __add__(self, other: Money) -> Money:
        return Money(self.units + self._like(other).units, self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.units - self._like(other).units, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.units, self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.units < self._like(other).units

    def __le__(self, other: Money) -> bool:
        return self.units <= self._like(other).units

    def __bool__(self) -> bool:
        return self.units != 0

    def _digits(self, form: str, decimals_min: int) -> str:
        whole, _, decimals = f"{self.amount:{form}}".partition(".")
        decimals = decimals.rstrip("0").ljust(decimals_min, "0")
        return f"{whole}.{decimals}" if decimals else whole

    def _like(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise TypeError(f"{self.currency} and {other.currency} do not add up; exchange one of them first")
        return other


def _bounded(value: Decimal, of: Currency) -> Decimal:
    """Refuse before any conversion to int: an exponent of 999999 would take half a minute to expand."""
    try:
        too_large = abs(value) > UNITS_MAX
    except InvalidOperation:
        too_large = True
    if too_large:
        raise Rejected("too_large", f"{value:.3e} is beyond what the ledger can hold in {of}")
    return value
