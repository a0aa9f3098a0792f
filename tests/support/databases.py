"""Databases to test on: a fresh one each, of both kinds."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import psycopg
from sqlalchemy.engine import make_url

VARIABLE = "MYNTVERK_TEST_POSTGRES"


@cache
def postgresql_server() -> str | None:
    """The url of a PostgreSQL where databases may be made: the one named, or the local one; None when none answers."""
    for url in filter(None, (os.environ.get(VARIABLE), "postgresql:///postgres", "postgresql://localhost/postgres")):
        try:
            psycopg.connect(url, connect_timeout=3).close()
        except psycopg.OperationalError:
            continue
        return url
    return None


@contextmanager
def postgresql_database() -> Iterator[str]:
    """The url of a new, empty database, which is dropped at the end."""
    server = postgresql_server()
    assert server is not None, "ask for the fixture that skips when there is no PostgreSQL"
    name = f"myntverk_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield make_url(server).set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def cut_locks(url: str) -> int:
    """End every session that holds a gateway's name in this database, as an operator may; how many there were."""
    with psycopg.connect(url, autocommit=True) as connection:
        locks = (
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        # With a time to wait: who asks next finds the session gone.
        return len(connection.execute(f"SELECT pg_terminate_backend(pid, 10000) FROM ({locks}) held").fetchall())
