"""Months that left the database for files: which files hold them, and how they are read as if nothing had moved.

An archive holds whole batches, and the archives of a book hold all batches from the first one on. What is small and
asked for often (accounts, events, postings, seals, ids) stays in the database too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from core.errors import Rejected
from ledger import archive_file
from ledger.database import Connection, Engine, is_postgresql, readers_of, sqlite_path
from ledger.statements import run

FOLDER = "archive"
"""Beside a SQLite ledger, where its archives are when nothing else is said."""

_FOLDER_OPTION = "archive_folder"

Item = TypeVar("Item")
Place = tuple[int, int]
"""Batch and position of an entry."""
Find = Callable[[Connection, int, Sequence[Place]], dict[Place, Item]]
"""Looks entries of a book up in one database."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Batches of a book that stand in a file, as the database remembers it."""

    book: int
    first_seq: int
    last_seq: int
    first_month: int
    """In UTC, as 202611."""
    last_month: int
    transfers: int
    file: str
    """The file's name, without its folder."""
    sha256: bytes
    """Of the file as it was written."""


def keep_in(engine: Engine, folder: Path) -> None:
    """From now on the archives of every book in this database are in this folder."""
    for each in (readers_of(engine), engine):
        each.update_execution_options(**{_FOLDER_OPTION: folder})


def folder_of(connection: Connection) -> Path:
    """Where the archives are; Rejected `no_archive_folder` when nobody said it and the database is no file."""
    given = connection.engine.get_execution_options().get(_FOLDER_OPTION)
    if given is not None:
        return Path(given)
    path = sqlite_path(connection.engine.url)
    if path is None:
        raise Rejected("no_archive_folder", "nobody said in which folder the archives of this database are")
    return path.with_name(FOLDER)


def load_archives(connection: Connection, book: int) -> list[Archive]:
    """In the order of their batches."""
    rows = run(
        connection,
        "SELECT book_id, first_seq, last_seq, first_month, last_month, transfers, file, sha256 FROM archive "
        "WHERE book_id = ? ORDER BY first_seq",
        (book,),
    )
    return [Archive(*row) for row in rows.fetchall()]


@contextmanager
def opened(connection: Connection, archive: Archive) -> Iterator[Connection]:
    """The archive's own rows, in tables of the same names; to read.

    Rejected `archive_is_missing` when its file is not there, `archive_was_altered` when it is another or is damaged.
    """
    path = folder_of(connection) / archive.file
    if not archive_file.is_there(path):
        months = f"{archive_file.month_text(archive.first_month)} to {archive_file.month_text(archive.last_month)}"
        raise Rejected(
            "archive_is_missing",
            f"the transfers of {months} are in {archive.file}, which is not in {path.parent}; put it back there",
        )
    with archive_file.opened(path) as file:
        held = archive_file.describe(file)
        if (held.book_id, held.first_seq, held.last_seq) != (archive.book, archive.first_seq, archive.last_seq):
            raise Rejected("archive_was_altered", f"{path} holds other batches than the book put into it")
        yield file


def wait_for_files(connection: Connection) -> None:
    """PostgreSQL ends a transaction that asks nothing for a while, as one does that reads a long file meanwhile. This
    one may wait to its end: it reads, and holds nobody up."""
    if is_postgresql(connection):
        run(connection, "SET LOCAL idle_in_transaction_session_timeout = 0")


def streamed(connection: Connection, book: int, read: Callable[[Connection], Iterator[Item]]) -> Iterator[Item]:
    """What is read from each archive in the order of their batches, then from the database; errors as of `opened`."""
    yield from streamed_from_archives(connection, book, read)
    yield from read(connection)


def streamed_from_archives(
    connection: Connection, book: int, read: Callable[[Connection], Iterator[Item]]
) -> Iterator[Item]:
    """The same without what the database itself has."""
    archives = load_archives(connection, book)
    if archives:
        wait_for_files(connection)
    for archive in archives:
        with opened(connection, archive) as file:
            yield from read(file)


def find_entries(
    connection: Connection, book: int, places: Sequence[Place], find: Find[Item], as_far_as_there: bool = False
) -> dict[Place, Item]:
    """What the archives hold at these places, if they are archived at all; errors as of `opened`, or none when only
    what is there is wanted."""
    found: dict[Place, Item] = {}
    for archive in load_archives(connection, book):
        there = [place for place in places if archive.first_seq <= place[0] <= archive.last_seq]
        try:
            if there:
                with opened(connection, archive) as file:
                    found.update(find(file, book, there))
                    lost = [place for place in there if place not in found]
                    if lost:
                        text = f"transfer {lost[0][1]} of batch {lost[0][0]} is missing in {archive.file}"
                        raise Rejected("archive_was_altered", text)
        except Rejected:
            if not as_far_as_there:
                raise
    return found


def load_newest(
    connection: Connection, book: int, limit: int, load: Callable[[Connection, int, int], list[Item]]
) -> list[Item]:
    """What `load` reads from the last archives, newest first, up to the first one that is away."""
    found: list[Item] = []
    with suppress(Rejected):
        for archive in reversed(load_archives(connection, book)):
            with opened(connection, archive) as file:
                found += load(file, book, limit - len(found))
            if len(found) >= limit:
                break
    return found


def load_leaves(connection: Connection, book: int, seq: int) -> bytes:
    """The leaves of a batch, wherever they are; errors as of `opened`, none at all of a batch that is not there."""
    text = "SELECT leaves FROM seal WHERE book_id = ? AND seq = ?"
    for archive in load_archives(connection, book):
        if archive.first_seq <= seq <= archive.last_seq:
            with opened(connection, archive) as file:
                row = run(file, text, (book, seq)).fetchone()
            break
    else:
        row = run(connection, text, (book, seq)).fetchone()
    return bytes(row[0]) if row else b""
