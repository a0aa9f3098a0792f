"""Several transfers of which all are posted or none, such as an exchange between two currencies."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import Book, account, open_book, payment

from core.ids import derived_id
from core.money import Money
from ledger.account import AccountKind
from ledger.batch import Batch
from ledger.transfer import AlreadyPosted, Outcome, Posted, Reason, Refused, TransferKind, TransferRequest

SELL = payment("sell", "press", "trading-sek", "110 kr")
BUY = payment("buy", "trading-eur", "supplier", "10 EUR")
FEE = payment("fee", "press", "bank", "1 kr")
EXCHANGE = [SELL, FEE, BUY]


def with_accounts(book: Book) -> Book:
    book.open(
        account("press", "-200 kr"),
        account("bank", "0 kr", kind=AccountKind.BANK),
        account("trading-sek", "-1000 kr", kind=AccountKind.TRADING),
        account("trading-eur", "-1000 EUR", kind=AccountKind.TRADING),
        account("supplier", "0 EUR"),
    )
    return book


def balances(book: Book) -> dict[str, str]:
    return {each.account.id: str(each.balance) for each in book.reader.overview().statuses if each.balance}


def reasons(outcomes: Sequence[Outcome]) -> list[Reason | None]:
    """Why each was refused; None where it was not."""
    return [outcome.reason if isinstance(outcome, Refused) else None for outcome in outcomes]


def posted(outcomes: Sequence[Outcome]) -> list[TransferRequest]:
    assert all(isinstance(outcome, Posted) for outcome in outcomes), outcomes
    return [outcome.transfer.request for outcome in outcomes if isinstance(outcome, Posted)]


def test_an_exchange_moves_both_currencies_in_one_batch_side_by_side(database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_accounts(opened)
        outcomes = book.post_linked(*EXCHANGE)
        kinds = [request.kind for request in posted(outcomes)]
        assert kinds == [TransferKind.LINKED, TransferKind.LINKED, TransferKind.PLAIN]
        places = [(each.transfer.seq, each.transfer.position) for each in outcomes if isinstance(each, Posted)]
        assert places == [(2, 0), (2, 1), (2, 2)]
        assert balances(book) == {
            "press": "-111.00 SEK",
            "bank": "1.00 SEK",
            "trading-sek": "110.00 SEK",
            "trading-eur": "-10.00 EUR",
            "supplier": "10.00 EUR",
        }
        verification = book.reader.verify()
        assert verification.faults == ()
        assert {code: str(total) for code, total in verification.trial_balance.items()} == {
            "EUR": "0.00 EUR",
            "SEK": "0.00 SEK",
        }


@pytest.mark.parametrize("culprit", range(3))
def test_when_one_is_refused_none_is_posted_and_it_alone_says_why(culprit: int, database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_accounts(opened)
        head = book.reader.overview().head
        legs = [*EXCHANGE]
        legs[culprit] = replace(legs[culprit], amount=Money(10**14, legs[culprit].amount.currency))
        outcomes = book.post_linked(*legs)
        assert [outcome.request.id for outcome in outcomes if isinstance(outcome, Refused)] == [leg.id for leg in legs]
        expected = [Reason.LINKED_REFUSED] * 3
        expected[culprit] = Reason.INSUFFICIENT_FUNDS
        assert reasons(outcomes) == expected
        others = {outcome.text for outcome in outcomes if isinstance(outcome, Refused)}
        assert f"transfer {culprit + 1} of the linked ones was refused" in others
        assert balances(book) == {}
        assert book.reader.overview().head == head, "not even a batch was written"
        posted(book.post_linked(*EXCHANGE))


def test_each_leg_is_decided_on_what_the_ones_before_it_left(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        into, out_of = payment("1", "press", "bank", "50 kr"), payment("2", "bank", "trading-sek", "50 kr")
        assert reasons(book.post_linked(out_of, into)) == [Reason.INSUFFICIENT_FUNDS, Reason.LINKED_REFUSED]
        posted(book.post_linked(into, out_of))
        assert balances(book) == {"press": "-50.00 SEK", "trading-sek": "50.00 SEK"}
        both = [payment("3", "press", "bank", "100 kr"), payment("4", "press", "bank", "50.01 kr")]
        assert reasons(book.post_linked(*both)) == [Reason.LINKED_REFUSED, Reason.INSUFFICIENT_FUNDS]


def test_the_first_refusal_is_told_when_several_speak_against_it(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        legs = [SELL, payment("1", "nobody", "bank", "1 kr"), payment("2", "press", "nobody", "1 kr")]
        assert reasons(book.post_linked(*legs)) == [
            Reason.LINKED_REFUSED,
            Reason.UNKNOWN_DEBIT_ACCOUNT,
            Reason.LINKED_REFUSED,
        ]


def test_asked_again_all_were_posted_before(database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_accounts(opened)
        first = book.post_linked(*EXCHANGE)
        before = balances(book)
        again = [AlreadyPosted(outcome.transfer) for outcome in first if isinstance(outcome, Posted)]
        assert book.post_linked(*EXCHANGE) == again
        assert book.post_linked(*reversed(EXCHANGE)) == again[::-1], "in any order"
        assert book.post(*EXCHANGE) == again, "and one by one"
        assert balances(book) == before


def test_asked_twice_within_one_batch_they_are_posted_once(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        first, again = book.together(*[lambda batch: batch.post_linked(EXCHANGE)] * 2)
        assert again == [AlreadyPosted(outcome.transfer) for outcome in first]
        assert book.reader.verify().faults == ()


def test_a_mixture_of_old_and_new_is_a_conflict_and_posts_nothing(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.post(FEE)
        before = balances(book)
        outcomes = book.post_linked(*EXCHANGE)
        assert reasons(outcomes) == [Reason.LINKED_REFUSED, Reason.CONFLICT, Reason.LINKED_REFUSED]
        assert balances(book) == before
        changed = [SELL, replace(FEE, amount=Money.parse("2 kr")), BUY]
        assert reasons(book.post_linked(*changed)) == [Reason.LINKED_REFUSED, Reason.CONFLICT, Reason.LINKED_REFUSED]


def test_the_same_transfer_cannot_be_linked_with_itself(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        assert reasons(book.post_linked(FEE, FEE)) == [Reason.LINKED_REFUSED, Reason.CONFLICT]
        assert balances(book) == {}


def test_linked_transfers_stand_among_others_in_a_batch(tmp_path: Path) -> None:
    def work(batch: Batch) -> list[Outcome]:
        first = batch.post([payment("1", "press", "bank", "5 kr")])
        refused = batch.post_linked([payment("2", "press", "bank", "5 kr"), payment("3", "bank", "press", "11 kr")])
        batch.open_account(account("late", "-10 kr"))
        linked = batch.post_linked(EXCHANGE)
        last = batch.post([payment("4", "late", "bank", "5 kr")])
        return [*first, *refused, *linked, *last]

    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        outcomes = book.work(work)
        assert reasons(outcomes[1:3]) == [Reason.LINKED_REFUSED, Reason.INSUFFICIENT_FUNDS]
        places = [outcome.transfer.position for outcome in outcomes if isinstance(outcome, Posted)]
        assert places == [0, 2, 3, 4, 5], "the account was opened at place 1"
        assert book.balance("bank") == "11.00 SEK"
        assert book.reader.find(derived_id("2")) is None
        assert book.reader.verify().faults == ()


def test_a_single_linked_transfer_is_a_plain_one(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        (request,) = posted(book.post_linked(FEE))
        assert request.kind is TransferKind.PLAIN
        assert book.post_linked() == []
