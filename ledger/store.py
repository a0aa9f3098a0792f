"""The ledger's other rows: books, accounts, parties and seals."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from core.clock import EPOCH, Instant
from core.money import Money, currency
from ledger import transfer_rows
from ledger.account import Account, AccountId, AccountKind, AccountState, AccountType, Party, PartyId, is_writable
from ledger.balance import AccountStatus
from ledger.database import is_postgresql
from ledger.hold import NEVER
from ledger.journal import GENESIS, Seal
from ledger.posting import Standing
from ledger.statements import insert_rows, run, run_for_any, run_for_each, upsert_rows
from ledger.tables import (
    account_table,
    book_table,
    party_table,
    seal_table,
)

_IDS_PER_SELECT = 500  # SQLite's default bound on parameters is far above; short statements stay cached


@dataclass(frozen=True, slots=True)
class BookHead:
    """Where a book stands: its number, its last batch, that batch's hash and time, and all its transfers counted."""

    book: int
    seq: int
    hash: bytes
    transfers: int
    posted_time: Instant = EPOCH
    locked_until: Instant = EPOCH
    """Nothing may be posted with an effective time before this."""
    next_expiry: Instant = NEVER
    """No open hold expires before this."""
    totalled_seq: int = field(default=0, compare=False)
    """The batch up to which the totals per link are added up."""


_FIND_BOOK = (
    "SELECT book_id, seq, head_hash, transfers, posted_time, locked_until, next_expiry, totalled_seq "
    "FROM book WHERE name = ?"
)


def find_book(connection: Connection, name: str, lock: bool = False) -> BookHead | None:
    """The book's head. With `lock` no other gateway moves the book until this transaction ends: the one lock there is.
    (On SQLite the transaction itself is that lock.)"""
    text = f"{_FIND_BOOK} FOR UPDATE" if lock and is_postgresql(connection) else _FIND_BOOK
    row = run(connection, text, (name,)).fetchone()
    return BookHead(*row) if row else None


def create_book(connection: Connection, name: str) -> BookHead:
    """A new book, or the one that another gateway made at the same moment."""
    if is_postgresql(connection):
        run(connection, f"SELECT pg_advisory_xact_lock({NEW_BOOK_LOCK})")
        made = find_book(connection, name, lock=True)
        if made is not None:
            return made
    taken = connection.execute(select(func.coalesce(func.max(book_table.c.book_id), 0))).scalar_one()
    head = BookHead(taken + 1, 0, GENESIS, 0)
    row = (head.book, name, 0, GENESIS, EPOCH, 0, EPOCH, NEVER, 0)
    insert_rows(connection, book_table, [row])
    return head


NEW_BOOK_LOCK = 7_310_579_612
"""Of PostgreSQL's advisory locks, the one that a gateway holds while it makes a book."""

CHANNEL = "myntverk_book"
"""On PostgreSQL every batch notifies this channel of its book's name."""

_ADVANCE_BOOK = (
    "UPDATE book SET seq = ?, head_hash = ?, posted_time = ?, transfers = ?, locked_until = ?, next_expiry = ? "
    "WHERE book_id = ? AND seq = ?"
)


def advance_book(connection: Connection, head: BookHead) -> Any:
    """Move the book on to its next batch; the cursor's `rowcount` is 1 unless somebody else moved it first."""
    text = _ADVANCE_BOOK
    if is_postgresql(connection):
        text = f"WITH moved AS ({text} RETURNING name) SELECT pg_notify('{CHANNEL}', name) FROM moved"
    values = (head.seq, head.hash, head.posted_time, head.transfers, head.locked_until, head.next_expiry)
    return run(connection, text, (*values, head.book, head.seq - 1))


def load_standings(
    connection: Connection, book: int, ids: Iterable[AccountId] | None = None
) -> dict[AccountId, Standing]:
    """The named accounts, or all of the book's. Who asks may name anything: no account bears what cannot be written."""
    query = select(account_table).where(account_table.c.book_id == book).order_by(account_table.c.account_no)
    rows: Iterable[Row[Any]]
    if ids is None:
        rows = connection.execute(query)
    else:
        rows = _in_chunks(connection, query, account_table.c.account_id, list(filter(is_writable, ids)))
    return {AccountId(row.account_id): _standing(row) for row in rows}


def _standing(row: Row[Any]) -> Standing:
    return Standing(
        row.account_no,
        account_of(row),
        row.total_in,
        row.total_out,
        row.held,
        row.event_seq,
        row.last_seq,
        row.posting_seq,
    )


def account_of(row: Row[Any]) -> Account:
    """The account that a row of `account_table` describes."""
    return Account(
        AccountId(row.account_id),
        row.name,
        PartyId(row.owner),
        Money(row.floor, currency(row.currency)),
        AccountKind(row.kind),
        AccountType(row.type),
        row.ceiling,
        row.cost_centre,
        json.loads(row.labels),
        AccountState(row.state),
    )


