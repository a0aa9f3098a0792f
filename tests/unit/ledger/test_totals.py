"""What each account paid each other, before and after it was added up."""

import threading
from pathlib import Path

import pytest
from ledgers import Book, account, open_book

from core.clock import Instant
from core.ids import derived_id
from core.money import Money
from ledger import writer
from ledger.account import AccountId
from ledger.totals import HOUR, LinkTotal
from ledger.transfer import TransferRequest


@pytest.fixture
def never_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer leaves it to the test to add up."""
    monkeypatch.setattr(writer, "IDLE_MILLISECONDS", 60_000)


def work_of(hour: float, key: str, debit: str, credit: str, amount: str) -> TransferRequest:
    """A payment for work that was done so many hours after 1970."""
    ends = AccountId(debit), AccountId(credit)
    return TransferRequest(derived_id(key), *ends, Money.parse(amount), Instant(int(hour * HOUR)))


def with_transfers(book: Book) -> Book:
    """Five batches of transfers; the third of them without any from a to b."""
    book.open(account("a", "-100 kr"), account("b", "-100 kr"), account("e", "-100 EUR"), account("f", "0 EUR"))
    book.post(work_of(0, "1", "a", "b", "1 kr"), work_of(0.5, "2", "a", "b", "2 kr"), work_of(1, "3", "b", "a", "4 kr"))
    book.post(work_of(2, "4", "a", "b", "8 kr"))
    book.post(work_of(1.5, "5", "e", "f", "1 EUR"))
    book.post(work_of(1, "6", "a", "b", "16 kr"))
    book.post(work_of(2.999, "7", "a", "b", "32 kr"), work_of(3, "8", "b", "a", "64 kr"))
    return book


def shown(totals: list[LinkTotal]) -> dict[str, tuple[int, str]]:
    return {f"{each.debit} → {each.credit}": (each.transfers, str(each.amount)) for each in totals}


def between(book: Book, begin: float, end: float) -> dict[str, tuple[int, str]]:
    return shown(book.reader.links_between(Instant(int(begin * HOUR)), Instant(int(end * HOUR))))


EVER = {"a → b": (5, "59.00 SEK"), "b → a": (2, "68.00 SEK"), "e → f": (1, "1.00 EUR")}
FROM_ONE_TO_THREE = {"a → b": (3, "56.00 SEK"), "b → a": (1, "4.00 SEK"), "e → f": (1, "1.00 EUR")}


@pytest.mark.usefixtures("never_idle")
@pytest.mark.parametrize("added_up", [0, 1, 3, 4, 5, 6, 8])
def test_totals_are_the_same_however_much_was_added_up(added_up: int, database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_transfers(opened)
        if added_up:
            assert book.add_up(added_up) >= added_up
        assert shown(book.reader.overview().links) == EVER
        assert between(book, 1, 3) == FROM_ONE_TO_THREE
        assert between(book, 0, 1) == {"a → b": (2, "3.00 SEK")}
        assert between(book, 3, 4) == {"b → a": (1, "64.00 SEK")}
        assert between(book, 4, 9) == between(book, 2, 2) == {}
        assert between(book, 0, 10**5) == EVER
        assert book.reader.verify().faults == ()


@pytest.mark.usefixtures("never_idle")
def test_whole_batches_are_added_up_and_each_once(database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_transfers(opened)
        assert [book.add_up(2) for _ in range(4)] == [3, 2, 3, 0]
        assert book.reader.overview().head.totalled_seq == book.reader.overview().head.seq == 6
        assert shown(book.reader.overview().links) == EVER
        book.post(work_of(1, "9", "a", "b", "1 kr"))
        assert shown(book.reader.overview().links)["a → b"] == (6, "60.00 SEK")
        assert book.add_up() == 1
        assert shown(book.reader.overview().links)["a → b"] == (6, "60.00 SEK")
        assert between(book, 1, 2)["a → b"] == (2, "17.00 SEK")
        assert book.reader.verify().faults == ()


def test_hours_are_whole_ones(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_transfers(opened)
        for _ in range(2):
            assert between(book, 1.9, 3.9) == between(book, 1, 3)
            book.add_up()


def test_links_come_in_the_order_their_accounts_were_opened(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_transfers(opened)
        for _ in range(2):
            assert list(shown(book.reader.overview().links)) == ["a → b", "b → a", "e → f"]
            book.add_up()


def test_the_writer_adds_up_in_a_quiet_moment_and_after_a_restart(tmp_path: Path) -> None:
    def wait_until_added_up(book: Book) -> None:
        for _ in range(200):
            if book.reader.overview().head.totalled_seq == book.reader.overview().head.seq:
                return
            threading.Event().wait(0.02)
        raise AssertionError("the totals were never added up")

    with open_book(tmp_path / "a.db") as opened:
        with_transfers(opened)
        wait_until_added_up(opened)
        opened.post(work_of(1, "9", "a", "b", "1 kr"))
    with open_book(tmp_path / "a.db") as book:
        book.work(lambda batch: None)
        wait_until_added_up(book)
        assert shown(book.reader.overview().links)["a → b"] == (6, "60.00 SEK")
        assert book.reader.verify().faults == ()
