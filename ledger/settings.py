"""What a plant's file may say about the ledger, its parties and their accounts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, quote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from core.errors import Rejected
from core.money import CURRENCIES, Currency, Money, currency
from ledger.account import NAME_CHARACTERS_MAX, AccountKind, AccountState, AccountType, PartyId, is_writable

BOOK_PATTERN = r"^[a-z][a-z0-9-]{0,62}$"

PASSWORD_VARIABLE = "MYNTVERK_POSTGRES_PASSWORD"
"""The environment variable with the password of a PostgreSQL ledger."""

KINDS_WITHOUT_FLOOR = (AccountKind.BANK, AccountKind.CLEARING, AccountKind.TRADING, AccountKind.ROUNDING)
"""They stand for what is owed outside the book, or between two sides of it: such an account may pay without limit."""
KINDS_OF_MACHINES = (AccountKind.MACHINE, AccountKind.BUFFER)

LABELS_MAX = 32

_ORGANISATION = re.compile(r"[0-9]{6}-[0-9]{4}")
_SQLITE = "sqlite:///"
_POSTGRESQL = "postgresql://"
_POSTGRESQL_URL = re.compile(
    r"postgresql://(?P<user>[^\s:/?#@]+@)?(([^\s:/?#@\[\]]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?)?/[^\s/?#@]+(\?[^\s#]*)?"
)
_POSTGRESQL_OPTIONS = (
    "application_name",
    "host",
    "passfile",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
)
"""What may stand behind a `?`: libpq's own words."""


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


def checked_url(text: str) -> str:
    """The url of a ledger's database. ValueError says what was expected and never repeats what may be a password."""
    if text.startswith(_POSTGRESQL):
        _check_postgresql(text)
    elif not text.startswith(_SQLITE):
        scheme = text.partition(":")[0][:20] if ":" in text else text[:20]
        raise ValueError(
            f"expected a SQLite file such as '{_SQLITE}data/myntverk.db', or '{_POSTGRESQL}user@host/database'; "
            f"got {scheme!r}"
        )
    elif text == _SQLITE or ":memory:" in text:
        raise ValueError(f"expected a file, such as '{_SQLITE}data/myntverk.db': a ledger must outlive the process")
    return text


def _check_postgresql(text: str) -> None:
    before_host = text.removeprefix(_POSTGRESQL).rpartition("@")[0]
    options = [option for option, _ in parse_qsl(text.partition("?")[2], keep_blank_values=True)]
    if ":" in before_host or any("password" in option.lower() for option in options):
        raise ValueError(
            f"no password may stand here; take it out, and put it into the environment variable {PASSWORD_VARIABLE} "
            "or into libpq's own ~/.pgpass"
        )
    if not _POSTGRESQL_URL.fullmatch(text):
        raise ValueError(f"expected a database such as '{_POSTGRESQL}user@host/database', with :PORT after the host")
    unknown = [option for option in options if option not in _POSTGRESQL_OPTIONS]
    if unknown:
        raise ValueError(f"unknown option {unknown[0][:20]!r}; expected some of {', '.join(_POSTGRESQL_OPTIONS)}")


def with_password(url: str, password: str) -> str:
    """The url of a PostgreSQL with its password; as it was for another database, or where there is none."""
    if not password or not url.startswith(_POSTGRESQL):
        return url
    match = _POSTGRESQL_URL.fullmatch(url)
    user = (match["user"] if match else None) or "@"
    rest = url.removeprefix(_POSTGRESQL).removeprefix(user)
    return f"{_POSTGRESQL}{user[:-1]}:{quote(password, safe='')}@{rest}"


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


_AMOUNT_PATTERN = r"^[+-]?[0-9][0-9 _]*(\.[0-9]+)? *\S+$"

Amount = Annotated[
    Money,
    PlainValidator(_from_text(Money.parse, Money, "an amount and a currency such as '50000 kr'")),
    WithJsonSchema({"type": "string", "pattern": _AMOUNT_PATTERN, "examples": ["50000 kr"]}),
]
NoFloor = Literal["none"]
_below_zero = _from_text(Money.parse, Money, "an amount and a currency such as '-50000 kr'")


def _floor(value: Any) -> Money | NoFloor:
    if value == "none":
        return "none"
    money: Money = _below_zero(value)
    if money.units > 0:
        raise ValueError(f"a floor is the lowest balance, zero or below such as '-50000 kr'; got {money}")
    return money