def refresh_standings(connection: Connection, book: int, standings: Mapping[AccountId, Standing]) -> list[AccountId]:
    """Read the totals anew where another gateway moved the book; answers the accounts that it changed otherwise,
    which must be loaded."""
    by_number = {standing.number: standing for standing in standings.values()}
    changed = []
    rows = run_for_any(
        connection,
        "SELECT account_no, total_in, total_out, held, event_seq, last_seq, posting_seq FROM account WHERE book_id = ?",
        "account_no",
        list(by_number),
        (book,),
    )
    for number, total_in, total_out, held, event_seq, last_seq, posting_seq in rows:
        standing = by_number[number]
        standing.total_in, standing.total_out = total_in, total_out
        standing.last_seq, standing.posting_seq = last_seq, posting_seq
        standing.hold(held - standing.held)
        if event_seq != standing.event_seq:
            changed.append(standing.account.id)
    return changed


def find_account_number(connection: Connection, book: int, account: AccountId) -> int | None:
    if not is_writable(account):
        return None
    text = "SELECT account_no FROM account WHERE book_id = ? AND account_id = ?"
    row = run(connection, text, (book, account)).fetchone()
    return int(row[0]) if row else None


def last_account_number(connection: Connection, book: int) -> int:
    query = select(func.coalesce(func.max(account_table.c.account_no), 0)).where(account_table.c.book_id == book)
    return int(connection.execute(query).scalar_one())


def account_row(book: int, standing: Standing, seq: int) -> tuple[Any, ...]:
    """An account that is opened in batch `seq`, as a row of `account_table`."""
    account = standing.account
    return (book, standing.number, account.id, *_terms(account), seq, 0, 0, 0, seq, 0, 0, 0)


def _terms(account: Account) -> tuple[Any, ...]:
    return (
        account.name,
        account.owner,
        account.kind.value,
        account.type.value,
        account.currency.code,
        account.cost_centre,
        labels_text(account.labels),
        account.state.value,
        account.floor.units,
        account.ceiling_units,
    )


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels as their column and their event hold them."""
    return json.dumps(dict(labels), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def update_account(connection: Connection, book: int, number: int, account: Account, seq: int) -> None:
    run(
        connection,
        "UPDATE account SET name = ?, owner = ?, kind = ?, type = ?, currency = ?, cost_centre = ?, labels = ?, "
        "state = ?, floor = ?, ceiling = ?, event_seq = ?, touched_seq = ? WHERE book_id = ? AND account_no = ?",
        (*_terms(account), seq, seq, book, number),
    )


def update_totals(connection: Connection, book: int, columns: Sequence[Sequence[int]]) -> None:
    """Columns: total_in, total_out, held, touched_seq, last_seq, last_position, posting_seq, account_no."""
    run_for_each(
        connection,
        "UPDATE account SET total_in = ?, total_out = ?, held = ?, touched_seq = ?, last_seq = ?, last_position = ?, "
        f"posting_seq = ? WHERE book_id = {int(book)} AND account_no = ?",
        columns,
    )


def update_held(connection: Connection, book: int, standing: Standing, seq: int) -> None:
    run(
        connection,
        "UPDATE account SET held = ?, touched_seq = ?, posting_seq = ? WHERE book_id = ? AND account_no = ?",
        (standing.held, seq, seq, book, standing.number),
    )


def load_parties(connection: Connection, book: int) -> dict[PartyId, Party]:
    rows = connection.execute(select(party_table).where(party_table.c.book_id == book))
    return {PartyId(row.party_id): Party(PartyId(row.party_id), row.name, row.organisation) for row in rows}


def save_parties(connection: Connection, book: int, parties: Sequence[Party]) -> None:
    upsert_rows(connection, party_table, [(book, party.id, party.name, party.organisation) for party in parties])


def load_statuses(
    connection: Connection, book: int, after: int | None = None, only: Sequence[int] | None = None
) -> list[AccountStatus]:
    """The book's accounts with their totals and last transfers, in the order they were opened: all of them, or those
    that a batch later than `after` changed, or those of the numbers in `only`. A last transfer whose archive is away
    is left out."""
    query = select(account_table).where(account_table.c.book_id == book)
    if after is not None:
        query = query.where(account_table.c.touched_seq > after)
    if only is not None:
        query = query.where(account_table.c.account_no.in_(only))
    rows = connection.execute(query.order_by(account_table.c.account_no)).all()
    places = sorted({(row.last_seq, row.last_position) for row in rows if row.last_seq})
    last = transfer_rows.load_transfers(connection, book, places, as_far_as_there=True)
    statuses = []
    for row in rows:
        account = account_of(row)
        of = account.currency
        statuses.append(
            AccountStatus(
                account,
                Money(row.total_in, of),
                Money(row.total_out, of),
                row.touched_seq,
                last.get((row.last_seq, row.last_position)),
                row.held,
            )
        )
    return statuses


def insert_seal(connection: Connection, seal: Seal, leaves: bytes) -> None:
    row = (seal.book, seal.seq, seal.posted_time, seal.transfers, seal.events, seal.previous, seal.hash, leaves)
    insert_rows(connection, seal_table, [row])


def find_seal_hash(connection: Connection, book: int, seq: int) -> bytes | None:
    """What the batch was sealed with; None when there is no such batch."""
    row = run(connection, "SELECT hash FROM seal WHERE book_id = ? AND seq = ?", (book, seq)).fetchone()
    return bytes(row[0]) if row else None


def _in_chunks(connection: Connection, query: Select[Any], column: Any, values: Sequence[Any]) -> Iterator[Row[Any]]:
    for start in range(0, len(values), _IDS_PER_SELECT):
        yield from connection.execute(query.where(column.in_(values[start : start + _IDS_PER_SELECT])))
