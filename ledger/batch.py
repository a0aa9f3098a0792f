"""One transaction's worth of decisions: fetch, decide; what was decided is then appended, sealed and committed.

Work is done on state read inside the transaction, or left by the batch before when nobody wrote between. Entries are
kept in memory until they are appended, so a piece of work that fails is undone by forgetting what it decided and
disturbs no other in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from core.clock import Instant, to_text
from core.errors import InvariantBroken, Rejected
from core.ids import TransferId
from ledger import event, store, transfer_rows, witness
from ledger.account import Account, AccountId, AccountState, Party, PartyId, account_fault, party_fault
from ledger.database import Connection, Table
from ledger.event import NO_ACCOUNT, Event, EventKind
from ledger.hold import Hold
from ledger.posting import Objection, Standing, check_types, decide, is_plainly_fine
from ledger.statements import check_rows
from ledger.store import BookHead
from ledger.transfer import (
    TIME_END,
    AlreadyPosted,
    Outcome,
    Outcomes,
    Posted,
    Reason,
    Refused,
    Transfer,
    TransferKind,
    TransferRequest,
)

ID_BYTES = 16
NO_ID = bytes(ID_BYTES)
"""What stands for no id at all in the journal's forms: nothing is named so."""

ENTRIES_PER_BATCH_MAX = 65_535
"""A posting keeps each place in a batch as an unsigned 16-bit number."""


Accepted = tuple[TransferRequest, Standing, Standing, int]
"""A request that will be posted, its debit and credit account, and its place in the batch. (A class would cost as much
as deciding.)"""

ACCOUNT_NUMBER_MAX = 2**62 - 1

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class BatchIsFull(BaseException):
    """A piece of work would fit an empty batch, and this one no more: its writer does it in the next one. No handler of
    errors may take it for one."""


