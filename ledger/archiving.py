"""Takes old months out of a book: into a file that proves itself, and only then out of the database.

The file is written, made durable, read back and compared with the book's chain before the database forgets anything;
that it was archived, and that its rows are gone, is one transaction. Whenever this dies, the book has all its rows or
the whole file. What left are the transfers and the leaves of their batches; a batch keeps the root of its leaves, so
that the chain in the database can be recomputed as before.

Nobody adds to what is archived: a batch of a month is of its posting time, and the book is past that month.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from core.clock import EPOCH, Instant, from_datetime
from core.errors import Misconfigured, Problem, Rejected, Unavailable
from ledger import archive_file, hash_tree, statement, store, tables, totals
from ledger.append import month_of
from ledger.archive_file import VERSION, Description, month_text
from ledger.archive_verification import sha256_of, verify_file
from ledger.archived import Archive, folder_of, load_archives, wait_for_files
from ledger.database import (
    Connection,
    DBAPIError,
    Engine,
    Table,
    connect,
    errors_of,
    is_postgresql,
    reading,
    transaction,
    without_hurry,
)
from ledger.hold import NEVER
from ledger.journal import GENESIS
from ledger.posting import Standing
from ledger.statements import insert_rows, run, run_many

ROWS_AT_ONCE = 5_000
SEALS_AT_ONCE = 500
TRANSFERS_ADDED_AT_ONCE = 10_000
"""Transfers that are added up per link in one transaction, which who posts meanwhile waits for."""
DROP_WAIT_MILLISECONDS = 1_000
"""How long an emptied month may wait for its readers before it is left for the next time."""

_LOCK = 7_310_579_613
"""With the book's name it gives the one of PostgreSQL's advisory locks that who archives it holds."""
_PARTITION = re.compile(r"transfer_([0-9]{6})")


def archive(engine: Engine, book: str, until: int) -> Archive:
    """Move every batch of the months up to and with `until`, as 202603 in UTC, into one file.

    Rejected `unknown_book`, `month_is_open` when the book is not past that month, `nothing_to_archive`,
    `archive_exists` when another file has that name; Unavailable when the database cannot be had, or somebody else
    archives this book; Misconfigured when the folder cannot be written.
    """
    writing = without_hurry(connect(engine))
    try:
        with _alone(writing, book):
            description = _plan(engine, book, until)
            _add_up(writing, book, description.last_seq)
            folder = folder_of(writing)
            try:
                made = _write(engine, description, folder)
            except OSError as error:
                raise Misconfigured([Problem(f"cannot write in {folder}: {error.strerror}")]) from None
            _forget(writing, made, folder / made.file)
            return made
    finally:
        writing.close()


def drop_emptied_months(engine: Engine) -> list[int]:
    """On PostgreSQL: drop the partitions of archived months that hold nothing any more, for anybody; the months.

    What somebody still reads, or waits for longer than a moment, is left for another time.
    """
    if engine.dialect.name != "postgresql":
        return []
    connection = without_hurry(connect(engine))
    try:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        until = _one(connection, "SELECT coalesce(max(last_month), 0) FROM archive", ())
        months = [month for month in _partitions(connection) if month <= until]
        return [month for month in months if _drop(connection, month)]
    except (DBAPIError, errors_of(connection).Error):
        return []
    finally:
        connection.close()


def _plan(engine: Engine, book: str, until: int) -> Description:
    """Which batches go."""
    end = _end_of(until)
    with reading(engine) as connection:
        head = store.find_book(connection, book)
        if head is None:
            raise Rejected("unknown_book", f"there is no book {book!r} in this database")
        if head.posted_time < end:
            raise Rejected(
                "month_is_open",
                f"the book's last batch is of {month_text(month_of(head.posted_time))}, so more may still come into "
                f"{month_text(until)}; archive it once something was posted in a later month",
            )
        before = load_archives(connection, head.book)
        first_seq = before[-1].last_seq + 1 if before else 1
        last_seq = statement.seq_at(connection, head.book, Instant(end - 1))
        if last_seq < first_seq:
            raise Rejected("nothing_to_archive", f"all that was posted up to {month_text(until)} is archived already")
        text = (
            "SELECT min(posted_time), max(posted_time), CAST(sum(transfers) AS BIGINT) FROM seal "
            "WHERE book_id = ? AND seq >= ? AND seq <= ?"
        )
        first_time, last_time, transfers = run(connection, text, (head.book, first_seq, last_seq)).fetchone()
        return Description(
            VERSION,
            book,
            head.book,
            first_seq,
            last_seq,
            month_of(first_time),
            month_of(last_time),
            int(transfers),
            store.find_seal_hash(connection, head.book, first_seq - 1) or GENESIS,
            store.find_seal_hash(connection, head.book, last_seq) or b"",
        )


def _add_up(writing: Connection, book: str, last_seq: int) -> None:
    """Totals per link are added up from rows; after this they need none of those that go."""
    while True:
        with transaction(writing) as connection:
            head = store.find_book(connection, book, lock=True)
            if head is None or head.totalled_seq >= last_seq:
                return
            if not totals.add_up(connection, head.book, head.totalled_seq, TRANSFERS_ADDED_AT_ONCE):
                return  # the batches that are left move nothing


def _write(engine: Engine, description: Description, folder: Path) -> Archive:
    """The file in its place, durable, read back and found to be what the book's chain says."""
    months = f"{month_text(description.first_month)}--{month_text(description.last_month)}"
    name = f"{description.book}-{months}.sqlite"
    target, part = folder / name, folder / f".{name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    _may_be_written(target, description)
    part.unlink(missing_ok=True)  # of one that died
    try:
        with reading(engine) as connection, archive_file.making(part) as file:
            _fill(connection, file, description)
        _make_durable(part)
        found = verify_file(part)
        if found.faults or found.description != description:
            problem = found.faults[0] if found.faults else "it says something else of itself"
            raise Rejected("archive_is_wrong", f"what was written does not prove itself: {problem}; verify the book")
        sha256 = sha256_of(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    _make_durable(folder)
    of = description
    return Archive(of.book_id, of.first_seq, of.last_seq, of.first_month, of.last_month, of.transfers, name, sha256)


def _may_be_written(target: Path, description: Description) -> None:
    """What an attempt left that died is replaced; anything else of that name is not ours to replace."""
    if not target.exists():
        return
    try:
        with archive_file.opened(target) as file:
            held = archive_file.describe(file)
    except Rejected:
        held = None
    if held != description:
        raise Rejected("archive_exists", f"{target} is there already and holds something else; move it away")


def _fill(connection: Connection, file: Connection, of: Description) -> None:
    wait_for_files(connection)
    archive_file.put_description(file, of)
    book, span = of.book_id, (of.first_seq, of.last_seq)
    head = store.find_book(connection, of.book)
    if head is None:
        raise Rejected("unknown_book", f"there is no book {of.book!r} in this database")
    _copy(connection, file, tables.party_table, book)
    _fill_accounts(connection, file, book, of.last_seq)
    for table in (tables.event_table, tables.transfer_table, tables.posting_table, tables.seal_table):
        _copy(connection, file, table, book, span)
    run(
        file,
        "INSERT INTO transfer_key (book_id, transfer_id, seq, position) "
        "SELECT book_id, transfer_id, seq, position FROM transfer ORDER BY book_id, transfer_id",
    )
    text = "SELECT posted_time FROM seal WHERE book_id = ? AND seq = ?"
    (posted_time,) = run(file, text, (book, of.last_seq)).fetchone()
    text = "SELECT CAST(sum(transfers) AS BIGINT) FROM seal WHERE book_id = ? AND seq <= ?"
    (transfers,) = run(connection, text, (book, of.last_seq)).fetchone()
    row = (book, of.book, of.last_seq, of.hash, posted_time, int(transfers), EPOCH, NEVER, of.last_seq)
    insert_rows(file, tables.book_table, [row])


def _fill_accounts(connection: Connection, file: Connection, book: int, last_seq: int) -> None:
    """Every account as the last batch left it, with the terms it had then."""
    rows = []
    for standing in store.load_standings(connection, book).values():
        number = standing.number
        status = statement.load_status_after(connection, book, number, last_seq)
        if status is None:
            continue
        event_seq = _one(
            connection,
            "SELECT max(seq) FROM event WHERE book_id = ? AND account_no = ? AND event IN ('opened', 'changed') "
            "AND seq <= ?",
            (book, number, last_seq),
        )
        moved = statement.find_moved(connection, book, number, last_seq)
        last = (moved.seq, statement.positions_of(moved.positions)[-1]) if moved else (0, 0)
        terms = store.account_row(book, Standing(number, status.account), event_seq)[:14]
        amounts = (status.total_in.units, status.total_out.units, status.held_units)
        rows.append((*terms, *amounts, max(event_seq, status.seq), *last, status.seq))
    insert_rows(file, tables.account_table, rows)


def _copy(
    connection: Connection, file: Connection, table: Table, book: int, span: tuple[int, int] | None = None
) -> None:
    query = table.select().where(table.c.book_id == book).order_by(*table.primary_key.columns)
    if span is not None:
        query = query.where(table.c.seq >= span[0], table.c.seq <= span[1])
    rows = iter(connection.execute(query, execution_options={"yield_per": ROWS_AT_ONCE}))
    for some in _in_parts(rows, ROWS_AT_ONCE):
        insert_rows(file, table, [tuple(row) for row in some])


def _forget(writing: Connection, made: Archive, path: Path) -> None:
    """Remember the file instead of the rows that are in it."""
    book, span = made.book, (made.first_seq, made.last_seq)
    with transaction(writing) as connection:
        last_seq = _one(connection, "SELECT max(last_seq) FROM archive WHERE book_id = ?", (book,)) or 0
        if last_seq != made.first_seq - 1:
            raise Rejected("nothing_to_archive", f"batch {made.first_seq} was archived meanwhile")
        row = (*span, made.first_month, made.last_month, made.transfers, made.file, made.sha256)
        insert_rows(connection, tables.archive_table, [(book, *row)])
        text = "DELETE FROM transfer WHERE book_id = ? AND seq >= ? AND seq <= ? AND month >= ? AND month <= ?"
        gone = run(connection, text, (book, *span, made.first_month, made.last_month)).rowcount
        if gone != made.transfers:
            raise Rejected("archive_is_wrong", f"{gone} transfers would go, {made.transfers} are in {made.file}")
        for roots in _in_parts(_roots(path, book), SEALS_AT_ONCE):
            run_many(connection, "UPDATE seal SET leaves = ? WHERE book_id = ? AND seq = ?", roots)


def _roots(path: Path, book: int) -> Iterator[tuple[bytes, int, int]]:
    """What is left of each batch's leaves, for whom."""
    with archive_file.opened(path) as file:
        for seq, leaves in run(file, "SELECT seq, leaves FROM seal WHERE book_id = ? ORDER BY seq", (book,)):
            yield hash_tree.root(leaves), book, seq


@contextmanager
def _alone(connection: Connection, book: str) -> Iterator[None]:
    """Nobody else archives this book meanwhile. (On SQLite that is for the caller to see to, by `DatabaseLock`.)"""
    if not is_postgresql(connection):
        yield
        return
    number = int.from_bytes(hashlib.sha256(f"{_LOCK} {book}".encode()).digest()[:8], "big", signed=True)
    with transaction(connection):
        (is_ours,) = run(connection, "SELECT pg_try_advisory_lock(?::bigint)", (number,)).fetchone()
    if not is_ours:
        raise Unavailable(f"somebody else archives book {book!r} at this moment")
    try:
        yield
    finally:
        with suppress(Exception), transaction(connection):  # it goes with its connection too
            run(connection, "SELECT pg_advisory_unlock(?::bigint)", (number,))


def _partitions(connection: Connection) -> list[int]:
    text = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = ?::regclass"
    names = (_PARTITION.fullmatch(name) for (name,) in run(connection, text, ("transfer",)))
    return sorted(int(name[1]) for name in names if name)


def _drop(connection: Connection, month: int) -> bool:
    """A table that vacuuming leaves without a page holds no row that anybody can see, in whatever snapshot; one that is
    merely empty may."""
    name = f"transfer_{int(month)}"
    if _one(connection, f"SELECT count(*) FROM (SELECT 1 FROM {name} LIMIT 1) AS any_row", ()):
        return False
    run(connection, f"VACUUM (TRUNCATE) {name}")
    if not _is_bare(connection, name):
        return False
    try:
        run(connection, "BEGIN")
        run(connection, f"SET LOCAL lock_timeout = '{DROP_WAIT_MILLISECONDS}ms'")
        run(connection, "LOCK TABLE transfer IN ACCESS EXCLUSIVE MODE")
        # A book that stands in that month goes on in it without asking for its partition again.
        text = "SELECT count(*) FROM book WHERE posted_time >= ? AND posted_time < ?"
        is_free = _is_bare(connection, name) and not _one(connection, text, (_begin_of(month), _end_of(month)))
        if is_free:
            run(connection, f"DROP TABLE {name}")
        run(connection, "COMMIT")
    except errors_of(connection).Error:
        run(connection, "ROLLBACK")
        return False
    return is_free


def _is_bare(connection: Connection, name: str) -> bool:
    return bool(_one(connection, "SELECT pg_relation_size(?::regclass)", (name,)) == 0)


def _make_durable(path: Path) -> None:
    """A file's content, or a folder's names, which Windows sees to by itself."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _in_parts(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(rows)
    while part := list(islice(remaining, size)):
        yield part


def _one(connection: Connection, text: str, values: tuple[Any, ...]) -> Any:
    return run(connection, text, values).fetchone()[0]


def _begin_of(month: int) -> Instant:
    return from_datetime(datetime(month // 100, month % 100, 1, tzinfo=UTC))


def _end_of(month: int) -> Instant:
    """The first microsecond of the next month."""
    return _begin_of(month + 1 if month % 100 < 12 else month + 89)
