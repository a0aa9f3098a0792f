"""One transaction's worth of decisions: fetch, decide, append, seal.

Work is done on state read fresh inside the transaction; rows are kept in memory until `flush`, so a piece
of work that fails is undone by forgetting what it decided and disturbs no other in the batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from core.clock import Instant
from core.errors import InvariantBroken
from core.ids import TransferId
from core.money import Money
from ledger import journal, store, tables
from ledger.account import Account, AccountId, Party
from ledger.balance import AccountStatus
from ledger.database import Connection, Table, insert_rows
from ledger.posting import Standing, decide, is_plainly_fine
from ledger.store import BookHead
from ledger.transfer import Outcome, Posted, Transfer, TransferRequest

TRANSFERS_PER_BATCH_MAX = 20_000

NO_ACCOUNT = 0
"""In place of an account's number, for an event that concerns none."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a batch changed, once it is durable: the book's new head and every account it touched."""

    head: BookHead
    transfers: int
    statuses: tuple[AccountStatus, ...]


class Batch:
    """The next batch of one book, inside an open transaction.

    `standings` are accounts known from the batch before, if the book has not moved since.
    """

    def __init__(
        self,
        connection: Connection,
        head: BookHead,
        posted_time: Instant,
        standings: dict[AccountId, Standing] | None = None,
    ) -> None:
        self.connection = connection
        self.book = head.book
        self.seq = head.seq + 1
        self.posted_time = posted_time
        self.standings: dict[AccountId, Standing] = {} if standings is None else standings
        self._head = head
        self._known: dict[TransferId, Transfer] = {}
        self._posted: list[Transfer] = []
        self._opened: list[Standing] = []
        self._changed: list[tuple[Standing, Account]] = []
        self._events: list[tuple[int, str, str]] = []
        self._rows: list[tuple[Table, list[tuple[Any, ...]]]] = []
        self._writes: list[Callable[[Connection], None]] = []
        self._adoptions: list[Callable[[], None]] = []

    @contextmanager
    def piece_of_work(self) -> Iterator[None]:
        """What is decided inside is taken back when it raises."""
        lists: tuple[list[Any], ...] = (self._events, self._rows, self._writes, self._adoptions)
        lengths = [len(each) for each in lists]
        posted, opened, changed = len(self._posted), len(self._opened), len(self._changed)
        try:
            yield
        except BaseException:
            self._take_back(posted, opened, changed)
            for each, length in zip(lists, lengths, strict=True):
                del each[length:]
            raise

    def post(self, requests: Sequence[TransferRequest]) -> list[Outcome]:
        """Decide each request in order, each on what the ones before it left."""
        self._fetch(requests)
        standings, known, posted, seq, now = self.standings, self._known, self._posted, self.seq, self.posted_time
        outcomes: list[Outcome] = []
        for request in requests:
            debit, credit = standings.get(request.debit), standings.get(request.credit)
            earlier = known.get(request.id)
            if debit is None or credit is None or earlier is not None or not is_plainly_fine(request, debit, credit):
                objection = decide(request, debit, credit, earlier)
                if objection is not None:
                    outcomes.append(objection)
                    continue
            if debit is None or credit is None:
                raise InvariantBroken(f"{request.id.hex()} was accepted without both of its accounts")
            transfer = Transfer(request, seq, len(posted), now)
            debit.total_out += request.amount.units
            credit.total_in += request.amount.units
            known[request.id] = transfer
            posted.append(transfer)
            outcomes.append(Posted(transfer))
        return outcomes

    def _take_back(self, posted: int, opened: int, changed: int) -> None:
        """Undo in reverse what was decided after these many."""
        for transfer in reversed(self._posted[posted:]):
            request = transfer.request
            self.standings[request.debit].total_out -= request.amount.units
            self.standings[request.credit].total_in -= request.amount.units
            del self._known[request.id]
        for standing, before in reversed(self._changed[changed:]):
            standing.become(before)
        for standing in self._opened[opened:]:
            del self.standings[standing.account.id]
        del self._posted[posted:], self._opened[opened:], self._changed[changed:]

    def open_account(self, account: Account) -> None:
        """Open an account, or change the name, kind or floor of one that is open; nothing when it is the same."""
        self._load([account.id])
        standing = self.standings.get(account.id)
        if standing is None:
            number = store.last_account_number(self.connection, self.book) + len(self._opened) + 1
            standing = self.standings[account.id] = Standing(number, account, 0, 0)
            self._opened.append(standing)
            self._events.append((number, "opened", _content(account)))
        elif standing.account != account:
            self._changed.append((standing, standing.account))
            standing.become(account)
            self._events.append((standing.number, "changed", _content(account)))

    def set_parties(self, parties: Sequence[Party]) -> None:
        """Write down who the parties are. A name may change, the id stays; each change is journalled."""
        known = store.load_parties(self.connection, self.book)
        news = [party for party in parties if known.get(party.id) != party]
        for party in news:
            self._events.append((NO_ACCOUNT, "party", _party_content(party)))
        self.also(lambda connection: store.save_parties(connection, self.book, news))

    def append(self, table: Table, rows: list[tuple[Any, ...]]) -> None:
        """Rows of another package, in the table's column order, written with the batch."""
        self._rows.append((table, rows))

    def also(self, write: Callable[[Connection], None]) -> None:
        """A statement of another package, executed with the batch."""
        self._writes.append(write)

    def when_committed(self, adopt: Callable[[], None]) -> None:
        """Called once the batch is durable, on the writer's thread; never when it is not."""
        self._adoptions.append(adopt)

    def flush(self) -> Committed | None:
        """Write everything that was decided and seal it; None when there was nothing to seal."""
        connection = self.connection
        for table, rows in self._rows:
            insert_rows(connection, table, rows)
        for write in self._writes:
            write(connection)
        if not self._posted and not self._events:
            return None
        transfer_rows = [self._row(transfer) for transfer in self._posted]
        seal = journal.seal(
            self.book,
            self.seq,
            self.posted_time,
            self._head.hash,
            [journal.event_form(*event) for event in self._events],
            [journal.transfer_form(*row[3:]) for row in transfer_rows],
        )
        insert_rows(connection, tables.transfer_table, transfer_rows)
        last = {account: transfer for transfer in self._posted for account in _sides(transfer)}
        self._write_accounts(last)
        store.append_links(connection, self.book, _links(transfer_rows))
        insert_rows(
            connection,
            tables.seal_table,
            [(seal.book, seal.seq, seal.posted_time, seal.transfers, seal.events, seal.previous, seal.hash)],
        )
        if not store.advance_book(connection, seal):
            raise InvariantBroken(f"book {self.book} moved past batch {self._head.seq} inside our own transaction")
        head = BookHead(self.book, seal.seq, seal.hash, self._head.transfers + seal.transfers)
        return Committed(head, seal.transfers, self._statuses(last))

    def adopt(self) -> None:
        """Tell everyone who asked that the batch is durable."""
        for adoption in self._adoptions:
            adoption()

    def _fetch(self, requests: Sequence[TransferRequest]) -> None:
        if len(self._posted) + len(requests) > TRANSFERS_PER_BATCH_MAX:
            raise InvariantBroken(f"a batch of more than {TRANSFERS_PER_BATCH_MAX} transfers was asked for")
        self._load({account for request in requests for account in (request.debit, request.credit)})
        unseen = list({request.id for request in requests} - self._known.keys())
        self._known.update(store.find_transfers(self.connection, self.book, unseen))

    def _load(self, accounts: Collection[AccountId]) -> None:
        missing = [account for account in accounts if account not in self.standings]
        if missing:
            self.standings.update(store.load_standings(self.connection, self.book, missing))

    def _write_accounts(self, last: Mapping[AccountId, Transfer]) -> None:
        connection, standings = self.connection, self.standings
        insert_rows(
            connection,
            tables.account_table,
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
                for standing in self._opened
            ],
        )
        for standing, _ in self._changed:
            store.update_account(connection, self.book, standing.number, standing.account)
        insert_rows(
            connection,
            tables.account_event_table,
            [(self.book, self.seq, position, *event) for position, event in enumerate(self._events)],
        )
        moved = [(standings[account], transfer) for account, transfer in last.items()]
        store.update_totals(
            connection,
            self.book,
            [(s.total_in, s.total_out, self.seq, transfer.position, s.number) for s, transfer in moved],
        )
        insert_rows(
            connection,
            tables.posting_table,
            [(self.book, s.number, self.seq, s.total_in, s.total_out) for s, _ in moved],
        )

    def _row(self, transfer: Transfer) -> tuple[Any, ...]:
        request = transfer.request
        return (
            self.book,
            transfer.seq,
            transfer.position,
            request.id,
            self.standings[request.debit].number,
            self.standings[request.credit].number,
            request.amount.units,
            request.effective_time,
            request.text,
            request.reference,
            request.source,
        )

    def _statuses(self, last: Mapping[AccountId, Transfer]) -> tuple[AccountStatus, ...]:
        touched = {*last, *(s.account.id for s in self._opened), *(s.account.id for s, _ in self._changed)}
        earlier: dict[AccountId, Transfer | None] = {}
        if (
            touched - last.keys()
        ):  # opened or changed without being moved: rare, and its last transfer lies further back
            known = store.load_statuses(self.connection, self.book)
            earlier = {status.account.id: status.last_transfer for status in known}
        statuses = []
        for account_id in sorted(touched):
            standing = self.standings[account_id]
            of = standing.currency
            statuses.append(
                AccountStatus(
                    standing.account,
                    Money(standing.total_in, of),
                    Money(standing.total_out, of),
                    self.seq,
                    last.get(account_id) or earlier.get(account_id),
                )
            )
        return tuple(statuses)


def _sides(transfer: Transfer) -> tuple[AccountId, AccountId]:
    return transfer.request.debit, transfer.request.credit


def _links(transfer_rows: Sequence[tuple[Any, ...]]) -> dict[tuple[int, int], tuple[int, int]]:
    """Transfers and amount of each (debit, credit)."""
    links: dict[tuple[int, int], tuple[int, int]] = {}
    for row in transfer_rows:
        count, amount = links.get(row[4:6], (0, 0))
        links[row[4:6]] = (count + 1, amount + row[6])
    return links


def _content(account: Account) -> str:
    """An account as its journalled event shows it."""
    return _canonical(
        {
            "account": account.id,
            "name": account.name,
            "owner": account.owner,
            "kind": account.kind.value,
            "currency": account.currency.code,
            "floor_units": account.floor.units,
        }
    )


def _party_content(party: Party) -> str:
    return _canonical({"party": party.id, "name": party.name, "organisation": party.organisation})


def _canonical(content: dict[str, str | int]) -> str:
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
