"""One process at a time settles for a gateway: the lock that keeps the others away."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import IO

from core.errors import Misconfigured, Problem, Unavailable
from ledger.database import (
    Connection,
    DBAPIError,
    connect,
    errors_of,
    is_postgresql_url,
    open_engine,
    sqlite_path,
    unusable,
)
from ledger.statements import run


class DatabaseLock:
    """Keeps a second process from settling what this one settles: two of them would price from stale meters.

    On SQLite the whole file, on PostgreSQL the gateway's name in it. The kernel, or the server, frees the lock when its
    holder dies.
    """

    def __init__(self, url: str, gateway: str = "main") -> None:
        path = sqlite_path(url)
        self._path = path.resolve().with_name(path.name + ".lock") if path else None
        self._url = url
        self._gateway = gateway
        self._file: IO[str] | None = None
        self._connection: Connection | None = None

    def acquire(self) -> None:
        """Raises Unavailable saying who holds it when another process does; Misconfigured when there can be no file."""
        if self._path is not None:
            self._file = _locked_file(self._path)
        elif is_postgresql_url(self._url):
            self._connection = _locked_name(self._url, self._gateway)

    def is_held(self) -> bool:
        """Whether it is still ours: on PostgreSQL it is lost with its connection."""
        if self._connection is None:
            return self._file is not None
        try:
            run(self._connection, "SELECT 1")
        except (DBAPIError, errors_of(self._connection).Error):
            return False
        return True

    def keep(self) -> bool:
        """Hold it on: take it again when it was lost with its connection. True when it was, for somebody else may have
        held it meanwhile; Unavailable while somebody does, or while the database is not there."""
        if self.is_held():
            return False
        self.release()
        self.acquire()
        return True

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._connection is not None:
            with suppress(Exception):  # it may be broken in any way
                self._connection.close()
            self._connection = None


def _locked_file(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        text = f"cannot write in {path.parent}: {error.strerror}; make it writable, or choose another folder"
        raise Misconfigured([Problem(text, path="ledger.url")]) from None
    try:
        _lock(file)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise Unavailable(
            f"{path} is held by process {holder}: another Myntverk settles into this ledger; stop it first"
        ) from None
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()
    return file


def _locked_name(url: str, gateway: str) -> Connection:
    connection = connect(open_engine(url)).execution_options(isolation_level="AUTOCOMMIT")
    number = int.from_bytes(sha256(f"myntverk gateway {gateway}".encode()).digest()[:8], "big", signed=True)
    try:
        is_ours = run(connection, "SELECT pg_try_advisory_lock(?::bigint)", (number,)).fetchone()[0]
    except (DBAPIError, errors_of(connection).Error) as error:
        with suppress(Exception):  # it may be broken in any way
            connection.close()
        raise unusable(connection.engine, "locked", error) from error
    if not is_ours:
        connection.close()
        raise Unavailable(
            f"gateway {gateway!r} settles into this ledger already; stop it first, or name this one otherwise"
        )
    return connection


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        file.seek(0x7FFF0000)  # far behind the process id, which stays readable
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
