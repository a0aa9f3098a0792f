"""Holds in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, or_, select

from core.clock import Instant
from core.ids import TransferId
from core.money import Money, currency
from ledger.account import AccountId
from ledger.hold import NEVER, Hold, HoldState
from ledger.statements import run, upsert_rows
from ledger.tables import (
    account_table,
    hold_table,
)
from ledger.transfer import TransferRequest


def _holds_query() -> Select[Any]:
    debit, credit = account_table.alias("debit_account"), account_table.alias("credit_account")
    return (
        select(
            hold_table, debit.c.account_id.label("debit_id"), credit.c.account_id.label("credit_id"), debit.c.currency
        )
        .join(debit, and_(debit.c.book_id == hold_table.c.book_id, debit.c.account_no == hold_table.c.debit))
        .join(credit, and_(credit.c.book_id == hold_table.c.book_id, credit.c.account_no == hold_table.c.credit))
    )


_HOLDS = _holds_query()

_OPEN_HOLDS = _HOLDS.where(hold_table.c.state == HoldState.OPEN.value).order_by(
    hold_table.c.expires, hold_table.c.hold_id
)


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
