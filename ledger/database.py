"""The database: engine, pragmas, metadata, transactions and bulk inserts; nothing of accounts or transfers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from sqlalchemy import BigInteger, Integer, MetaData, create_engine, event
from sqlalchemy import Connection as Connection
from sqlalchemy import Engine as Engine
from sqlalchemy import Row as Row
from sqlalchemy import Table as Table
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import NullPool

from core.errors import InvariantBroken, Misconfigured, Problem, Unavailable

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)
"""Every table of the product, whichever package owns it; Alembic compares the database with this."""

WHOLE_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
"""A signed 64-bit integer on every database; SQLite's STRICT tables know it as INTEGER."""

BUSY_TIMEOUT_MILLISECONDS = 10_000


def open_engine(url: str) -> Engine:
    """An engine whose transactions mean what they say: a commit that returned survives a power cut.

    SQLite: write-ahead log, `synchronous=FULL`, one transaction per `begin()` (the driver's own implicit
    transactions are off). Readers see a consistent snapshot while the writer goes on.
    """
    target = make_url(url)
    path = sqlite_path(target)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(target, poolclass=NullPool)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin)
    return engine


def sqlite_path(url: URL | str) -> Path | None:
    """The file behind a SQLite url; None for one in memory or for another database."""
    target = make_url(url)
    if target.get_backend_name() != "sqlite" or not target.database or target.database == ":memory:":
        return None
    return Path(target.database)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}")
    mode = cursor.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode not in ("wal", "memory"):
        raise Unavailable(f"SQLite keeps no write-ahead log here but {mode!r}: use a local disk, not a network share")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def transaction(connection: Connection) -> Iterator[Connection]:
    """One all-or-nothing write. A failure of the database itself becomes `Unavailable`; nothing was kept then."""
    connection.execution_options(write=True)
    try:
        with connection.begin():
            yield connection
    except IntegrityError as error:
        raise InvariantBroken(f"the database holds a rule that our decision broke: {error.orig}") from error
    except DBAPIError as error:
        raise Unavailable(f"the database did not accept the batch: {error.orig}") from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A consistent snapshot to read from."""
    try:
        with engine.connect() as connection, connection.begin():
            yield connection
    except DBAPIError as error:
        raise Unavailable(f"the database cannot be read: {error.orig}") from error


def insert_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows given in the table's column order, past SQLAlchemy's per-row work."""
    if rows:
        connection.exec_driver_sql(_insert_text(table, connection.dialect.name), list(rows))


def upsert_rows(
    connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]], adding: tuple[str, ...] = ()
) -> None:
    """Insert rows given in the table's column order; where the key is there, replace, or add to, what it holds."""
    if rows:
        connection.exec_driver_sql(_upsert_text(table, connection.dialect.name, adding), list(rows))


def placeholder(dialect_name: str) -> str:
    """How the database's driver marks a value in a statement."""
    return "?" if dialect_name == "sqlite" else "%s"


@lru_cache(maxsize=64)
def _insert_text(table: Table, dialect_name: str) -> str:
    columns = ", ".join(column.name for column in table.columns)
    marks = ", ".join(placeholder(dialect_name) for _ in table.columns)
    return f"INSERT INTO {table.name} ({columns}) VALUES ({marks})"


@lru_cache(maxsize=64)
def _upsert_text(table: Table, dialect_name: str, adding: tuple[str, ...]) -> str:
    keys = [column.name for column in table.primary_key.columns]
    changes = [
        f"{name} = {table.name}.{name} + excluded.{name}" if name in adding else f"{name} = excluded.{name}"
        for name in (column.name for column in table.columns)
        if name not in keys
    ]
    insertion = _insert_text(table, dialect_name)
    return f"{insertion} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {', '.join(changes)}"


class DatabaseLock:
    """Keeps a second process from settling into the same SQLite file: two of them would price from stale meters."""

    def __init__(self, url: str) -> None:
        path = sqlite_path(url)
        self._path = path.resolve().with_name(path.name + ".lock") if path else None
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Raises Unavailable naming the file when another process holds it; the kernel frees it if that one dies.

        Misconfigured when there can be no file.
        """
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._path.open("a+")
        except OSError as error:
            text = f"cannot write in {self._path.parent}: {error.strerror}; make it writable, or choose another folder"
            raise Misconfigured([Problem(text, path="ledger.url")]) from None
        try:
            _lock(file)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise Unavailable(
                f"{self._path} is held by process {holder}: another Myntverk settles into this ledger; stop it first"
            ) from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        file.seek(0x7FFF0000)  # far behind the process id, which stays readable
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
