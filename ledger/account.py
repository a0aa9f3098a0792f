"""Accounts and the parties that own them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from core.money import Currency, Money

PartyId = NewType("PartyId", str)
AccountId = NewType("AccountId", str)
"""The name an account has in the plant's file, such as `agv-7`; stable, unique in its book."""


class AccountKind(StrEnum):
    """What an account is for. All of them are credit-normal: what a machine has, the book owes it."""

    MACHINE = "machine"
    PARTY = "party"


@dataclass(frozen=True, slots=True)
class Party:
    """A legal entity. Inside one a transfer is internal bookkeeping; across two it is a sale."""

    id: PartyId
    name: str
    organisation: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """An IoT account. `floor` is the lowest balance a payment may leave, zero or below: the negated credit limit."""

    id: AccountId
    name: str
    owner: PartyId
    floor: Money
    kind: AccountKind = AccountKind.PARTY

    @property
    def currency(self) -> Currency:
        return self.floor.currency

    @property
    def credit_limit(self) -> Money:
        return -self.floor
