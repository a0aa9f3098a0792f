"""Books pay each other: what is sent arrives exactly once or comes back, and what they owe each other adds up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faulty_database import FaultyDatabase, Moment
from ledgers import PLANT, START, account, hold, open_book, payment
from paying_books import PayingBooks, open_books
from sqlalchemy import text

from core.clock import SECOND, Instant
from core.errors import OutcomeUnknown, Rejected, Unavailable
from core.ids import TransferId, derived_id
from core.money import SEK, Money
from ledger import outbox
from ledger.account import AccountState
from ledger.batch import Batch
from ledger.clearing import (
    NOWHERE,
    Place,
    arrival_id,
    clearing_accounts,
    clearing_id,
    return_id,
)
from ledger.courier import BookAt, Courier, Delivered, pay, send, take_in
from ledger.database import reading
from ledger.desk import Desk
from ledger.hold import HoldRefused
from ledger.reconciliation import reconcile
from ledger.transfer import AlreadyPosted, Outcome, Posted, Reason, Refused, Transfer

SENT = derived_id("1")


@contextmanager
def two_books(url: str) -> Iterator[PayingBooks]:
    """Two books; `p` of book `a` may pay, `q` of book `b` is paid."""
    with open_books(url, "a", "b") as books:
        books["a"].open(account("p", "-100 kr"))
        books["b"].open(account("q"))
        yield books


@pytest.fixture
def books(database_url: str) -> Iterator[PayingBooks]:
    """In a database of each kind."""
    with two_books(database_url) as books:
        yield books


@pytest.fixture
def filed(tmp_path: Path) -> Iterator[PayingBooks]:
    """In a file, where there are many cases."""
    with two_books(f"sqlite:///{tmp_path / 'books.db'}") as books:
        yield books


def alter(books: PayingBooks, statement: str) -> None:
    """Change rows behind the ledger's back."""
    with books["a"].engine.begin() as connection:
        connection.execute(text(statement))


def arrived(books: PayingBooks, key: str = "1") -> Transfer | None:
    return books["b"].reader.find(arrival_id("a", derived_id(key)))


def came_back(books: PayingBooks, key: str = "1") -> Transfer | None:
    return books["a"].reader.find(return_id("b", derived_id(key)))


def refusals(books: PayingBooks) -> int:
    with books["b"].engine.begin() as connection:
        return int(connection.execute(text("SELECT count(*) FROM event WHERE event = 'refused'")).scalar_one())


def test_a_payment_arrives_with_all_that_was_said_of_it(books: PayingBooks) -> None:
    asked = payment("1", "p", "q", "12.50 kr", text="wear", reference="R-7", source="agreement:wear")
    (outcome,) = books.send("a", "b", asked)
    assert isinstance(outcome, Posted)
    assert outcome.transfer.request.source == "agreement:wear to:b/q"
    assert books["a"].balance("p") == "-12.50 SEK"
    assert books.deliver("a", "b") == Delivered(posted=1)
    assert books["b"].balance("q") == "12.50 SEK"
    there = arrived(books)
    assert there is not None
    request = there.request
    assert (request.debit, request.credit, request.amount) == ("clearing-a-sek", "q", asked.amount)
    assert (request.text, request.reference, request.effective_time) == ("wear", "R-7", asked.effective_time)
    place = Place(outcome.transfer.seq, outcome.transfer.position)
    assert request.source == f"book:a@{place} agreement:wear"
    assert books.reconcile("a", "b").is_settled
    assert books.faults() == {}


