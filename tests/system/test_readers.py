"""Readers on PostgreSQL: they share a few connections, outlive its restarts, and may take their time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import Unavailable
from ledger.database import Connection, Engine, connect, open_engine, reading, transaction
from ledger.operations import Reader
from ledger.postgresql import Limits
from ledger.statements import run
from migrations import upgrade
from tests.support.forked import Forked
from tests.support.load import Load
from tests.support.plant import eventually
from tests.support.postgresql_cluster import Cluster, postgresql_cluster
from tests.system.test_postgresql import writing

SECONDS_MAX = 30.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgresql_cluster() as cluster:
        yield cluster


@pytest.fixture
def url(cluster: Cluster) -> str:
    """A database with a book in it."""
    url = cluster.create_database()
    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()
    load = Load(1, "main", 10)
    with writing(url, load) as writer:
        writer.submit(load.work(0)).result(SECONDS_MAX)
    return url


def session_of(engine: Engine) -> int:
    """The number of the session that somebody reads in."""
    with reading(engine) as connection:
        return int(run(connection, "SELECT pg_backend_pid()").fetchone()[0])


def sessions(cluster: Cluster, url: str) -> set[int]:
    """Those that are open in the database."""
    name = url.rpartition("/")[2]
    return {pid for (pid,) in cluster.execute(f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}'")}


def test_one_question_after_the_other_is_asked_on_one_connection(url: str) -> None:
    engine = open_engine(url)
    assert len({session_of(engine) for _ in range(5)}) == 1
    engine.dispose()


def test_what_is_read_is_a_snapshot_whatever_was_read_before_on_its_connection(url: str) -> None:
    engine = open_engine(url)
    for _ in range(2):
        with reading(engine) as connection:
            settings = "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"
            assert run(connection, settings).fetchone() == ("repeatable read", "on")
    with connect(engine) as connection, transaction(connection):
        assert run(connection, settings).fetchone() == ("read committed", "off")
    engine.dispose()


def test_a_read_succeeds_after_the_server_was_restarted(cluster: Cluster, url: str) -> None:
    engine = open_engine(url)
    reader = Reader(engine, "main")
    before = reader.overview()
    with reading(engine), reading(engine):
        pass  # more than one connection waits to be used again
    cluster.restart()
    assert reader.overview() == before
    engine.dispose()


def test_a_read_that_is_under_way_when_the_server_cuts_it_is_unavailable_and_the_next_one_is_not(
    cluster: Cluster, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_engine(url)
    reader = Reader(engine, "main")

    def read() -> None:
        with reader.history() as history:
            cluster.cut_connections(url)
            list(history.transfers())

    with pytest.raises(Unavailable, match="cannot be read: terminating connection"):
        read()
    assert reader.verify().verified
    assert caplog.records == [], "who reads is told, and nobody else"
    engine.dispose()


def test_disposing_of_the_engine_closes_what_readers_left_open(cluster: Cluster, url: str) -> None:
    engine = open_engine(url)
    with reading(engine), reading(engine):
        pass
    assert sessions(cluster, url)
    engine.dispose()
    eventually(lambda: not sessions(cluster, url), SECONDS_MAX, "sessions that end")


def test_a_forked_process_reads_on_a_connection_of_its_own(cluster: Cluster, url: str, tmp_path: Path) -> None:
    engine = open_engine(url)
    ours = session_of(engine)

    def read() -> None:
        assert session_of(engine) != ours
        engine.dispose()

    child = Forked(read, tmp_path / "log")
    assert child.end() == 0, child.said
    assert ours in sessions(cluster, url)
    assert session_of(engine) == ours
    engine.dispose()


def pause_until_cut(cluster: Cluster, url: str, connection: Connection) -> None:
    """Do nothing in a transaction until the server has ended it; then go on."""
    session = run(connection, "SELECT pg_backend_pid()").fetchone()[0]
    eventually(lambda: session not in sessions(cluster, url), SECONDS_MAX, "a session that is cut")
    run(connection, "SELECT 1")


def test_a_reader_may_pause_where_a_writer_is_cut(cluster: Cluster, url: str) -> None:
    engine = open_engine(url, Limits(write_pause_seconds=1))

    def write() -> None:
        with connect(engine) as connection, transaction(connection):
            pause_until_cut(cluster, url, connection)

    with Reader(engine, "main").history() as history:
        with pytest.raises(Unavailable, match="idle-in-transaction"):
            write()
        assert len(list(history.transfers())) == 10
    engine.dispose()


def test_a_reader_that_pauses_for_ever_is_cut_too(cluster: Cluster, url: str) -> None:
    engine = open_engine(url, Limits(read_pause_seconds=1))

    def read() -> None:
        with reading(engine) as connection:
            pause_until_cut(cluster, url, connection)

    with pytest.raises(Unavailable, match="idle-in-transaction"):
        read()
    engine.dispose()
