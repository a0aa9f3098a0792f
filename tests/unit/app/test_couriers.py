"""Couriers beside a gateway: what another book sends is taken in when it is heard of, and one disturbs no other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from faulty_database import FaultyDatabase, Moment
from ledgers import account, open_book, payment
from paying_books import PayingBooks, open_books
from plant import eventually
from structlog.testing import capture_logs

from app import couriers
from app.couriers import Couriers
from ledger.courier import BookAt, Courier
from ledger.writer import Writer

SECONDS_MAX = 20.0


@pytest.fixture
def books(database_url: str) -> Iterator[PayingBooks]:
    with open_books(database_url, "a", "b") as books:
        for name in ("a", "b"):
            books[name].open(account("p", "-100 kr"), account("q"))
        yield books


@contextmanager
def carrying(found: Mapping[str, Courier]) -> Iterator[Couriers]:
    running = Couriers(found)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def to_b(books: PayingBooks, *senders: str, writer: Writer | None = None) -> dict[str, Courier]:
    engine = books["b"].engine
    return {name: Courier(BookAt(engine, name), books.at("b"), writer or books["b"].writer) for name in senders}


def arrived(books: PayingBooks, balance: str) -> None:
    eventually(lambda: books["b"].balance("q") == balance, SECONDS_MAX, f"{balance} to arrive")


def test_what_is_heard_of_is_taken_in_at_once(books: PayingBooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couriers, "WAIT_SECONDS", SECONDS_MAX * 10)
    with carrying(to_b(books, "a")) as running:
        for n in range(1, 4):
            books.send("a", "b", payment(f"{n}", "p", "q", "1 kr"))
            running.heard_of("a")
            running.heard_of("somebody else")
            arrived(books, f"{n}.00 SEK")


def test_what_nobody_heard_of_is_taken_in_all_the_same(books: PayingBooks) -> None:
    with carrying(to_b(books, "a")):
        books.send("a", "b", payment("1", "p", "q", "1 kr"))
        arrived(books, "1.00 SEK")


def test_a_book_that_is_missing_is_told_once_and_holds_up_no_other(books: PayingBooks, tmp_path: Path) -> None:
    books.send("a", "b", payment("1", "p", "q", "1 kr"))
    with capture_logs() as logs, carrying(to_b(books, "c", "a")) as running:
        arrived(books, "1.00 SEK")
        for n in range(2, 5):
            running.heard_of("c")
            books.send("a", "b", payment(f"{n}", "p", "q", "1 kr"))
            running.heard_of("a")
            arrived(books, f"{n}.00 SEK")
    assert logs == [
        {
            "event": "what another book sends waits",
            "book": "c",
            "problem": "unknown_book: there is no book 'c' in this database",
            "log_level": "warning",
        }
    ]


def test_a_database_that_was_away_is_told_when_it_goes_and_when_it_is_back(
    books: PayingBooks, database_url: str
) -> None:
    books.send("a", "b", payment("1", "p", "q", "1 kr"))
    with open_book(database_url, name="b") as b, capture_logs() as logs:
        faulty = FaultyDatabase(b.engine)
        faulty.fail(Moment.ANSWER, after=1, connections_refused=1)
        with carrying({"a": Courier(books.at("a"), BookAt(b.engine, "b"), b.writer)}) as running:
            arrived(books, "1.00 SEK")
            eventually(lambda: running.heard_of("a") or len(logs) > 1, SECONDS_MAX, "it to be said")
    assert [each["event"] for each in logs] == [
        "what another book sends waits",
        "what another book sends waits no more",
    ]


def test_what_was_refused_and_what_came_back_is_told(books: PayingBooks) -> None:
    books.send("a", "b", payment("1", "p", "nobody", "1 kr"), payment("2", "p", "q", "1 kr"))
    back = {"b": books.courier("b", "a")}
    with capture_logs() as logs, carrying(to_b(books, "a")), carrying(back):
        eventually(lambda: books["a"].balance("p") == "-1.00 SEK", SECONDS_MAX, "it to come back")
        eventually(lambda: len(logs) == 2, SECONDS_MAX, "both to be told")
    assert [(each["event"], each["book"], each["payments"]) for each in logs] == [
        ("payments of another book were refused", "a", 1),
        ("payments to another book came back", "b", 1),
    ]
    assert books.reconcile("a", "b").is_settled


def test_a_book_that_a_bug_has_closed_is_told_once(books: PayingBooks) -> None:
    def bug(_: object) -> None:
        raise RuntimeError("two and two are five")

    with pytest.raises(Exception, match="two and two are five"):
        books["b"].work(bug)
    books.send("a", "b", payment("1", "p", "q", "1 kr"))
    with capture_logs() as logs, carrying(to_b(books, "a")):
        eventually(lambda: logs, SECONDS_MAX, "it to be told")
    assert [(each["event"], each["log_level"]) for each in logs] == [
        ("the book takes nothing in from another any more", "critical")
    ]
