"""What is asked of a real book and of a naive one alike; both answer in the same words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ledgers import PLANT
from naive_book import NaiveBook, NaiveHold, NaiveRejected, NaiveTransfer

from core.clock import Instant
from core.errors import Rejected
from core.ids import derived_id
from core.money import CURRENCIES, Money
from ledger import holds
from ledger.account import Account, AccountId, AccountState
from ledger.batch import Batch
from ledger.hold import AlreadyPlaced, Hold, HoldRefused, Placed, Released
from ledger.holds import CaptureRequest
from ledger.operations import open_accounts
from ledger.totals import HOUR
from ledger.transfer import AlreadyPosted, Posted, Refused, TransferRequest

CURRENCY = {"a": "SEK", "b": "SEK", "c": "SEK", "d": "EUR", "e": "EUR", "nobody": "SEK"}
"""Of each account that is spoken of; the last is never opened."""


def time_of(hour: int) -> Instant:
    return Instant(hour * HOUR + 1)


def said(outcome: object) -> str:
    """An outcome of the ledger's, as the naive book words it."""
    if isinstance(outcome, (Refused, HoldRefused)):
        assert outcome.text
        return outcome.reason.value
    if isinstance(outcome, AlreadyPlaced):
        return f"already placed, {outcome.hold.state}, {outcome.hold.captured}"
    if isinstance(outcome, Released):
        return outcome.hold.state.value
    return {Posted: "posted", AlreadyPosted: "already posted", Placed: "placed"}[type(outcome)]


class Step(Protocol):
    """One thing that is asked of both books; both answer in the same words."""

    def real(self, batch: Batch) -> list[str]: ...

    def naive(self, book: NaiveBook) -> list[str]: ...


def to_request(key: str, asked: NaiveTransfer) -> TransferRequest:
    amount = Money(asked.units, CURRENCIES[asked.currency])
    ends = AccountId(asked.debit), AccountId(asked.credit)
    return TransferRequest(derived_id(key), *ends, amount, time_of(asked.hour), asked.text)


@dataclass(frozen=True)
class Open:
    name: str
    floor: int
    ceiling: int
    state: str
    title: str
    currency: str = ""

    def real(self, batch: Batch) -> list[str]:
        of = CURRENCIES[self.currency or CURRENCY[self.name]]
        state, id = AccountState(self.state), AccountId(self.name)
        account = Account(id, self.title, PLANT.id, Money(self.floor, of), ceiling_units=self.ceiling, state=state)
        open_accounts([PLANT], [account])(batch)
        return []

    def naive(self, book: NaiveBook) -> list[str]:
        currency = self.currency or CURRENCY[self.name]
        book.open(self.name, currency, self.floor, self.ceiling, self.state, self.title)
        return []


@dataclass(frozen=True)
class Post:
    asked: Sequence[tuple[str, NaiveTransfer]]
    is_linked: bool = False

    def real(self, batch: Batch) -> list[str]:
        requests = [to_request(*each) for each in self.asked]
        outcomes = batch.post_linked(requests) if self.is_linked else batch.post(requests)
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                batch.record_refusal(outcome)
        return [said(outcome) for outcome in outcomes]

    def naive(self, book: NaiveBook) -> list[str]:
        answers = book.post_linked(list(self.asked)) if self.is_linked else [book.post(*each) for each in self.asked]
        book.entries += sum(answer not in ("posted", "already posted") for answer in answers)
        return answers


@dataclass(frozen=True)
class Reverse:
    key: str
    original: str
    hour: int

    def real(self, batch: Batch) -> list[str]:
        return [said(batch.reverse(derived_id(self.key), derived_id(self.original), time_of(self.hour)))]

    def naive(self, book: NaiveBook) -> list[str]:
        return [book.reverse(self.key, self.original, self.hour)]


@dataclass(frozen=True)
class Place:
    key: str
    debit: str
    credit: str
    units: int
    currency: str
    expires: int

    def real(self, batch: Batch) -> list[str]:
        asked = to_request(self.key, NaiveTransfer(self.debit, self.credit, self.units, self.currency))
        return [said(holds.place(batch, Hold(asked, Instant(self.expires))))]

    def naive(self, book: NaiveBook) -> list[str]:
        return [book.place(self.key, NaiveHold(self.debit, self.credit, self.units, self.currency, self.expires))]


@dataclass(frozen=True)
class Capture:
    key: str
    hold: str
    units: int | None
    currency: str
    is_last: bool
    hour: int

    def real(self, batch: Batch) -> list[str]:
        amount = None if self.units is None else Money(self.units, CURRENCIES[self.currency])
        ids = derived_id(self.key), derived_id(self.hold)
        return [said(holds.capture(batch, CaptureRequest(*ids, time_of(self.hour), amount, self.is_last)))]

    def naive(self, book: NaiveBook) -> list[str]:
        return [book.capture(self.key, self.hold, self.units, self.currency, self.is_last, self.hour)]


@dataclass(frozen=True)
class Release:
    hold: str

    def real(self, batch: Batch) -> list[str]:
        return [said(holds.release(batch, derived_id(self.hold)))]

    def naive(self, book: NaiveBook) -> list[str]:
        return [book.release(self.hold)]


@dataclass(frozen=True)
class Lock:
    hour: int

    def real(self, batch: Batch) -> list[str]:
        batch.lock_period(Instant(self.hour * HOUR))
        return []

    def naive(self, book: NaiveBook) -> list[str]:
        book.lock(self.hour)
        return []


@dataclass(frozen=True)
class Fail:
    def real(self, batch: Batch) -> list[str]:
        raise Rejected("no", "changed my mind")

    def naive(self, book: NaiveBook) -> list[str]:
        raise NaiveRejected("no")