def _ceiling(money: Money) -> Money:
    if money.units < 0:
        raise ValueError(f"a ceiling is the highest balance, zero or above such as '50000 kr'; got {money}")
    return money


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"expected text without line breaks and control characters, got {text[:60]!r}")
    return text


def _writable(text: str) -> str:
    if not is_writable(text):
        raise ValueError(f"expected text without NUL characters and broken encoding, got {text[:60]!r}")
    return text


def _labels(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > LABELS_MAX:
        raise ValueError(f"expected at most {LABELS_MAX} labels, got {len(labels)}")
    return labels


Floor = Annotated[
    Money | NoFloor,
    PlainValidator(_floor),
    WithJsonSchema({"type": "string", "pattern": rf"^none$|{_AMOUNT_PATTERN}", "examples": ["-50000 kr"]}),
]
Label = Annotated[str, Field(min_length=1, max_length=63), AfterValidator(_printable)]
LabelText = Annotated[
    str, Field(max_length=200, json_schema_extra={"type": ["string", "number"]}), AfterValidator(_printable)
]
Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS_MAX), AfterValidator(_writable)]
CurrencyCode = Annotated[
    Currency,
    PlainValidator(_from_text(currency, Currency, "a currency such as 'SEK'")),
    WithJsonSchema({"type": "string", "enum": list(CURRENCIES)}),
]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class LedgerSettings(_Settings):
    """Where the ledger is kept, which book in it, and who writes to it here."""

    url: Annotated[
        str,
        AfterValidator(checked_url),
        Field(
            description=f"A SQLite file, or a PostgreSQL whose password is in {PASSWORD_VARIABLE}.",
            json_schema_extra={"pattern": rf"^{_SQLITE}.+|^{_POSTGRESQL}([^\s:/?#@]+@)?[^\s@]*$"},
        ),
    ] = "sqlite:///data/myntverk.db"
    book: Annotated[str, Field(pattern=BOOK_PATTERN, description="The unit of order; never renamed later.")] = "main"
    gateway: Annotated[
        str, Field(pattern=BOOK_PATTERN, description="This gateway, among those that share the book; never renamed.")
    ] = "main"
    pays: Annotated[
        tuple[Annotated[str, Field(pattern=BOOK_PATTERN)], ...],
        Field(description="Other books in this database: this one pays them and is paid by them."),
    ] = ()
    owner: Annotated[
        PartyId | None,
        Field(description="The party whose book this is; needed with pays: its are the accounts for other books."),
    ] = None
    archive: Annotated[
        str | None, Field(min_length=1, description="The folder of archived months; beside the data when not given.")
    ] = None


class PartySettings(_Settings):
    """A legal entity."""

    name: Name
    organisation: Annotated[
        str, AfterValidator(_organisation), Field(description="Swedish organisation number, NNNNNN-NNNN.")
    ] = ""


class AccountSettings(_Settings):
    """An IoT account. Without a currency it has its floor's or ceiling's, without either the plant's."""

    owner: Annotated[PartyId, Field(description="A party.")]
    name: Name
    kind: Annotated[
        AccountKind | None, Field(description="What it is for: machine where a machine is named, else party.")
    ] = None
    type: Annotated[
        AccountType | None,
        Field(description="Where it stands in the books; what is usual for its kind when not given."),
    ] = None
    floor: Annotated[
        Floor | None,
        Field(description="The lowest balance a payment may leave, zero or below. Zero when not given."),
    ] = None
    ceiling: Annotated[
        Amount | None,
        AfterValidator(lambda money: None if money is None else _ceiling(money)),
        Field(description="The highest balance a payment may bring about, zero or above. No limit when not given."),
    ] = None
    currency: CurrencyCode | None = None
    machine: Annotated[str | None, Field(description="The machine whose account this is.")] = None
    cost_centre: Annotated[
        str,
        Field(max_length=63, description="For the bookkeeping.", json_schema_extra={"type": ["string", "integer"]}),
        AfterValidator(_printable),
    ] = ""
    labels: Annotated[
        dict[Label, LabelText], AfterValidator(_labels), Field(description="Whatever else is to be known of it.")
    ] = {}
    state: Annotated[
        AccountState, Field(description="frozen pays nothing out; closed moves nothing, and must be empty.")
    ] = AccountState.OPEN
