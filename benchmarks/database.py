"""Where the ledger is measured: a fresh SQLite file, or a fresh database of a PostgreSQL server."""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from benchmarks.raw_postgresql import RawPostgresql
from benchmarks.raw_rows import RawTable, Rows
from benchmarks.raw_sqlite import RawSqlite
from benchmarks.run import say

SERVER_VARIABLE = "MYNTVERK_TEST_POSTGRES"
SERVER = "postgresql:///test"
"""A server on this machine's own socket, as Debian installs it."""
CONNECT_SECONDS_MAX = 5
CATCH_UP_SECONDS_MAX = 300.0
CATCH_UP_LOOK_SECONDS = 0.01


class Database(Protocol):
    """A database for one book, and the bare driver's tables beside it."""

    @property
    def name(self) -> str:
        """`sqlite` or `postgresql`."""
        ...

    @property
    def url(self) -> str:
        """For `ledger.database.open_engine`."""
        ...

    def connect(self) -> Any:
        """The bare driver's connection, to read with; it shows what is committed at each statement."""
        ...

    def raw(self, name: str) -> RawTable:
        """Empty tables like the ledger's, once those exist."""
        ...


@dataclass(frozen=True, slots=True)
class Sqlite:
    """A file, and beside it one for each of the bare driver's tables."""

    path: Path
    name: str = "sqlite"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def connect(self) -> Any:
        return sqlite3.connect(self.path, isolation_level=None)

    def raw(self, name: str) -> RawTable:
        return RawSqlite(self.path.with_name(f"{self.path.stem}-{name}.db"), self.path)


@dataclass(frozen=True, slots=True)
class Postgresql:
    """A database of a server, and in it a schema for each of the bare driver's tables."""

    uri: str
    name: str = "postgresql"

    @property
    def url(self) -> str:
        return self.uri

    def connect(self) -> Any:
        return psycopg.connect(self.uri, autocommit=True)

    def raw(self, name: str) -> RawTable:
        return RawPostgresql(self.uri, f"raw_{name}")


def find_server() -> str | None:
    """The PostgreSQL server to measure on; None, and a line that says so, where none answers."""
    server = os.environ.get(SERVER_VARIABLE) or SERVER
    try:
        psycopg.connect(server, connect_timeout=CONNECT_SECONDS_MAX).close()
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        say(f"ledger: no PostgreSQL, so its figures are left out ({SERVER_VARIABLE} names a server): {reason}")
        return None
    return server


@contextmanager
def fresh_postgresql(server: str) -> Iterator[Postgresql]:
    """A database that exists for as long as it is measured."""
    name = f"bench_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield Postgresql(make_url(server).set(database=name).render_as_string(hide_password=False))
        finally:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def posted_rows(database: Database, after_seq: int) -> Rows:
    """The transfer rows of the batches after this one, in their order."""
    query = f"SELECT * FROM transfer WHERE seq > {after_seq} ORDER BY seq, position"
    with closing(database.connect()) as connection:
        rows: Rows = connection.execute(query).fetchall()
    return rows


def catch_up(database: Database) -> float:
    """Wait until the writer has added up the totals per link, so that it disturbs nothing; the seconds that took."""
    started = time.perf_counter()
    with closing(database.connect()) as connection:
        while connection.execute("SELECT seq - totalled_seq FROM book").fetchone()[0]:
            if time.perf_counter() - started > CATCH_UP_SECONDS_MAX:
                raise RuntimeError(f"the totals per link were not added up within {CATCH_UP_SECONDS_MAX:g} s")
            time.sleep(CATCH_UP_LOOK_SECONDS)
    return time.perf_counter() - started
