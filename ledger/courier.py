"""Takes payments from one book to another, and what was refused back; crashed or doubled, each arrives exactly once.

No transaction spans two books, so that they may live in two databases. A payment and its row in the outbox are one
transaction of the book it leaves. Taking it in, or refusing it for good, and moving the inbox past it are one
transaction of the book it goes to. A refusal goes into the outbox of the book that refused, so it comes back on the
same way as any payment goes out: by the courier of the other direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from core.errors import OutcomeUnknown, Rejected
from ledger import outbox, store, transfer_rows
from ledger.account import AccountId, AccountKind
from ledger.batch import Batch
from ledger.clearing import (
    NOWHERE,
    Parcel,
    Place,
    Returned,
    Sent,
    arrival_id,
    arriving,
    destination_of,
    leaving,
    origin_of,
    return_id,
    returning,
    unclaimed_id,
)
from ledger.database import Connection, Engine, reading
from ledger.store import BookHead
from ledger.tables import outbox_table
from ledger.transfer import Outcome, Outcomes, Posted, Reason, Refused, Transfer, TransferRequest
from ledger.writer import Writer

PARCELS_MAX = 1_000
"""Taken from one book to another at once, and in one transaction."""
ANSWER_SECONDS_MAX = 60


@dataclass(frozen=True, slots=True)
class BookAt:
    """A book and the database it is kept in."""

    engine: Engine
    name: str

    def head(self, connection: Connection) -> BookHead:
        """Rejected `unknown_book` when the database has no such book."""
        head = store.find_book(connection, self.name)
        if head is None:
            raise Rejected("unknown_book", f"there is no book {self.name!r} in this database")
        return head


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one delivery did to the book that it went to."""

    posted: int = 0
    """Payments that arrived."""
    bounced: int = 0
    """Payments that it refused: they go back by the courier of the other direction."""
    returned: int = 0
    """Payments of its own that came back."""

    @property
    def count(self) -> int:
        return self.posted + self.bounced + self.returned


def send(batch: Batch, to_book: str, requests: Sequence[TransferRequest]) -> Outcomes:
    """Pay accounts of another book: each request's `credit` is one of them. Decided as any payment in this book.

    What is posted will arrive there or come back. Asked again with the same id, nothing is sent twice. Rejected
    `not_a_destination`, `not_a_book`, `book_name_too_long` where a request could never go there.
    """
    with batch.between_books():
        outcomes = batch.post([leaving(to_book, request) for request in requests])
    sent = [
        (batch.book, outcome.transfer.seq, outcome.transfer.position, to_book, request.credit)
        for request, outcome in zip(requests, outcomes, strict=True)
        if isinstance(outcome, Posted)
    ]
    batch.append(outbox_table, sent)
    return outcomes


def pay(batch: Batch, requests: Sequence[TransferRequest]) -> list[Outcome]:
    """Post payments in their order; one whose `credit` is BOOK/ACCOUNT is sent to that account of another book."""
    outcomes: list[Outcome] = []
    for to_book, group in groupby(requests, _book_named):
        asked = list(group)
        outcomes += batch.post(asked) if to_book is None else _send_each(batch, to_book, asked)
    return outcomes


def _book_named(request: TransferRequest) -> str | None:
    book, slash, _ = request.credit.partition("/")
    return book if slash else None


def _send_each(batch: Batch, to_book: str, requests: Sequence[TransferRequest]) -> list[Outcome]:
    """As `send`, and what could never go there is refused."""
    asked = [replace(each, credit=AccountId(each.credit.removeprefix(f"{to_book}/"))) for each in requests]
    objections = [_objection_to_leaving(to_book, each) for each in asked]
    able = [each for each, objection in zip(asked, objections, strict=True) if objection is None]
    sent = iter(send(batch, to_book, able))
    return [objection or _named(to_book, next(sent)) for objection in objections]