def all_or_nothing(
    decision: Callable[Concatenate[Batch, Given], Answer],
) -> Callable[Concatenate[Batch, Given], Answer]:
    """A decision that leaves no trace in its batch when it raises: a piece of work may catch that and go on."""

    @wraps(decision)
    def whole(batch: Batch, /, *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        mark = batch._mark()
        try:
            return decision(batch, *args, **kwargs)
        except BaseException:
            batch._take_back(mark)
            raise

    return whole


def check_id(id: object) -> None:
    """TypeError or ValueError when it is no id of a transfer or a hold."""
    if not isinstance(id, bytes):
        raise TypeError(f"expected an id of {ID_BYTES} bytes, got {id!r:.100}")
    if len(id) != ID_BYTES:
        raise ValueError(f"expected an id of {ID_BYTES} bytes, got one of {len(id)}; derive it with core.ids")


def check_new_id(id: object) -> None:
    """The same for what shall bear it: zeros name nothing."""
    check_id(id)
    if id == NO_ID:
        raise ValueError("expected an id, got one of zeros only; derive it with core.ids")


class Batch:
    """The next batch of one book, inside an open transaction.

    `standings` are accounts as the batch before left them; `stale` are accounts whose totals somebody else may have
    moved since.
    """

    def __init__(
        self,
        connection: Connection,
        head: BookHead,
        now: Instant,
        standings: dict[AccountId, Standing] | None = None,
        stale: Mapping[AccountId, Standing] | None = None,
    ) -> None:
        self.connection = connection
        self.head = head
        self.book = head.book
        self.seq = head.seq + 1
        self.posted_time = max(now, head.posted_time)
        """The batch's time: a clock that steps back does not take the book with it."""
        self.locked_until = head.locked_until
        self.next_expiry = head.next_expiry
        self.length = 0
        """Entries so far."""
        self._length_before = 0
        """Entries that were there before the piece of work that is being done."""
        self.standings: dict[AccountId, Standing] = {} if standings is None else standings
        self.accepted: list[Accepted] = []
        self.events: list[Event] = []
        self.opened: list[Standing] = []
        self.changed: dict[int, Standing] = {}
        self.held: dict[int, Standing] = {}
        """Accounts whose holds changed, by number."""
        self.holds: dict[TransferId, Hold] = {}
        """Holds that were placed or changed, as they are now."""
        self.reversals: dict[TransferId, TransferId] = {}
        """Reversed transfer → the one that reverses it."""
        self.parties: dict[PartyId, Party] = {}
        """Parties that are new or have another name."""
        self.rows: list[tuple[Table, list[tuple[Any, ...]]]] = []
        self.writes: list[Callable[[Connection], None]] = []
        self._stale = stale or {}
        self._is_between_books = False
        self._accepted_ids: dict[TransferId, int] = {}
        self._earlier: dict[TransferId, Transfer] = {}
        self._looked_up: set[TransferId] = set()
        """Ids of which it is known already whether the book holds them."""
        self._adoptions: list[Callable[[], None]] = []
        self._undo: list[Callable[[], object]] = []

    @contextmanager
    def piece_of_work(self) -> Iterator[None]:
        """What is decided inside is taken back when it raises. BatchIsFull when what was decided before it leaves too
        little room for it."""
        mark = self._mark()
        self._length_before = self.length
        try:
            yield
        except BaseException:
            self._take_back(mark)
            raise

    @contextmanager
    def between_books(self) -> Iterator[None]:
        """Inside, clearing accounts pay and are paid: for what leaves, arrives and comes back, and nobody else."""
        self._is_between_books = True
        try:
            yield
        finally:
            self._is_between_books = False

    def post(self, requests: Sequence[TransferRequest]) -> Outcomes:
        """Decide each plain request in order, each on what the ones before it left."""
        self.make_room(len(requests))
        mark = self._mark()
        try:
            return self._post(requests)
        except BaseException as error:
            self._take_back(mark)
            if isinstance(error, AttributeError):
                for request in requests:
                    check_types(request)  # says what is wrong
            raise

    def _post(self, requests: Sequence[TransferRequest]) -> Outcomes:
        self._fetch(requests)
        standings, accepted, ids, earlier = self.standings, self.accepted, self._accepted_ids, self._earlier
        locked_until, first, index = self.locked_until, self.length, len(accepted)
        others: dict[int, AlreadyPosted | Refused] = {}
        apart = first - index  # what events put between an accepted request's index and its position
        for place, request in enumerate(requests):
            debit, credit, id = standings.get(request.debit), standings.get(request.credit), request.id
            units = request.amount.units
            if (
                debit is None
                or credit is None
                or id in ids
                or id in earlier
                or not is_plainly_fine(request, debit, credit, locked_until, units)
            ):
                if request.kind or request.cause is not None:
                    raise ValueError(f"{id.hex()}: reversals and captures are not posted but asked for as such")
                other = self._judge(request, debit, credit)
                if other is not None:
                    others[place] = other
                    continue
            debit.total_out += units  # type: ignore[union-attr]  # decided: both are there
            credit.total_in += units  # type: ignore[union-attr]
            ids[id] = index
            accepted.append((request, debit, credit, index + apart))  # type: ignore[arg-type]
            index += 1
        self.length = index + apart
        return Outcomes(requests, others, self.seq, first, self.posted_time)

    @all_or_nothing
    def post_linked(self, requests: Sequence[TransferRequest]) -> list[Outcome]:
        """Post all of them or none, in one batch, side by side. Each leg is decided on what the ones before it left.

        Where one is refused, the others are refused as `linked_refused`. Asked again, all were posted before; a mixture
        of old and new legs is a conflict.
        """
        for request in requests:
            check_types(request)
        if any(request.kind or request.cause is not None for request in requests):
            raise ValueError("reversals and captures cannot be linked")
        self.make_room(len(requests))
        self._fetch(requests)
        mark = self._mark()
        outcomes: list[Outcome] = []
        for place, request in enumerate(requests):
            kind = TransferKind.PLAIN if place == len(requests) - 1 else TransferKind.LINKED
            outcomes.append(self._post_one(replace(request, kind=kind)))
        culprit = next((place for place, each in enumerate(outcomes) if isinstance(each, Refused)), None)
        text = "" if culprit is None else f"transfer {culprit + 1} of the linked ones was refused"
        if culprit is None and len({type(outcome) for outcome in outcomes}) > 1:
            culprit = next(place for place, each in enumerate(outcomes) if isinstance(each, AlreadyPosted))
            outcomes[culprit] = Refused(requests[culprit], Reason.CONFLICT, "it was posted before, without the others")
            text = f"transfer {culprit + 1} of the linked ones was posted before, others were not"
        if culprit is None:
            return outcomes
        self._take_back(mark)
        return [
            outcomes[place] if place == culprit else Refused(request, Reason.LINKED_REFUSED, text)
            for place, request in enumerate(requests)
        ]

    @all_or_nothing
    def reverse(
        self, id: TransferId, original: TransferId, effective_time: Instant, text: str = "", source: str = ""
    ) -> Outcome:
        """Undo a transfer by a new one, named `id`, that names it. Rejected `unknown_transfer` when there is none,
        before anything else is looked at."""
        check_new_id(id)
        check_id(original)
        self._fetch_ids([id, original])
        first = self.find(original)
        if first is None:
            raise Rejected("unknown_transfer", f"there is no transfer {original.hex()} in this book")
        if first.seq != self.seq and not witness.is_as_sealed(self.connection, self.book, first):
            text = f"transfer {original.hex()} is not what was sealed: it was altered; `ledger verify` says where"
            raise Rejected("transfer_was_altered", text)
        request = TransferRequest(
            id,
            first.request.credit,
            first.request.debit,
            first.request.amount,
            effective_time,
            text,
            first.request.reference,
            source,
            TransferKind.REVERSAL,
            original,
        )
        self.load([request.debit, request.credit])
        reversed_by = self.reversals.get(original) or transfer_rows.find_reversal(self.connection, self.book, original)
        hindrance = None
        if reversed_by is not None and reversed_by != id:
            hindrance = Reason.ALREADY_REVERSED, f"it was reversed by {reversed_by.hex()} already"
        outcome = self._post_one(request, hindrance=hindrance)
        if isinstance(outcome, Posted):
            self.reversals[original] = id
            self.on_undo(lambda: self.reversals.pop(original))
        return outcome

    def fetch(self, id: TransferId) -> Transfer | None:
        """The transfer of this id, read from the database where it must be."""
        self._fetch_ids([id])
        return self.find(id)

    def post_covered(self, request: TransferRequest) -> Outcome:
        """Post a capture: a hold has reserved the money. The hold itself is the caller's to change."""
        self._fetch([request])
        return self._post_one(request, is_covered=True)

    def find(self, id: TransferId) -> Transfer | None:
        """The transfer of this id, in this batch or before it; its id must have been fetched."""
        place = self._accepted_ids.get(id)
        if place is None:
            return self._earlier.get(id)
        request, _, _, position = self.accepted[place]
        return Transfer(request, self.seq, position, self.posted_time)

    @all_or_nothing
    def open_account(self, account: Account) -> None:
        """Open an account, or change the terms of one that is open; nothing when it is the same.

        Rejected `invalid_account` when it could not be written down, `account_not_empty` when it would be closed with
        money or holds in it.
        """
        fault = account_fault(account)
        if fault is not None:
            raise Rejected("invalid_account", fault)
        self.load([account.id])
        standing = self.standings.get(account.id)
        if standing is None:
            number = store.last_account_number(self.connection, self.book) + len(self.opened) + 1
            standing = self.standings[account.id] = Standing(number, account, event_seq=self.seq)
            self.opened.append(standing)
            self.on_undo(lambda: self._forget_opened(account.id))
            self.record(number, EventKind.OPENED, event.account_content(account))
        elif standing.account != account:
            if account.state is AccountState.CLOSED and (standing.balance or standing.held):
                raise Rejected(
                    "account_not_empty",
                    f"account {account.id!r} has a balance or open holds; empty it before it is closed",
                )
            before, event_seq, number = standing.account, standing.event_seq, standing.number
            was_changed = number in self.changed
            self.on_undo(lambda: self._change_back(standing, before, event_seq, was_changed))
            self.changed[number] = standing
            standing.become(account)
            standing.event_seq = self.seq
            self.record(number, EventKind.CHANGED, event.account_content(account))

    @all_or_nothing
    def set_parties(self, parties: Sequence[Party]) -> None:
        """Write down who the parties are. A name may change, the id stays; each change is journalled.

        Rejected `invalid_party` when one could not be written down.
        """
        fault = next(filter(None, map(party_fault, parties)), None)
        if fault is not None:
            raise Rejected("invalid_party", fault)
        before = self.parties
        known = store.load_parties(self.connection, self.book) | before
        news: dict[PartyId, Party] = {}
        for party in parties:
            if known.get(party.id) != party:
                known[party.id] = news[party.id] = party
                self.record(NO_ACCOUNT, EventKind.PARTY, event.party_content(party))
        self.parties = before | news
        self.on_undo(lambda: setattr(self, "parties", before))
        self.also(lambda connection: store.save_parties(connection, self.book, list(news.values())))

    @all_or_nothing
    def record_refusal(self, refused: Refused) -> None:
        """Write down that a payment was asked for and refused; it concerns the account that should pay."""
        if not isinstance(refused, Refused) or not isinstance(refused.reason, Reason):
            raise TypeError(f"expected a Refused with a Reason, got {refused!r:.100}")
        check_types(refused.request)
        check_id(refused.request.id)
        debit = self.standings.get(refused.request.debit)
        self.record(NO_ACCOUNT if debit is None else debit.number, EventKind.REFUSED, event.refused_content(refused))

    @all_or_nothing
    def lock_period(self, until: Instant) -> None:
        """From now on nothing is posted with an effective time before `until`. Rejected `period_is_locked` when that is
        locked already: what is locked stays so, and is corrected by a transfer in an open period; `invalid_time` for
        one after 2199, which would leave no period open."""
        if type(until) is not int:
            raise TypeError(f"expected a time in whole microseconds, got {until!r:.100}")
        if until > TIME_END:
            raise Rejected("invalid_time", f"expected a time up to 2199, got {until} microseconds")
        if until <= self.locked_until:
            raise Rejected("period_is_locked", f"the books are closed up to {to_text(self.locked_until)} already")
        before = self.locked_until
        self.on_undo(lambda: setattr(self, "locked_until", before))
        self.locked_until = until
        self.record(NO_ACCOUNT, EventKind.PERIOD_LOCKED, event.locked_content(until))

    def record(self, account_no: int, kind: EventKind, content: str) -> None:
        """Put an event at the next place of the batch; `content` is what `event.canonical` makes."""
        if type(account_no) is not int or not isinstance(kind, EventKind) or not isinstance(content, str):
            got = f"{account_no!r:.100}, {kind!r:.100} and {content!r:.100}"
            raise TypeError(f"expected an account's number, an EventKind and JSON, got {got}")
        if not 0 <= account_no <= ACCOUNT_NUMBER_MAX or not _is_text(content):
            raise ValueError(f"expected an account's number and JSON, got {account_no} and {content!r:.100}")
        self.make_room(1)
        self.events.append(Event(self.length, account_no, kind.value, content))
        self.length += 1

    def make_room(self, entries: int) -> None:
        """ValueError when a piece of work makes more entries than any batch can take."""
        if self.length + entries <= ENTRIES_PER_BATCH_MAX:
            return
        asked = self.length - self._length_before + entries
        if asked <= ENTRIES_PER_BATCH_MAX:
            raise BatchIsFull
        raise ValueError(
            f"a piece of work makes {ENTRIES_PER_BATCH_MAX} entries at most, {asked} were asked; ask for fewer"
        )

    def load(self, accounts: Collection[AccountId]) -> None:
        """Have these accounts in `standings`, as far as they exist, with totals as of now."""
        missing = {account for account in accounts if account not in self.standings and _is_text(account)}
        known = {account: self._stale[account] for account in missing if account in self._stale}
        if known:
            changed = store.refresh_standings(self.connection, self.book, known)
            self.standings.update(known)
            missing = (missing - known.keys()) | set(changed)
        if missing:
            self.standings.update(store.load_standings(self.connection, self.book, missing))

    def look_ahead(self, requests: Sequence[TransferRequest]) -> None:
        """Look up at once what posting these will look up; what is wrong with them will be told then."""
        good = [request for request in requests if _can_be_looked_up(request)]
        if len(good) < 2:
            return
        self.load({account for request in good for account in (request.debit, request.credit)})
        ids = [request.id for request in good]
        self._find_earlier(ids)
        self._looked_up.update(ids)

    def append(self, table: Table, rows: list[tuple[Any, ...]]) -> None:
        """Rows of another package, in the table's column order, written with the batch. TypeError or ValueError when
        they are none of that table's."""
        check_rows(table, rows)
        self.rows.append((table, rows))

    def also(self, write: Callable[[Connection], None]) -> None:
        """A statement of another package, executed with the batch."""
        _must_be_callable(write)
        self.writes.append(write)

    def when_committed(self, adopt: Callable[[], None]) -> None:
        """Called once the batch is durable, on the writer's thread; never when it is not."""
        _must_be_callable(adopt)
        self._adoptions.append(adopt)

    def on_undo(self, undo: Callable[[], object]) -> None:
        """Called when the piece of work fails that decided this."""
        self._undo.append(undo)

    def adopt(self) -> None:
        """Tell everyone who asked that the batch is durable."""
        for adoption in self._adoptions:
            adoption()

    def _post_one(
        self, request: TransferRequest, is_covered: bool = False, hindrance: Objection | None = None
    ) -> Outcome:
        self.make_room(1)
        debit, credit = self.standings.get(request.debit), self.standings.get(request.credit)
        other = self._judge(request, debit, credit, is_covered, hindrance)
        if other is not None or debit is None or credit is None:
            return other or Refused(request, Reason.UNKNOWN_DEBIT_ACCOUNT, "")
        debit.total_out += request.amount.units
        credit.total_in += request.amount.units
        self._accepted_ids[request.id] = len(self.accepted)
        self.accepted.append((request, debit, credit, self.length))
        self.length += 1
        return Posted(Transfer(request, self.seq, self.length - 1, self.posted_time))

    def _judge(
        self,
        request: TransferRequest,
        debit: Standing | None,
        credit: Standing | None,
        is_covered: bool = False,
        hindrance: Objection | None = None,
    ) -> AlreadyPosted | Refused | None:
        earlier, between = self.find(request.id), self._is_between_books
        other = decide(request, debit, credit, earlier, self.locked_until, is_covered, hindrance, between)
        if other is None and (debit is None or credit is None):
            raise InvariantBroken(f"{request.id.hex()} was accepted without both of its accounts")
        return other

    def _fetch(self, requests: Sequence[TransferRequest]) -> None:
        standings = self.standings
        accounts = {request.debit for request in requests}
        accounts.update([request.credit for request in requests])
        if not accounts <= standings.keys():
            self.load(accounts)
        ids = [request.id for request in requests]
        if NO_ID in ids:
            check_new_id(NO_ID)
        self._fetch_ids(ids)

    def _fetch_ids(self, ids: Sequence[TransferId]) -> None:
        if set(map(len, ids)) - {ID_BYTES} or len(b"".join(ids)) != ID_BYTES * len(ids):
            raise ValueError(f"expected ids of {ID_BYTES} bytes; derive them with core.ids")
        if self._looked_up:
            ids = [id for id in ids if id not in self._looked_up]
        self._find_earlier(ids)

    def _find_earlier(self, ids: Sequence[TransferId]) -> None:
        if ids:
            self._earlier.update(transfer_rows.find_transfers(self.connection, self.book, ids))

    def _mark(self) -> tuple[int, ...]:
        others = len(self.rows), len(self.writes), len(self._adoptions)
        return self.length, len(self.accepted), len(self.events), len(self._undo), *others

    def _take_back(self, mark: tuple[int, ...]) -> None:
        """Undo, in reverse, what was decided after the mark."""
        self.length, accepted, events, undo, rows, writes, adoptions = mark
        for request, debit, credit, _ in self.accepted[accepted:]:
            debit.total_out -= request.amount.units
            credit.total_in -= request.amount.units
            del self._accepted_ids[request.id]
        for take_back in reversed(self._undo[undo:]):
            take_back()
        del self.accepted[accepted:], self.events[events:], self._undo[undo:]
        del self.rows[rows:], self.writes[writes:], self._adoptions[adoptions:]

    def _forget_opened(self, account: AccountId) -> None:
        self.opened.remove(self.standings.pop(account))

    def _change_back(self, standing: Standing, before: Account, event_seq: int, was_changed: bool) -> None:
        standing.become(before)
        standing.event_seq = event_seq
        if not was_changed:
            del self.changed[standing.number]


def _can_be_looked_up(request: object) -> bool:
    return (
        isinstance(request, TransferRequest)
        and isinstance(request.id, bytes)
        and len(request.id) == ID_BYTES
        and isinstance(request.debit, str)
        and isinstance(request.credit, str)
    )


def _is_text(text: object) -> bool:
    """Whether a database can hold it; TypeError when it is no text at all."""
    if not isinstance(text, str):
        raise TypeError(f"expected text, got {text!r:.100}")
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _must_be_callable(function: object) -> None:
    if not callable(function):
        raise TypeError(f"expected a function, got {function!r:.100}")
