"""The ledger's rows: bulk reads and appends."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, or_, select

from core.clock import EPOCH, Instant
from core.ids import TransferId
from core.money import Money, currency
from ledger import archived
from ledger.account import Account, AccountId, AccountKind, AccountState, AccountType, Party, PartyId, is_writable
from ledger.balance import AccountStatus
from ledger.database import is_postgresql
from ledger.hold import NEVER, Hold, HoldState
from ledger.journal import GENESIS, Seal
from ledger.posting import Standing
from ledger.statements import insert_rows, run, run_for_any, run_for_each, upsert_rows
from ledger.tables import (
    account_table,
    book_table,
    hold_table,
    party_table,
    seal_table,
    transfer_table,
)
from ledger.transfer import Transfer, TransferKind, TransferRequest

_IDS_PER_SELECT = 500  # SQLite's default bound on parameters is far above; short statements stay cached
_PLACES_PER_SELECT = 100
_PREFIX = itemgetter(slice(0, 4))
_NEIGHBOURS_MIN = 16
"""So many ids that begin alike are worth a look at what stands between the first and the last."""


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
NEW_MONTH_LOCK = 7_310_579_613
"""The one that it holds while it makes a month's partition."""

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


def _transfers_query() -> Select[Any]:
    debit, credit = account_table.alias("debit_account"), account_table.alias("credit_account")
    return (
        select(
            transfer_table,
            seal_table.c.posted_time,
            debit.c.account_id.label("debit_id"),
            credit.c.account_id.label("credit_id"),
            debit.c.currency,
        )
        .join(
            seal_table, and_(seal_table.c.book_id == transfer_table.c.book_id, seal_table.c.seq == transfer_table.c.seq)
        )
        .join(debit, and_(debit.c.book_id == transfer_table.c.book_id, debit.c.account_no == transfer_table.c.debit))
        .join(
            credit, and_(credit.c.book_id == transfer_table.c.book_id, credit.c.account_no == transfer_table.c.credit)
        )
    )


def _transfer(row: Row[Any]) -> Transfer:
    request = TransferRequest(
        id=TransferId(row.transfer_id),
        debit=AccountId(row.debit_id),
        credit=AccountId(row.credit_id),
        amount=Money(row.amount, currency(row.currency)),
        effective_time=Instant(row.effective_time),
        text=row.text,
        reference=row.reference,
        source=row.source,
        kind=TransferKind(row.kind),
        cause=None if row.cause is None else TransferId(row.cause),
    )
    return Transfer(request, row.seq, row.position, Instant(row.posted_time))


def _holds_query() -> Select[Any]:
    debit, credit = account_table.alias("debit_account"), account_table.alias("credit_account")
    return (
        select(
            hold_table, debit.c.account_id.label("debit_id"), credit.c.account_id.label("credit_id"), debit.c.currency
        )
        .join(debit, and_(debit.c.book_id == hold_table.c.book_id, debit.c.account_no == hold_table.c.debit))
        .join(credit, and_(credit.c.book_id == hold_table.c.book_id, credit.c.account_no == hold_table.c.credit))
    )


_TRANSFERS = _transfers_query()
_HOLDS = _holds_query()
_OPEN_HOLDS = _HOLDS.where(hold_table.c.state == HoldState.OPEN.value).order_by(
    hold_table.c.expires, hold_table.c.hold_id
)

# Written out, because SQLite looks places that are joined by OR up by the book alone: it would read all of it.
_AT_PLACES = """
    WITH place (seq, position) AS (VALUES {places})
    SELECT t.*, s.posted_time, d.account_id AS debit_id, c.account_id AS credit_id, d.currency
    FROM place CROSS JOIN transfer t
    JOIN seal s ON s.book_id = t.book_id AND s.seq = t.seq
    JOIN account d ON d.book_id = t.book_id AND d.account_no = t.debit
    JOIN account c ON c.book_id = t.book_id AND c.account_no = t.credit
    WHERE t.book_id = {book} AND t.seq = place.seq AND t.position = place.position
"""


def find_transfers(connection: Connection, book: int, ids: Sequence[TransferId]) -> dict[TransferId, Transfer]:
    """Those of the ids that the book holds: nearly always none, so their presence is asked for before their content."""
    places = {(seq, position): TransferId(id) for id, seq, position in _find_keys(connection, book, ids)}
    found = load_transfers(connection, book, list(places)) if places else {}
    return {id: found[place] for place, id in places.items() if place in found}


