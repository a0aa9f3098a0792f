"""A file with months of one book: the ledger's own tables, and one that says what the file holds.

It needs no other database: it is a book as it stood after the file's last batch, without what came before its first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from core.errors import Rejected, Unavailable
from ledger import tables
from ledger.database import Connection, DBAPIError, making_file, open_file, said
from ledger.statements import run

VERSION = "mv-archive-1"

TABLES = (
    tables.book_table,
    tables.party_table,
    tables.account_table,
    tables.event_table,
    tables.transfer_table,
    tables.transfer_key_table,
    tables.posting_table,
    tables.seal_table,
    tables.hold_table,
    tables.reversal_table,
    tables.link_table,
    tables.link_hour_table,
    tables.archive_table,
)
"""All that a reader of a book may look for; holds, reversals, totals and archives of archives stay empty."""


@dataclass(frozen=True, slots=True)
class Description:
    """What an archive holds: batches `first_seq` to `last_seq` of a book, and where they stand in its chain."""

    version: str
    book: str
    """The book's name."""
    book_id: int
    first_seq: int
    last_seq: int
    first_month: int
    """In UTC, as 202611."""
    last_month: int
    transfers: int
    previous: bytes
    """The hash of the batch before the first."""
    hash: bytes
    """The hash of the last batch."""


_COLUMNS = ", ".join(field.name for field in fields(Description))
_TYPES = {"str": "TEXT", "int": "INTEGER", "bytes": "BLOB"}


@contextmanager
def making(path: Path) -> Iterator[Connection]:
    """A new archive to fill; it is not durable yet when this ends. Unavailable when it cannot be written."""
    columns = ", ".join(f"{field.name} {_TYPES[str(field.type)]} NOT NULL" for field in fields(Description))
    try:
        with making_file(path, TABLES) as connection:
            run(connection, f"CREATE TABLE description ({columns}) STRICT")
            yield connection
    except sqlite3.Error as error:
        raise Unavailable(f"{path} cannot be written: {said(error)}") from error


def put_description(connection: Connection, description: Description) -> None:
    values = astuple(description)
    run(connection, f"INSERT INTO description ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)


@contextmanager
def opened(path: Path) -> Iterator[Connection]:
    """An archive to read; Rejected `archive_is_missing`, `archive_was_altered` when it is not there or damaged."""
    if not is_there(path):
        raise Rejected("archive_is_missing", f"there is no file {path}")
    try:
        with open_file(path).connect() as connection:
            yield connection
    except (DBAPIError, sqlite3.Error) as error:
        raise Rejected("archive_was_altered", f"{path} cannot be read: {said(error)}") from error


def is_there(path: Path) -> bool:
    """Whether there is such a file; a folder that may not be looked into has none."""
    try:
        return path.is_file()
    except OSError:
        return False


def describe(connection: Connection) -> Description:
    """What the archive says of itself; Rejected `not_an_archive` when it is another kind of file."""
    if run(connection, "SELECT 1 FROM sqlite_schema WHERE name = 'description'").fetchone() is None:
        raise Rejected("not_an_archive", "the file is a database, and no archive of a book")
    row = run(connection, f"SELECT {_COLUMNS} FROM description").fetchone()
    if row is None or row[0] != VERSION:
        raise Rejected("not_an_archive", f"expected an archive of version {VERSION}, got {row and row[0]!r}")
    return Description(*row)


def month_text(month: int) -> str:
    """As `2026-11`."""
    return f"{month // 100:04}-{month % 100:02}"
