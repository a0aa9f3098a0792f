"""The database: engine, pragmas, metadata, transactions; nothing of accounts or transfers."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from sqlalchemy import BigInteger, Integer, MetaData, create_engine, event
from sqlalchemy import Connection as Connection
from sqlalchemy import Engine as Engine
from sqlalchemy import Row as Row
from sqlalchemy import Table as Table
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError as DBAPIError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from core.errors import InvariantBroken, OutcomeUnknown, Unavailable
from ledger.settings import PASSWORD_VARIABLE

if TYPE_CHECKING:
    from ledger.postgresql import Limits

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
CACHE_KIBIBYTES = 64 * 1024
WAL_PAGES = 4_000
"""Pages in the write-ahead log before SQLite moves them home: 16 MB, a few batches of 5,000."""

READERS_KEPT = 4
"""Connections to read a PostgreSQL that stay open while nobody reads; where more read at once, more are made."""


def open_engine(url: str, limits: Limits | None = None) -> Engine:
    """An engine whose transactions mean what they say: a commit that returned survives a power cut.

    SQLite: write-ahead log, `synchronous=FULL`, one transaction per `begin()` (the driver's own implicit
    transactions are off). PostgreSQL: READ COMMITTED, its durable defaults, and `limits` on waiting, so that a gateway
    that hangs in a transaction stops no other for longer. Readers see a consistent snapshot while writers go on; on
    PostgreSQL they share a few connections that stay open until the engine is disposed of.
    """
    target = make_url(url)
    if is_postgresql_url(target):
        return _open_postgresql(target.set(drivername="postgresql+psycopg"), limits)
    path = sqlite_path(target)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(target, poolclass=NullPool, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin)
    return engine


def _open_postgresql(target: URL, limits: Limits | None) -> Engine:
    """The engine to write with, which knows the one to read with: what they may wait for differs."""
    from ledger.postgresql import Limits, connect, connect_arguments  # only here: SQLite needs no driver

    limits = limits or Limits()

    def prepare(connection: Any, _record: object) -> None:
        connection.prepare_threshold = 1  # a gateway repeats a few statements for ever
        connection.answer_seconds = limits.write_answer_seconds

    def begin_reading(connection: Any, *_: object) -> None:
        connection.answer_seconds = limits.read_answer_seconds

    def end_reading(connection: Any, *_: object) -> None:
        if connection is not None:
            connection.answer_seconds = limits.write_answer_seconds  # to be asked whether it still lives

    readers = create_engine(
        target,
        pool_size=READERS_KEPT,
        max_overflow=-1,
        pool_pre_ping=True,
        connect_args=connect_arguments(limits, limits.read_pause_seconds),
    )
    event.listen(readers, "checkout", begin_reading)
    event.listen(readers, "checkin", end_reading)
    writers = create_engine(
        target,
        poolclass=NullPool,
        pool_reset_on_return=None,  # it is closed: rolling a lost one back would only be complained of
        connect_args=connect_arguments(limits, limits.write_pause_seconds),
        execution_options={_READERS: readers},
    )
    event.listen(writers, "engine_disposed", lambda _: readers.dispose())
    for engine in (readers, writers):
        event.listen(engine, "do_connect", connect)
        event.listen(engine, "connect", prepare)
    _pooled.add(readers)
    return writers


def readers_of(engine: Engine) -> Engine:
    """The engine to read with: a pool of its own on PostgreSQL, the same one on SQLite."""
    readers: Engine = engine.get_execution_options().get(_READERS, engine)
    return readers


def _leave_connections_to_the_parent() -> None:
    for engine in _pooled:
        engine.dispose(close=False)


_READERS = "readers"
_pooled: WeakSet[Engine] = WeakSet()
"""Engines that keep connections, which a forked process must not use: they are its parent's."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_connections_to_the_parent)


