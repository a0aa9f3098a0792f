"""A transfer: one debit account, one credit account, one amount, immutable."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from typing import overload

from core.clock import SECOND, Instant
from core.ids import TransferId
from core.money import Money
from ledger.account import AccountId

TEXT_CHARACTERS_MAX = 200
REFERENCE_CHARACTERS_MAX = 140
SOURCE_CHARACTERS_MAX = 140
TIME_END = Instant(7_258_118_400 * SECOND)
"""Nothing is dated in 2200 or later, nor before 1970."""


class TransferKind(IntFlag):
    """What a transfer is beside a payment; the numbers are sealed in the journal and never change."""

    PLAIN = 0
    LINKED = 1
    """Posted all or none with the transfer that follows it in the batch."""
    REVERSAL = 2
    """Undoes the transfer that `cause` names."""
    CAPTURE = 4
    """Takes from the hold that `cause` names."""
    LAST_CAPTURE = 8
    """With CAPTURE: what the hold has left is released."""


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """What a caller asks for. `id` is the idempotency key: ask again with the same id and nothing moves twice.

    `effective_time` is when the work was done; the ledger adds the posting time. `source` says who asked:
    `agreement:NAME`, `user:NAME`, `device:NAME`. `kind` and `cause` are set by reversals and captures.
    """

    id: TransferId
    debit: AccountId
    credit: AccountId
    amount: Money
    effective_time: Instant
    text: str = ""
    reference: str = ""
    source: str = ""
    kind: TransferKind = TransferKind.PLAIN
    cause: TransferId | None = None

    def same_content(self, other: TransferRequest) -> bool:
        """Whether both ask for the same payment. When it was asked does not matter: a retry is later."""
        return self._content() == other._content()

    def _content(self) -> tuple[object, ...]:
        kind = self.kind & ~TransferKind.LINKED
        return self.debit, self.credit, self.amount, self.reference, self.text, self.source, kind, self.cause


@dataclass(frozen=True, slots=True)
class Transfer:
    """A request that was posted: batch `seq` of its book, entry `position` of that batch."""

    request: TransferRequest
    seq: int
    position: int
    posted_time: Instant

    @property
    def id(self) -> TransferId:
        return self.request.id


class Reason(StrEnum):
    """Why a transfer or a hold is refused, in the order of the checks: the first that applies is the answer.

    First the form of what is asked; then whether its id was used before, where the same request gets its first answer;
    then what it undoes or takes from; then the accounts and the period; then the money.
    """

    INVALID_AMOUNT = "invalid_amount"
    INVALID_TIME = "invalid_time"
    TEXT_TOO_LONG = "text_too_long"
    TEXT_NOT_PRINTABLE = "text_not_printable"
    CONFLICT = "conflict"
    ALREADY_REVERSED = "already_reversed"
    UNKNOWN_HOLD = "unknown_hold"
    HOLD_NOT_OPEN = "hold_not_open"
    EXCEEDS_HOLD = "exceeds_hold"
    EXPIRY_HAS_PASSED = "expiry_has_passed"
    SAME_ACCOUNT = "same_account"
    UNKNOWN_DEBIT_ACCOUNT = "unknown_debit_account"
    UNKNOWN_CREDIT_ACCOUNT = "unknown_credit_account"
    CURRENCY_MISMATCH = "currency_mismatch"
    CLEARING_ACCOUNT = "clearing_account"
    PERIOD_LOCKED = "period_locked"
    ACCOUNT_CLOSED = "account_closed"
    ACCOUNT_FROZEN = "account_frozen"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    CEILING_REACHED = "ceiling_reached"
    BALANCE_TOO_LARGE = "balance_too_large"
    LINKED_REFUSED = "linked_refused"


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


class Outcomes(Sequence[Outcome]):
    """The outcome of each request, in their order. Nearly all are posted, from position `first` on: those are made when
    they are looked at."""

    def __init__(
        self,
        requests: Sequence[TransferRequest],
        others: Mapping[int, AlreadyPosted | Refused],
        seq: int,
        first: int,
        posted_time: Instant,
    ) -> None:
        self._requests = requests
        self.others = others
        """What was not posted now, by its place among the requests."""
        self._seq = seq
        self._first = first
        self._others_before = sorted(others)
        self._posted_time = posted_time

    @property
    def posted(self) -> int:
        """How many were posted now."""
        return len(self._requests) - len(self.others)

    @property
    def refused(self) -> list[Refused]:
        return [other for other in self.others.values() if isinstance(other, Refused)]

    def __len__(self) -> int:
        return len(self._requests)

    @overload
    def __getitem__(self, place: int) -> Outcome: ...
    @overload
    def __getitem__(self, place: slice) -> list[Outcome]: ...
    def __getitem__(self, place: int | slice) -> Outcome | list[Outcome]:
        if isinstance(place, slice):
            return [self._outcome(each) for each in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return self._outcome(place % len(self))

    def __iter__(self) -> Iterator[Outcome]:
        return map(self._outcome, range(len(self)))

    def _outcome(self, place: int) -> Outcome:
        other = self.others.get(place)
        if other is not None:
            return other
        position = self._first + place - bisect_left(self._others_before, place)
        return Posted(Transfer(self._requests[place], self._seq, position, self._posted_time))
