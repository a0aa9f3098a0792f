"""One transaction's worth of decisions: fetch, decide, append, seal.

Work is done on state read fresh inside the transaction; rows are kept in memory until `flush`, so a piece
of work that fails is undone by forgetting what it decided and disturbs no other in the batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from core.clock import Instant
from core.errors import InvariantBroken
from core.ids import TransferId
from core.money import Money
from ledger import journal, store
from ledger.account import Account, AccountId, Party
from ledger.balance import AccountStatus
from ledger.database import Connection, Table, insert_rows
from ledger.posting import Standing, decide
from ledger.store import BookHead
from ledger.transfer import Outcome, Posted, Transfer, TransferRequest

TRANSFERS_PER_BATCH_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Committed:
    """What a batch changed, once it is durable: the book's new head and every account it touched."""

    head: BookHead
    transfers: int
    statuses: tuple[AccountStatus, ...]


@dataclass(slots=True)
class _Decided:
    """What the batch will write."""

    standings: dict[AccountId, Standing | None] = field(default_factory=dict)
    known: dict[TransferId, Transfer | None] = field(default_factory=dict)
    posted: list[Transfer] = field(default_factory=list)
    last_of: dict[AccountId, Transfer] = field(default_factory=dict)
    opened: list[Standing] = field(default_factory=list)
    changed: list[Standing] = field(default_factory=list)
    events: list[tuple[int, str, str]] = field(default_factory=list)
    rows: list[tuple[Table, list[tuple[Any, ...]]]] = field(default_factory=list)
    writes: list[Callable[[Connection], None]] = field(default_factory=list)
    adoptions: list[Callable[[], None]] = field(default_factory=list)

    def copy(self) -> _Decided:
        return _Decided(
            dict(self.standings),
            dict(self.known),
            list(self.posted),
            dict(self.last_of),
            list(self.opened),
            list(self.changed),
            list(self.events),
            list(self.rows),
            list(self.writes),
            list(self.adoptions),
        )