def test_what_is_under_way_is_listed_until_it_arrives_and_the_books_owe_each_other_as_much(books: PayingBooks) -> None:
    books.send("a", "b", payment("1", "p", "q", "5 kr"), payment("2", "p", "q", "7 kr"))
    books["b"].open(account("q", "-10 kr"))
    books.send("b", "a", payment("3", "q", "p", "2 kr"))
    books.deliver("a", "b", limit=1)
    found = books.reconcile("a", "b")
    assert [str(each.parcel.amount) for each in found.under_way] == ["7.00 SEK", "2.00 SEK"]
    assert [(each.from_book, each.to_book) for each in found.under_way] == [("a", "b"), ("b", "a")]
    (owed,) = found.owed
    assert [str(each) for each in (owed.ours, owed.theirs, owed.under_way)] == ["12.00 SEK", "-3.00 SEK", "9.00 SEK"]
    assert (found.misfit, owed.difference, found.is_settled) == ("", Money.zero(SEK), False)
    books.deliver_all()
    assert books.reconcile("a", "b").is_settled
    assert (books["a"].balance("p"), books["b"].balance("q")) == ("-10.00 SEK", "10.00 SEK")
    assert (books["a"].balance("clearing-b-sek"), books["b"].balance("clearing-a-sek")) == ("10.00 SEK", "-10.00 SEK")


def test_asked_again_a_payment_is_sent_once_and_the_same_id_pays_nobody_else(books: PayingBooks) -> None:
    asked = payment("1", "p", "q", "5 kr")
    (first,) = books.send("a", "b", asked)
    assert isinstance(first, Posted)
    assert books.send("a", "b", asked) == [AlreadyPosted(first.transfer)]
    (other,) = books.send("a", "b", payment("1", "p", "q2", "5 kr"))
    assert isinstance(other, Refused)
    assert other.reason is Reason.CONFLICT
    assert books.deliver("a", "b").count == 1
    assert books.deliver("a", "b").count == 0
    assert books["b"].balance("q") == "5.00 SEK"


def test_a_payment_that_is_refused_at_home_or_taken_back_with_its_work_never_leaves(books: PayingBooks) -> None:
    (outcome,) = books.send("a", "b", payment("1", "p", "q", "101 kr"))
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.INSUFFICIENT_FUNDS

    def fail(batch: Batch) -> None:
        send(batch, "b", [payment("2", "p", "q", "1 kr")])
        raise Rejected("no", "changed my mind")

    with pytest.raises(Rejected, match="changed my mind"):
        books["a"].work(fail)
    assert books.deliver("a", "b").count == 0
    assert books.reconcile("a", "b").is_settled
    assert books.faults() == {}


def test_two_couriers_that_read_the_same_deliver_it_once_even_in_one_batch(books: PayingBooks) -> None:
    books["b"].open(account("q", ceiling_units=Money.parse("10 kr").units), account("r"))
    books.send("a", "b", payment("1", "p", "q", "6 kr"), payment("2", "p", "q", "6 kr"))
    with reading(books["a"].engine) as connection:
        book = books.at("a").head(connection).book
        parcels = outbox.load_parcels(connection, book, "b", NOWHERE, 10)

    def deliver(batch: Batch) -> Delivered:
        return take_in(batch, "b", "a", parcels, NOWHERE)

    # Between the two the payee has room again: what was refused once stays refused.
    answers = books["b"].together(deliver, lambda batch: batch.post([payment("out", "q", "r", "6 kr")]), deliver)
    assert answers[0] == Delivered(posted=1, bounced=1)
    assert answers[2] == Delivered()
    assert books["b"].work(deliver) == Delivered()
    books.deliver_all()
    assert (books["a"].balance("p"), books["b"].balance("r")) == ("-6.00 SEK", "6.00 SEK")
    assert books.reconcile("a", "b").is_settled
    assert books.faults() == {}


def nobody(books: PayingBooks) -> None:
    """`q` was never opened."""
    books["b"].change("q", state=AccountState.CLOSED)


def ceiling(books: PayingBooks) -> None:
    books["b"].change("q", ceiling_units=1)


def frozen(books: PayingBooks) -> None:
    books["b"].change("clearing-a-sek", state=AccountState.FROZEN)


