"""One batch with everything in it, cut off at every single moment that it has with the database: by death, or by a
database that fails."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from core.clock import Instant, ManualClock
from core.errors import OutcomeUnknown, Unavailable
from ledger.batch import Batch
from ledger.database import Engine, open_engine, reading
from ledger.operations import Reader
from ledger.transfer import Posted
from ledger.writer import Work, Writer
from migrations import upgrade
from tests.support.faulty_database import FaultyDatabase, Moment, watch
from tests.support.forked import Forked
from tests.support.load import KINDS, WORK_TIME, Load

NIGHTLY = os.environ.get("MYNTVERK_NIGHTLY") == "1"
SEED = 1
ANSWER_SECONDS_MAX = 30.0
TOLD = {Moment.COMMIT: OutcomeUnknown, Moment.ANSWER: type(None)}
"""What is raised when the batch that makes a book is lost at these moments: nobody can wait for such a commit."""
TRANSFERS = 20
"""In a large piece: enough for every way to insert rows."""
PIECES = range(len(KINDS))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    upgrade(engine)
    yield engine
    engine.dispose()


def everything(load: Load) -> Work[None]:
    """All pieces of the load, and the accounts they need, as one."""

    def work(batch: Batch) -> None:
        load.accounts(batch)
        for piece in PIECES:
            load.work(piece)(batch)

    return work


def ask(engine: Engine, load: Load) -> None:
    """Everything in one batch, by a writer that ends then."""
    writer = a_writer(engine, load)
    try:
        writer.submit(everything(load)).result(ANSWER_SECONDS_MAX)
    finally:
        writer.stop()


def a_writer(engine: Engine, load: Load) -> Writer:
    writer = Writer(engine, load.book, ManualClock(Instant(WORK_TIME)))
    writer.start()
    return writer


def batches(engine: Engine, load: Load) -> int:
    """How many batches the book holds."""
    with reading(engine) as connection:
        query = text("SELECT count(*) FROM seal s JOIN book b ON b.book_id = s.book_id WHERE b.name = :book")
        return int(connection.execute(query, {"book": load.book}).scalar_one())


def assert_posted_once(engine: Engine, load: Load) -> None:
    with reading(engine) as connection:
        rows = connection.execute(
            text("SELECT transfer_id FROM transfer t JOIN book b ON b.book_id = t.book_id WHERE b.name = :book"),
            {"book": load.book},
        )
        posted = sorted(bytes(id) for (id,) in rows)
    assert posted == sorted(id for piece in PIECES for id, *_ in load.moved(piece))
    assert Reader(engine, load.book).verify().faults == ()


def moments(engine: Engine) -> list[Moment]:
    """Every moment that a batch with everything has with the database, in their order."""
    ask(engine, Load(SEED, "first", TRANSFERS))  # only the first batch of a month makes its partition
    seen: list[Moment] = []
    other = open_engine(engine.url.render_as_string(hide_password=False))
    watch(other, lambda moment, _: seen.append(moment))
    ask(other, Load(SEED, "seen", TRANSFERS))
    other.dispose()
    assert seen[0] is Moment.CONNECT
    assert seen[-2:] == [Moment.COMMIT, Moment.ANSWER]
    return seen


def some(moments: list[Moment]) -> list[int]:
    """All of them in a nightly run; else the first and last ones and one of a few between."""
    last = range(len(moments) - 4, len(moments))
    return sorted({0, 1, 2, *range(3, len(moments), 1 if NIGHTLY else 9), *last})


def test_a_process_that_dies_at_any_moment_leaves_all_or_nothing(engine: Engine, tmp_path: Path) -> None:
    all_moments = moments(engine)
    url = engine.url.render_as_string(hide_password=False)
    for place in some(all_moments):
        load = Load(SEED, f"killed-{place}", TRANSFERS)
        killed = Forked(partial(die, url, load, place), tmp_path / "log")
        assert (killed.was_killed, killed.said) == (True, "")
        assert batches(engine, load) == (1 if all_moments[place] is Moment.ANSWER else 0)
        ask(engine, load)
        assert_posted_once(engine, load)


def die(url: str, load: Load, place: int) -> None:
    """Ask for everything, and be killed at the moment of this place."""
    engine = open_engine(url)
    passed = 0

    def kill(_moment: Moment, _connection: Any) -> None:
        nonlocal passed
        if passed == place:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    watch(engine, kill)
    ask(engine, load)


def test_a_database_that_fails_at_any_moment_is_survived_and_told_truly(engine: Engine) -> None:
    all_moments = moments(engine)
    for place in some(all_moments):
        moment = all_moments[place]
        with failing(engine, f"failed-{place}") as (database, load, writer):
            database.fail(moment, all_moments[:place].count(moment))
            problem = writer.submit(everything(load)).exception(ANSWER_SECONDS_MAX)
            assert database.struck == {moment: 1}
            assert type(problem) is TOLD.get(moment, Unavailable)
            assert batches(engine, load) == (1 if moment is Moment.ANSWER else 0)
            writer.submit(everything(load)).result(ANSWER_SECONDS_MAX)
        assert_posted_once(engine, load)


def test_a_commit_that_got_lost_is_looked_for_in_the_book(engine: Engine) -> None:
    with failing(engine, "lost") as (database, load, writer):
        writer.submit(load.accounts).result(ANSWER_SECONDS_MAX)
        database.fail(Moment.COMMIT)
        with pytest.raises(Unavailable, match="nothing was kept"):
            writer.submit(load.work(0)).result(ANSWER_SECONDS_MAX)
        database.fail(Moment.ANSWER)
        outcomes = writer.submit(load.work(0)).result(ANSWER_SECONDS_MAX)
        assert {type(outcome) for outcome in outcomes} == {Posted}
        assert database.struck == {Moment.COMMIT: 1, Moment.ANSWER: 1}
        assert batches(engine, load) == 2


@pytest.mark.parametrize(("moment", "kept"), [(Moment.COMMIT, 0), (Moment.ANSWER, 1)])
def test_when_nobody_can_say_whether_a_batch_was_kept_that_is_the_answer(
    engine: Engine, moment: Moment, kept: int
) -> None:
    with failing(engine, "unknown") as (database, load, writer):
        database.fail(moment, connections_refused=1)
        with pytest.raises(OutcomeUnknown):
            writer.submit(everything(load)).result(ANSWER_SECONDS_MAX)
        assert database.struck == {moment: 1}
        assert batches(engine, load) == kept
        writer.submit(everything(load)).result(ANSWER_SECONDS_MAX)
    assert_posted_once(engine, load)


@contextmanager
def failing(engine: Engine, book: str) -> Iterator[tuple[FaultyDatabase, Load, Writer]]:
    """A writer on a database that can be told to fail."""
    other = open_engine(engine.url.render_as_string(hide_password=False))
    database, load = FaultyDatabase(other), Load(SEED, book, TRANSFERS)
    writer = a_writer(other, load)
    try:
        yield database, load, writer
    finally:
        writer.stop()
        other.dispose()
