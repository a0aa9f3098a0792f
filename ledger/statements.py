"""Statements that go to the driver itself: SQLAlchemy's work per statement costs more than SQLite's.

They are written with `?` for a value, whatever the driver's own mark is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain, islice
from typing import Any

from ledger.database import Connection, Table, driver_of, is_postgresql

ROWS_PER_INSERT = 25
"""Rows in one INSERT on SQLite: more of them spare calls, many more cost as much in parsing."""
VALUES_PER_SELECT = 500
VALUES_PER_STATEMENT_MAX = 65_535
"""PostgreSQL counts them with 16 bits."""
COPY_ROWS_MIN = 8
"""Below this one INSERT takes fewer trips to PostgreSQL than a COPY."""

_COPY_TYPES = {"BigInteger": "int8", "Text": "text", "LargeBinary": "bytea"}
"""Column type → PostgreSQL's own, for a binary COPY."""
_TYPES: dict[str, type] = {"BigInteger": int, "Text": str, "LargeBinary": bytes}


def run(connection: Connection, statement: str, values: Sequence[Any] = ()) -> Any:
    """Execute one statement; answers the driver's cursor, which has `rowcount` and iterates over tuples."""
    return driver_of(connection).execute(_marked(statement, connection.dialect.name), values)


@contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """On PostgreSQL, what is executed inside is sent without waiting for each answer; a failure shows at the end."""
    if is_postgresql(connection):
        with driver_of(connection).pipeline():
            yield
    else:
        yield


def run_for_any(
    connection: Connection, statement: str, column: str, wanted: Sequence[Any], values: Sequence[Any] = ()
) -> Iterator[tuple[Any, ...]]:
    """The rows of a SELECT, which ends in a WHERE, whose `column` is any of those wanted; nothing else is sorted."""
    if is_postgresql(connection):
        if wanted:
            yield from run(connection, f"{statement} AND {column} = ANY(?)", (*values, list(wanted)))
        return
    for start in range(0, len(wanted), VALUES_PER_SELECT):
        chunk = wanted[start : start + VALUES_PER_SELECT]
        yield from run(connection, f"{statement} AND {column} IN ({', '.join('?' * len(chunk))})", (*values, *chunk))


def run_many(connection: Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Execute one statement for each row of values; no row at all is no statement."""
    if rows:
        driver_of(connection).cursor().executemany(_marked(statement, connection.dialect.name), rows)


def run_for_each(connection: Connection, statement: str, columns: Sequence[Sequence[int]]) -> None:
    """Execute one UPDATE for each row of whole numbers, given as columns in the order of the `?`; on PostgreSQL all
    rows at once, joined to what is updated."""
    if not columns[0]:
        return
    if is_postgresql(connection):
        names = [f"value_{place}" for place in range(len(columns))]
        change, _, where = statement.replace("?", "{}").format(*names).partition(" WHERE ")
        source = f"unnest({', '.join(['?::bigint[]'] * len(columns))}) AS given({', '.join(names)})"
        run(connection, f"{change} FROM {source} WHERE {where}", [list(column) for column in columns])
    else:
        run_many(connection, statement, list(zip(*columns, strict=True)))


def insert_rows(
    connection: Connection, table: Table, given: Iterable[tuple[Any, ...]], count: int | None = None
) -> None:
    """Insert rows given in the table's column order, by the fastest way that the driver has. They may be made as they
    are asked for, `count` in all: PostgreSQL takes in the first ones meanwhile."""
    rows = given if isinstance(given, list) or count is not None else list(given)
    count = len(rows) if isinstance(rows, list) else count
    if not count:
        return
    driver = driver_of(connection)
    if is_postgresql(connection):
        if count >= COPY_ROWS_MIN and not driver.pgconn.pipeline_status:
            text, types = _copy_text(table)
            with driver.cursor().copy(text) as copy:
                copy.set_types(types)
                for row in rows:
                    copy.write_row(row)
        else:
            remaining = iter(rows)
            while some := list(islice(remaining, VALUES_PER_STATEMENT_MAX // len(table.columns))):
                text = _marked(_insert_text(table, len(some)), "postgresql")
                driver.execute(text, list(chain.from_iterable(some)))
        return
    rows = list(rows)
    whole = count - count % ROWS_PER_INSERT
    if whole:
        width = ROWS_PER_INSERT * len(table.columns)
        values = list(chain.from_iterable(rows[:whole]))
        text = _insert_text(table, ROWS_PER_INSERT)
        driver.executemany(text, [values[start : start + width] for start in range(0, len(values), width)])
    if whole < count:
        driver.executemany(_insert_text(table, 1), rows[whole:])


def check_rows(table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """TypeError or ValueError where a row cannot be one of the table's: told before it is sent with others' rows."""
    fits = _fits(table)
    for row in rows:
        if len(row) != len(fits):
            raise ValueError(f"a row of {table.name} has {len(fits)} values, got {len(row)}")
        for (name, type_, is_nullable), value in zip(fits, row, strict=True):
            if value is None and is_nullable:
                continue
            if not isinstance(value, type_) or isinstance(value, bool):
                raise TypeError(f"expected {type_.__name__} as {table.name}.{name}, got {value!r:.100}")
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise ValueError(f"expected a number of 64 bits as {table.name}.{name}, got {value}")
            if isinstance(value, str) and b"\0" in value.encode():
                raise ValueError(f"expected text without zero characters as {table.name}.{name}, got {value!r:.100}")


def upsert_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows given in the table's column order; where the key is there, replace what it holds."""
    run_many(connection, _upsert_text(table), rows)


@lru_cache(maxsize=256)
def _marked(statement: str, dialect_name: str) -> str:
    # Binary values: as text, an array of ids takes longer to write down than to look up.
    return statement if dialect_name == "sqlite" else statement.replace("?", "%b")


@lru_cache(maxsize=256)
def _insert_text(table: Table, rows: int) -> str:
    columns = ", ".join(column.name for column in table.columns)
    row = f"({', '.join('?' * len(table.columns))})"
    return f"INSERT INTO {table.name} ({columns}) VALUES {', '.join([row] * rows)}"


@lru_cache(maxsize=64)
def _fits(table: Table) -> list[tuple[str, type, bool]]:
    """Each column's name, the type of its values, and whether there may be none."""
    return [(each.name, _TYPES.get(type(each.type).__name__, object), bool(each.nullable)) for each in table.columns]


@lru_cache(maxsize=64)
def _upsert_text(table: Table) -> str:
    keys = [column.name for column in table.primary_key.columns]
    changes = [f"{column.name} = excluded.{column.name}" for column in table.columns if column.name not in keys]
    return f"{_insert_text(table, 1)} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {', '.join(changes)}"


@lru_cache(maxsize=64)
def _copy_text(table: Table) -> tuple[str, list[str]]:
    columns = ", ".join(column.name for column in table.columns)
    types = [_COPY_TYPES[type(column.type).__name__] for column in table.columns]
    return f"COPY {table.name} ({columns}) FROM STDIN (FORMAT BINARY)", types
