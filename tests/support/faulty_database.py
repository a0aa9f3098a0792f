"""A real database that fails at a chosen moment: it cannot be reached, a statement or a commit fails, or a commit is
kept and its answer is lost.

On SQLite the driver raises what it raises on a bad disk; on PostgreSQL the connection is really cut.
"""

from __future__ import annotations

import os
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import psycopg
from sqlalchemy import Engine, event

from ledger import postgresql
from ledger.database import readers_of


class Moment(StrEnum):
    """When something may happen to whoever uses a database."""

    CONNECT = "before a connection is made"
    STATEMENT = "before a statement"
    COMMIT = "before a commit"
    ANSWER = "after a commit, before its answer"


Watch = Callable[[Moment, Any], None]
"""Called at each moment with the driver's connection, or None when there is none yet; it may raise, or kill."""


def watch(engine: Engine, watcher: Watch) -> None:
    """Let `watcher` see every moment of the connections that the engine makes from now on."""

    def connect(_dialect: object, _record: object, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        watcher(Moment.CONNECT, None)
        if engine.dialect.name == "sqlite":
            connection: Any = sqlite3.connect(*arguments, factory=_SqliteConnection, **options)
        else:
            connection = _PostgresqlConnection.connect(*arguments, cursor_factory=_PostgresqlCursor, **options)
        connection.watcher = watcher
        return connection

    for each in {engine, readers_of(engine)}:
        if event.contains(each, "do_connect", postgresql.connect):
            event.remove(each, "do_connect", postgresql.connect)
        event.listen(each, "do_connect", connect)


class _SqliteCursor(sqlite3.Cursor):
    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        _pass(Moment.STATEMENT, self.connection)
        return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        _pass(Moment.STATEMENT, self.connection)
        return super().executemany(*arguments)


class _SqliteConnection(sqlite3.Connection):
    watcher: Watch | None = None

    def cursor(self, factory: Any = _SqliteCursor) -> Any:  # every way to execute goes through it
        return super().cursor(factory)

    def commit(self) -> None:
        _pass(Moment.COMMIT, self)
        super().commit()
        _pass(Moment.ANSWER, self)


class _PostgresqlCursor(psycopg.Cursor[Any]):
    def execute(self, *arguments: Any, **options: Any) -> Any:
        _pass(Moment.STATEMENT, self.connection)
        return super().execute(*arguments, **options)

    def executemany(self, *arguments: Any, **options: Any) -> None:
        _pass(Moment.STATEMENT, self.connection)
        super().executemany(*arguments, **options)

    def copy(self, *arguments: Any, **options: Any) -> Any:
        _pass(Moment.STATEMENT, self.connection)
        return super().copy(*arguments, **options)


class _PostgresqlConnection(postgresql.PatientConnection):
    watcher: Watch | None = None

    def commit(self) -> None:
        _pass(Moment.COMMIT, self)
        super().commit()
        _pass(Moment.ANSWER, self)


def _pass(moment: Moment, connection: Any) -> None:
    if connection.watcher is not None:
        connection.watcher(moment, connection)


class FaultyDatabase:
    """Lets an engine's database fail once, when it is told to."""

    def __init__(self, engine: Engine) -> None:
        self.struck: Counter[Moment] = Counter()
        """How often it failed at each moment."""
        self.passed: Counter[Moment] = Counter()
        """How often each moment went by, since it was last told to fail."""
        self._moment: Moment | None = None
        self._before = 0
        self._refused_after = 0
        self._connections_refused = 0
        self._error: Any = engine.dialect.loaded_dbapi
        watch(engine, self._pass)

    def fail(self, moment: Moment, after: int = 0, connections_refused: int = 0) -> None:
        """Fail once at this moment, after it went by so often; then refuse so many connections."""
        self.passed.clear()
        self._before = after
        self._refused_after = connections_refused
        self._moment = moment

    def heal(self) -> None:
        self._moment = None
        self._connections_refused = 0
        self.passed.clear()

    def _pass(self, moment: Moment, connection: Any) -> None:
        if moment is Moment.CONNECT and self._connections_refused:
            self._connections_refused -= 1
            raise self._error.OperationalError("planted: connection refused")
        self.passed[moment] += 1
        if self._moment is not moment or self.passed[moment] <= self._before:
            return
        self._moment = None
        self.struck[moment] += 1
        self._connections_refused = self._refused_after
        if isinstance(connection, psycopg.Connection):
            cut(connection)
            if moment is not Moment.ANSWER:
                return  # the driver finds out by itself
        raise self._error.OperationalError(f"planted: lost {moment.value}")


def cut(connection: psycopg.Connection[Any]) -> None:
    """What a broken network does to a connection: neither side hears of the other again."""
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)
