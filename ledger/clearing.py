"""Books pay each other through clearing accounts: the words for it, and how they are sealed in a transfer; pure.

What leaves a book goes to its account `clearing-BOOK-CURRENCY`, and its source ends in `to:BOOK/ACCOUNT`. What arrives
comes out of the other book's account of that kind, and its source begins with `book:BOOK@SEQ/POSITION`, the place
where it left. What was refused comes back, and its source begins with `back:BOOK@SEQ/POSITION`, the place of the
refusal. So the journal alone tells what is under way, and what stands beside it can be proven.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

from core.clock import Instant
from core.errors import Rejected
from core.ids import TransferId, derived_id
from core.money import Currency, Money
from ledger.account import Account, AccountId, AccountKind, PartyId, no_floor
from ledger.transfer import SOURCE_CHARACTERS_MAX, Reason, Transfer, TransferRequest

BOOK_CHARACTERS_MAX = 50
"""Of the name of a book that others pay: `clearing-`, the name and a currency are an account's id together."""

CLEARING = "clearing-"
"""How the ids of all clearing accounts begin."""

_NAME = "[a-z][a-z0-9-]{0,62}"
_IS_NAME = re.compile(_NAME)
_GOES_ON = re.compile(rf"(?:(?P<source>.*) )?to:(?P<book>{_NAME})/(?P<account>{_NAME})")
_CAME = re.compile(
    rf"(?P<way>book|back):(?P<book>{_NAME})@(?P<seq>[1-9][0-9]{{0,17}})/(?P<position>[0-9]{{1,5}})(?: .*)?"
)


class Place(NamedTuple):
    """Where an entry stands in a book's journal; places compare as the journal goes."""

    seq: int
    position: int

    def __str__(self) -> str:
        return f"{self.seq}/{self.position}"


NOWHERE = Place(0, 0)
"""Before the first entry of a book."""


class Destination(NamedTuple):
    """An account of another book."""

    book: str
    account: AccountId

    def __str__(self) -> str:
        return f"{self.book}/{self.account}"


class Origin(NamedTuple):
    """The entry of another book that an entry of this one answers: a payment that left it, or a refusal in it."""

    book: str
    place: Place
    is_return: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """A payment that left its book, at `place` of its journal."""

    place: Place
    transfer: Transfer
    destination: Destination
    is_reversed: bool = False
    """Somebody undid it before it arrived: then it must not arrive."""

    @property
    def amount(self) -> Money:
        return self.transfer.request.amount


@dataclass(frozen=True, slots=True)
class Returned:
    """A payment that a book refused, at `place` of its journal, on its way back to the book where it left."""

    place: Place
    original: Place
    """Where it left, in the journal of the book that it goes back to."""
    arrival: TransferId
    """The id it would have arrived under."""
    amount: Money
    refused_time: Instant
    reason: Reason


Parcel = Sent | Returned
"""What one book's outbox holds for another."""


def clearing_id(book: str, of: Currency) -> AccountId:
    """The account for another book. Rejected `not_a_book`, or `book_name_too_long` where it could have no account."""
    if not _IS_NAME.fullmatch(book):
        raise Rejected("not_a_book", f"expected a book's name of a to z, 0 to 9 and '-', got {book!r}")
    if len(book) > BOOK_CHARACTERS_MAX:
        text = f"a book that others pay has a name of {BOOK_CHARACTERS_MAX} characters at most, got {len(book)}"
        raise Rejected("book_name_too_long", text)
    return AccountId(f"{CLEARING}{book}-{of.code.lower()}")


def unclaimed_id(of: Currency) -> AccountId:
    """The account for money that came back and could not be put where it was taken."""
    return AccountId(f"unclaimed-{of.code.lower()}")


def clearing_accounts(book: str, owner: PartyId, of: Currency) -> list[Account]:
    """The accounts that this book must open to pay another and to be paid by it, in one currency."""
    kind = AccountKind.CLEARING
    clearing = Account(clearing_id(book, of), f"Clearing with {book}", owner, no_floor(of), kind, kind.usual_type)
    return [clearing, Account(unclaimed_id(of), f"Unclaimed, in {of}", owner, Money.zero(of))]


def leaving(to_book: str, request: TransferRequest) -> TransferRequest:
    """The transfer by which a payment leaves; `request.credit` is an account of the other book.

    Rejected `not_a_destination` when that cannot be an account's id.
    """
    if not _IS_NAME.fullmatch(request.credit):
        raise Rejected("not_a_destination", f"expected the id of an account of {to_book}, got {request.credit!r}")
    clearing = clearing_id(to_book, request.amount.currency)
    source = _joined(request.source, f"to:{Destination(to_book, request.credit)}")
    return replace(request, credit=clearing, source=source)


def arriving(from_book: str, sent: Sent, locked_until: Instant) -> TransferRequest:
    """The transfer by which a payment arrives: of the time when it was done, or of the first that is not locked."""
    request = sent.transfer.request
    source = _joined(f"book:{from_book}@{sent.place}", without_destination(request.source))
    return replace(
        request,
        id=arrival_id(from_book, request.id),
        debit=clearing_id(from_book, request.amount.currency),
        credit=sent.destination.account,
        effective_time=max(request.effective_time, locked_until),
        source=source[:SOURCE_CHARACTERS_MAX],  # who asked stands in full where it left
    )


def returning(from_book: str, place: Place) -> str:
    """The source of what comes back from `from_book`, where it was refused at that place."""
    return f"back:{from_book}@{place}"


def arrival_id(from_book: str, original: TransferId) -> TransferId:
    """Under which a payment of `from_book` arrives; the same however often it is delivered."""
    return derived_id("book", from_book, original.hex())


def return_id(from_book: str, original: TransferId) -> TransferId:
    """Under which a payment comes back to where it left, from the book that refused it."""
    return derived_id("back", from_book, original.hex())


def destination_of(request: TransferRequest) -> Destination | None:
    """Where a transfer goes on; None for one that stays in its book."""
    return None if request.kind else destination_in(request.source, request.credit)


def destination_in(source: str, credit: str) -> Destination | None:
    """The same of a plain transfer's source and credit account."""
    match = _GOES_ON.fullmatch(source)
    if match is None or not _is_for(credit, match["book"]):
        return None
    return Destination(match["book"], AccountId(match["account"]))


def without_destination(source: str) -> str:
    """Who asked for a transfer, whether it stays in its book or goes on to another."""
    match = _GOES_ON.fullmatch(source)
    return source if match is None else match["source"] or ""


def origin_of(request: TransferRequest) -> Origin | None:
    """What of another book a transfer, or a refused request, answers; None when it began in its own."""
    return origin_in(request.source, request.debit)


def origin_in(source: str, debit: str) -> Origin | None:
    """The same of its source and debit account."""
    match = _CAME.fullmatch(source)
    if match is None or not _is_for(debit, match["book"]):
        return None
    return Origin(match["book"], Place(int(match["seq"]), int(match["position"])), match["way"] == "back")


def _is_for(account: str, book: str) -> bool:
    """Whether it is the account for that book, in some currency."""
    return account.rpartition("-")[0] == f"{CLEARING}{book}"


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))