@pytest.mark.parametrize(
    ("payee", "prepare", "reason"),
    [
        ("nobody", None, Reason.UNKNOWN_CREDIT_ACCOUNT),
        ("euro", None, Reason.CURRENCY_MISMATCH),
        ("q", nobody, Reason.ACCOUNT_CLOSED),
        ("q", ceiling, Reason.CEILING_REACHED),
        ("q", frozen, Reason.ACCOUNT_FROZEN),
        ("clearing-c-sek", None, Reason.CLEARING_ACCOUNT),
        ("clearing-a-sek", None, Reason.CLEARING_ACCOUNT),
    ],
)
def test_a_refused_payment_comes_back_to_who_paid(filed: PayingBooks, payee: str, prepare: Any, reason: Reason) -> None:
    filed["b"].open(account("euro", "0 EUR"), *clearing_accounts("c", PLANT.id, SEK))
    if prepare is not None:
        prepare(filed)
    filed.send("a", "b", payment("1", "p", payee, "5 kr", reference="R-7"))
    assert filed.deliver("a", "b") == Delivered(bounced=1)
    found = filed.reconcile("a", "b")
    assert (len(found.under_way), found.misfit) == (1, "")
    assert (refusals(filed), filed["a"].balance("p")) == (1, "-5.00 SEK")
    assert filed.deliver("b", "a") == Delivered(returned=1)
    back = came_back(filed)
    assert back is not None
    assert (back.request.cause, back.request.reference, back.request.credit) == (SENT, "R-7", "p")
    assert back.request.text == f"b/{payee} refused it: {reason.value}"
    assert filed["a"].balance("p") == "0.00 SEK"
    assert filed.reconcile("a", "b").is_settled
    assert filed.deliver("a", "b").count == filed.deliver("b", "a").count == 0
    assert filed.faults() == {}


def test_a_book_that_never_opened_an_account_for_the_other_sends_everything_back(database_url: str) -> None:
    with open_book(database_url, name="a") as a, open_book(database_url, name="b") as b:
        a.open(account("p", "-100 kr"), *clearing_accounts("b", PLANT.id, SEK))
        b.open(account("q"))
        books = PayingBooks({"a": a, "b": b}, currencies=())
        books.send("a", "b", payment("1", "p", "q", "5 kr"))
        books.deliver_all()
        assert (a.balance("p"), refusals(books)) == ("0.00 SEK", 1)
        assert books.reconcile("a", "b").is_settled
        assert books.faults() == {}


def test_what_arrives_or_comes_back_in_a_locked_period_is_dated_in_the_open_one(books: PayingBooks) -> None:
    locked = Instant(START + SECOND)
    books.send("a", "b", payment("1", "p", "q", "5 kr"), payment("2", "p", "nobody", "5 kr"))
    for name in ("a", "b"):
        books[name].work(lambda batch: batch.lock_period(locked))
    books.deliver_all()
    there, back = arrived(books), came_back(books, "2")
    assert there is not None
    assert back is not None
    assert (there.request.effective_time, back.request.effective_time) == (locked, locked)
    assert books.faults() == {}


def test_money_that_comes_back_to_a_closed_account_waits_in_the_unclaimed_one(books: PayingBooks) -> None:
    books["a"].open(account("gone", "-5 kr"), account("rich", "-100 kr"))
    books.send("a", "b", payment("1", "gone", "nobody", "5 kr"))
    books["a"].post(payment("fill", "rich", "gone", "5 kr"))
    books["a"].change("gone", state=AccountState.CLOSED)
    books.deliver_all()
    assert (books["a"].balance("unclaimed-sek"), books["a"].balance("clearing-b-sek")) == ("5.00 SEK", "0.00 SEK")
    back = came_back(books)
    assert back is not None
    assert back.request.text == "b/nobody refused it: unknown_credit_account"
    assert books.reconcile("a", "b").is_settled
    assert books.faults() == {}


def test_what_can_be_put_nowhere_waits_and_what_came_before_it_does_not(books: PayingBooks) -> None:
    books["b"].open(account("q", "-100 kr"))
    books.send("b", "a", payment("x", "q", "p", "1 kr"), payment("y", "q", "p", "1 kr"))
    books.send("a", "b", payment("1", "p", "nobody", "5 kr"))
    books.deliver("a", "b")
    books.send("b", "a", payment("z", "q", "p", "1 kr"))
    stopped = books["a"].status("clearing-b-sek").account
    books["a"].change("clearing-b-sek", state=AccountState.FROZEN)
    assert books.deliver("b", "a") == Delivered(bounced=2)
    for _ in range(2):
        with pytest.raises(Rejected, match="return_is_stuck"):
            books.deliver("b", "a")
    assert books.reconcile("a", "b").misfit == ""
    books["a"].open(stopped)
    books.deliver_all()
    assert books.reconcile("a", "b").is_settled
    assert (books["a"].balance("p"), books["b"].balance("q")) == ("1.00 SEK", "-1.00 SEK")
    assert books.faults() == {}


