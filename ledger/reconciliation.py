"""Do two books agree on what they owe each other? Their clearing accounts add up to what is under way between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from core.errors import Rejected, Unavailable
from core.ids import TransferId
from core.money import CURRENCIES, Currency, Money
from ledger import outbox, store, transfer_rows
from ledger.clearing import (
    Origin,
    Parcel,
    Place,
    Returned,
    arrival_id,
    clearing_id,
    destination_of,
    origin_of,
    return_id,
)
from ledger.courier import BookAt
from ledger.database import Connection, reading
from ledger.transfer import Transfer

SNAPSHOTS_MAX = 10
"""How often two books that move are looked at before it is said that they cannot be compared."""
UNDER_WAY_SHOWN_MAX = 100
"""Parcels listed in each direction; all of them are counted."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A parcel that left one book and is not in the other yet."""

    from_book: str
    to_book: str
    parcel: Parcel


@dataclass(frozen=True, slots=True)
class Owed:
    """Two books in one currency: the balances of their accounts for each other, and what is under way."""

    ours: Money
    theirs: Money
    under_way: Money

    @property
    def difference(self) -> Money:
        """Zero where everything fits."""
        return self.ours + self.theirs - self.under_way


@dataclass(frozen=True, slots=True)
class TakenIn:
    """How far one book has taken another in, and how much it has not."""

    from_book: str
    to_book: str
    up_to: Place
    """The last entry of the sender that was taken in."""
    under_way: int
    """Parcels behind it."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Two books beside each other at one moment."""

    owed: tuple[Owed, ...]
    """One for each currency in which they have accounts for each other."""
    taken_in: tuple[TakenIn, TakenIn]
    """What left ours, and what left theirs."""
    under_way: tuple[UnderWay, ...]
    """The first of each direction, in the order they left; a payment that was refused is under way until it is back."""
    misfit: str = ""
    """The first transfer that does not fit, and why; empty where everything does."""

    @property
    def is_settled(self) -> bool:
        """Whether everything fits and nothing is under way."""
        return not self.misfit and not self.under_way


