"""On PostgreSQL each month has a partition of its own: it is made while others read and write, and nobody waits."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from datetime import UTC, datetime

import psycopg
from ledgers import account, open_book, payment

from core.clock import ManualClock, from_datetime
from ledger.transfer import Outcome, Posted

DECEMBER = from_datetime(datetime(2023, 12, 31, 23, 59, tzinfo=UTC))
JANUARY = from_datetime(datetime(2024, 1, 1, tzinfo=UTC))
SECONDS_MAX = 20


def months(url: str) -> list[str]:
    """The partitions of `transfer`."""
    query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'transfer'::regclass ORDER BY 1"
    with psycopg.connect(url) as connection:
        return [name for (name,) in connection.execute(query)]


def test_a_month_turns_while_somebody_reads_transfers(postgresql_url: str) -> None:
    clock = ManualClock(DECEMBER)
    with open_book(postgresql_url, clock) as book:
        book.open(account("a", "-10 kr"), account("b"))
        book.post(payment("1", "a", "b", "1 kr"))
        with book.reader.history() as history:
            assert len(list(history.transfers())) == 1
            clock.advance(JANUARY - DECEMBER)
            (posted,) = book.post(payment("2", "a", "b", "1 kr"))  # it could not end before the reader does
            assert isinstance(posted, Posted)
            assert len(list(history.transfers())) == 1, "the reader's snapshot is from before"
        assert months(postgresql_url) == ["transfer_202312", "transfer_202401"]
        assert book.reader.verify().faults == ()


def test_books_that_turn_the_month_at_once_make_one_partition(postgresql_url: str) -> None:
    names = [f"book-{n}" for n in range(4)]
    clock = ManualClock(DECEMBER)
    with ExitStack() as stack:
        books = [stack.enter_context(open_book(postgresql_url, clock, name)) for name in names]
        for book in books:
            book.open(account("a", "-10 kr"), account("b"))
        clock.advance(JANUARY - DECEMBER)
        answers: list[Outcome] = []
        posting = [
            threading.Thread(target=lambda book=book: answers.extend(book.post(payment("1", "a", "b", "1 kr"))))
            for book in books
        ]
        for thread in posting:
            thread.start()
        for thread in posting:
            thread.join(SECONDS_MAX)
        assert [type(answer) for answer in answers] == [Posted] * len(books)
        assert months(postgresql_url) == ["transfer_202312", "transfer_202401"]


def test_a_months_partition_has_every_rule_of_the_table(postgresql_url: str) -> None:
    query = (
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('c', 'p')"
    )
    with open_book(postgresql_url, ManualClock(DECEMBER)) as book:
        book.open(account("a", "-10 kr"), account("b"))
        with psycopg.connect(postgresql_url) as connection:
            rules, of_month = (
                connection.execute(query, (table,)).fetchall() for table in ("transfer", "transfer_202312")
            )
    assert len(rules) == 4
    assert sorted(of_month) == sorted(rules)