def test_each_currency_has_its_own_account(database_url: str) -> None:
    with open_books(database_url, "a", "b", currencies=("SEK", "EUR")) as books:
        books["a"].open(account("p", "-100 kr"), account("pe", "-100 EUR"))
        books["b"].open(account("q"), account("qe", "0 EUR"))
        books.send("a", "b", payment("1", "p", "q", "5 kr"), payment("2", "pe", "qe", "3 EUR"))
        books.deliver("a", "b")
        found = books.reconcile("a", "b")
        assert [str(each.ours) for each in found.owed] == ["5.00 SEK", "3.00 EUR"]
        assert found.is_settled
        assert (books["b"].balance("qe"), books["b"].balance("clearing-a-eur")) == ("3.00 EUR", "-3.00 EUR")
        assert books.faults() == {}


def test_books_in_two_databases_pay_each_other(tmp_path: Path, postgresql_url: str) -> None:
    with open_book(tmp_path / "a.db", name="a") as a, open_book(postgresql_url, name="b") as b:
        books = PayingBooks({"a": a, "b": b})
        a.open(account("p", "-100 kr"))
        b.open(account("q"))
        books.send("a", "b", payment("1", "p", "q", "5 kr"), payment("2", "p", "nobody", "5 kr"))
        books.deliver_all()
        assert (a.balance("p"), b.balance("q")) == ("-5.00 SEK", "5.00 SEK")
        assert books.reconcile("a", "b").is_settled
        assert books.faults() == {}


def test_an_answer_that_was_lost_is_asked_for_by_delivering_again(books: PayingBooks, database_url: str) -> None:
    books.send("a", "b", payment("1", "p", "q", "5 kr"), payment("2", "p", "nobody", "5 kr"))
    with open_book(database_url, name="b") as b:
        faulty = FaultyDatabase(b.engine)
        courier = Courier(books.at("a"), BookAt(b.engine, "b"), b.writer)
        faulty.fail(Moment.ANSWER, after=1, connections_refused=1)  # the first answer is that of the inbox
        with pytest.raises(OutcomeUnknown):
            courier.deliver()
        assert faulty.struck[Moment.ANSWER] == 1
        assert courier.deliver().count == 0
    books.deliver_all()
    assert books["b"].balance("q") == "5.00 SEK"
    assert books.reconcile("a", "b").is_settled
    assert books.faults() == {}


def test_a_payment_that_was_undone_before_it_arrived_does_not_arrive(books: PayingBooks) -> None:
    books.send("a", "b", payment("1", "p", "q", "5 kr"))
    books.reverse_unguarded("a", "undo", SENT)
    assert books.reconcile("a", "b").misfit == ""
    assert books.deliver("a", "b") == Delivered(bounced=1)
    assert books.reconcile("a", "b").misfit == ""
    assert books.deliver("b", "a") == Delivered(returned=1)
    assert (books["a"].balance("p"), books["b"].balance("q")) == ("0.00 SEK", "0.00 SEK")
    assert books.reconcile("a", "b").is_settled
    assert books.faults() == {}


def test_who_names_a_book_and_an_account_pays_there_in_the_order_of_what_is_asked(books: PayingBooks) -> None:
    books["a"].open(account("rich", "-100 kr"), account("poor"))
    asked = [
        payment("1", "rich", "poor", "5 kr"),
        payment("2", "poor", "b/q", "3 kr"),
        payment("3", "poor", "b/q", "3 kr"),
        payment("4", "rich", "b/q/r", "1 kr"),
        payment("5", "rich", "c/q", "1 kr"),
        payment("6", "rich", "a/poor", "1 kr"),
        payment("7", "rich", "/q", "1 kr"),
        payment("8", "poor", "b/nobody", "2 kr"),
    ]
    outcomes = books["a"].work(lambda batch: pay(batch, asked))
    said = [outcome.text if isinstance(outcome, Refused) else "" for outcome in outcomes]
    assert said == [
        "",
        "",
        "poor has 2.00 SEK available, 3.00 SEK was asked",
        "expected the id of an account of b, got 'q/r'",
        "this book pays no book 'c' in SEK",
        "this book pays no book 'a' in SEK",
        "expected a book's name of a to z, 0 to 9 and '-', got ''",
        "",
    ]
    again = books["a"].work(lambda batch: pay(batch, asked))
    assert [type(outcome) for outcome in again] == [AlreadyPosted if not text else Refused for text in said]
    books.deliver_all()
    assert (books["b"].balance("q"), books["a"].balance("poor")) == ("3.00 SEK", "2.00 SEK")
    assert books.reconcile("a", "b").is_settled
    assert books.faults() == {}


