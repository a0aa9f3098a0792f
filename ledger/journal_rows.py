"""The journal's rows in the book's order, without holding them all; what was archived comes first, from its files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ledger import tables
from ledger.archived import streamed
from ledger.database import Connection, Row, Table

ROWS_AT_ONCE = 1_000
SEALS_AT_ONCE = 200


class SealRow(NamedTuple):
    """A row of `seal_table`."""

    book_id: int
    seq: int
    posted_time: int
    transfers: int
    events: int
    previous: bytes
    hash: bytes
    leaves: bytes


def read_seals(connection: Connection, book: int) -> Iterator[SealRow]:
    """Every batch's seal as this database has it: of an archived one the leaves are elsewhere, their root is left."""
    table = tables.seal_table
    query = table.select().where(table.c.book_id == book).order_by(table.c.seq)
    for row in connection.execute(query, execution_options={"yield_per": SEALS_AT_ONCE}):
        yield SealRow(*row)


def read_events(connection: Connection, book: int) -> Iterator[Row[Any]]:
    """Every row of `event_table`; events are never archived."""
    return read_rows(connection, tables.event_table, book)


def read_transfers(
    connection: Connection, book: int, source: str = "", with_archives: bool = True
) -> Iterator[Row[Any]]:
    """Every row of `transfer_table`, or those whose source begins so; Rejected `archive_is_missing` or
    `archive_was_altered` where they cannot be had."""
    if not with_archives:
        return read_rows(connection, tables.transfer_table, book, source)
    return streamed(connection, book, lambda each: read_rows(each, tables.transfer_table, book, source))


def read_rows(connection: Connection, table: Table, book: int, source: str = "") -> Iterator[Row[Any]]:
    """Every row of a journalled table that this very database has."""
    query = table.select().where(table.c.book_id == book).order_by(table.c.seq, table.c.position)
    if source:
        query = query.where(table.c.source.startswith(source))
    yield from connection.execute(query, execution_options={"yield_per": ROWS_AT_ONCE})
