"""Whichever column of whichever row is altered by hand, the verification says so."""

from __future__ import annotations

from typing import Any

from altered_books import write_everything
from ledgers import open_book
from sqlalchemy import Column, Connection, Engine, LargeBinary, Row, Table, Text, and_, select
from sqlalchemy.exc import DBAPIError

from core.clock import SECOND
from ledger import tables
from ledger.database import open_engine
from ledger.store import find_book
from ledger.verification import verify

DAY = 24 * 3600 * SECOND
TABLES: list[Table] = [each for each in vars(tables).values() if isinstance(each, Table)]

EMPTY = {"outbox", "inbox", "archive"}
"""What goes from one book to another, which this book pays not, and what went into archives."""

WORDS = {
    "kind": ("bank", "machine"),
    "type": ("asset", "liability"),
    "currency": ("EUR", "SEK"),
    "state": ("frozen", "open", "captured", "released", "closed"),
    "labels": ("[", '{"line": "1"}', "{}"),
    "event": ("refused", "changed"),
}
"""What else such a column could say, so that no CHECK would mind."""

VARIETY = {"transfer": "kind", "event": "event", "hold": "state", "account": "kind"}
"""The column that tells the different rows of a table apart; of another table its last row is altered."""


def strange(value: Any) -> list[Any]:
    """What a careless reader would take for the same, or stumble over."""
    if value is None:
        return [b"", bytes(16), bytes(15) + b"\1"]
    return [value + b"\0", value[:-1], b""] if isinstance(value, bytes) else []


def others(column: Column[Any], value: Any) -> list[Any]:
    """Values that somebody might put there instead."""
    if isinstance(column.type, LargeBinary):
        return [value[:-1] + bytes([value[-1] ^ 1])] if value else []
    if isinstance(column.type, Text):
        return [*WORDS.get(column.name, ()), f"{value}x", "", value.upper()]
    return [value + 1, value - 1, 0, 2**62]


def faults(connection: Connection) -> tuple[str, ...]:
    head = find_book(connection, "test")
    return ("there is no such book",) if head is None else verify(connection, head).faults


def rows_of(connection: Connection, table: Table) -> list[Row[Any]]:
    """Rows that differ in what they are, or the last one."""
    rows = connection.execute(select(table).order_by(*table.primary_key.columns)).all()
    assert (not rows) == (table.name in EMPTY), f"what became of the rows of {table.name}?"
    difference = VARIETY.get(table.name, "book_id")
    return list({getattr(row, difference): row for row in rows}.values())


def name(table: Table, row: Row[Any], column: str) -> str:
    """How at least one fault must call the row: an entry of the journal by its name, if that was not altered."""
    if column in ("book_id", "seq") or table.name not in ("transfer", "event"):
        return ""
    if column in ("position", "transfer_id"):
        return f"batch {row.seq}"
    entry = f"event {row.position}" if table.name == "event" else f"transfer {row.transfer_id.hex()}"
    return f"{entry} of batch {row.seq}"


def is_seen(engine: Engine, table: Table, row: Row[Any], column: str, other: Any) -> bool | None:
    """Whether the verification finds it; None where the database does not let it happen."""
    this_row = and_(*(each == getattr(row, each.name) for each in table.primary_key.columns))
    with engine.connect() as connection, connection.begin() as work:
        try:
            connection.execute(table.update().where(this_row).values({column: other}))
        except DBAPIError:
            return None
        found = faults(connection)
        work.rollback()
        return any(name(table, row, column) in fault for fault in found)


def test_whatever_column_is_altered_it_is_found(database_url: str) -> None:
    with open_book(database_url) as book:
        write_everything(book)
    engine = open_engine(database_url)
    with engine.connect() as connection:
        assert faults(connection) == ()
        rows = [(table, row) for table in TABLES for row in rows_of(connection, table)]
    is_thorough = engine.dialect.name == "sqlite"  # it is a good deal faster
    unseen, altered = [], set()
    for table, row in rows if is_thorough else dict(rows).items():
        for column in table.columns:
            value = getattr(row, column.name)
            odd = strange(value) if is_thorough else []
            usual = [other for other in others(column, value) if other != value]
            enough = len(odd) + 2 if is_thorough else 1
            seen = [(other, is_seen(engine, table, row, column.name, other)) for other in odd]
            for other in usual:
                if sum(each is not None for _, each in seen) >= enough:
                    break
                seen.append((other, is_seen(engine, table, row, column.name, other)))
            altered |= {(table.name, column.name) for _, each in seen if each is not None}
            unseen += [(table.name, column.name, value, other) for other, each in seen if each is False]
    everything = {(table.name, column.name) for table in TABLES for column in table.columns}
    assert altered == {each for each in everything if each[0] not in EMPTY}
    too_early = [each for each in unseen if each[:2] == ("book", "next_expiry") and each[3] < each[2]]
    assert unseen == too_early, "a book may look for expired holds in vain, but nothing else may be altered"