async def test_the_desk_pays_another_book_and_writes_down_what_it_refuses(books: PayingBooks) -> None:
    desk = Desk(books["a"].writer, books["a"].reader)
    for _ in range(2):
        sent = await desk.post(payment("1", "p", "b/q", "5 kr", source="user:anna"))
        refused = await desk.post(payment("2", "p", "c/q", "5 kr", source="user:anna"))
    assert isinstance(sent, AlreadyPosted)
    assert isinstance(refused, Refused)
    with books["a"].reader.history() as past:
        assert [each.refused.text for each in past.refusals(10)] == ["this book pays no book 'c' in SEK"]
    books.deliver_all()
    assert books["b"].balance("q") == "5.00 SEK"
    assert books.faults() == {}


@pytest.mark.parametrize("source", ["", "user:x to:b/q", "book:b@1/0", "back:b@1/0"])
@pytest.mark.parametrize(("debit", "credit"), [("p", "clearing-b-sek"), ("clearing-b-sek", "p")])
def test_nobody_moves_a_clearing_account_by_hand(filed: PayingBooks, debit: str, credit: str, source: str) -> None:
    asked = payment("1", debit, credit, "1 kr", source=source)
    linked = filed["a"].post_linked(replace(asked, id=derived_id("2")))
    reserved = filed["a"].place(hold("3", debit, credit, "1 kr", source=source))
    for outcome in (*filed["a"].post(asked), *linked, reserved):
        assert isinstance(outcome, Refused | HoldRefused)
        assert outcome.reason is Reason.CLEARING_ACCOUNT
        assert "moves only by what is paid from book to book" in outcome.text
    assert filed.deliver("a", "b").count == 0
    assert filed.faults() == {}


def test_a_payment_between_two_books_is_undone_in_neither(books: PayingBooks) -> None:
    books.send("a", "b", payment("1", "p", "q", "5 kr"), payment("2", "p", "nobody", "1 kr"))

    def refused(name: str, key: str, original: TransferId) -> bool:
        outcome = books[name].reverse(key, original, source="back:b@1/0")
        return isinstance(outcome, Refused) and outcome.reason is Reason.CLEARING_ACCOUNT

    assert refused("a", "on its way", SENT)
    books.deliver_all()
    assert refused("a", "has arrived", SENT)
    assert refused("b", "arrived", arrival_id("a", SENT))
    assert refused("a", "came back", return_id("b", derived_id("2")))
    assert (books["a"].balance("p"), books["b"].balance("q")) == ("-5.00 SEK", "5.00 SEK")
    assert books.reconcile("a", "b").is_settled


def test_who_sends_opens_the_clearing_account_to_nobody_else_in_the_batch(books: PayingBooks) -> None:
    def work(batch: Batch) -> list[Outcome]:
        with suppress(Rejected):
            send(batch, "b", [payment("1", "p", "no account", "1 kr")])
        return [
            *send(batch, "b", [payment("2", "p", "q", "1 kr")]),
            *batch.post([payment("3", "p", "clearing-b-sek", "1 kr")]),
        ]

    sent, by_hand = books["a"].work(work)
    assert isinstance(sent, Posted)
    assert isinstance(by_hand, Refused)


