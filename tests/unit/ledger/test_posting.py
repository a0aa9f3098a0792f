"""Every refusal is a row: what was asked, and the first reason that speaks against it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.clock import EPOCH, Instant
from core.ids import derived_id
from core.money import TRANSFER_UNITS_MAX, UNITS_MAX, Money
from ledger.account import Account, AccountId, AccountKind, AccountState, PartyId, no_floor
from ledger.hold import Hold, HoldState
from ledger.posting import Standing, decide, decide_capture, decide_hold
from ledger.transfer import TIME_END, AlreadyPosted, Reason, Refused, Transfer, TransferKind, TransferRequest

SEK_0 = Money.parse("0 kr")
ONE = Money.parse("1 kr")
TOO_MUCH = Money(TRANSFER_UNITS_MAX + 1, SEK_0.currency)


def party(name: str, floor: str = "0 kr", **more: Any) -> Account:
    return Account(AccountId(name), name.title(), PartyId("p"), Money.parse(floor), **more)


def standing(account: Account, total_in: str = "0 kr", held: str = "0 kr") -> Standing:
    return Standing(1, account, Money.parse(total_in).units, 0, Money.parse(held).units)


PAYER = standing(party("payer", "-100 kr"), "50 kr")
HELD = standing(party("payer", "-100 kr"), "50 kr", held="0.01 kr")
FROZEN_PAYER = standing(party("payer", "-100 kr", state=AccountState.FROZEN), "50 kr")
CLOSED_PAYER = standing(party("payer", "-100 kr", state=AccountState.CLOSED))
PAYEE = standing(party("payee"))
CLOSED_PAYEE = standing(party("payee", state=AccountState.CLOSED))
FROZEN_PAYEE = standing(party("payee", state=AccountState.FROZEN))
FULL = standing(party("payee", ceiling_units=Money.parse("160 kr").units), "10.00000001 kr")
EURO = standing(party("payee", "0 EUR"), "0 EUR", "0 EUR")
EURO_PAYER = standing(party("payer", "-100 EUR"), "0 EUR", "0 EUR")
CLEARING_PAYER = standing(party("payer", "-100 kr", kind=AccountKind.CLEARING), "50 kr")
CLEARING_PAYEE = standing(party("payee", kind=AccountKind.CLEARING))
OVERFLOWING = Standing(2, PAYEE.account, UNITS_MAX, 0)
WORN_OUT = Standing(1, PAYER.account, UNITS_MAX, UNITS_MAX)
"""Nothing more can go through it, though it has its credit."""
OVERHELD = Standing(1, replace(PAYER.account, floor=no_floor(SEK_0.currency)), UNITS_MAX, 0, UNITS_MAX)
"""Much is available, and nothing more can be held."""

ASK = TransferRequest(derived_id("ask"), AccountId("payer"), AccountId("payee"), Money.parse("150 kr"), Instant(5))
EARLIER = Transfer(ASK, 1, 0, Instant(6))
NOW = Instant(1_000)
HOLD = Hold(ASK, Instant(2_000))


def asked(**changes: Any) -> TransferRequest:
    return replace(ASK, **changes)


def refusal(
    request: TransferRequest,
    debit: Standing | None = PAYER,
    credit: Standing | None = PAYEE,
    earlier: Transfer | None = None,
    locked_until: Instant = EPOCH,
    is_covered: bool = False,
) -> Reason | None:
    answer = decide(request, debit, credit, earlier, locked_until, is_covered)
    if answer is None:
        return None
    assert isinstance(answer, Refused)
    assert answer.request is request
    assert answer.text
    return answer.reason


def hold_refusal(
    hold: Hold, debit: Standing | None = PAYER, credit: Standing | None = PAYEE, earlier: Hold | None = None
) -> Reason | None:
    objection = decide_hold(hold, debit, credit, earlier, NOW)
    if objection is None:
        return None
    assert objection[1]
    return objection[0]


def capture_refusal(hold: Hold | None, amount: Money | None) -> Reason | None:
    objection = decide_capture(hold, amount)
    if objection is None:
        return None
    assert objection[1]
    return objection[0]


REFUSALS: list[tuple[Callable[[], Reason | None], Reason]] = [
    (lambda: refusal(asked(amount=SEK_0)), Reason.INVALID_AMOUNT),
    (lambda: refusal(asked(amount=Money.parse("-1 kr"))), Reason.INVALID_AMOUNT),
    (lambda: refusal(asked(amount=TOO_MUCH)), Reason.INVALID_AMOUNT),
    (lambda: refusal(asked(effective_time=Instant(-1))), Reason.INVALID_TIME),
    (lambda: refusal(asked(effective_time=TIME_END)), Reason.INVALID_TIME),
    (lambda: refusal(asked(text="x" * 201)), Reason.TEXT_TOO_LONG),
    (lambda: refusal(asked(reference="x" * 141)), Reason.TEXT_TOO_LONG),
    (lambda: refusal(asked(source="x" * 141)), Reason.TEXT_TOO_LONG),
    (lambda: refusal(asked(reference="order \udcff")), Reason.TEXT_NOT_PRINTABLE),
    (lambda: refusal(asked(text="two\nlines")), Reason.TEXT_NOT_PRINTABLE),
    (lambda: refusal(asked(source="device:\0")), Reason.TEXT_NOT_PRINTABLE),
    (lambda: refusal(asked(amount=ONE), earlier=EARLIER), Reason.CONFLICT),
    (lambda: refusal(asked(reference="other"), earlier=EARLIER), Reason.CONFLICT),
    (lambda: refusal(asked(credit=AccountId("other")), earlier=EARLIER), Reason.CONFLICT),
    (lambda: refusal(asked(kind=TransferKind.CAPTURE, cause=ASK.id), earlier=EARLIER), Reason.CONFLICT),
    (lambda: refusal(asked(credit=ASK.debit), PAYER, PAYER), Reason.SAME_ACCOUNT),
    (lambda: refusal(ASK, None, PAYEE), Reason.UNKNOWN_DEBIT_ACCOUNT),
    (lambda: refusal(ASK, PAYER, None), Reason.UNKNOWN_CREDIT_ACCOUNT),
    (lambda: refusal(ASK, PAYER, EURO), Reason.CURRENCY_MISMATCH),
    (lambda: refusal(ASK, EURO_PAYER, PAYEE), Reason.CURRENCY_MISMATCH),
    (lambda: refusal(ASK, EURO_PAYER, EURO), Reason.CURRENCY_MISMATCH),
    (lambda: refusal(ASK, CLEARING_PAYER, PAYEE), Reason.CLEARING_ACCOUNT),
    (lambda: refusal(ASK, PAYER, CLEARING_PAYEE), Reason.CLEARING_ACCOUNT),
    (lambda: refusal(asked(kind=TransferKind.REVERSAL, cause=ASK.id), CLEARING_PAYER), Reason.CLEARING_ACCOUNT),
    (lambda: refusal(ASK, PAYER, CLEARING_PAYEE, is_covered=True), Reason.CLEARING_ACCOUNT),
    (lambda: refusal(ASK, locked_until=Instant(6)), Reason.PERIOD_LOCKED),
    (lambda: refusal(ASK, CLOSED_PAYER, PAYEE), Reason.ACCOUNT_CLOSED),
    (lambda: refusal(ASK, PAYER, CLOSED_PAYEE), Reason.ACCOUNT_CLOSED),
    (lambda: refusal(ASK, FROZEN_PAYER, PAYEE), Reason.ACCOUNT_FROZEN),
    (lambda: refusal(ASK, FROZEN_PAYER, PAYEE, is_covered=True), Reason.ACCOUNT_FROZEN),
    (lambda: refusal(asked(amount=Money.parse("150.00000001 kr"))), Reason.INSUFFICIENT_FUNDS),
    (lambda: refusal(ASK, HELD, PAYEE), Reason.INSUFFICIENT_FUNDS),
    (lambda: refusal(ASK, PAYER, FULL), Reason.CEILING_REACHED),
    (lambda: refusal(ASK, PAYER, FULL, is_covered=True), Reason.CEILING_REACHED),
    (lambda: refusal(ASK, PAYER, OVERFLOWING), Reason.BALANCE_TOO_LARGE),
    (lambda: refusal(asked(amount=ONE), WORN_OUT, PAYEE), Reason.BALANCE_TOO_LARGE),
    (lambda: hold_refusal(replace(HOLD, request=asked(amount=TOO_MUCH))), Reason.INVALID_AMOUNT),
    (lambda: hold_refusal(replace(HOLD, request=asked(effective_time=TIME_END))), Reason.INVALID_TIME),
    (lambda: hold_refusal(replace(HOLD, expires=TIME_END)), Reason.INVALID_TIME),
    (lambda: hold_refusal(replace(HOLD, expires=Instant(-1))), Reason.INVALID_TIME),
    (lambda: hold_refusal(replace(HOLD, request=asked(text="x" * 201))), Reason.TEXT_TOO_LONG),
    (lambda: hold_refusal(replace(HOLD, request=asked(text="\t"))), Reason.TEXT_NOT_PRINTABLE),
    (lambda: hold_refusal(replace(HOLD, expires=Instant(2_001)), earlier=HOLD), Reason.CONFLICT),
    (lambda: hold_refusal(replace(HOLD, expires=NOW)), Reason.EXPIRY_HAS_PASSED),
    (lambda: hold_refusal(replace(HOLD, request=asked(credit=ASK.debit)), PAYER, PAYER), Reason.SAME_ACCOUNT),
    (lambda: hold_refusal(HOLD, None, PAYEE), Reason.UNKNOWN_DEBIT_ACCOUNT),
    (lambda: hold_refusal(HOLD, PAYER, None), Reason.UNKNOWN_CREDIT_ACCOUNT),
    (lambda: hold_refusal(HOLD, PAYER, EURO), Reason.CURRENCY_MISMATCH),
    (lambda: hold_refusal(HOLD, CLEARING_PAYER, PAYEE), Reason.CLEARING_ACCOUNT),
    (lambda: hold_refusal(HOLD, PAYER, CLEARING_PAYEE), Reason.CLEARING_ACCOUNT),
    (lambda: hold_refusal(HOLD, PAYER, CLOSED_PAYEE), Reason.ACCOUNT_CLOSED),
    (lambda: hold_refusal(HOLD, FROZEN_PAYER, PAYEE), Reason.ACCOUNT_FROZEN),
    (lambda: hold_refusal(HOLD, HELD, PAYEE), Reason.INSUFFICIENT_FUNDS),
    (lambda: hold_refusal(HOLD, OVERHELD), Reason.BALANCE_TOO_LARGE),
    (lambda: capture_refusal(None, ONE), Reason.UNKNOWN_HOLD),
    (lambda: capture_refusal(replace(HOLD, state=HoldState.CAPTURED), ONE), Reason.HOLD_NOT_OPEN),
    (lambda: capture_refusal(replace(HOLD, state=HoldState.RELEASED), None), Reason.HOLD_NOT_OPEN),
    (lambda: capture_refusal(replace(HOLD, state=HoldState.EXPIRED), ONE), Reason.HOLD_NOT_OPEN),
    (lambda: capture_refusal(HOLD, Money.parse("150.00000001 kr")), Reason.EXCEEDS_HOLD),
    (lambda: capture_refusal(replace(HOLD, captured=ONE.units), Money.parse("150 kr")), Reason.EXCEEDS_HOLD),
]
DECIDED_IN_A_BATCH = {Reason.ALREADY_REVERSED, Reason.LINKED_REFUSED}
"""They need the book itself: see `test_reversal.py` and `test_linked.py`."""


@pytest.mark.parametrize(("decision", "reason"), REFUSALS)
def test_what_is_asked_is_refused_for_the_first_reason_that_applies(
    decision: Callable[[], Reason | None], reason: Reason
) -> None:
    assert decision() is reason


def test_every_reason_has_a_row() -> None:
    assert {reason for _, reason in REFUSALS} | DECIDED_IN_A_BATCH == set(Reason)


def mended(
    wrong: dict[str, Any], mends: list[dict[str, Any]], decision: Callable[..., Reason | None]
) -> list[Reason | None]:
    """What is asked in the wrong way, and what it is refused for each time that one thing is put right."""
    reasons = [decision(**wrong)]
    for mend in mends:
        wrong = {**wrong, **mend}
        reasons.append(decision(**wrong))
    return reasons


def test_the_reasons_are_checked_in_their_documented_order() -> None:
    """A request that is wrong in every way gets the first reason; mended, the next one, up to none."""
    same, text, time = {"credit": ASK.debit}, {"text": "x" * 201}, {"effective_time": Instant(-1)}
    wrong = asked(amount=TOO_MUCH, source="\0", **time, **text, **same)
    reasons = mended(
        {"request": wrong, "debit": None, "credit": None, "earlier": EARLIER, "locked_until": Instant(6)},
        [
            {"request": asked(source="\0", **time, **text, **same)},
            {"request": asked(source="\0", **text, **same)},
            {"request": asked(source="\0", **same)},
            {"request": asked(**same)},
            {"earlier": None},
            {"request": ASK},
            {"debit": EURO_PAYER},
            {"credit": EURO},
            {"debit": CLEARING_PAYER, "credit": replace_total(FULL, UNITS_MAX)},
            {"debit": CLOSED_PAYER},
            {"locked_until": EPOCH},
            {"debit": FROZEN_PAYER},
            {"debit": HELD},
            {"debit": PAYER},
            {"credit": OVERFLOWING},
            {"credit": PAYEE},
        ],
        refusal,
    )
    assert reasons == [
        Reason.INVALID_AMOUNT,
        Reason.INVALID_TIME,
        Reason.TEXT_TOO_LONG,
        Reason.TEXT_NOT_PRINTABLE,
        Reason.CONFLICT,
        Reason.SAME_ACCOUNT,
        Reason.UNKNOWN_DEBIT_ACCOUNT,
        Reason.UNKNOWN_CREDIT_ACCOUNT,
        Reason.CURRENCY_MISMATCH,
        Reason.CLEARING_ACCOUNT,
        Reason.PERIOD_LOCKED,
        Reason.ACCOUNT_CLOSED,
        Reason.ACCOUNT_FROZEN,
        Reason.INSUFFICIENT_FUNDS,
        Reason.CEILING_REACHED,
        Reason.BALANCE_TOO_LARGE,
        None,
    ]
    assert in_documented_order(reasons)


def test_the_reasons_against_a_hold_are_checked_in_their_documented_order() -> None:
    same, text, time = {"credit": ASK.debit}, {"text": "x" * 201}, {"effective_time": Instant(-1)}
    wrong = replace(HOLD, request=asked(amount=TOO_MUCH, source="\0", **time, **text, **same), expires=NOW)
    reasons = mended(
        {"hold": wrong, "debit": None, "credit": None, "earlier": HOLD},
        [
            {"hold": replace(wrong, request=asked(source="\0", **time, **text, **same))},
            {"hold": replace(wrong, request=asked(source="\0", **text, **same))},
            {"hold": replace(wrong, request=asked(source="\0", **same))},
            {"hold": replace(wrong, request=asked(**same))},
            {"earlier": None},
            {"hold": replace(HOLD, request=asked(**same))},
            {"hold": HOLD},
            {"debit": CLEARING_PAYER},
            {"credit": EURO},
            {"credit": CLOSED_PAYEE},
            {"debit": CLOSED_PAYER},
            {"debit": FROZEN_PAYER, "credit": FROZEN_PAYEE},
            {"debit": Standing(1, PAYER.account, 0, 0, UNITS_MAX)},
            {"debit": OVERHELD},
            {"debit": PAYER},
        ],
        hold_refusal,
    )
    assert reasons == [
        Reason.INVALID_AMOUNT,
        Reason.INVALID_TIME,
        Reason.TEXT_TOO_LONG,
        Reason.TEXT_NOT_PRINTABLE,
        Reason.CONFLICT,
        Reason.EXPIRY_HAS_PASSED,
        Reason.SAME_ACCOUNT,
        Reason.UNKNOWN_DEBIT_ACCOUNT,
        Reason.UNKNOWN_CREDIT_ACCOUNT,
        Reason.CURRENCY_MISMATCH,
        Reason.CLEARING_ACCOUNT,
        Reason.ACCOUNT_CLOSED,
        Reason.ACCOUNT_FROZEN,
        Reason.INSUFFICIENT_FUNDS,
        Reason.BALANCE_TOO_LARGE,
        None,
    ]
    assert in_documented_order(reasons)


def test_a_capture_must_be_of_a_hold_that_is_open_before_its_amount_is_looked_at() -> None:
    ended = replace(HOLD, state=HoldState.RELEASED)
    assert [capture_refusal(hold, TOO_MUCH) for hold in (None, ended, HOLD)] == [
        Reason.UNKNOWN_HOLD,
        Reason.HOLD_NOT_OPEN,
        Reason.EXCEEDS_HOLD,
    ]


def test_a_payment_down_to_the_floor_and_up_to_the_ceiling_is_allowed() -> None:
    assert refusal(ASK) is None
    brim = standing(party("payee", ceiling_units=Money.parse("160 kr").units), "10 kr")
    assert refusal(ASK, PAYER, brim) is None
    assert refusal(ASK, PAYER, FROZEN_PAYEE) is None
    assert refusal(ASK, locked_until=ASK.effective_time) is None


def test_a_clearing_account_pays_and_is_paid_where_books_pay_each_other() -> None:
    for debit, credit in ((CLEARING_PAYER, PAYEE), (PAYER, CLEARING_PAYEE)):
        assert decide(ASK, debit, credit, None, is_between_books=True) is None


def test_what_is_held_may_be_taken_although_nothing_is_available() -> None:
    spent = standing(party("payer"), "150 kr", held="150 kr")
    assert refusal(ASK, spent) is Reason.INSUFFICIENT_FUNDS
    assert refusal(ASK, spent, is_covered=True) is None


def test_a_capture_in_another_currency_does_not_exceed_its_hold_and_is_refused_as_a_transfer() -> None:
    assert capture_refusal(HOLD, Money.parse("1000 EUR")) is None
    assert refusal(asked(amount=Money.parse("1000 EUR")), is_covered=True) is Reason.CURRENCY_MISMATCH


def test_a_hold_may_take_all_that_is_available_and_a_capture_all_that_is_left() -> None:
    assert hold_refusal(HOLD) is None
    assert capture_refusal(HOLD, Money.parse("150 kr")) is None
    assert capture_refusal(HOLD, None) is None


def test_the_same_request_answers_the_first_transfer_even_when_it_is_asked_later() -> None:
    later = asked(effective_time=Instant(99), kind=TransferKind.LINKED)
    for debit, credit in ((PAYER, PAYEE), (CLOSED_PAYER, CLOSED_PAYEE), (None, None)):
        assert decide(later, debit, credit, EARLIER, Instant(100)) == AlreadyPosted(EARLIER)


def replace_total(standing: Standing, total_in: int) -> Standing:
    return Standing(standing.number, standing.account, total_in, 0)


def in_documented_order(reasons: list[Reason | None]) -> bool:
    order = list(Reason)
    places = [order.index(reason) for reason in reasons if reason is not None]
    return places == sorted(places)