def _find_keys(connection: Connection, book: int, ids: Sequence[TransferId]) -> Iterable[tuple[bytes, int, int]]:
    if len(ids) >= _NEIGHBOURS_MIN:
        ids = _not_surely_new(connection, book, sorted(ids))
        if not ids:
            return []
    if not is_postgresql(connection):
        text = "SELECT transfer_id, seq, position FROM transfer_key WHERE book_id = ?"
        return run_for_any(connection, text, "transfer_id", ids, (book,))
    # Whatever PostgreSQL believes of the table, each id is looked up in the index; one value is sent, not thousands.
    joined = b"".join(ids)
    rows: Iterable[tuple[bytes, int, int]] = run(
        connection,
        "SELECT k.transfer_id, k.seq, k.position FROM generate_series(1, ?, 16) AS start CROSS JOIN LATERAL "
        "(SELECT transfer_id, seq, position FROM transfer_key "
        "WHERE book_id = ? AND transfer_id = substring(? FROM start FOR 16) LIMIT 1) AS k",
        (len(joined), book, joined),
    )
    return rows


def _not_surely_new(connection: Connection, book: int, ids: list[TransferId]) -> list[TransferId]:
    """Ids made in order of time stand side by side, and nothing stands between them yet: one look tells it of all."""
    suspects: list[TransferId] = []
    for _, group in groupby(ids, key=_PREFIX):
        neighbours = list(group)
        if len(neighbours) < _NEIGHBOURS_MIN or _is_any_between(connection, book, neighbours[0], neighbours[-1]):
            suspects += neighbours
    return suspects


def _is_any_between(connection: Connection, book: int, first: TransferId, last: TransferId) -> bool:
    text = "SELECT 1 FROM transfer_key WHERE book_id = ? AND transfer_id BETWEEN ? AND ? LIMIT 1"
    return run(connection, text, (book, first, last)).fetchone() is not None


def load_transfers(
    connection: Connection, book: int, places: Sequence[tuple[int, int]], as_far_as_there: bool = False
) -> dict[tuple[int, int], Transfer]:
    """The transfers at these (seq, position), also where they were archived.

    Rejected `archive_is_missing`, `archive_was_altered` where they cannot be had; with `as_far_as_there` they are
    left out then.
    """
    found = _load_transfers(connection, book, places)
    if len(found) < len(places):
        missing = [place for place in places if place not in found]
        found.update(archived.find_entries(connection, book, missing, _load_transfers, as_far_as_there))
    return found


def _load_transfers(
    connection: Connection, book: int, places: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], Transfer]:
    found = {}
    for start in range(0, len(places), _PLACES_PER_SELECT):
        chunk = places[start : start + _PLACES_PER_SELECT]
        mark = "CAST(%s AS BIGINT)" if is_postgresql(connection) else "CAST(? AS BIGINT)"
        text = _AT_PLACES.format(places=", ".join([f"({mark}, {mark})"] * len(chunk)), book=int(book))
        for row in connection.exec_driver_sql(text, tuple(chain.from_iterable(chunk))):
            found[row.seq, row.position] = _transfer(row)
    return found


def append_keys(connection: Connection, book: int, seq: int) -> None:
    """Remember the ids of a batch's transfers for ever."""
    run(
        connection,
        "INSERT INTO transfer_key (book_id, transfer_id, seq, position) "
        "SELECT book_id, transfer_id, seq, position FROM transfer WHERE book_id = ? AND seq = ? ORDER BY transfer_id",
        (book, seq),
    )


def find_reversal(connection: Connection, book: int, original: TransferId) -> TransferId | None:
    row = run(
        connection, "SELECT reversed_by FROM reversal WHERE book_id = ? AND transfer_id = ?", (book, original)
    ).fetchone()
    return TransferId(bytes(row[0])) if row else None


def find_hold(connection: Connection, book: int, id: TransferId) -> Hold | None:
    query = _HOLDS.where(hold_table.c.book_id == book, hold_table.c.hold_id == id)
    return next((_hold(row) for row in connection.execute(query)), None)


def load_open_holds(
    connection: Connection,
    book: int,
    limit: int,
    expired_at: Instant | None = None,
    after: tuple[Instant, TransferId] | None = None,
) -> list[Hold]:
    """The first open holds in the order of their expiry and id, at most `limit`: of those that have expired by then, of
    those that come after one with that expiry and id."""
    query = _OPEN_HOLDS.where(hold_table.c.book_id == book).limit(limit)
    if expired_at is not None:
        query = query.where(hold_table.c.expires <= expired_at)
    if after is not None:
        expires, id = after
        is_later = and_(hold_table.c.expires == expires, hold_table.c.hold_id > id)
        query = query.where(hold_table.c.expires >= expires, or_(hold_table.c.expires > expires, is_later))
    return [_hold(row) for row in connection.execute(query)]