OUTBOX = "WHERE to_account = 'q'"


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        (f"UPDATE outbox SET to_account = 'thief' {OUTBOX}", "sends entry {place} on to b/thief, the journal to b/q"),
        (f"UPDATE outbox SET to_book = 'c' {OUTBOX}", "sends entry {place} on to c/q, the journal to b/q"),
        (f"UPDATE outbox SET position = 7 {OUTBOX}", "entry {place} goes on to b/q, and is not in the outbox"),
        (f"DELETE FROM outbox {OUTBOX}", "entry {place} goes on to b/q, and is not in the outbox"),
        (
            f"INSERT INTO outbox SELECT book_id, 1, 0, to_book, to_account FROM outbox {OUTBOX}",
            "the outbox sends entry 1/0 on to b/q, the journal does not say so",
        ),
        ("UPDATE outbox SET to_account = 'p' WHERE to_account = ''", "on to a/p, the journal to a/"),
        ("DELETE FROM outbox WHERE to_account = ''", "goes on to a/, and is not in the outbox"),
        (
            "UPDATE inbox SET position = position + 1 WHERE from_book = 'a'",
            "the inbox says that a was taken in up to entry {next}, the journal goes up to {place}",
        ),
        ("UPDATE inbox SET seq = seq - 1 WHERE from_book = 'b'", "the inbox says that b was taken in up to entry"),
        ("DELETE FROM inbox WHERE from_book = 'a'", "up to entry 0/0, the journal goes up to {place}"),
        ("INSERT INTO inbox SELECT book_id, 'z', 1, 0 FROM inbox LIMIT 1", "says that z was taken in up to entry 1/0"),
    ],
)
def test_an_altered_outbox_or_inbox_is_found(filed: PayingBooks, statement: str, fault: str) -> None:
    filed.send("a", "b", payment("0", "p", "nobody", "1 kr"))
    (outcome,) = filed.send("a", "b", payment("1", "p", "q", "5 kr"))
    assert isinstance(outcome, Posted)
    place = Place(outcome.transfer.seq, outcome.transfer.position)
    filed.deliver_all()
    assert filed.faults() == {}
    alter(filed, statement)
    expected = fault.format(place=place, next=place._replace(position=place.position + 1))
    assert any(expected in each for found in filed.faults().values() for each in found), filed.faults()


def test_nothing_is_delivered_that_the_journal_does_not_say(books: PayingBooks) -> None:
    books["b"].open(account("thief"))
    books.send("a", "b", payment("1", "p", "q", "5 kr"))
    books.send("a", "b", payment("2", "p", "q", "7 kr"))
    alter(books, "UPDATE outbox SET to_account = 'thief' WHERE seq = (SELECT max(seq) FROM outbox)")
    assert books.deliver("a", "b") == Delivered(posted=1)
    with pytest.raises(Rejected, match="outbox_is_wrong"):
        books.deliver("a", "b")
    assert "the outbox sends entry" in books.reconcile("a", "b").misfit
    assert (books["b"].balance("q"), books["b"].balance("thief")) == ("5.00 SEK", "0.00 SEK")


def test_a_payment_that_arrived_before_as_another_stops_its_courier(books: PayingBooks) -> None:
    (outcome,) = books.send("a", "b", payment("1", "p", "q", "5 kr"))
    assert isinstance(outcome, Posted)
    forged = payment("", "clearing-a-sek", "q", "9 kr", source=f"book:a@{outcome.transfer.seq}/0")
    books.post_unguarded("b", replace(forged, id=arrival_id("a", SENT)))
    with pytest.raises(Rejected, match="arrival_is_wrong"):
        books.deliver("a", "b")
    assert books["b"].balance("q") == "9.00 SEK"


def test_a_payment_whose_id_somebody_else_took_comes_back(books: PayingBooks) -> None:
    books["b"].open(account("r", "-1 kr"))
    books.send("a", "b", payment("1", "p", "q", "5 kr"))
    books["b"].post(replace(payment("", "r", "q", "1 kr"), id=arrival_id("a", SENT)))
    books.deliver_all()
    assert (books["a"].balance("p"), books["b"].balance("q")) == ("0.00 SEK", "1.00 SEK")
    assert books.reconcile("a", "b").is_settled
    assert books.faults() == {}


