"""What a plant's file may say about the ledger, its parties and their accounts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from core.errors import Rejected
from core.money import CURRENCIES, Currency, Money, currency
from ledger.account import PartyId

BOOK_PATTERN = r"^[a-z][a-z0-9-]{0,62}$"

_ORGANISATION = re.compile(r"[0-9]{6}-[0-9]{4}")
_SQLITE = "sqlite:///"


def check_digit(digits: str) -> int:
    """The Luhn check digit of these digits (ISO/IEC 7812-1, annex B), as it ends a Swedish organisation number."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if position % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return -total % 10


def _organisation(text: str) -> str:
    # A sole trader's number is a personal identity number: the message never repeats it.
    if not text:
        return text
    if not _ORGANISATION.fullmatch(text):
        raise ValueError("expected an organisation number as NNNNNN-NNNN, such as 556000-4615")
    digits = text.replace("-", "")
    expected = check_digit(digits[:-1])
    if int(digits[-1]) != expected:
        raise ValueError(f"is mistyped: its last digit is a check digit and would be {expected}, not {digits[-1]}")
    return text


def _url(text: str) -> str:
    # A url of another kind may carry a password: the message never repeats it.
    if not text.startswith(_SQLITE):
        scheme = text.partition(":")[0][:20] if ":" in text else text[:20]
        raise ValueError(f"only SQLite files work so far, such as '{_SQLITE}data/myntverk.db'; got {scheme!r}")
    if text == _SQLITE or ":memory:" in text:
        raise ValueError(f"expected a file, such as '{_SQLITE}data/myntverk.db': a ledger must outlive the process")
    return text


def _from_text(parse: Callable[[str], Any], type_: type, expected: str) -> Callable[[Any], Any]:
    def validate(value: Any) -> Any:
        if isinstance(value, type_):
            return value
        if not isinstance(value, str):
            raise ValueError(f"expected {expected}, got {value}")
        try:
            return parse(value)
        except Rejected as rejected:
            raise ValueError(rejected.text) from None

    return validate


def _floor(money: Money) -> Money:
    if money.units > 0:
        raise ValueError(f"a floor is the lowest balance, zero or below such as '-50000 kr'; got {money}")
    return money


Amount = Annotated[
    Money,
    PlainValidator(_from_text(Money.parse, Money, "an amount and a currency such as '-50000 kr'")),
    WithJsonSchema({"type": "string", "pattern": r"^[+-]?[0-9][0-9 _]*(\.[0-9]+)? *\S+$", "examples": ["-50000 kr"]}),
]
CurrencyCode = Annotated[
    Currency,
    PlainValidator(_from_text(currency, Currency, "a currency such as 'SEK'")),
    WithJsonSchema({"type": "string", "enum": list(CURRENCIES)}),
]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class LedgerSettings(_Settings):
    """Where the ledger is kept, and which book in it."""

    url: Annotated[str, AfterValidator(_url), Field(description="A SQLite file.")] = "sqlite:///data/myntverk.db"
    book: Annotated[str, Field(pattern=BOOK_PATTERN, description="The unit of order; never renamed later.")] = "main"


class PartySettings(_Settings):
    """A legal entity."""

    name: Annotated[str, Field(min_length=1)]
    organisation: Annotated[
        str, AfterValidator(_organisation), Field(description="Swedish organisation number, NNNNNN-NNNN.")
    ] = ""


class AccountSettings(_Settings):
    """An IoT account. Without a currency it has its floor's, without either the plant's."""

    owner: Annotated[PartyId, Field(description="A party.")]
    name: Annotated[str, Field(min_length=1)]
    floor: Annotated[
        Amount | None,
        AfterValidator(lambda money: None if money is None else _floor(money)),
        Field(description="The lowest balance a payment may leave, zero or below. Zero when not given."),
    ] = None
    currency: CurrencyCode | None = None
    machine: Annotated[str | None, Field(description="The machine whose account this is.")] = None
