"""An account's transfers, newest first, page by page, however the book goes on meanwhile."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from ledgers import Book, account, capture, hold, open_book, payment

from core.errors import Rejected
from core.ids import TransferId, derived_id
from core.money import Money
from ledger import statement
from ledger.account import AccountId
from ledger.database import reading
from ledger.operations import STATEMENT_PAGE_MAX
from ledger.tables import STRETCH
from ledger.transfer import Transfer

A, B, C = AccountId("a"), AccountId("b"), AccountId("c")


def with_accounts(book: Book) -> Book:
    book.open(account("a", "-10000 kr"), account("b", "-10000 kr"), account("c"))
    return book


def pages(book: Book, name: AccountId, limit: int) -> Iterator[list[Transfer]]:
    before = None
    while page := book.reader.statement(name, limit, before):
        assert len(page) <= limit
        yield page
        before = (page[-1].seq, page[-1].position)


def ids(page: list[Transfer]) -> list[TransferId]:
    return [transfer.id for transfer in page]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 100])
def test_the_statement_pages_through_everything_once(limit: int, database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_accounts(opened)
        for n in range(7):
            book.post(*(payment(f"{n}-{m}", "a", "bc"[m % 2], "1 kr") for m in range(5)))
        seen = [id for page in pages(book, B, limit) for id in ids(page)]
        assert seen == [derived_id(f"{n}-{m}") for n in reversed(range(7)) for m in (4, 2, 0)]


def test_the_pages_stay_as_they_are_while_new_transfers_come(database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_accounts(opened)
        for n in range(6):
            book.post(payment(f"{n}-0", "a", "b", "1 kr"), payment(f"{n}-1", "b", "a", "1 kr"))
        seen = []
        for number, page in enumerate(pages(book, B, 5)):
            seen += ids(page)
            book.post(payment(f"new {number}", "a", "b", "1 kr"))
        assert seen == [derived_id(f"{n}-{m}") for n in reversed(range(6)) for m in (1, 0)]
        assert ids(book.reader.statement(B, 3)) == [derived_id(f"new {number}") for number in (2, 1, 0)]


def test_the_statement_tells_who_paid_whom_what_and_when(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        (first,) = book.post(payment("1", "a", "b", "1 kr", text="May", reference="7", source="user:anna"))
        (second,) = book.post(payment("2", "b", "a", "2 kr"))
        assert book.reader.statement(B) == [second.transfer, first.transfer]  # type: ignore[union-attr]
        assert book.reader.statement(C) == []


def test_batches_that_only_held_money_are_no_part_of_the_statement(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.post(payment("1", "a", "b", "1 kr"))
        for n in range(70):
            book.place(hold(f"{n}", "a", "b", "1 kr"))
        book.capture(capture("c", "7"))
        book.release("8")
        assert ids(book.reader.statement(A, 2)) == [derived_id("c"), derived_id("1")]
        assert [ids(page) for page in pages(book, A, 1)] == [[derived_id("c")], [derived_id("1")]]


def test_a_page_reaches_over_many_batches_and_into_large_ones(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.post(*(payment(f"old {n}", "a", "b", "0.01 kr") for n in range(300)))
        for n in range(150):
            book.post(payment(f"{n}", "a", "b", "0.01 kr"))
        expected = [derived_id(f"{n}") for n in reversed(range(150))]
        expected += [derived_id(f"old {n}") for n in reversed(range(300))]
        assert ids(book.reader.statement(B, STATEMENT_PAGE_MAX)) == expected
        assert [id for page in pages(book, B, 64) for id in ids(page)] == expected


def test_a_page_is_bounded_whatever_is_asked_for(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.post(*(payment(f"{n}", "a", "b", "0.01 kr") for n in range(STATEMENT_PAGE_MAX + 1)))
        assert len(book.reader.statement(B, 10**9)) == STATEMENT_PAGE_MAX
        assert book.reader.statement(B, 0) == []
        assert book.reader.statement(B, before=(0, 0)) == []


def test_a_cursor_need_not_be_a_transfer_of_the_account(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.post(payment("1", "a", "b", "1 kr"), payment("2", "a", "c", "1 kr"), payment("3", "a", "b", "1 kr"))
        assert ids(book.reader.statement(B, before=(2, 2))) == [derived_id("1")]
        assert ids(book.reader.statement(B, before=(9, 0))) == [derived_id("3"), derived_id("1")]


def test_there_is_no_statement_of_an_account_nobody_opened(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        with pytest.raises(Rejected) as rejected:
            with_accounts(opened).reader.statement(AccountId("nobody"))
        assert rejected.value.code == "unknown_account"


def test_what_an_account_held_is_found_after_every_batch_of_a_long_book(database_url: str) -> None:
    """Accounts that move in every batch, now and then, once in several stretches, and in one stretch only."""
    random = Random(1)
    moves = {"a": range(4 * STRETCH), "b": [], "c": range(30, 4 * STRETCH, 97), "d": range(70, 90, 3)}
    moves["b"] = sorted(random.sample(range(4 * STRETCH), 40))
    after: list[dict[str, int]] = []
    with open_book(database_url) as book:
        book.open(account("bank", "-10000 kr"), *map(account, moves))
        head = book.reader.overview().head
        held = dict.fromkeys(moves, 0)
        for n in range(4 * STRETCH):
            moved = [name for name, batches in moves.items() if n in batches]
            book.post(*(payment(f"{n} {name}", "bank", name, "1 kr") for name in moved))
            held.update({name: held[name] + 1 for name in moved})
            after.append(dict(held))
        with reading(book.engine) as connection:
            for n, expected in enumerate(after):
                statuses = {
                    name: statement.load_status_after(connection, head.book, number, head.seq + 1 + n)
                    for number, name in enumerate(moves, 2)
                }
                assert {name: status and status.balance for name, status in statuses.items()} == {
                    name: Money.parse(f"{count} kr") for name, count in expected.items()
                }, n
        for name, count in after[-1].items():
            assert sum(len(page) for page in pages(book, AccountId(name), 7)) == count
