"""A process that sends and delivers between two books is killed again and again: each payment is where it should be.

MYNTVERK_NIGHTLY=1 kills fifty times instead of six, MYNTVERK_CRASH_SEED at other moments.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

import pytest
from forked import Forked
from ledgers import account, payment
from paying_books import open_books
from plant import eventually
from sqlalchemy import text

from core.clock import SystemClock
from ledger.courier import BookAt, Courier, send
from ledger.database import open_engine
from ledger.reconciliation import Reconciliation, reconcile
from ledger.writer import Writer

ROUNDS = 50 if os.environ.get("MYNTVERK_NIGHTLY") == "1" else 6
SEED = int(os.environ.get("MYNTVERK_CRASH_SEED", "1"))
ANSWER_SECONDS_MAX = 60.0
PAYMENTS_PER_TURN = 5
PAYEES = ("payee", "payee", "nobody")


def pay_and_deliver(url: str, start: int, progress: Path) -> None:
    """For ever: send from `a` to `b` and take over what is under way, both ways; tell after each turn."""
    engines = {name: open_engine(url) for name in ("a", "b")}
    writers = {name: Writer(engine, name, SystemClock()) for name, engine in engines.items()}
    for writer in writers.values():
        writer.start()
    at = {name: BookAt(engine, name) for name, engine in engines.items()}
    couriers = Courier(at["a"], at["b"], writers["b"]), Courier(at["b"], at["a"], writers["a"])
    for n in count(start, PAYMENTS_PER_TURN):
        asked = [
            payment(f"{i}", "payer", PAYEES[i % len(PAYEES)], "1 kr", reference=f"R{i}")
            for i in range(n, n + PAYMENTS_PER_TURN)
        ]
        writers["a"].submit(partial(send, to_book="b", requests=asked)).result(ANSWER_SECONDS_MAX)
        for courier in couriers:
            courier.deliver(limit=3)  # fewer than are sent, so that there is always something under way
        progress.write_text(f"{n}")


@pytest.fixture
def url(database_url: str) -> str:
    with open_books(database_url, "a", "b") as books:
        books["a"].open(account("payer", "-1000000 kr"))
        books["b"].open(account("payee"))
    return database_url


def test_each_payment_arrives_once_or_comes_back_once_however_often_its_courier_is_killed(
    url: str, tmp_path: Path
) -> None:
    random, progress, log = Random(SEED), tmp_path / "progress", tmp_path / "log"
    under_way = set()
    for start in range(0, ROUNDS * 100_000, 100_000):
        progress.unlink(missing_ok=True)
        process = Forked(partial(pay_and_deliver, url, start, progress), log)
        try:
            eventually(progress.exists, ANSWER_SECONDS_MAX, "a first turn")
            time.sleep(random.uniform(0.0, 0.3))
        finally:
            process.kill()
        assert process.said == ""
        found = between(url)
        assert found.misfit == ""
        under_way.add(found.owed[0].under_way.units)
    assert len(under_way) > 1, "it was always killed at the same step"
    with open_books(url, "a", "b") as books:
        books.deliver_all()
        assert books.reconcile("a", "b").is_settled
        assert books.faults() == {}
    assert_moved_once(url)


def between(url: str) -> Reconciliation:
    engine = open_engine(url)
    try:
        return reconcile(BookAt(engine, "a"), BookAt(engine, "b"))
    finally:
        engine.dispose()


def assert_moved_once(url: str) -> None:
    """By the rows alone: a payment stands once in each book, or twice in the one that it left."""
    engine = open_engine(url)
    with engine.begin() as connection:
        query = "SELECT t.reference, b.name FROM transfer t JOIN book b ON b.book_id = t.book_id"
        found = Counter((reference, book) for reference, book in connection.execute(text(query)))
    engine.dispose()
    sent = {reference for reference, _ in found}
    assert len(sent) >= ROUNDS * PAYMENTS_PER_TURN
    for reference in sent:
        is_refused = PAYEES[int(reference[1:]) % len(PAYEES)] == "nobody"
        assert (found[reference, "a"], found[reference, "b"]) == ((2, 0) if is_refused else (1, 1)), reference
