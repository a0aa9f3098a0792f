"""Databases to measure on: a file, and a database of a PostgreSQL server where one answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.database import SERVER_VARIABLE, Database, Sqlite, find_server, fresh_postgresql


@pytest.fixture
def server() -> str:
    found = find_server()
    if found is None:
        pytest.skip(f"needs a PostgreSQL server; {SERVER_VARIABLE} names one")
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        yield Sqlite(tmp_path / "ledger.db")
        return
    with fresh_postgresql(request.getfixturevalue("server")) as postgresql:
        yield postgresql


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """No PostgreSQL, whatever this machine has."""
    monkeypatch.setenv(SERVER_VARIABLE, "postgresql://127.0.0.1:1/none")