def next_expiry(connection: Connection, book: int) -> Instant:
    """When the next open hold expires."""
    row = run(connection, "SELECT min(expires) FROM hold WHERE book_id = ? AND state = 'open'", (book,)).fetchone()
    return NEVER if row[0] is None else Instant(row[0])


def save_holds(connection: Connection, book: int, rows: Sequence[tuple[int, int, Hold]]) -> None:
    """Holds with the numbers of their debit and credit account."""
    upsert_rows(
        connection,
        hold_table,
        [
            (
                book,
                hold.id,
                debit,
                credit,
                hold.amount.units,
                hold.captured,
                hold.expires,
                hold.state.value,
                hold.request.effective_time,
                hold.request.text,
                hold.request.reference,
                hold.request.source,
            )
            for debit, credit, hold in rows
        ],
    )


def _hold(row: Row[Any]) -> Hold:
    request = TransferRequest(
        id=TransferId(row.hold_id),
        debit=AccountId(row.debit_id),
        credit=AccountId(row.credit_id),
        amount=Money(row.amount, currency(row.currency)),
        effective_time=Instant(row.effective_time),
        text=row.text,
        reference=row.reference,
        source=row.source,
    )
    return Hold(request, Instant(row.expires), row.captured, HoldState(row.state))


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
    last = load_transfers(connection, book, places, as_far_as_there=True)
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


def load_newest(connection: Connection, book: int, limit: int) -> list[Transfer]:
    """The book's last transfers, newest first; archives that are away are left out."""
    newest = _load_newest(connection, book, limit)
    if len(newest) < limit:
        newest += archived.load_newest(connection, book, limit - len(newest), _load_newest)
    return newest


def _load_newest(connection: Connection, book: int, limit: int) -> list[Transfer]:
    query = (
        _TRANSFERS.where(transfer_table.c.book_id == book)
        .order_by(transfer_table.c.seq.desc(), transfer_table.c.position.desc())
        .limit(limit)
    )
    return [_transfer(found) for found in connection.execute(query)]


def insert_seal(connection: Connection, seal: Seal, leaves: bytes) -> None:
    row = (seal.book, seal.seq, seal.posted_time, seal.transfers, seal.events, seal.previous, seal.hash, leaves)
    insert_rows(connection, seal_table, [row])


def find_seal_hash(connection: Connection, book: int, seq: int) -> bytes | None:
    """What the batch was sealed with; None when there is no such batch."""
    row = run(connection, "SELECT hash FROM seal WHERE book_id = ? AND seq = ?", (book, seq)).fetchone()
    return bytes(row[0]) if row else None


def ensure_month(connection: Connection, month: int) -> None:
    """PostgreSQL keeps the transfers of each month in a partition of its own.

    It is made beside the table and then attached: a partition that is created in its place would wait for everybody
    who reads transfers, and keep them waiting.
    """
    if not is_postgresql(connection) or _is_attached(connection, month):
        return
    run(connection, f"SELECT pg_advisory_xact_lock({NEW_MONTH_LOCK})")
    if _is_attached(connection, month):
        return
    partition, after = f"transfer_{int(month)}", month + 1 if month % 100 < 12 else month + 89
    run(connection, f"CREATE TABLE {partition} (LIKE transfer INCLUDING ALL)")
    run(
        connection,
        f"ALTER TABLE transfer ATTACH PARTITION {partition} FOR VALUES FROM ({int(month)}) TO ({int(after)})",
    )


def _is_attached(connection: Connection, month: int) -> bool:
    # Not by to_regclass(), which may remember from before the lock that there was none.
    text = (
        "SELECT 1 FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent = 'transfer'::regclass AND relname = ?"
    )
    return run(connection, text, (f"transfer_{int(month)}",)).fetchone() is not None


def _in_chunks(connection: Connection, query: Select[Any], column: Any, values: Sequence[Any]) -> Iterator[Row[Any]]:
    for start in range(0, len(values), _IDS_PER_SELECT):
        yield from connection.execute(query.where(column.in_(values[start : start + _IDS_PER_SELECT])))
