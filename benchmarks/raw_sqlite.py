"""The baseline on SQLite: the same rows by the bare driver, on the same disk."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from benchmarks.raw_rows import TABLES, WIDTHS, Row, Rows, key_of
from ledger.database import CACHE_KIBIBYTES, WAL_PAGES


class RawSqlite:
    """Both tables in a file of their own: STRICT, write-ahead log, `synchronous=FULL`, the ledger's cache."""

    def __init__(self, path: Path, ledger: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            f"cache_size = -{CACHE_KIBIBYTES}",
            f"wal_autocheckpoint = {WAL_PAGES}",
        ):
            self._connection.execute(f"PRAGMA {pragma}")
        for schema in _schemas(ledger):
            self._connection.execute(schema)
        self._transfers, self._keys = (
            f"INSERT INTO {table} VALUES ({', '.join('?' * width)})"
            for table, width in zip(TABLES, WIDTHS, strict=True)
        )

    def insert(self, batches: Iterable[Rows]) -> float:
        keyed = [(rows, [key_of(row) for row in rows]) for rows in batches]
        started = time.perf_counter()
        for rows, keys in keyed:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(self._transfers, rows)
                self._connection.executemany(self._keys, keys)
        return time.perf_counter() - started

    def commit_one(self, row: Row) -> float:
        started = time.perf_counter()
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(self._transfers, row)
        return time.perf_counter() - started

    def close(self) -> None:
        self._connection.close()


def _schemas(ledger: Path) -> list[str]:
    """What made both tables and their indexes in the ledger's own file."""
    query = "SELECT sql FROM sqlite_master WHERE tbl_name IN (?, ?) AND sql IS NOT NULL ORDER BY type DESC"
    with closing(sqlite3.connect(ledger)) as connection:
        return [schema for (schema,) in connection.execute(query, TABLES)]
