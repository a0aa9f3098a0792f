"""A PostgreSQL that is restarted, that cuts its connections, and a network that loses its answers: nothing is lost,
nothing is posted twice, and the writer finds its way back by itself."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from core.clock import SystemClock
from core.errors import OutcomeUnknown, Unavailable
from ledger import store
from ledger.batch import Batch
from ledger.database import Engine, connect, open_engine, reading, transaction
from ledger.operations import Reader
from ledger.postgresql import Limits
from ledger.statements import run
from ledger.transfer import Posted
from ledger.writer import Writer
from migrations import upgrade
from tests.support.cutting_proxy import Cut, cutting_proxy
from tests.support.load import Load
from tests.support.plant import eventually
from tests.support.postgresql_cluster import PASSWORD, Cluster, postgresql_cluster

RESTARTS = 2
CUTS = 12
ANSWER_SECONDS_MAX = 30.0
RETRY_SECONDS = 0.05
COMMIT_MICROSECONDS = 100_000
"""How long a commit is made to take where it must still be under way when somebody looks for it."""
SHORT = Limits(connect_seconds=2, write_answer_seconds=1)
"""For a server that does not answer; two seconds are the least that libpq waits for a connection."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgresql_cluster() as cluster:
        yield cluster


@pytest.fixture
def url(cluster: Cluster) -> str:
    """A database with the tables in it."""
    url = cluster.create_database()
    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()
    return url


@contextmanager
def writing(url: str, load: Load, limits: Limits | None = None) -> Iterator[Writer]:
    engine = open_engine(url, limits)
    writer = Writer(engine, load.book, SystemClock())
    writer.start()
    try:
        writer.submit(load.accounts).result(ANSWER_SECONDS_MAX)
        yield writer
    finally:
        writer.stop()
        engine.dispose()


class Caller:
    """Asks for one piece of work after the other, each until it has an answer; ends when it is told."""

    def __init__(self, writer: Writer, load: Load) -> None:
        self.done = 0
        self.failures: Counter[type[Exception]] = Counter()
        self._writer = writer
        self._load = load
        self._is_over = False
        self._surprise: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_for_more(self) -> None:
        """Until some more pieces were answered."""
        reached = self.done + 5
        eventually(lambda: self.done > reached, ANSWER_SECONDS_MAX, "payments that go on")

    def end(self) -> None:
        self._is_over = True
        self._thread.join(ANSWER_SECONDS_MAX)
        assert self._surprise is None
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._is_over:
                self._ask(self.done)
                self.done += 1
        except Exception as surprise:
            self._surprise = surprise

    def _ask(self, piece: int) -> None:
        while True:
            try:
                self._writer.submit(self._load.work(piece)).result(ANSWER_SECONDS_MAX)
            except (Unavailable, OutcomeUnknown) as failure:
                self.failures[type(failure)] += 1
                time.sleep(RETRY_SECONDS)
            else:
                return


def assert_posted_once(url: str, load: Load, pieces: int) -> None:
    engine = open_engine(url)
    try:
        with reading(engine) as connection:
            posted = sorted(bytes(id) for (id,) in connection.execute(text("SELECT transfer_id FROM transfer")))
        assert posted == sorted(id for piece in range(pieces) for id, *_ in load.moved(piece))
        assert Reader(engine, load.book).verify().faults == ()
    finally:
        engine.dispose()


def test_a_server_that_is_restarted_under_load_loses_and_doubles_nothing(cluster: Cluster, url: str) -> None:
    load = Load(1, "main")
    with writing(url, load) as writer:
        caller = Caller(writer, load)
        for _ in range(RESTARTS):
            caller.wait_for_more()
            cluster.restart()
        caller.wait_for_more()
        caller.end()
    assert sum(caller.failures.values()) >= RESTARTS
    assert_posted_once(url, load, caller.done)


def test_connections_that_are_cut_under_load_lose_and_double_nothing(cluster: Cluster, url: str) -> None:
    random = Random(1)
    load = Load(2, "main")
    cut = 0
    with writing(url, load) as writer:
        caller = Caller(writer, load)
        for _ in range(CUTS):
            time.sleep(random.uniform(0.0, 0.2))
            cut += cluster.cut_connections(url)
        caller.wait_for_more()
        caller.end()
    assert cut >= CUTS // 2
    assert caller.failures
    assert_posted_once(url, load, caller.done)


def test_a_server_that_is_not_there_is_waited_for_however_long(cluster: Cluster, url: str) -> None:
    load = Load(3, "main", 10)
    with writing(url, load) as writer:
        writer.submit(load.work(0)).result(ANSWER_SECONDS_MAX)
        cluster.stop()
        try:
            for _ in range(3):
                with pytest.raises(Unavailable) as refusal:
                    writer.submit(load.work(1)).result(ANSWER_SECONDS_MAX)
            assert f"port {cluster.port} failed" in str(refusal.value)
            assert PASSWORD not in str(refusal.value)
        finally:
            cluster.start()
        writer.submit(load.work(1)).result(ANSWER_SECONDS_MAX)
    assert_posted_once(url, load, 2)


