"""Money is reserved, taken in parts, let go of, or the time for it passes."""

from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import START, Book, account, capture, hold, open_book, payment

from core.clock import SECOND, Instant, ManualClock
from core.errors import Rejected
from core.ids import derived_id
from core.money import Money
from ledger import hold_rows, holds
from ledger.account import AccountState
from ledger.batch import Batch
from ledger.hold import NEVER, AlreadyPlaced, Hold, HoldRefused, HoldState, Placed, Released
from ledger.transfer import TIME_END, AlreadyPosted, Posted, Reason, Refused, TransferKind

SOON = Instant(START + 10 * SECOND)


def shown(book: Book, name: str = "press") -> tuple[str, str, str]:
    """Its balance, what is held of it and what is available, in whole kronor."""
    status = book.status(name)
    balance, held, available = (f"{money.amount:.0f}" for money in (status.balance, status.held, status.available))
    return balance, held, available


def refusal(outcome: object) -> Reason:
    assert isinstance(outcome, (Refused, HoldRefused)), outcome
    assert outcome.text
    return outcome.reason


def state(book: Book, key: str) -> HoldState:
    found = book.reader.find_hold(derived_id(key))
    assert found is not None
    return found.state


def with_accounts(book: Book) -> Book:
    book.open(account("press", "-100 kr"), account("energy"))
    return book