class Batch:
    """The next batch of one book, inside an open transaction."""

    def __init__(self, connection: Connection, head: BookHead, posted_time: Instant) -> None:
        self.connection = connection
        self.book = head.book
        self.seq = head.seq + 1
        self.posted_time = posted_time
        self._head = head
        self._decided = _Decided()

    @contextmanager
    def piece_of_work(self) -> Iterator[None]:
        """What is decided inside is forgotten again when it raises."""
        before = self._decided.copy()
        try:
            yield
        except BaseException:
            self._decided = before
            raise

    def post(self, requests: Sequence[TransferRequest]) -> list[Outcome]:
        """Decide each request in order, each on what the ones before it left."""
        self._fetch(requests)
        decided = self._decided
        outcomes: list[Outcome] = []
        for request in requests:
            debit, credit = decided.standings[request.debit], decided.standings[request.credit]
            objection = decide(request, debit, credit, decided.known[request.id])
            if objection is not None:
                outcomes.append(objection)
                continue
            if debit is None or credit is None:
                raise InvariantBroken(f"{request.id.hex()} was accepted without both of its accounts")
            transfer = Transfer(request, self.seq, len(decided.posted), self.posted_time)
            decided.standings[request.debit] = debit.pay(request.amount.units)
            decided.standings[request.credit] = credit.receive(request.amount.units)
            decided.known[request.id] = transfer
            decided.posted.append(transfer)
            decided.last_of[request.debit] = decided.last_of[request.credit] = transfer
            outcomes.append(Posted(transfer))
        return outcomes

    def open_account(self, account: Account) -> None:
        """Open an account, or change the name, kind or floor of one that is open; nothing when it is the same."""
        standing = store.load_standings(self.connection, self.book, [account.id]).get(account.id)
        if standing is None:
            number = store.last_account_number(self.connection, self.book) + len(self._decided.opened) + 1
            standing = Standing(number, account, 0, 0)
            self._decided.opened.append(standing)
            self._decided.events.append((number, "opened", _content(account)))
        elif standing.account != account:
            standing = replace(standing, account=account)
            self._decided.changed.append(standing)
            self._decided.events.append((standing.number, "changed", _content(account)))
        self._decided.standings[account.id] = standing

    def set_parties(self, parties: Sequence[Party]) -> None:
        """Write down who the parties are; a name may change, the id stays."""
        self.also(lambda connection: store.save_parties(connection, self.book, parties))

    def append(self, table: Table, rows: list[tuple[Any, ...]]) -> None:
        """Rows of another package, in the table's column order, written with the batch."""
        self._decided.rows.append((table, rows))

    def also(self, write: Callable[[Connection], None]) -> None:
        """A statement of another package, executed with the batch."""
        self._decided.writes.append(write)

    def when_committed(self, adopt: Callable[[], None]) -> None:
        """Called once the batch is durable, on the writer's thread; never when it is not."""
        self._decided.adoptions.append(adopt)

    def flush(self) -> Committed | None:
        """Write everything that was decided and seal it; None when there was nothing to seal."""
        decided, connection = self._decided, self.connection
        for table, rows in decided.rows:
            insert_rows(connection, table, rows)
        for write in decided.writes:
            write(connection)
        if not decided.posted and not decided.events:
            return None
        self._write_accounts()
        transfer_rows = [self._row(transfer) for transfer in decided.posted]
        seal = journal.seal(
            self.book,
            self.seq,
            self.posted_time,
            self._head.hash,
            [journal.event_form(*event) for event in decided.events],
            [journal.transfer_form(*row[3:]) for row in transfer_rows],
        )
        insert_rows(connection, store.transfer_table, transfer_rows)
        insert_rows(
            connection,
            store.seal_table,
            [(seal.book, seal.seq, seal.posted_time, seal.transfers, seal.events, seal.previous, seal.hash)],
        )
        if not store.advance_book(connection, seal):
            raise InvariantBroken(f"book {self.book} moved past batch {self._head.seq} inside our own transaction")
        head = BookHead(self.book, seal.seq, seal.hash, self._head.transfers + seal.transfers)
        return Committed(head, seal.transfers, self._statuses())

    def adopt(self) -> None:
        """Tell everyone who asked that the batch is durable."""
        for adoption in self._decided.adoptions:
            adoption()

    def _fetch(self, requests: Sequence[TransferRequest]) -> None:
        decided = self._decided
        if len(decided.posted) + len(requests) > TRANSFERS_PER_BATCH_MAX:
            raise InvariantBroken(f"a batch of more than {TRANSFERS_PER_BATCH_MAX} transfers was asked for")
        accounts = {account for request in requests for account in (request.debit, request.credit)}
        missing = accounts - decided.standings.keys()
        if missing:
            found = store.load_standings(self.connection, self.book, missing)
            decided.standings.update({account: found.get(account) for account in missing})
        unseen = list({request.id for request in requests} - decided.known.keys())
        if unseen:
            earlier = store.find_transfers(self.connection, self.book, unseen)
            decided.known.update({transfer_id: earlier.get(transfer_id) for transfer_id in unseen})

    def _write_accounts(self) -> None:
        decided, connection = self._decided, self.connection
        insert_rows(
            connection,
            store.account_table,
            [
                (
                    self.book,
                    standing.number,
                    standing.account.id,
                    standing.account.name,
                    standing.account.owner,
                    standing.account.kind.value,
                    standing.account.currency.code,
                    standing.account.floor.units,
                    *(0, 0, 0, 0),
                )
                for standing in decided.opened
            ],
        )
        for standing in decided.changed:
            store.update_account(connection, self.book, standing.number, standing.account)
        insert_rows(
            connection,
            store.account_event_table,
            [(self.book, self.seq, position, *event) for position, event in enumerate(decided.events)],
        )
        moved = [(self._standing(account), transfer) for account, transfer in decided.last_of.items()]
        store.update_totals(
            connection,
            self.book,
            [(s.total_in, s.total_out, self.seq, transfer.position, s.number) for s, transfer in moved],
        )
        insert_rows(
            connection,
            store.posting_table,
            [(self.book, s.number, self.seq, s.total_in, s.total_out) for s, _ in moved],
        )
        links: dict[tuple[int, int], tuple[int, int]] = {}
        for transfer in decided.posted:
            link = (self._standing(transfer.request.debit).number, self._standing(transfer.request.credit).number)
            count, amount = links.get(link, (0, 0))
            links[link] = (count + 1, amount + transfer.request.amount.units)
        store.append_links(connection, self.book, links)

    def _row(self, transfer: Transfer) -> tuple[Any, ...]:
        request = transfer.request
        return (
            self.book,
            transfer.seq,
            transfer.position,
            request.id,
            self._standing(request.debit).number,
            self._standing(request.credit).number,
            request.amount.units,
            request.effective_time,
            request.text,
            request.reference,
            request.source,
        )

    def _statuses(self) -> tuple[AccountStatus, ...]:
        decided = self._decided
        touched = {*decided.last_of, *(s.account.id for s in (*decided.opened, *decided.changed))}
        statuses = []
        for account_id in sorted(touched):
            standing = self._standing(account_id)
            of = standing.account.currency
            statuses.append(
                AccountStatus(
                    standing.account,
                    Money(standing.total_in, of),
                    Money(standing.total_out, of),
                    self.seq,
                    decided.last_of.get(account_id),
                )
            )
        return tuple(statuses)

    def _standing(self, account: AccountId) -> Standing:
        standing = self._decided.standings[account]
        if standing is None:
            raise InvariantBroken(f"{account} was moved without having been found")
        return standing


def _content(account: Account) -> str:
    """An account as its journalled event shows it."""
    return json.dumps(
        {
            "account": account.id,
            "name": account.name,
            "owner": account.owner,
            "kind": account.kind.value,
            "currency": account.currency.code,
            "floor_units": account.floor.units,
        },
        ensure_ascii=False,
        sort_keys=True,
        separators=(",", ":"),
    )
