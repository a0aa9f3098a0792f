"""A transfer: one debit account, one credit account, one amount, immutable."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.clock import Instant
from core.ids import TransferId
from core.money import Money
from ledger.account import AccountId

TEXT_CHARACTERS_MAX = 200
REFERENCE_CHARACTERS_MAX = 140


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """What a caller asks for. `id` is the idempotency key: ask again with the same id and nothing moves twice.

    `effective_time` is when the work was done; the ledger adds the posting time. `source` says who asked:
    `agreement:NAME`, `user:NAME`, `device:NAME`.
    """

    id: TransferId
    debit: AccountId
    credit: AccountId
    amount: Money
    effective_time: Instant
    text: str = ""
    reference: str = ""
    source: str = ""

    def same_content(self, other: TransferRequest) -> bool:
        """Whether both ask for the same payment. When it was asked does not matter: a retry is later."""
        return (self.debit, self.credit, self.amount, self.reference, self.text, self.source) == (
            other.debit,
            other.credit,
            other.amount,
            other.reference,
            other.text,
            other.source,
        )


@dataclass(frozen=True, slots=True)
class Transfer:
    """A request that was posted: batch `seq` of its book, place `position` in that batch."""

    request: TransferRequest
    seq: int
    position: int
    posted_time: Instant

    @property
    def id(self) -> TransferId:
        return self.request.id


class Reason(StrEnum):
    """Why a transfer is refused, in the order of the checks: the first that applies is the answer."""

    INVALID_AMOUNT = "invalid_amount"
    TEXT_TOO_LONG = "text_too_long"
    TEXT_NOT_PRINTABLE = "text_not_printable"
    CONFLICT = "conflict"
    SAME_ACCOUNT = "same_account"
    UNKNOWN_DEBIT_ACCOUNT = "unknown_debit_account"
    UNKNOWN_CREDIT_ACCOUNT = "unknown_credit_account"
    CURRENCY_MISMATCH = "currency_mismatch"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    BALANCE_TOO_LARGE = "balance_too_large"


@dataclass(frozen=True, slots=True)
class Posted:
    """The transfer is in the book."""

    transfer: Transfer


@dataclass(frozen=True, slots=True)
class AlreadyPosted:
    """The same request was posted before; this is the first result."""

    transfer: Transfer


@dataclass(frozen=True, slots=True)
class Refused:
    """No money moved; `text` says what was expected and what came."""

    request: TransferRequest
    reason: Reason
    text: str


Outcome = Posted | AlreadyPosted | Refused
