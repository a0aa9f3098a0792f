"""A hold: money reserved on one account for another, until it is captured, released or expires."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.clock import Instant
from core.ids import TransferId
from core.money import Money
from ledger.account import AccountId
from ledger.transfer import Reason, TransferRequest

NEVER = Instant(2**62)
"""The expiry of a hold that stays until it is captured or released."""


class HoldState(StrEnum):
    OPEN = "open"
    CAPTURED = "captured"
    """Nothing is left, or the last capture let go of it."""
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Hold:
    """Reserved on `request.debit` for `request.credit`; what is left of it counts against the available balance.

    `request.id` is the hold's id and its idempotency key; `request.effective_time` is when it was asked for.
    """

    request: TransferRequest
    expires: Instant = NEVER
    captured: int = 0
    """Ledger units taken so far."""
    state: HoldState = HoldState.OPEN

    @property
    def id(self) -> TransferId:
        return self.request.id

    @property
    def debit(self) -> AccountId:
        return self.request.debit

    @property
    def amount(self) -> Money:
        return self.request.amount

    @property
    def remaining(self) -> Money:
        """What may still be captured; nothing once it is no longer open."""
        left = self.amount.units - self.captured if self.state is HoldState.OPEN else 0
        return Money(left, self.amount.currency)

    def same_content(self, other: Hold) -> bool:
        """Whether both ask to reserve the same: a retry is later, so when does not matter."""
        return self.request.same_content(other.request) and self.expires == other.expires


@dataclass(frozen=True, slots=True)
class Placed:
    """The hold is in the book."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class AlreadyPlaced:
    """The same hold was placed before; this is what it is now."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class Released:
    """The hold is no longer open; `hold.state` says what ended it first."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class HoldRefused:
    """Nothing was reserved or let go; `text` says what was expected and what came."""

    hold: TransferId
    reason: Reason
    text: str


HoldOutcome = Placed | AlreadyPlaced | HoldRefused
ReleaseOutcome = Released | HoldRefused