def test_what_is_held_is_still_there_but_cannot_be_paid(database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_accounts(opened)
        assert book.place(hold("h", "press", "energy", "60 kr")) == Placed(hold("h", "press", "energy", "60 kr"))
        assert shown(book) == ("0", "60", "40")
        assert book.commits[-1].statuses[0].held == Money.parse("60 kr")
        (refused,) = book.post(payment("1", "press", "energy", "40.01 kr"))
        assert refusal(refused) is Reason.INSUFFICIENT_FUNDS
        assert refusal(book.place(hold("i", "press", "energy", "40.01 kr"))) is Reason.INSUFFICIENT_FUNDS
        assert isinstance(book.post(payment("2", "press", "energy", "40 kr"))[0], Posted)
        assert shown(book) == ("-40", "60", "0")
        assert book.reader.verify().faults == ()


def test_a_hold_is_captured_in_parts_and_the_last_lets_go_of_the_rest(database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_accounts(opened)
        book.place(hold("h", "press", "energy", "60 kr", reference="order 7"))
        first = book.capture(capture("c1", "h", "10 kr", text="shaft"))
        assert isinstance(first, Posted)
        request = first.transfer.request
        assert (request.debit, request.credit, str(request.amount)) == ("press", "energy", "10.00 SEK")
        assert (request.text, request.reference) == ("shaft", "order 7")
        assert (request.kind, request.cause) == (TransferKind.CAPTURE, derived_id("h"))
        assert shown(book) == ("-10", "50", "40")
        last = book.capture(capture("c2", "h", "15 kr", is_last=True))
        assert isinstance(last, Posted)
        assert last.transfer.request.kind == TransferKind.CAPTURE | TransferKind.LAST_CAPTURE
        assert shown(book) == ("-25", "0", "75")
        assert shown(book, "energy") == ("25", "0", "25")
        assert state(book, "h") is HoldState.CAPTURED
        assert refusal(book.capture(capture("c3", "h", "1 kr"))) is Reason.HOLD_NOT_OPEN
        assert book.reader.open_holds() == []
        assert book.reader.verify().faults == ()


def test_a_capture_without_an_amount_takes_all_that_is_left(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.place(hold("h", "press", "energy", "60 kr"))
        book.capture(capture("c1", "h", "10 kr"))
        rest = book.capture(capture("c2", "h"))
        assert isinstance(rest, Posted)
        assert str(rest.transfer.request.amount) == "50.00 SEK"
        assert shown(book) == ("-60", "0", "40")


def test_a_hold_whose_parts_add_up_to_it_is_captured(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.place(hold("h", "press", "energy", "60 kr"))
        for part in ("20 kr", "40 kr"):
            assert isinstance(book.capture(capture(part, "h", part)), Posted)
        assert state(book, "h") is HoldState.CAPTURED
        assert book.reader.verify().faults == ()


def test_no_more_is_captured_than_is_left_nor_in_another_currency(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.place(hold("h", "press", "energy", "60 kr"))
        book.capture(capture("c1", "h", "10 kr"))
        assert refusal(book.capture(capture("c2", "h", "50.00000001 kr"))) is Reason.EXCEEDS_HOLD
        assert refusal(book.capture(capture("c2", "h", "1 EUR"))) is Reason.CURRENCY_MISMATCH
        assert refusal(book.capture(capture("c2", "h", "0 kr"))) is Reason.INVALID_AMOUNT
        assert refusal(book.capture(capture("c2", "h", "-1 kr"))) is Reason.INVALID_AMOUNT
        assert refusal(book.capture(capture("c2", "nothing", "1 kr"))) is Reason.UNKNOWN_HOLD
        assert shown(book) == ("-10", "50", "40")


def test_a_hold_that_is_released_gives_the_money_back_once(database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_accounts(opened)
        book.place(hold("h", "press", "energy", "60 kr"))
        book.capture(capture("c", "h", "10 kr"))
        for _ in range(2):
            released = book.release("h")
            assert isinstance(released, Released)
            assert released.hold.state is HoldState.RELEASED
            assert shown(book) == ("-10", "0", "90")
        assert refusal(book.release("nothing")) is Reason.UNKNOWN_HOLD
        assert refusal(book.capture(capture("d", "h"))) is Reason.HOLD_NOT_OPEN
        assert book.reader.verify().faults == ()


def test_what_was_captured_cannot_be_released(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.place(hold("h", "press", "energy", "60 kr"))
        book.capture(capture("c", "h", "10 kr", is_last=True))
        assert refusal(book.release("h")) is Reason.HOLD_NOT_OPEN


def test_a_hold_expires_by_the_books_clock_and_the_next_batch_says_so(database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_accounts(opened)
        book.place(hold("later", "press", "energy", "10 kr", Instant(SOON + 1)))
        book.place(hold("h", "press", "energy", "60 kr", SOON))
        book.capture(capture("c", "h", "10 kr"))
        book.clock.advance(SOON - START - 1)
        assert isinstance(book.place(hold("i", "press", "energy", "1 kr")), Placed)
        book.clock.advance(1)
        assert shown(book) == ("-10", "61", "29"), "nothing was written since"
        assert refusal(book.capture(capture("d", "h"))) is Reason.HOLD_NOT_OPEN
        assert shown(book) == ("-10", "11", "79")
        assert state(book, "h") is HoldState.EXPIRED
        assert book.reader.overview().head.next_expiry == SOON + 1
        expired = book.release("h")
        assert isinstance(expired, Released)
        assert expired.hold.state is HoldState.EXPIRED
        assert [each.id for each in book.reader.open_holds()] == [derived_id("later"), derived_id("i")]
        assert book.reader.verify().faults == ()


def test_a_hold_expires_before_the_payment_that_needs_its_money(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.place(hold("h", "press", "energy", "60 kr", SOON))
        book.clock.advance(SOON - START)
        assert isinstance(book.post(payment("1", "press", "energy", "100 kr"))[0], Posted)
        assert book.reader.verify().faults == ()


def test_a_hold_expires_after_a_restart_too(tmp_path: Path) -> None:
    clock = ManualClock(START)
    with open_book(tmp_path / "a.db", clock) as opened:
        with_accounts(opened).place(hold("h", "press", "energy", "60 kr", SOON))
    clock.advance(SOON - START)
    with open_book(tmp_path / "a.db", clock) as book:
        book.work(lambda batch: None)
        assert state(book, "h") is HoldState.EXPIRED
        assert book.reader.overview().head.next_expiry == NEVER


@pytest.mark.parametrize("expires", [2**63, 2**62 + 1, 2**62 - 1, TIME_END, -1])
def test_an_expiry_beyond_the_ledgers_time_is_refused_and_the_book_stays_open(expires: int, database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_accounts(opened)
        asked = hold("h", "press", "energy", "60 kr", Instant(expires))
        assert refusal(book.place(asked)) is Reason.INVALID_TIME
        assert isinstance(book.place(replace(asked, expires=Instant(TIME_END - 1))), Placed)
        assert book.reader.verify().faults == ()


def test_open_holds_are_read_page_by_page_in_the_order_of_their_expiry(database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_accounts(opened)
        book.work(
            lambda batch: [
                holds.place(batch, hold(f"{n}", "press", "energy", "1 kr", Instant(SOON + n // 3))) for n in range(8)
            ]
        )
        book.release("4")
        expected = sorted((Instant(SOON + n // 3), derived_id(f"{n}")) for n in range(8) if n != 4)
        for limit in range(1, 9):
            read: list[Hold] = []
            while page := book.reader.open_holds(limit, read[-1] if read else None):
                assert len(page) <= limit
                read += page
            assert [(each.expires, each.id) for each in read] == expected


def test_no_more_expired_holds_are_read_than_a_batch_ends(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "EXPIRED_PER_BATCH_MAX", 2)
    with open_book(database_url) as opened:
        book = with_accounts(opened)
        for n in range(5):
            book.place(hold(f"{n}", "press", "energy", "10 kr", SOON))
        book.clock.advance(SOON - START)
        read = []
        monkeypatch.setattr(hold_rows, "_hold", lambda row, hold=hold_rows._hold: read.append(row) or hold(row))
        book.work(lambda batch: None)
        assert len(read) == 2
        assert len(book.reader.open_holds()) == 3
        assert book.reader.verify().faults == ()


def test_so_many_holds_that_expire_at_once_are_ended_batch_by_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch has room for so many entries; holds beyond them would close the book for ever."""
    monkeypatch.setattr(holds, "EXPIRED_PER_BATCH_MAX", 2)
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        for n in range(5):
            book.place(hold(f"{n}", "press", "energy", "10 kr", Instant(SOON - n)))
        book.clock.advance(SOON - START)
        assert book.work(lambda batch: len(batch.events)) == 2
        assert [state(book, f"{n}") is HoldState.EXPIRED for n in range(5)] == [False, False, False, True, True]
        assert refusal(book.capture(capture("c", "0"))) is Reason.HOLD_NOT_OPEN, "its time has passed all the same"
        assert [state(book, f"{n}") is HoldState.EXPIRED for n in range(5)] == [True] * 5
        assert book.reader.overview().head.next_expiry == NEVER
        assert shown(book) == ("0", "0", "100")
        assert book.reader.verify().faults == ()


def test_the_book_looks_for_expired_holds_once_where_the_next_was_released(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.place(hold("h", "press", "energy", "60 kr", SOON))
        book.place(hold("i", "press", "energy", "1 kr", Instant(SOON + 9)))
        book.release("h")
        assert book.reader.overview().head.next_expiry == SOON
        book.clock.advance(SOON - START)
        book.post(payment("1", "press", "energy", "1 kr"))
        assert book.reader.overview().head.next_expiry == SOON + 9


def test_asked_again_everything_answers_what_it_answered_first(database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_accounts(opened)
        asked = hold("h", "press", "energy", "60 kr", SOON)
        book.place(asked)
        part = book.capture(capture("c1", "h", "10 kr"))
        assert book.capture(capture("c1", "h", "10 kr")) == AlreadyPosted(part.transfer)  # type: ignore[union-attr]
        rest = book.capture(capture("c2", "h"))
        assert book.capture(capture("c2", "h")) == AlreadyPosted(rest.transfer)  # type: ignore[union-attr]
        book.clock.advance(SOON - START)
        again = book.place(asked)
        assert isinstance(again, AlreadyPlaced)
        assert (again.hold.state, str(again.hold.remaining)) == (HoldState.CAPTURED, "0.00 SEK")
        assert shown(book) == ("-60", "0", "40")
        assert book.reader.verify().faults == ()


def test_an_id_is_not_used_for_another_hold_or_capture(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.place(hold("h", "press", "energy", "60 kr", SOON))
        for changed in (
            hold("h", "press", "energy", "61 kr", SOON),
            hold("h", "press", "energy", "60 kr"),
            hold("h", "press", "energy", "60 kr", SOON, text="other"),
        ):
            assert refusal(book.place(changed)) is Reason.CONFLICT
        book.post(payment("1", "press", "energy", "10 kr"))
        book.capture(capture("c", "h", "10 kr"))
        for key, amount, is_last in (
            ("1", "10 kr", False),
            ("c", "9 kr", False),
            ("c", "10 kr", True),
            ("c", None, True),
        ):
            assert refusal(book.capture(capture(key, "h", amount, is_last=is_last))) is Reason.CONFLICT
        (plain,) = book.post(payment("c", "press", "energy", "10 kr"))
        assert refusal(plain) is Reason.CONFLICT
        assert shown(book) == ("-20", "50", "30")


def test_a_hold_may_have_the_id_of_a_transfer(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.post(payment("1", "press", "energy", "10 kr"))
        assert isinstance(book.place(hold("1", "press", "energy", "10 kr")), Placed)
        assert isinstance(book.capture(capture("2", "1")), Posted)
        assert book.reader.verify().faults == ()


def test_a_frozen_account_pays_nothing_not_even_what_was_held(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.place(hold("h", "press", "energy", "60 kr"))
        book.change("press", state=AccountState.FROZEN)
        assert refusal(book.capture(capture("c", "h"))) is Reason.ACCOUNT_FROZEN
        assert refusal(book.place(hold("i", "press", "energy", "1 kr"))) is Reason.ACCOUNT_FROZEN
        assert isinstance(book.release("h"), Released)
        book.change("press", state=AccountState.OPEN)
        assert isinstance(book.place(hold("i", "press", "energy", "1 kr")), Placed)
        assert book.reader.verify().faults == ()


def test_an_account_is_not_closed_while_something_is_held_on_it(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.place(hold("h", "press", "energy", "60 kr"))
        with pytest.raises(Rejected, match="open holds"):
            book.change("press", state=AccountState.CLOSED)
        book.change("energy", state=AccountState.CLOSED)
        assert refusal(book.capture(capture("c", "h"))) is Reason.ACCOUNT_CLOSED
        assert refusal(book.place(hold("i", "press", "energy", "1 kr"))) is Reason.ACCOUNT_CLOSED
        book.release("h")
        book.change("press", state=AccountState.CLOSED)
        assert book.reader.verify().faults == ()


def test_a_capture_is_honoured_although_the_credit_was_taken_away_meanwhile(database_url: str) -> None:
    with open_book(database_url) as opened:
        book = with_accounts(opened)
        book.place(hold("h", "press", "energy", "60 kr"))
        book.change("press", floor=Money.parse("0 kr"))
        assert shown(book) == ("0", "60", "-60")
        assert isinstance(book.capture(capture("c", "h", "20 kr")), Posted)
        assert shown(book) == ("-20", "40", "-60")
        (refused,) = book.post(payment("1", "press", "energy", "0.01 kr"))
        assert refusal(refused) is Reason.INSUFFICIENT_FUNDS
        assert isinstance(book.capture(capture("d", "h")), Posted)
        assert book.reader.verify().faults == ()


def test_a_capture_keeps_the_payees_ceiling_and_the_locked_period(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.place(hold("h", "press", "energy", "60 kr"))
        book.change("energy", ceiling_units=Money.parse("50 kr").units)
        assert refusal(book.capture(capture("c", "h"))) is Reason.CEILING_REACHED
        assert isinstance(book.capture(capture("c", "h", "50 kr")), Posted)
        book.change("energy", ceiling_units=Money.parse("1000 kr").units)
        book.work(lambda batch: batch.lock_period(Instant(1_001)))
        assert refusal(book.capture(capture("d", "h"))) is Reason.PERIOD_LOCKED
        assert shown(book) == ("-50", "10", "40")


def test_a_hold_is_placed_captured_and_released_in_one_batch(tmp_path: Path) -> None:
    def work(batch: Batch) -> None:
        holds.place(batch, hold("h", "press", "energy", "60 kr", SOON))
        holds.place(batch, hold("i", "press", "energy", "30 kr", SOON))
        holds.capture(batch, capture("c", "h", "10 kr"))
        batch.post([payment("1", "energy", "press", "5 kr")])
        holds.release(batch, derived_id("i"))
        holds.capture(batch, capture("d", "h", "10 kr", is_last=True))

    with open_book(tmp_path / "a.db") as opened:
        book = with_accounts(opened)
        book.work(work)
        assert shown(book) == ("-15", "0", "85")
        assert (state(book, "h"), state(book, "i")) == (HoldState.CAPTURED, HoldState.RELEASED)
        assert book.reader.verify().faults == ()