@lru_cache(maxsize=64)
def open_file(path: Path) -> Engine:
    """A SQLite file that is done, to read: nothing is written into it or beside it."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    return create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False),
        poolclass=NullPool,
    )


@contextmanager
def making_file(path: Path, tables: Sequence[Table]) -> Iterator[Connection]:
    """A new SQLite file with these tables, filled in one transaction; whoever makes it must see that it is durable.

    It keeps no log of its own: a file that was not finished is to be made anew.
    """
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    event.listen(engine, "connect", _prepare_file)
    event.listen(engine, "begin", _begin)
    with engine.connect() as connection, connection.begin():
        metadata.create_all(connection, tables=tables)
        yield connection


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
    cursor.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
    cursor.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    cursor.close()


def _prepare_file(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIBIBYTES}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("write", False)
    driver_of(connection).execute("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def transaction(connection: Connection) -> Iterator[Connection]:
    """One all-or-nothing write. A failure of the database becomes `Unavailable`: nothing was kept then. When it is lost
    in the commit itself nobody knows, and it becomes `OutcomeUnknown`."""
    if not connection.get_execution_options().get("write"):
        connection.execution_options(write=True)
    errors = errors_of(connection)
    try:
        work = connection.begin()
    except (DBAPIError, errors.Error) as error:
        raise Unavailable(f"the database cannot be written now: {said(error)}") from error
    try:
        yield connection
    except BaseException as error:
        with suppress(DBAPIError, errors.Error):
            work.rollback()
        if isinstance(error, (IntegrityError, errors.IntegrityError)):
            raise InvariantBroken(f"the database holds a rule that our decision broke: {said(error)}") from error
        if isinstance(error, (DBAPIError, errors.Error)):
            raise Unavailable(f"the database did not accept the batch: {said(error)}") from error
        raise
    try:
        work.commit()
    except (DBAPIError, errors.Error) as error:
        was_refused = _was_refused(connection, error)
        with suppress(DBAPIError, errors.Error):
            work.rollback()
        if was_refused:
            raise Unavailable(f"the database did not keep the batch: {said(error)}") from error
        raise OutcomeUnknown(f"the database did not say whether it kept the batch: {said(error)}") from error


def connect(engine: Engine) -> Connection:
    """A connection to write with; Unavailable when the database is not there."""
    try:
        return engine.connect()
    except (DBAPIError, engine.dialect.loaded_dbapi.Error) as error:
        raise unusable(engine, "reached", error) from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A consistent snapshot to read from."""
    try:
        with readers_of(engine).connect() as connection:
            if is_postgresql(connection):
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            work = connection.begin()
            try:
                yield connection
            except BaseException:
                with suppress(DBAPIError, errors_of(connection).Error):  # what went wrong before says more
                    work.rollback()
                raise
            work.commit()
    except (DBAPIError, engine.dialect.loaded_dbapi.Error) as error:
        raise unusable(engine, "read", error) from error


def unusable(engine: Engine, what: str, error: BaseException) -> Unavailable:
    """The database cannot be read, or whatever was tried: what it said, what was expected, and where it is."""
    url = engine.url
    place = URL.create(url.get_backend_name(), url.username, None, url.host, url.port, url.database)
    told = [f"the database cannot be {what}: {said(error)}", *filter(None, [_expected(engine, error)])]
    return Unavailable(f"{'; '.join(told)} ({place})")


def _expected(engine: Engine, error: BaseException) -> str | None:
    if engine.dialect.name == "sqlite":
        return "expected a file that Myntverk wrote, or may make, on a local disk with room left"
    code = getattr(getattr(error, "orig", error), "sqlstate", None)
    return _NOT_CONNECTED if code is None else _EXPECTED.get(code)


_NOT_CONNECTED = (
    "expected a PostgreSQL that answers there, with this database and user, whose password is in "
    f"{PASSWORD_VARIABLE} or ~/.pgpass"
)
_EXPECTED = {
    "42P01": "expected a database with a ledger in it; run the plant first, or correct ledger.url in its file",
    "42501": "expected a user who owns the tables, or may make them: GRANT USAGE, CREATE ON SCHEMA public",
    "57P03": "it starts or ends just now; try again",
    "53300": "it has no connection left; end some, or raise its max_connections",
}
"""PostgreSQL's code for what is wrong → what was expected, and what to do."""


def without_hurry(connection: Connection) -> Connection:
    """For what may take any time, such as a migration: the server may be silent as long as it wants."""
    if is_postgresql(connection):
        driver_of(connection).answer_seconds = None
    return connection


def is_postgresql_url(url: URL | str) -> bool:
    return make_url(url).get_backend_name() == "postgresql"


def is_postgresql(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def errors_of(connection: Connection) -> Any:
    """The driver's own errors: statements that go past SQLAlchemy raise them as they are."""
    return connection.dialect.loaded_dbapi


def _was_refused(connection: Connection, error: BaseException) -> bool:
    """Whether it was the database itself that said no to a commit, as with a full disk; else its answer was lost."""
    said = getattr(error, "orig", error)
    if is_postgresql(connection):
        return getattr(said, "sqlstate", None) is not None and not connection.invalidated
    return getattr(said, "sqlite_errorcode", None) is not None


def said(error: BaseException) -> str:
    """What the database said, in one line and without the statement that it points into."""
    text = re.sub(r"\nLINE \d+: .*\n *\^", "", str(getattr(error, "orig", error)))
    return " ".join(text.split())


def driver_of(connection: Connection) -> Any:
    """The driver's own connection."""
    return connection.connection.driver_connection
