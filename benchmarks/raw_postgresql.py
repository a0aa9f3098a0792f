"""The baseline on PostgreSQL: the same rows by psycopg's binary COPY, in the same database."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from benchmarks.raw_rows import TABLES, WIDTHS, Row, Rows, key_of

_TYPES = """SELECT format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""


class RawPostgresql:
    """Both tables in a schema of their own; `transfer` in one piece, without partitions."""

    def __init__(self, uri: str, schema: str) -> None:
        self._connection = psycopg.connect(uri, autocommit=True, prepare_threshold=1)
        self._connection.execute(f"CREATE SCHEMA {schema}")
        self._transfers, self._keys = (f"{schema}.{table}" for table in TABLES)
        for table, name in zip(TABLES, (self._transfers, self._keys), strict=True):
            self._connection.execute(f"CREATE TABLE {name} (LIKE public.{table} INCLUDING ALL)")
        self._types = {name: self._types_of(name) for name in (self._transfers, self._keys)}
        self._insert_one = f"INSERT INTO {self._transfers} VALUES ({', '.join(['%s'] * WIDTHS[0])})"

    def insert(self, batches: Iterable[Rows]) -> float:
        keyed = [(rows, [key_of(row) for row in rows]) for rows in batches]
        started = time.perf_counter()
        for rows, keys in keyed:
            with self._connection.transaction(), self._connection.cursor() as cursor:
                self._copy(cursor, self._transfers, rows)
                self._copy(cursor, self._keys, keys)
        return time.perf_counter() - started

    def commit_one(self, row: Row) -> float:
        started = time.perf_counter()
        self._connection.execute(self._insert_one, row)
        return time.perf_counter() - started

    def close(self) -> None:
        self._connection.close()

    def _types_of(self, table: str) -> list[str]:
        return [str(name) for (name,) in self._connection.execute(_TYPES, (table,))]

    def _copy(self, cursor: psycopg.Cursor[Any], table: str, rows: Sequence[Row]) -> None:
        with cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(self._types[table])
            for row in rows:
                copy.write_row(row)
