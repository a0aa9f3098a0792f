"""Transfers in the database: found by their ids, loaded from their places, wherever the months are kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, select

from core.clock import Instant
from core.ids import TransferId
from core.money import Money, currency
from ledger import archived
from ledger.account import AccountId
from ledger.database import is_postgresql
from ledger.statements import run, run_for_any
from ledger.tables import (
    account_table,
    seal_table,
    transfer_table,
)
from ledger.transfer import Transfer, TransferKind, TransferRequest

_PLACES_PER_SELECT = 100
_PREFIX = itemgetter(slice(0, 4))
_NEIGHBOURS_MIN = 16
"""So many ids that begin alike are worth a look at what stands between the first and the last."""

NEW_MONTH_LOCK = 7_310_579_613
"""Of PostgreSQL's advisory locks, the one that a gateway holds while it makes a month's partition."""


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


_TRANSFERS = _transfers_query()

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