@pytest.mark.parametrize("cut", Cut)
def test_a_commit_whose_answer_is_lost_is_looked_for_and_answered_truly(cluster: Cluster, url: str, cut: Cut) -> None:
    load = Load(4, "main", 10)
    database = url.rpartition("/")[2]
    cluster.execute(f"ALTER DATABASE {database} SET commit_delay = {COMMIT_MICROSECONDS}")
    cluster.execute(f"ALTER DATABASE {database} SET commit_siblings = 0")
    with cutting_proxy(url) as (proxy, through), writing(through, load, SHORT) as writer:
        proxy.arm(cut)
        answer = writer.submit(load.work(0))
        if cut is Cut.BEFORE:
            with pytest.raises(Unavailable, match="nothing was kept"):
                answer.result(ANSWER_SECONDS_MAX)
            answer = writer.submit(load.work(0))
        assert {type(outcome) for outcome in answer.result(ANSWER_SECONDS_MAX)} == {Posted}
        assert proxy.cuts == 1
    assert_posted_once(url, load, 1)


def test_a_server_that_stands_still_is_given_up_and_posted_to_when_it_goes_on(cluster: Cluster, url: str) -> None:
    load = Load(7, "main", 10)
    with cutting_proxy(url) as (proxy, through), writing(through, load, SHORT) as writer:
        writer.submit(load.work(0)).result(ANSWER_SECONDS_MAX)
        proxy.hold_answers()
        with pytest.raises(Unavailable, match="the server has said nothing for 1 second"):
            writer.submit(load.work(1)).result(ANSWER_SECONDS_MAX)
        with pytest.raises(Unavailable, match="cannot be reached"):
            writer.submit(load.work(1)).result(ANSWER_SECONDS_MAX)
        proxy.let_answers_go()
        writer.submit(load.work(1)).result(ANSWER_SECONDS_MAX)
    assert_posted_once(url, load, 2)


def test_a_server_that_stands_still_in_a_commit_leaves_the_outcome_unknown(cluster: Cluster, url: str) -> None:
    load = Load(8, "main", 10)
    with cutting_proxy(url) as (proxy, through), writing(through, load, SHORT) as writer:
        proxy.arm(Cut.NEVER, then_hold=True)
        with pytest.raises(OutcomeUnknown, match="the server has said nothing for 1 second"):
            writer.submit(load.work(0)).result(ANSWER_SECONDS_MAX)
        proxy.let_answers_go()
        writer.submit(load.work(0)).result(ANSWER_SECONDS_MAX)
    assert_posted_once(url, load, 1)


def test_a_commit_that_the_server_refuses_is_not_an_unknown_outcome(cluster: Cluster, url: str) -> None:
    load = Load(5, "main", 10)
    cluster.execute("CREATE TABLE single (number int UNIQUE DEFERRABLE INITIALLY DEFERRED)", url)

    def work(batch: Batch) -> None:
        load.work(0)(batch)
        batch.also(lambda connection: run(connection, "INSERT INTO single VALUES (1), (1)"))

    with writing(url, load) as writer:
        with pytest.raises(Unavailable, match="did not keep the batch"):
            writer.submit(work).result(ANSWER_SECONDS_MAX)
        writer.submit(load.work(0)).result(ANSWER_SECONDS_MAX)
    assert_posted_once(url, load, 1)


def test_a_gateway_that_hangs_in_its_transaction_stops_no_other_for_ever(cluster: Cluster, url: str) -> None:
    load = Load(6, "main", 10)
    with writing(url, load) as writer, hanging(url, load.book) as hung:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="lock timeout"):
            writer.submit(load.work(0)).result(ANSWER_SECONDS_MAX)
        writer.submit(load.work(0)).result(ANSWER_SECONDS_MAX)
        assert 9 < time.monotonic() - began < 25
        with pytest.raises(Unavailable, match="idle-in-transaction timeout"):
            hung()
    assert_posted_once(url, load, 1)


@contextmanager
def hanging(url: str, book: str) -> Iterator[Any]:
    """Somebody who has locked the book and then stands still; call what this gives to let him go on."""
    engine = open_engine(url)
    connection = connect(engine)
    work = transaction(connection)
    work.__enter__()
    store.find_book(connection, book, lock=True)

    def go_on() -> None:
        try:
            store.find_book(connection, book, lock=True)
        except BaseException as error:
            work.__exit__(type(error), error, error.__traceback__)

    yield go_on
    connection.close()
    engine.dispose()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has no such limit")
def test_a_network_that_swallows_everything_is_noticed_in_half_a_minute(cluster: Cluster, url: str) -> None:
    engine: Engine = open_engine(url)
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        with socket.socket(fileno=socket.dup(driver.pgconn.socket)) as line:
            assert 0 < line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 30_000
            assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    engine.dispose()
