"""Accounts and the parties that own them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from core.money import UNITS_MAX, Currency, Money

PartyId = NewType("PartyId", str)
AccountId = NewType("AccountId", str)
"""The name an account has in the plant's file, such as `agv-7`; stable, unique in its book."""


ID_CHARACTERS_MAX = 255
NAME_CHARACTERS_MAX = 1_000
"""Also of every other text that an account or a party has."""
LABELS_MAX = 100


class AccountType(StrEnum):
    """Where an account stands in the books: five types, each with its normal side (debit or credit)."""

    ASSET = "asset"
    LIABILITY = "liability"
    EQUITY = "equity"
    INCOME = "income"
    EXPENSE = "expense"

    @property
    def is_debit_normal(self) -> bool:
        """Whether the account grows by what is debited to it."""
        return self in (AccountType.ASSET, AccountType.EXPENSE)


class AccountKind(StrEnum):
    """What an account is for."""

    MACHINE = "machine"
    PARTY = "party"
    BUFFER = "buffer"
    """Value that waits between two machines."""
    BANK = "bank"
    """Money outside the book: what a bank, Swish or a card processor holds for the plant."""
    CLEARING = "clearing"
    """What this book and another owe each other."""
    TRADING = "trading"
    """Between two currencies: what was sold of one and bought of the other."""
    ROUNDING = "rounding"
    """What rounding to the minor unit leaves over."""

    @property
    def usual_type(self) -> AccountType:
        """What a machine has, the book owes it; what a bank has, it owes the book."""
        return _USUAL_TYPES[self]


_USUAL_TYPES = {
    AccountKind.MACHINE: AccountType.LIABILITY,
    AccountKind.PARTY: AccountType.LIABILITY,
    AccountKind.BUFFER: AccountType.LIABILITY,
    AccountKind.BANK: AccountType.ASSET,
    AccountKind.CLEARING: AccountType.ASSET,
    AccountKind.TRADING: AccountType.EQUITY,
    AccountKind.ROUNDING: AccountType.EXPENSE,
}


class AccountState(StrEnum):
    """What may still move. Every change is journalled, and may be taken back by another."""

    OPEN = "open"
    FROZEN = "frozen"
    """Nothing is paid out and nothing new is held; money still comes in."""
    CLOSED = "closed"
    """Nothing moves. Only an account without balance and open holds can be closed."""


@dataclass(frozen=True, slots=True)
class Party:
    """A legal entity. Inside one a transfer is internal bookkeeping; across two it is a sale."""

    id: PartyId
    name: str
    organisation: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """An account of a book, in one currency for ever.

    A balance is what came in less what went out, whatever the account's type. `floor` is the lowest balance a payment
    may leave, zero or below: the negated credit limit. `ceiling` is the highest a payment may bring about, zero or
    above. Both are ±`UNITS_MAX` where there is no limit.
    """

    id: AccountId
    name: str
    owner: PartyId
    floor: Money
    kind: AccountKind = AccountKind.PARTY
    type: AccountType = AccountType.LIABILITY
    ceiling_units: int = UNITS_MAX
    cost_centre: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    state: AccountState = AccountState.OPEN

    @property
    def currency(self) -> Currency:
        return self.floor.currency

    @property
    def ceiling(self) -> Money:
        return Money(self.ceiling_units, self.currency)

    @property
    def credit_limit(self) -> Money:
        return -self.floor

    @property
    def has_floor(self) -> bool:
        return self.floor.units > -UNITS_MAX

    @property
    def has_ceiling(self) -> bool:
        return self.ceiling_units < UNITS_MAX


def no_floor(of: Currency) -> Money:
    """The floor of an account that may pay without limit, such as a bank's."""
    return Money(-UNITS_MAX, of)


def is_writable(text: str) -> bool:
    """Whether every database can hold it, and a journal can seal it: PostgreSQL has no NUL, UTF-8 no lone surrogate."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def account_fault(account: Account) -> str | None:
    """Why the account cannot be written down: what was expected, what came; None when it can."""
    texts = [("name", account.name), ("cost centre", account.cost_centre)]
    for label, text in account.labels.items():
        texts += [("label", label), (f"label {label!r}", text)]
    whose = f"account {account.id[:ID_CHARACTERS_MAX]!r}"
    if not -UNITS_MAX <= account.floor.units <= 0:
        return f"{whose}: expected a floor of zero or below, got {account.floor}"
    if not 0 <= account.ceiling_units <= UNITS_MAX:
        return f"{whose}: expected a ceiling of zero or above, got {account.ceiling}"
    if len(account.labels) > LABELS_MAX:
        return f"{whose}: expected at most {LABELS_MAX} labels, got {len(account.labels)}"
    return _id_fault("account", account.id) or _id_fault("owner", account.owner) or _text_fault(whose, texts)


def party_fault(party: Party) -> str | None:
    """The same for a party. Its organisation number may be a personal identity number: it is never repeated."""
    whose = f"party {party.id[:ID_CHARACTERS_MAX]!r}"
    if not is_writable(party.organisation) or len(party.organisation) > NAME_CHARACTERS_MAX:
        return f"{whose}: expected an organisation number"
    return _id_fault("party", party.id) or _text_fault(whose, [("name", party.name)])


def _id_fault(of: str, id: str) -> str | None:
    if id and len(id) <= ID_CHARACTERS_MAX and id.isprintable():
        return None
    got = f"{len(id)} characters" if len(id) > ID_CHARACTERS_MAX else repr(id)
    return f"{of} id: expected 1 to {ID_CHARACTERS_MAX} characters, none of them a control character, got {got}"


def _text_fault(whose: str, texts: list[tuple[str, str]]) -> str | None:
    for what, text in texts:
        if len(text) > NAME_CHARACTERS_MAX:
            return f"{whose}: expected a {what} of at most {NAME_CHARACTERS_MAX} characters, got {len(text)}"
        if not is_writable(text):
            return f"{whose}: expected a {what} without NUL characters and broken encoding, got {text[:60]!r}"
    return None
