"""What is wrong in every way is refused for the first reason, and mended step by step for the next ones, up to none.

(`test_posting.py` does the same for payments and holds, which need no book.)
"""

from dataclasses import replace
from typing import Any

from ledgers import Book, account, capture, hold, open_book, payment

from core.clock import Instant
from core.ids import derived_id
from core.money import UNITS_MAX, Money
from ledger.account import AccountState
from ledger.hold import AlreadyPlaced, HoldRefused, Placed
from ledger.transfer import Posted, Reason, Refused

LOCKED = Instant(1_500)
OPEN = Instant(2_000)
TOO_LONG = "x" * 201


def reason(outcome: object) -> Reason | None:
    """Why it was refused; None where it was not."""
    if isinstance(outcome, (Refused, HoldRefused)):
        assert outcome.text
        return outcome.reason
    assert isinstance(outcome, (Posted, Placed)), outcome
    return None


def in_documented_order(reasons: list[Reason | None]) -> bool:
    order = list(Reason)
    places = [order.index(reason) for reason in reasons if reason is not None]
    return places == sorted(places)


def test_the_reasons_against_a_capture_are_checked_in_their_documented_order(database_url: str) -> None:
    with open_book(database_url) as book:
        book.open(account("press", "-100 kr"), account("energy"), account("other"))
        book.post(payment("used", "press", "other", "1 kr"))
        book.place(hold("h", "press", "energy", "10 kr"))
        book.place(hold("ended", "press", "energy", "10 kr"))
        book.release("ended")
        book.change("energy", state=AccountState.CLOSED, ceiling_units=0)
        book.change("press", state=AccountState.FROZEN)
        book.work(lambda batch: batch.lock_period(LOCKED))
        asked = capture("used", "nothing", "0 kr", text=TOO_LONG, source="\0")
        steps: list[tuple[dict[str, Any], Reason | None]] = [
            ({"effective_time": Instant(-1)}, Reason.INVALID_AMOUNT),
            ({"amount": Money.parse("1000 kr")}, Reason.INVALID_TIME),
            ({"effective_time": Instant(1_000)}, Reason.TEXT_TOO_LONG),
            ({"text": ""}, Reason.TEXT_NOT_PRINTABLE),
            ({"source": ""}, Reason.CONFLICT),
            ({"hold": derived_id("ended")}, Reason.CONFLICT),
            ({"hold": derived_id("nothing"), "id": derived_id("new")}, Reason.UNKNOWN_HOLD),
            ({"hold": derived_id("ended")}, Reason.HOLD_NOT_OPEN),
            ({"amount": None}, Reason.HOLD_NOT_OPEN),
            ({"amount": Money.parse("1000 kr"), "hold": derived_id("h")}, Reason.EXCEEDS_HOLD),
            ({"amount": Money.parse("1000 EUR")}, Reason.CURRENCY_MISMATCH),
            ({"amount": Money.parse("10 kr")}, Reason.PERIOD_LOCKED),
            ({"effective_time": OPEN}, Reason.ACCOUNT_CLOSED),
        ]
        reasons = []
        for change, _ in steps:
            asked = replace(asked, **change)
            reasons.append(reason(book.capture(asked)))
        for name, terms in (
            ("energy", {"state": AccountState.OPEN}),
            ("press", {"state": AccountState.OPEN}),
            ("energy", {"ceiling_units": UNITS_MAX}),
        ):
            book.change(name, **terms)
            reasons.append(reason(book.capture(asked)))
        last = [Reason.ACCOUNT_FROZEN, Reason.CEILING_REACHED, None]
        assert reasons == [*(expected for _, expected in steps), *last]
        assert in_documented_order(reasons)
        assert book.reader.verify().faults == ()