def _objection_to_leaving(to_book: str, request: TransferRequest) -> Refused | None:
    try:
        leaving(to_book, request)
    except Rejected as rejected:
        return Refused(request, Reason.UNKNOWN_CREDIT_ACCOUNT, rejected.text)
    return None


def _named(to_book: str, outcome: Outcome) -> Outcome:
    """The same; where there is no account for the other book, it is said in the words of who asked."""
    if isinstance(outcome, Refused) and outcome.reason is Reason.UNKNOWN_CREDIT_ACCOUNT:
        return replace(outcome, text=f"this book pays no book {to_book!r} in {outcome.request.amount.currency}")
    return outcome


class Courier:
    """Delivers what one book sent to another. There may be several for the same two books, in several gateways."""

    def __init__(self, sender: BookAt, receiver: BookAt, writer: Writer) -> None:
        """`writer` writes the book of the receiver."""
        if sender.name == receiver.name:
            raise ValueError(f"books that pay each other have names of their own, both are called {sender.name!r}")
        self._sender = sender
        self._receiver = receiver
        self._writer = writer

    def deliver(self, limit: int = PARCELS_MAX) -> Delivered:
        """Take the next parcels over, in the order of the sender's journal, at most `limit`.

        Unavailable and OutcomeUnknown: nothing is lost, deliver again. Rejected `outbox_is_wrong`,
        `arrival_is_wrong` or `return_is_stuck` when the next parcel cannot be delivered until somebody has looked.
        """
        after = self._taken_in()
        with reading(self._sender.engine) as connection:
            book = self._sender.head(connection).book
            limit = min(limit, PARCELS_MAX)
            parcels = outbox.load_parcels(connection, book, self._receiver.name, after, limit)
        while parcels:
            try:
                return self._hand_over(parcels, after)
            except Rejected:
                if len(parcels) == 1:
                    raise
                parcels = parcels[: len(parcels) // 2]  # those before the one that is stuck need not wait for it
        return Delivered()

    def _taken_in(self) -> Place:
        with reading(self._receiver.engine) as connection:
            head = store.find_book(connection, self._receiver.name)
            return NOWHERE if head is None else outbox.find_cursor(connection, head.book, self._sender.name)

    def _hand_over(self, parcels: Sequence[Parcel], after: Place) -> Delivered:
        answer = self._writer.submit(
            lambda batch: take_in(batch, self._receiver.name, self._sender.name, parcels, after)
        )
        try:
            return answer.result(ANSWER_SECONDS_MAX)
        except TimeoutError:
            raise OutcomeUnknown(f"{self._receiver.name} did not answer in {ANSWER_SECONDS_MAX} seconds") from None


@dataclass(frozen=True, slots=True)
class _Move:
    """Moves the inbox on when its batch is written. Whoever decides later in the batch finds it among its writes."""

    book: int
    from_book: str
    place: Place

    def __call__(self, connection: Connection) -> None:
        outbox.move_cursor(connection, self.book, self.from_book, self.place)


def take_in(batch: Batch, own: str, from_book: str, parcels: Sequence[Parcel], after: Place) -> Delivered:
    """Take into the book `own` what `from_book` sent after that place; what was taken in already is left out.

    The next of its entries after `after` must be the first parcel, or some would be passed over.
    """
    taken = _cursor(batch, from_book)
    if taken < after:
        raise Rejected(
            "arrival_is_wrong", f"{own} has taken in {from_book} up to {taken} only, no longer up to {after}"
        )
    news = [parcel for parcel in parcels if parcel.place > taken]
    delivered = Delivered()
    for kind, group in groupby(news, type):
        run = list(group)
        if kind is Sent:
            posted, bounced = _arrive(batch, from_book, [each for each in run if isinstance(each, Sent)])
            delivered = replace(delivered, posted=delivered.posted + posted, bounced=delivered.bounced + bounced)
        else:
            for each in run:
                if isinstance(each, Returned):
                    _put_back(batch, own, from_book, each)
            delivered = replace(delivered, returned=delivered.returned + len(run))
    if news:
        batch.also(_Move(batch.book, from_book, news[-1].place))
    return delivered


def _cursor(batch: Batch, from_book: str) -> Place:
    for write in reversed(batch.writes):
        if isinstance(write, _Move) and write.from_book == from_book:
            return write.place
    return outbox.find_cursor(batch.connection, batch.book, from_book)


def _arrive(batch: Batch, from_book: str, sent: Sequence[Sent]) -> tuple[int, int]:
    """Post payments, or refuse them for good; how many of each."""
    requests = [arriving(from_book, each, batch.locked_until) for each in sent]
    batch.load({account for request in requests for account in (request.debit, request.credit)})
    refused: list[Refused] = []
    good = []
    for each, request in zip(sent, requests, strict=True):
        objection = _objection(batch, each, request)
        if objection is None:
            good.append(request)
        else:
            refused.append(objection)
    with batch.between_books():
        refused += batch.post(good).refused
    for objection in refused:
        if _answers(batch.fetch(objection.request.id), from_book):
            raise Rejected("arrival_is_wrong", f"{objection.request.id.hex()} arrived before, and not as it is now")
        row = (batch.book, batch.seq, batch.length, from_book, "")
        batch.record_refusal(objection)
        batch.append(outbox_table, [row])
    return len(sent) - len(refused), len(refused)


def _objection(batch: Batch, sent: Sent, request: TransferRequest) -> Refused | None:
    """What speaks against an arrival beside the rules for every transfer."""
    payee = batch.standings.get(request.credit)
    if sent.is_reversed:
        return Refused(request, Reason.ALREADY_REVERSED, "it was reversed before it arrived")
    if payee is not None and payee.account.kind is AccountKind.CLEARING:
        text = f"{request.credit} is a clearing account, which takes no payment of another book"
        return Refused(request, Reason.CLEARING_ACCOUNT, text)
    return None


def _put_back(batch: Batch, own: str, from_book: str, returned: Returned) -> None:
    """Undo a payment that another book refused. Where its payer can take nothing any more, the money is unclaimed."""
    original = _original(batch, own, from_book, returned)
    id, source = return_id(from_book, original.id), returning(from_book, returned.place)
    at = max(returned.refused_time, batch.locked_until)
    text = f"{destination_of(original.request)} refused it: {returned.reason.value}"
    with batch.between_books():
        outcome = batch.reverse(id, original.id, at, text, source)
    if not isinstance(outcome, Refused):
        return
    if outcome.reason is Reason.ALREADY_REVERSED or _answers(batch.find(id), from_book):
        batch.record_refusal(outcome)  # the money is back already; that this was looked at is written down
        return
    unclaimed = replace(
        original.request,
        id=id,
        debit=original.request.credit,
        credit=unclaimed_id(original.request.amount.currency),
        effective_time=at,
        text=text,
        source=source,
    )
    with batch.between_books():
        refused = batch.post([unclaimed]).refused
    if refused:
        why = f"{outcome.text}; {refused[0].text}"
        raise Rejected("return_is_stuck", f"{original.id.hex()} came back from {from_book} and finds no account: {why}")


def _answers(transfer: Transfer | None, book: str) -> bool:
    """Whether a transfer came from that book; one that only bears such an id did not."""
    origin = None if transfer is None else origin_of(transfer.request)
    return origin is not None and origin.book == book


def _original(batch: Batch, own: str, from_book: str, returned: Returned) -> Transfer:
    found = transfer_rows.load_transfers(batch.connection, batch.book, [returned.original]).get(returned.original)
    to = None if found is None else destination_of(found.request)
    if found is None or to is None or to.book != from_book or arrival_id(own, found.id) != returned.arrival:
        text = f"{from_book} sends back what {own} never sent to it: its entry {returned.original}"
        raise Rejected("arrival_is_wrong", text)
    return found