def reconcile(ours: BookAt, theirs: BookAt) -> Reconciliation:
    """Compare what two books have in their clearing accounts for each other.

    Unavailable when they cannot be seen at one moment, Rejected `unknown_book` when one of them is not there.
    """
    with ExitStack() as snapshots:
        one, other = _at_one_moment(ours, theirs, snapshots)
        ways = _Way(one, other), _Way(other, one)
        balances = one.balances_for(other), other.balances_for(one)
        owed = []
        for of in CURRENCIES.values():
            if any(of in each for each in (*balances, ways[0].units, ways[1].units)):
                mine, its = (Money(each.get(of, 0), of) for each in balances)
                owed.append(Owed(mine, its, Money(sum(way.units[of] for way in ways), of)))
        problems = [way.problem for way in ways if way.problem]
        wrong = [each.ours.currency for each in owed if each.difference]
        misfit = problems[0] if problems else _first_misfit(ways, wrong[0]) if wrong else ""
        taken_in = ways[0].taken_in, ways[1].taken_in
        return Reconciliation(tuple(owed), taken_in, (*ways[0].first, *ways[1].first), misfit)


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two books, in a snapshot."""

    name: str
    connection: Connection
    book: int
    seq: int

    def balances_for(self, other: _Side) -> dict[Currency, int]:
        """Ledger units in the accounts for the other book."""
        ids = {clearing_id(other.name, of): of for of in CURRENCIES.values()}
        standings = store.load_standings(self.connection, self.book, ids)
        return {ids[id]: standing.balance for id, standing in standings.items()}

    def cursor_for(self, other: _Side) -> Place:
        """How far it has taken the other in."""
        return outbox.find_cursor(self.connection, self.book, other.name)

    def find(self, id: TransferId) -> Transfer | None:
        return transfer_rows.find_transfers(self.connection, self.book, [id]).get(id)

    def entry(self, place: Place) -> Transfer | None:
        return transfer_rows.load_transfers(self.connection, self.book, [place]).get(place)


class _Way:
    """What is under way from one book to the other."""

    def __init__(self, sender: _Side, receiver: _Side) -> None:
        self.sender = sender
        self.receiver = receiver
        self.cursor = receiver.cursor_for(sender)
        self.units: defaultdict[Currency, int] = defaultdict(int)
        self.count = 0
        self.first: list[UnderWay] = []
        self.refused: set[TransferId] = set()
        """Payments of the receiver that the sender refused, by the ids they would have arrived under."""
        self.problem = ""
        try:
            for parcel in self._parcels():
                self._count(parcel)
        except Rejected as rejected:
            self.problem = f"{sender.name}: {rejected.text}"

    def _parcels(self) -> Iterator[Parcel]:
        sender, place = self.sender, self.cursor
        while parcels := outbox.load_parcels(
            sender.connection, sender.book, self.receiver.name, place, outbox.ROWS_PER_PAGE
        ):
            yield from parcels
            place = parcels[-1].place

    @property
    def taken_in(self) -> TakenIn:
        return TakenIn(self.sender.name, self.receiver.name, self.cursor, self.count)

    def _count(self, parcel: Parcel) -> None:
        self.count += 1
        if len(self.first) < UNDER_WAY_SHOWN_MAX:
            self.first.append(UnderWay(self.sender.name, self.receiver.name, parcel))
        if isinstance(parcel, Returned):
            self.refused.add(parcel.arrival)
            original = self.receiver.entry(parcel.original)
            is_undone = original is not None and _is_reversed(self.receiver, original.id)
        else:
            is_undone = parcel.is_reversed
        # What somebody undid by hand is back already: nothing of it is between the books.
        self.units[parcel.amount.currency] += 0 if is_undone else parcel.amount.units


def _at_one_moment(ours: BookAt, theirs: BookAt, snapshots: ExitStack) -> tuple[_Side, _Side]:
    """Both books in snapshots where nothing is taken in that was not sent yet."""
    for _ in range(SNAPSHOTS_MAX):
        attempt = ExitStack()
        with attempt:
            other, one = (_side(each, attempt.enter_context(reading(each.engine))) for each in (theirs, ours))
            if one.cursor_for(other).seq <= other.seq and other.cursor_for(one).seq <= one.seq:
                snapshots.push(attempt.pop_all())
                return one, other
    raise Unavailable(
        f"{ours.name} and {theirs.name} cannot be seen at one moment: one of them has taken in what the other does not "
        "have. Try again; if it stays so, one of them was restored from an older copy"
    )


def _side(at: BookAt, connection: Connection) -> _Side:
    head = at.head(connection)
    return _Side(at.name, connection, head.book, head.seq)


def _first_misfit(ways: tuple[_Way, _Way], of: Currency) -> str:
    there, back = ways
    found = [each for each in (_misfit(there, back, of), _misfit(back, there, of)) if each is not None]
    if not found:
        return f"the balances in {of} differ from what the transfers give: verify both books"
    transfer, book, why = min(found, key=lambda each: each[0].posted_time)
    request = transfer.request
    return (
        f"transfer {transfer.id.hex()} of batch {transfer.seq} in {book}, {request.amount} from {request.debit} to "
        f"{request.credit}, {why}"
    )


def _misfit(there: _Way, back: _Way, of: Currency) -> tuple[Transfer, str, str] | None:
    """The first transfer through the sender's account that does not fit, the sender's name, and why."""
    own, other = there.sender, there.receiver
    number = store.find_account_number(own.connection, own.book, clearing_id(other.name, of))
    for transfer in [] if number is None else outbox.clearing_transfers(own.connection, own.book, number):
        request = transfer.request
        origin = origin_of(request)
        original = None if request.cause is None else own.find(request.cause)
        if destination_of(request) is not None:
            why = _wrong_with_sent(there, back, transfer)
        elif origin is not None:
            why = _wrong_with_answer(own, other, transfer, origin)
        elif original is not None and destination_of(original.request) is not None:
            why = "undoes a payment that arrived" if other.find(arrival_id(own.name, original.id)) else ""
        else:
            why = "was made by hand: it goes on to nobody and answers nothing"
        if why:
            return transfer, own.name, why
    return None


def _wrong_with_sent(there: _Way, back: _Way, transfer: Transfer) -> str:
    own, other = there.sender, there.receiver
    place = Place(transfer.seq, transfer.position)
    arrival = other.find(arrival_id(own.name, transfer.id))
    is_back = _is_reversed(own, transfer.id) or own.find(return_id(other.name, transfer.id)) is not None
    is_refused = is_back or arrival_id(own.name, transfer.id) in back.refused
    if not outbox.is_listed(own.connection, own.book, place):
        return "is not in the outbox"
    if arrival is None:
        return "" if is_refused or place > there.cursor else f"never arrived in {other.name}"
    if is_refused:
        return f"arrived in {other.name} and came back too"
    if arrival.request.amount != transfer.request.amount:
        return f"arrived in {other.name} as {arrival.request.amount}"
    return ""


def _wrong_with_answer(own: _Side, other: _Side, transfer: Transfer, origin: Origin) -> str:
    """An arrival must answer a payment, a return must answer the refusal of one."""
    if origin.is_return:
        refusal = outbox.find_refusal(other.connection, other.book, own.name, origin.place)
        began = None if refusal is None else own.entry(refusal.original)
        id = None if began is None else return_id(other.name, began.id)
    else:
        began = other.entry(origin.place)
        id = None if began is None else arrival_id(other.name, began.id)
    if began is None or id != transfer.id:
        return f"answers entry {origin.place} of {other.name}, which is nothing to be answered so"
    return "" if began.request.amount == transfer.request.amount else f"answers a payment of {began.request.amount}"


def _is_reversed(side: _Side, id: TransferId) -> bool:
    return bool(outbox.reversed_among(side.connection, side.book, [id]))