@pytest.mark.parametrize(
    "alteration",
    [
        "content = replace(content, 'book:a@', 'book:a@1')",
        """content = replace(content, '"transfer":"', '"transfer":"00')""",
        """content = replace(content, '"reason":', '"no reason":')""",
        "content = '[]'",
        "event = 'opened'",
    ],
)
def test_what_nobody_sent_cannot_be_sent_back(filed: PayingBooks, alteration: str) -> None:
    filed.send("a", "b", payment("1", "p", "nobody", "5 kr"))
    filed.deliver("a", "b")
    alter(filed, f"UPDATE event SET {alteration} WHERE event = 'refused'")
    with pytest.raises(Rejected, match="_is_wrong"):
        filed.deliver("b", "a")
    assert filed["a"].balance("p") == "-5.00 SEK"


def test_an_inbox_that_fell_back_since_it_was_read_passes_nothing_over(books: PayingBooks) -> None:
    books.send("a", "b", payment("1", "p", "q", "5 kr"))
    with pytest.raises(Rejected, match="arrival_is_wrong"):
        books["b"].work(lambda batch: take_in(batch, "b", "a", [], Place(9, 0)))
    assert books.deliver("a", "b").posted == 1


def test_an_inbox_that_was_set_back_pays_nothing_again(books: PayingBooks) -> None:
    books.send("a", "b", payment("0", "p", "nobody", "1 kr"), payment("1", "p", "q", "5 kr"))
    books.deliver_all()
    alter(books, "DELETE FROM inbox")
    books["b"].open(account("nobody"))
    books.deliver_all()
    assert (books["b"].balance("q"), books["b"].balance("nobody")) == ("5.00 SEK", "0.00 SEK")
    assert books["a"].balance("p") == "-5.00 SEK"
    assert books.reconcile("a", "b").misfit == ""


def reverse_arrived(books: PayingBooks) -> str:
    books.reverse_unguarded("b", "undo", arrival_id("a", SENT))
    return f"transfer {derived_id('undo').hex()} of batch"


def reverse_sent(books: PayingBooks) -> str:
    books.reverse_unguarded("a", "undo", SENT)
    return "arrived in b and came back too"


def pay_into(books: PayingBooks) -> str:
    books.post_unguarded("a", payment("hand", "p", "clearing-b-sek", "1 kr"))
    return f"transfer {derived_id('hand').hex()} of batch"


def lose_on_the_way(books: PayingBooks) -> str:
    books.send("a", "b", payment("2", "p", "q", "1 kr"))
    alter(books, "DELETE FROM outbox WHERE seq = (SELECT max(seq) FROM outbox)")
    return f"transfer {derived_id('2').hex()} of batch"


def pass_over(books: PayingBooks) -> str:
    books.send("a", "b", payment("2", "p", "q", "1 kr"))
    alter(books, "UPDATE inbox SET seq = (SELECT max(seq) FROM outbox) WHERE from_book = 'a'")
    return "never arrived in b"


def alter_amount(books: PayingBooks) -> str:
    alter(books, "UPDATE transfer SET amount = amount - 1 WHERE source LIKE '%to:b/q'")
    alter(books, "UPDATE account SET total_in = total_in - 1 WHERE account_id = 'clearing-b-sek'")
    return "arrived in b as 5.00 SEK"


def answer_nothing(books: PayingBooks) -> str:
    forged = payment("forged", "clearing-a-sek", "q", "1 kr", source="book:a@1/0")
    books.post_unguarded("b", forged)
    return "answers entry 1/0 of a, which is nothing to be answered so"


@pytest.mark.parametrize(
    "disturb",
    [
        reverse_arrived,
        reverse_sent,
        pay_into,
        lose_on_the_way,
        pass_over,
        alter_amount,
        answer_nothing,
    ],
)
def test_the_first_transfer_that_does_not_fit_is_named(filed: PayingBooks, disturb: Any) -> None:
    filed["b"].clock.advance(1)
    filed["b"].open(account("q", "-5 kr"))
    filed.send("a", "b", payment("0", "p", "nobody", "1 kr"))
    filed.send("a", "b", payment("1", "p", "q", "5 kr"))
    filed.deliver_all()
    assert filed.reconcile("a", "b").is_settled
    named = disturb(filed)
    filed["a"].clock.advance(SECOND)
    filed.post_unguarded("a", payment("later", "p", "clearing-b-sek", "0.10 kr"))
    for found in (filed.reconcile("a", "b"), filed.reconcile("b", "a")):
        assert any(each.difference for each in found.owed)
        assert named in found.misfit


