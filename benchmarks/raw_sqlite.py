"""The baseline of everything durable: the same rows by the bare SQLite driver, on the same disk."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[tuple[Any, ...]]


def posted_rows(ledger: Path, after_seq: int) -> list[tuple[Any, ...]]:
    """The transfer rows of a ledger's batches after this one, in their order."""
    with sqlite3.connect(ledger) as connection:
        query = "SELECT * FROM transfer WHERE seq > ? ORDER BY seq, position"
        rows = connection.execute(query, (after_seq,)).fetchall()
    connection.close()
    return rows


class RawTable:
    """A transfer table as the ledger has it (constraints, indexes, STRICT) in a file of its own, WAL and FULL."""

    def __init__(self, path: Path, ledger: Path) -> None:
        with sqlite3.connect(ledger) as connection:
            (schema,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'transfer'").fetchone()
            width = len(connection.execute("PRAGMA table_info(transfer)").fetchall())
        connection.close()
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(schema)
        self._insert = f"INSERT INTO transfer VALUES ({', '.join('?' * width)})"

    def insert(self, rows: Rows, per_commit: int) -> float:
        """Insert the rows, so many in each commit; the seconds it took."""
        started = time.perf_counter()
        for start in range(0, len(rows), per_commit):
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(self._insert, rows[start : start + per_commit])
            self._connection.execute("COMMIT")
        return time.perf_counter() - started

    def close(self) -> None:
        self._connection.close()
