"""A book's past, read at length: it says the same as whoever asks for one thing at a time."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

import pytest
from ledgers import START, account, capture, hold, open_book, payment

from core.clock import SECOND, Instant
from core.errors import InvariantBroken, Rejected
from ledger import history
from ledger.account import AccountId, AccountState
from ledger.batch import Batch
from ledger.transfer import Posted, Reason, Refused, Transfer, TransferKind


def test_every_transfer_comes_in_the_books_order_with_all_that_it_says(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_SEALS_PER_SELECT", 2)
    with open_book(database_url) as book:
        book.open(account("a", "-1000 kr"), account("b"), account("c", "-9 EUR"), account("d", "0 EUR"))
        book.post(payment("1", "a", "b", "5 kr", text="first", reference="r", source="user:anna"))
        book.open(account("e"))  # a batch without any transfer
        book.clock.advance(SECOND)
        book.post_linked(payment("2", "a", "b", "1 kr"), payment("3", "c", "d", "2 EUR"))
        book.place(hold("h", "a", "b", "3 kr"))
        book.capture(capture("4", "h", "1 kr"))
        book.reverse("5", payment("1", "a", "b", "5 kr").id, text="undone")
        with book.reader.history() as past:
            transfers = list(past.transfers())
        keys = [payment(key, "a", "b", "1 kr").id for key in "12345"]
        assert [transfer.id for transfer in transfers] == keys
        assert transfers == [book.reader.find(key) for key in keys]
        assert [transfer.request.kind for transfer in transfers] == [
            TransferKind.PLAIN,
            TransferKind.LINKED,
            TransferKind.PLAIN,
            TransferKind.CAPTURE,
            TransferKind.REVERSAL,
        ]
        assert transfers[0].posted_time == START
        assert {transfer.posted_time for transfer in transfers[1:]} == {START + SECOND}


def test_accounts_parties_and_balances_are_of_the_same_instant_as_the_transfers(database_url: str) -> None:
    with open_book(database_url) as book:
        book.open(account("z", "-10 kr"), account("a"))
        book.post(payment("1", "z", "a", "5 kr"))
        with book.reader.history() as past:
            book.post(payment("2", "z", "a", "1 kr"))
            book.open(account("late"))
            assert [each.id for each in past.accounts] == ["z", "a"]
            assert [party.id for party in past.parties()] == ["plant"]
            assert {id: str(balance) for id, balance in past.balances.items()} == {"z": "-5.00 SEK", "a": "5.00 SEK"}
            assert [transfer.request.amount.plain() for transfer in past.transfers()] == ["5.000000"]
            assert past.head.seq == 2


def test_accounts_are_shown_as_they_were_at_an_instant(database_url: str) -> None:
    with open_book(database_url) as book:
        book.clock.advance(10)
        book.open(account("a", "-10 kr"))
        book.clock.advance(10)
        book.open(account("b"))
        book.post(payment("1", "a", "b", "5 kr"))
        book.place(hold("h", "b", "a", "2 kr"))
        book.clock.advance(10)
        book.change("b", state=AccountState.FROZEN)
        book.post(payment("2", "a", "b", "1 kr"))

        def shown(at: int) -> list[tuple[str, str, str, str]]:
            with book.reader.history() as past:
                statuses = past.statuses_at(Instant(START + at))
            return [(each.account.id, each.account.state, each.balance.plain(), each.held.plain()) for each in statuses]

        assert shown(9) == []
        assert shown(10) == [("a", "open", "0.000000", "0.000000")]
        assert shown(29) == [("a", "open", "-5.000000", "0.000000"), ("b", "open", "5.000000", "2.000000")]
        assert shown(30) == [("a", "open", "-6.000000", "0.000000"), ("b", "frozen", "6.000000", "2.000000")]
        assert shown(10**9) == shown(30)


def test_refusals_are_read_from_the_journal_newest_first(database_url: str) -> None:
    with open_book(database_url) as book:
        book.open(account("a"), account("b", "-3 kr"))
        asked = [
            payment("1", "a", "b", "5 kr", text="rent", reference="r", source="user:anna"),
            payment("2", "b", "a", "4 kr"),
            payment("3", "nobody", "a", "1 kr"),
        ]
        for request in asked:
            (refused,) = book.post(request)
            assert isinstance(refused, Refused)
            book.clock.advance(SECOND)
            book.work(partial(Batch.record_refusal, refused=refused))
        with book.reader.history() as past:
            found = past.refusals(10)
            assert [refusal.refused.request for refusal in found] == asked[::-1]
            assert [refusal.refused.reason for refusal in found] == [
                Reason.UNKNOWN_DEBIT_ACCOUNT,
                Reason.INSUFFICIENT_FUNDS,
                Reason.INSUFFICIENT_FUNDS,
            ]
            assert found[2].refused.text.startswith("a has 0.00 SEK available")
            assert [refusal.posted_time for refusal in found] == [START + n * SECOND for n in (3, 2, 1)]
            assert past.refusals(2) == found[:2]
            assert past.refusals(10, AccountId("a")) == found[2:]
            with pytest.raises(Rejected, match="unknown_account: there is no account 'nobody'"):
                past.refusals(10, AccountId("nobody"))


def test_a_batch_without_a_seal_ends_the_reading_loudly(tmp_path: Path) -> None:
    with open_book(tmp_path / "book.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        for key in "12":
            (outcome,) = book.post(payment(key, "a", "b", "1 kr"))
            assert isinstance(outcome, Posted)
        connection = sqlite3.connect(tmp_path / "book.db")
        connection.execute("DELETE FROM seal WHERE seq = 3")
        connection.commit()
        connection.close()
        read: list[Transfer] = []
        with book.reader.history() as past, pytest.raises(InvariantBroken, match="batch 3 has no seal"):
            read.extend(past.transfers())
        assert len(read) == 1


def test_there_is_no_history_of_a_book_that_is_not_there(tmp_path: Path) -> None:
    with (
        open_book(tmp_path / "book.db") as book,
        pytest.raises(Rejected, match="unknown_book"),
        book.reader.history(),
    ):
        pass