def test_a_balance_that_no_transfer_explains_is_said_to_be_wrong(books: PayingBooks) -> None:
    books.send("a", "b", payment("1", "p", "q", "5 kr"))
    alter(books, "UPDATE account SET total_in = total_in - 1 WHERE account_id = 'clearing-b-sek'")
    assert books.reconcile("a", "b").misfit == (
        "the balances in SEK differ from what the transfers give: verify both books"
    )


def test_one_of_two_books_that_was_restored_from_an_older_copy_is_named(books: PayingBooks) -> None:
    books.send("a", "b", payment("1", "p", "q", "5 kr"))
    books.deliver("a", "b")
    alter(books, "UPDATE book SET seq = seq - 1, totalled_seq = 0 WHERE name = 'a'")
    with pytest.raises(Unavailable, match="restored from an older copy"):
        books.reconcile("a", "b")


def test_names_that_cannot_be_are_refused_before_anything_moves(books: PayingBooks) -> None:
    for to_book, payee, code in (
        ("B", "q", "not_a_book"),
        ("x" * 51, "q", "book_name_too_long"),
        ("b", "q/r", "not_a_destination"),
        ("b", "", "not_a_destination"),
        ("b", "x" * 64, "not_a_destination"),
    ):
        with pytest.raises(Rejected, match=code):
            books.send("a", to_book, payment("1", "p", payee, "5 kr"))
    assert books["a"].balance("p") == "0.00 SEK"
    with pytest.raises(ValueError, match="names of their own"):
        Courier(books.at("a"), books.at("a"), books["a"].writer)
    with pytest.raises(Rejected, match="unknown_book"):
        reconcile(books.at("a"), BookAt(books["a"].engine, "c"))


def test_the_longest_names_fit(books: PayingBooks) -> None:
    longest = "x" * 50
    assert len(clearing_id(longest, SEK)) == 63
    books["a"].open(*clearing_accounts(longest, PLANT.id, SEK))
    (outcome,) = books.send("a", longest, payment("1", "p", "y" * 63, "1 kr", text="t" * 200, reference="r" * 140))
    assert isinstance(outcome, Posted)
    assert books.faults() == {}


def test_a_long_source_arrives_cut_off(books: PayingBooks) -> None:
    books.send(
        "a", "b", payment("1", "p", "q", "1 kr", source="s" * 133), payment("2", "p", "q", "1 kr", source="s" * 134)
    )
    assert books.deliver("a", "b") == Delivered(posted=1)
    there = arrived(books)
    assert there is not None
    assert there.request.source.rstrip("s").endswith("/0 ")
    assert len(there.request.source) == 140
    assert books.faults() == {}


@pytest.mark.parametrize("source", ["user:x to:c/thief", "book:z@9/9", "back:b@9/9", "book:b@1/0 to:a/p"])
def test_a_source_that_looks_as_if_it_came_or_went_is_only_a_source(filed: PayingBooks, source: str) -> None:
    (outcome,) = filed.send("a", "b", payment("1", "p", "q", "5 kr", source=source))
    assert isinstance(outcome, Posted)
    assert outcome.transfer.request.source == f"{source} to:b/q"
    filed.deliver_all()
    there = arrived(filed)
    assert there is not None
    assert there.request.source == f"book:a@{outcome.transfer.seq}/{outcome.transfer.position} {source}"
    assert filed.reconcile("a", "b").is_settled
    assert filed.faults() == {}


def test_what_is_undone_goes_nowhere_whatever_its_source_says(books: PayingBooks) -> None:
    books["a"].open(account("r"))
    books.post_unguarded("a", payment("wrong", "clearing-b-sek", "r", "1 kr"))
    books.reverse_unguarded("a", "undo", derived_id("wrong"), source="user:x to:b/q")
    assert books.deliver("a", "b").count == 0
    assert books.faults() == {}
