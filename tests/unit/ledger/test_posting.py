"""Every refusal is a row: what was asked, and the first reason that speaks against it."""

from dataclasses import replace

import pytest

from core.clock import Instant
from core.ids import derived_id
from core.money import TRANSFER_UNITS_MAX, UNITS_MAX, Money
from ledger.account import Account, AccountId, PartyId
from ledger.posting import Standing, decide
from ledger.transfer import AlreadyPosted, Reason, Refused, Transfer, TransferRequest

SEK_0 = Money.parse("0 kr")
PAYER = Standing(1, Account(AccountId("payer"), "Payer", PartyId("p"), Money.parse("-100 kr")), 50 * 10**8, 0)
PAYEE = Standing(2, Account(AccountId("payee"), "Payee", PartyId("p"), SEK_0), 0, 0)
EURO = Standing(3, Account(AccountId("payee"), "Payee", PartyId("p"), Money.parse("0 EUR")), 0, 0)
ASK = TransferRequest(derived_id("ask"), AccountId("payer"), AccountId("payee"), Money.parse("150 kr"), Instant(5))
EARLIER = Transfer(ASK, 1, 0, Instant(6))


@pytest.mark.parametrize(
    ("request_", "debit", "credit", "earlier", "reason"),
    [
        (replace(ASK, amount=SEK_0), PAYER, PAYEE, None, Reason.INVALID_AMOUNT),
        (replace(ASK, amount=Money.parse("-1 kr")), PAYER, PAYEE, None, Reason.INVALID_AMOUNT),
        (replace(ASK, amount=Money(TRANSFER_UNITS_MAX + 1, SEK_0.currency)), PAYER, PAYEE, None, Reason.INVALID_AMOUNT),
        (replace(ASK, text="x" * 201), PAYER, PAYEE, None, Reason.TEXT_TOO_LONG),
        (replace(ASK, reference="x" * 141), PAYER, PAYEE, None, Reason.TEXT_TOO_LONG),
        (replace(ASK, reference="order \udcff"), PAYER, PAYEE, None, Reason.TEXT_NOT_PRINTABLE),
        (replace(ASK, text="two\nlines"), PAYER, PAYEE, None, Reason.TEXT_NOT_PRINTABLE),
        (replace(ASK, amount=Money.parse("1 kr")), PAYER, PAYEE, EARLIER, Reason.CONFLICT),
        (replace(ASK, reference="other"), PAYER, PAYEE, EARLIER, Reason.CONFLICT),
        (replace(ASK, credit=ASK.debit), PAYER, PAYER, None, Reason.SAME_ACCOUNT),
        (ASK, None, PAYEE, None, Reason.UNKNOWN_DEBIT_ACCOUNT),
        (ASK, PAYER, None, None, Reason.UNKNOWN_CREDIT_ACCOUNT),
        (ASK, PAYER, EURO, None, Reason.CURRENCY_MISMATCH),
        (replace(ASK, amount=Money.parse("150.00000001 kr")), PAYER, PAYEE, None, Reason.INSUFFICIENT_FUNDS),
        (ASK, PAYER, Standing(2, PAYEE.account, UNITS_MAX, 0), None, Reason.BALANCE_TOO_LARGE),
    ],
)
def test_a_transfer_is_refused_for_the_first_reason_that_applies(
    request_: TransferRequest, debit: Standing | None, credit: Standing | None, earlier: Transfer | None, reason: Reason
) -> None:
    answer = decide(request_, debit, credit, earlier)
    assert isinstance(answer, Refused)
    assert answer.reason is reason
    assert answer.text


def test_the_reasons_are_checked_in_their_documented_order() -> None:
    """A request that is wrong in every way gets the first reason; mended, the next one."""
    wrong = replace(ASK, amount=SEK_0, text="x" * 201, credit=ASK.debit)
    seen = []
    for mend in (
        {"amount": Money(TRANSFER_UNITS_MAX, SEK_0.currency)},
        {"text": ""},
        {"credit": AccountId("payee")},
    ):
        answer = decide(wrong, None, None, None)
        assert isinstance(answer, Refused)
        seen.append(answer.reason)
        wrong = replace(wrong, **mend)
    for debit, credit in ((None, None), (PAYER, None), (PAYER, EURO), (PAYER, PAYEE)):
        answer = decide(wrong, debit, credit, None)
        assert isinstance(answer, Refused)
        seen.append(answer.reason)
    order = list(Reason)
    assert seen == sorted(seen, key=order.index)


def test_a_payment_down_to_the_floor_is_allowed() -> None:
    assert decide(ASK, PAYER, PAYEE, None) is None


def test_the_same_request_answers_the_first_transfer_even_when_it_is_asked_later() -> None:
    assert decide(replace(ASK, effective_time=Instant(99)), PAYER, PAYEE, EARLIER) == AlreadyPosted(EARLIER)
