"""A process that posts is killed again and again: what it was acknowledged stays, what is asked again is posted once.

MYNTVERK_NIGHTLY=1 kills a hundred times instead of ten, MYNTVERK_CRASH_SEED at other moments.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import text

from core.errors import Rejected, Unavailable
from ledger.database import open_engine, reading
from ledger.operations import Reader
from tests.support.forked import Forked
from tests.support.load import Load, Moved
from tests.support.plant import eventually
from tests.support.posting_process import acknowledged, post

ROUNDS = 100 if os.environ.get("MYNTVERK_NIGHTLY") == "1" else 10
SEED = int(os.environ.get("MYNTVERK_CRASH_SEED", "1"))
ROUNDS_PER_BOOK = 10
"""Then a new book is begun, so that proving one stays quick."""
STARTING_SHARE = 0.3
"""Of the kills, those that strike a process that has acknowledged nothing yet."""
ANSWER_SECONDS_MAX = 60.0


class Posting:
    """A process that posts into a book of its own, killed and started again."""

    def __init__(self, url: str, book: str, folder: Path) -> None:
        self.url = url
        self.load = Load(SEED, book)
        self.file = folder / f"{book}.acknowledged"
        self.log = folder / f"{book}.log"
        self.process: Forked | None = None

    @property
    def acknowledged(self) -> int:
        return acknowledged(self.file)

    def start(self, until: int | None = None) -> Forked:
        self.process = Forked(lambda: post(self.url, self.load, self.file, until), self.log)
        return self.process

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            assert self.process.said == ""


@pytest.fixture
def postings(database_url: str, tmp_path: Path) -> Iterator[list[Posting]]:
    """One process for each of the books that are filled one after the other."""
    made = [Posting(database_url, f"load-{n}", tmp_path) for n in range(max(1, ROUNDS // ROUNDS_PER_BOOK))]
    try:
        yield made
    finally:
        for posting in made:
            posting.kill()


def test_what_was_acknowledged_stays_and_what_is_asked_again_is_posted_once(postings: list[Posting]) -> None:
    random = Random(SEED)
    for posting in postings:
        for _ in range(ROUNDS_PER_BOOK):
            kill_at_any_moment(posting, random)
            kept_pieces(posting)
        until = posting.acknowledged + 10
        last = posting.start(until)
        assert (last.end(), last.said) == (0, "")
        assert posting.acknowledged == until
        assert kept_pieces(posting) == until


def kill_at_any_moment(posting: Posting, random: Random) -> None:
    before = posting.acknowledged
    posting.start()
    if random.random() < STARTING_SHARE:
        time.sleep(random.uniform(0.0, 0.3))
    else:
        eventually(lambda: posting.acknowledged > before, ANSWER_SECONDS_MAX, "a first acknowledgement")
        time.sleep(random.uniform(0.0, 0.3))
    posting.kill()


def kept_pieces(posting: Posting) -> int:
    """How many pieces the book holds: whole, in their order, each once, and all that were acknowledged."""
    done = posting.acknowledged
    kept = rows_of(posting)
    expected: list[Moved] = []
    pieces = 0
    while len(expected) < len(kept) or pieces < done:
        expected += posting.load.moved(pieces)
        pieces += 1
    assert sorted(kept) == sorted(expected)
    return pieces


def rows_of(posting: Posting) -> list[Moved]:
    """The book's transfers as they stand in the database, after the book has proven itself."""
    engine = open_engine(posting.url)
    try:
        verification = Reader(engine, posting.load.book).verify()
        assert verification.faults == ()
        with reading(engine) as connection:
            rows = connection.execute(
                text(
                    "SELECT transfer_id, d.account_id, c.account_id, amount FROM transfer t "
                    "JOIN book b ON b.book_id = t.book_id "
                    "JOIN account d ON d.book_id = t.book_id AND d.account_no = debit "
                    "JOIN account c ON c.book_id = t.book_id AND c.account_no = credit WHERE b.name = :book"
                ),
                {"book": posting.load.book},
            )
            return [(bytes(id), debit, credit, units) for id, debit, credit, units in rows]
    except (Rejected, Unavailable):
        assert posting.acknowledged == 0  # killed before there were tables, or the book
        return []
    finally:
        engine.dispose()
