"""What was posted stays; a new transfer undoes it, once."""

from pathlib import Path

import pytest
from altered_books import alter
from ledgers import Book, account, capture, hold, open_book, payment

from core.clock import Instant
from core.errors import Rejected
from core.ids import derived_id
from core.money import Money
from ledger.account import AccountState
from ledger.batch import Batch
from ledger.transfer import AlreadyPosted, Outcome, Posted, Reason, Refused, TransferKind

PAID = derived_id("paid")


def with_a_payment(book: Book) -> Book:
    book.open(account("press", "-100 kr"), account("energy"), account("other"))
    book.post(payment("paid", "press", "energy", "12.50 kr", text="May", reference="7", source="agreement:energy"))
    return book


def refusal(outcome: Outcome) -> Reason:
    assert isinstance(outcome, Refused), outcome
    assert outcome.text
    return outcome.reason


def test_a_reversal_moves_the_money_back_and_names_what_it_undoes(database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_a_payment(opened)
        outcome = book.reverse("r", PAID, text="wrong meter", source="user:anna")
        assert isinstance(outcome, Posted)
        request = outcome.transfer.request
        assert (request.debit, request.credit, str(request.amount)) == ("energy", "press", "12.50 SEK")
        assert (request.kind, request.cause) == (TransferKind.REVERSAL, PAID)
        assert (request.text, request.reference, request.source) == ("wrong meter", "7", "user:anna")
        assert (book.balance("press"), book.balance("energy")) == ("0.00 SEK", "0.00 SEK")
        assert book.reader.find(derived_id("r")) == outcome.transfer
        assert [each.id for each in book.reader.statement(account("press").id)] == [derived_id("r"), PAID]
        assert book.reader.verify().faults == ()


def test_a_transfer_is_reversed_once_whoever_asks(database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_a_payment(opened)
        first = book.reverse("r", PAID)
        assert isinstance(first, Posted)
        assert book.reverse("r", PAID) == AlreadyPosted(first.transfer)
        assert refusal(book.reverse("s", PAID)) is Reason.ALREADY_REVERSED
        assert refusal(book.reverse("r", PAID, text="other")) is Reason.CONFLICT
        assert book.balance("energy") == "0.00 SEK"


def test_a_transfer_is_reversed_once_within_a_batch_too(tmp_path: Path) -> None:
    def work(batch: Batch) -> list[Outcome]:
        batch.post([payment("new", "press", "energy", "1 kr")])
        asked = [("r", "new"), ("s", "new"), ("r", "new"), ("t", "paid")]
        return [batch.reverse(derived_id(id), derived_id(original), Instant(5)) for id, original in asked]

    with open_book(tmp_path / "a.db") as opened:
        book = with_a_payment(opened)
        first, second, again, other = book.work(work)
        assert isinstance(first, Posted)
        assert refusal(second) is Reason.ALREADY_REVERSED
        assert again == AlreadyPosted(first.transfer)
        assert isinstance(other, Posted)
        assert book.balance("energy") == "0.00 SEK"
        assert book.reader.verify().faults == ()


def test_what_does_not_exist_cannot_be_reversed(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_a_payment(opened)
        with pytest.raises(Rejected) as rejected:
            book.reverse("r", derived_id("nothing"))
        assert rejected.value.code == "unknown_transfer"


def test_a_reversal_needs_an_id_of_its_own(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_a_payment(opened)
        book.post(payment("other", "press", "energy", "1 kr"))
        assert refusal(book.reverse("paid", PAID)) is Reason.CONFLICT
        assert refusal(book.reverse("other", PAID)) is Reason.CONFLICT
        (plain,) = book.post(payment("r", "energy", "press", "12.50 kr", reference="7"))
        assert isinstance(plain, Posted)
        assert refusal(book.reverse("r", PAID)) is Reason.CONFLICT
        assert isinstance(book.reverse("s", PAID), Refused), "the payee has given it back already"


def test_a_reversal_can_itself_be_reversed(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_a_payment(opened)
        book.reverse("r", PAID)
        assert isinstance(book.reverse("rr", derived_id("r")), Posted)
        assert book.balance("energy") == "12.50 SEK"
        assert refusal(book.reverse("again", PAID)) is Reason.ALREADY_REVERSED
        assert book.reader.verify().faults == ()


def test_a_reversal_keeps_every_rule_that_a_payment_keeps(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_a_payment(opened)
        book.post(payment("spent", "energy", "other", "0.01 kr"))
        assert refusal(book.reverse("r", PAID)) is Reason.INSUFFICIENT_FUNDS
        book.reverse("back", derived_id("spent"))
        book.change("press", ceiling_units=0)
        assert isinstance(book.reverse("r", PAID), Posted), "back to nothing is not above the ceiling"
        book.post(payment("new", "press", "energy", "1 kr"), payment("newer", "press", "energy", "1 kr"))
        book.change("energy", state=AccountState.FROZEN)
        assert refusal(book.reverse("n", derived_id("new"))) is Reason.ACCOUNT_FROZEN
        book.change("energy", state=AccountState.OPEN)
        book.work(lambda batch: batch.lock_period(Instant(1_001)))
        assert refusal(book.reverse("n", derived_id("new"))) is Reason.PERIOD_LOCKED
        late = book.work(lambda batch: batch.reverse(derived_id("n"), derived_id("new"), Instant(1_001)))
        assert isinstance(late, Posted), "what was done in a locked period is undone in an open one"
        assert book.reader.verify().faults == ()


def test_what_is_held_cannot_be_given_back(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_a_payment(opened)
        book.place(hold("h", "energy", "other", "12.50 kr"))
        assert refusal(book.reverse("r", PAID)) is Reason.INSUFFICIENT_FUNDS
        book.release("h")
        assert isinstance(book.reverse("r", PAID), Posted)


def test_a_capture_that_is_reversed_does_not_open_its_hold_again(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_a_payment(opened)
        book.place(hold("h", "press", "energy", "20 kr"))
        book.capture(capture("c", "h", "5 kr"))
        assert isinstance(book.reverse("r", derived_id("c")), Posted)
        assert book.status("press").held == Money.parse("15 kr")
        assert book.balance("press") == "-12.50 SEK"
        assert book.reader.verify().faults == ()


def test_one_leg_of_linked_transfers_may_be_reversed(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_a_payment(opened)
        book.post_linked(payment("1", "press", "energy", "1 kr"), payment("2", "energy", "other", "1 kr"))
        outcome = book.reverse("r", derived_id("1"))
        assert isinstance(outcome, Posted)
        assert outcome.transfer.request.kind is TransferKind.REVERSAL
        assert book.reader.verify().faults == ()


def test_what_was_altered_is_not_reversed(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        book.post(payment("1", "a", "b", "1 kr"), payment("2", "a", "b", "1 kr"))
        alter(
            tmp_path / "a.db", f"UPDATE transfer SET amount = 200000000 WHERE transfer_id = x'{derived_id('1').hex()}'"
        )
        with pytest.raises(Rejected, match="transfer_was_altered"):
            book.reverse("back 1", derived_id("1"))
        assert isinstance(book.reverse("back 2", derived_id("2")), Posted)
