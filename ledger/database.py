"""The database: engine, pragmas, metadata, transactions; nothing of accounts or transfers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

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

_POSTGRESQL_ARGUMENTS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # what was sent and is not acknowledged: there are no keepalives then
    # Every statement has its index: a plan that was made while a table was empty must not scan it when it is full.
    "options": "-c lock_timeout=10s -c idle_in_transaction_session_timeout=15s -c enable_seqscan=off -c jit=off",
}


def open_engine(url: str) -> Engine:
    """An engine whose transactions mean what they say: a commit that returned survives a power cut.

    SQLite: write-ahead log, `synchronous=FULL`, one transaction per `begin()` (the driver's own implicit
    transactions are off). PostgreSQL: READ COMMITTED, its durable defaults, and limits on waiting, so that a gateway
    that hangs in a transaction stops no other for longer. Readers see a consistent snapshot while writers go on.
    """
    target = make_url(url)
    if is_postgresql_url(target):
        target = target.set(drivername="postgresql+psycopg")
        engine = create_engine(target, poolclass=NullPool, connect_args=_POSTGRESQL_ARGUMENTS)
        event.listen(engine, "connect", _prepare_postgresql)
        return engine
    path = sqlite_path(target)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(target, poolclass=NullPool, connect_args={"check_same_thread": False})
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
    cursor.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
    cursor.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    cursor.close()


def _prepare_postgresql(connection: Any, _record: object) -> None:
    connection.prepare_threshold = 1  # a gateway repeats a few statements for ever


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
        raise Unavailable(f"the database cannot be reached: {said(error)}") from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A consistent snapshot to read from."""
    try:
        with engine.connect() as connection:
            if is_postgresql(connection):
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection
    except (DBAPIError, engine.dialect.loaded_dbapi.Error) as error:
        raise Unavailable(f"the database cannot be read: {said(error)}") from error


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
    return str(getattr(error, "orig", error)).strip()


def driver_of(connection: Connection) -> Any:
    """The driver's own connection."""
    return connection.connection.driver_connection