def test_a_capture_of_all_that_is_left_is_wrong_in_its_form_before_its_hold_is(database_url: str) -> None:
    with open_book(database_url) as book:
        book.open(account("press", "-100 kr"), account("energy"))
        book.place(hold("h", "press", "energy", "10 kr"))
        book.release("h")
        late = replace(capture("c", "h"), effective_time=Instant(-1))
        assert reason(book.capture(late)) is Reason.INVALID_TIME
        assert reason(book.capture(replace(late, hold=derived_id("nothing")))) is Reason.INVALID_TIME


def test_the_reasons_against_a_reversal_are_checked_in_their_documented_order(database_url: str) -> None:
    with open_book(database_url) as book:
        book.open(account("press", "-100 kr"), account("energy"), account("other", "-100 kr"))
        book.post(payment("used", "press", "energy", "5 kr"), payment("undone", "press", "energy", "5 kr"))
        book.reverse("r", derived_id("undone"))
        book.post(payment("refill", "other", "press", "5 kr"), payment("spent", "energy", "other", "5 kr"))
        book.change("press", state=AccountState.CLOSED, ceiling_units=0)
        book.change("energy", state=AccountState.FROZEN)
        book.work(lambda batch: batch.lock_period(LOCKED))
        reasons: list[Reason | None] = []

        def ask(key: str, original: str, *more: Any) -> None:
            outcome = book.work(lambda batch: batch.reverse(derived_id(key), derived_id(original), *more))
            reasons.append(reason(outcome))

        ask("used", "undone", Instant(-1), TOO_LONG, "\0")
        ask("used", "undone", Instant(5), TOO_LONG, "\0")
        ask("used", "undone", Instant(5), "", "\0")
        ask("used", "undone", Instant(5))
        ask("new", "undone", Instant(5))
        ask("new", "used", Instant(5))
        ask("new", "used", OPEN)
        book.change("press", state=AccountState.OPEN)
        ask("new", "used", OPEN)
        book.change("energy", state=AccountState.OPEN)
        ask("new", "used", OPEN)
        book.post(replace(payment("back", "other", "energy", "5 kr"), effective_time=OPEN))
        ask("new", "used", OPEN)
        book.change("press", ceiling_units=UNITS_MAX)
        ask("new", "used", OPEN)
        assert reasons == [
            Reason.INVALID_TIME,
            Reason.TEXT_TOO_LONG,
            Reason.TEXT_NOT_PRINTABLE,
            Reason.CONFLICT,
            Reason.ALREADY_REVERSED,
            Reason.PERIOD_LOCKED,
            Reason.ACCOUNT_CLOSED,
            Reason.ACCOUNT_FROZEN,
            Reason.INSUFFICIENT_FUNDS,
            Reason.CEILING_REACHED,
            None,
        ]
        assert in_documented_order(reasons)
        assert book.reader.verify().faults == ()


def test_a_hold_that_is_asked_again_in_a_wrong_form_is_refused(database_url: str) -> None:
    with open_book(database_url) as book:
        book.open(account("press", "-100 kr"), account("energy"))
        asked = hold("h", "press", "energy", "10 kr")
        assert reason(book.place(asked)) is None
        late = replace(asked, request=replace(asked.request, effective_time=Instant(-1)))
        assert reason(book.place(late)) is Reason.INVALID_TIME
        assert isinstance(book.place(asked), AlreadyPlaced)


def test_a_reversal_and_a_capture_that_were_posted_are_wrong_in_their_form_before_they_are_known(
    database_url: str,
) -> None:
    with open_book(database_url) as book:
        with_hold(book)
        late = replace(capture("c", "h", "1 kr"), effective_time=Instant(-1))
        assert reason(book.capture(late)) is Reason.INVALID_TIME
        reversal = book.work(lambda batch: batch.reverse(derived_id("r"), derived_id("paid"), Instant(-1)))
        assert reason(reversal) is Reason.INVALID_TIME


def with_hold(book: Book) -> None:
    book.open(account("press", "-100 kr"), account("energy"))
    book.post(payment("paid", "press", "energy", "5 kr"))
    book.reverse("r", derived_id("paid"))
    book.place(hold("h", "press", "energy", "10 kr"))
    book.capture(capture("c", "h", "1 kr"))
