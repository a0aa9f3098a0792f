"""The bare driver's tables: what the ledger's hold, and nothing else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest

from benchmarks.book import open_book
from benchmarks.database import Database, Postgresql, fresh_postgresql, posted_rows
from benchmarks.load import OWNER, Load
from benchmarks.posting import post_built
from benchmarks.raw_rows import Rows, by_batch, last_seq


def test_the_rows_that_the_ledger_posted_go_into_raw_tables_of_the_same_shape(database: Database) -> None:
    load = Load(20, 50)
    with open_book(database.url, [OWNER], load.accounts) as writer:
        tally = post_built(writer, load.works(3))
    rows = posted_rows(database, 0)
    raw = database.raw("bulk")
    assert len(rows) == tally.posted > 0
    assert raw.insert(by_batch(rows)) > 0
    assert _transfers_and_keys(database) == (sorted(rows), tally.posted)
    raw.close()


def test_raw_tables_keep_the_ledgers_constraints(database: Database) -> None:
    load = Load(20, 10)
    with open_book(database.url, [OWNER], load.accounts) as writer:
        post_built(writer, load.works(1))
    rows = posted_rows(database, 0)
    raw = database.raw("bulk")
    raw.commit_one(rows[0])
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        raw.commit_one(rows[0])
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        raw.insert([[(*rows[1][:4], b"short", *rows[1][5:])]])
    raw.close()


def test_rows_are_told_apart_by_their_batch() -> None:
    rows: Rows = [(1, 7, 0, 202611), (1, 7, 1, 202611), (1, 8, 0, 202611)]
    assert [len(batch) for batch in by_batch(rows)] == [2, 1]
    assert (last_seq(rows), last_seq([])) == (8, 0)


def test_a_measured_postgresql_database_is_dropped_even_when_measuring_fails(server: str) -> None:
    names: list[str] = []

    def fail() -> None:
        with fresh_postgresql(server) as database, psycopg.connect(database.uri) as connection:
            names.extend(name for (name,) in connection.execute("SELECT current_database()"))
            raise ValueError("while it is measured")

    with pytest.raises(ValueError, match="while it is measured"):
        fail()
    with psycopg.connect(server) as connection:
        assert connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", names).fetchall() == []
    assert names[0].startswith("bench_")


def _transfers_and_keys(database: Database) -> tuple[Rows, int]:
    """What the bare driver's tables hold."""
    transfers, keys = "SELECT * FROM {}transfer ORDER BY seq, position", "SELECT count(*) FROM {}transfer_key"
    if isinstance(database, Postgresql):
        with psycopg.connect(database.uri) as connection:
            rows = connection.execute(transfers.format("raw_bulk.")).fetchall()
            (count,) = connection.execute(keys.format("raw_bulk.")).fetchone() or (0,)
        return rows, count
    path = Path(database.url.removeprefix("sqlite:///"))
    with sqlite3.connect(path.with_name(f"{path.stem}-bulk.db")) as file:
        rows = file.execute(transfers.format("")).fetchall()
        (count,) = file.execute(keys.format("")).fetchone()
    file.close()
    return rows, count
