"""Payments by method call, as a controller makes them."""

from __future__ import annotations

from typing import Any

import pytest
from asyncua import Node, ua

from core.errors import InvariantBroken, OutcomeUnknown, Unavailable
from core.ids import derived_id
from core.money import Money
from ledger.account import AccountId
from opcua_server.status_codes import ResultCode
from tests.unit.opcua_server.bank import Bank

pytestmark = pytest.mark.asyncio(loop_scope="module")

FACADE = "ns=2;s=Accounts.facade-1"


def ore(amount: int) -> ua.Variant:
    return ua.Variant(amount, ua.VariantType.Int64)


async def pay(bank: Bank, *arguments: Any, user: str = "anna", account: str = FACADE, method: str = "2:Pay") -> Any:
    async with bank.client(user) as client:
        return await client.get_node(account).call_method(method, *arguments)


async def raw_call(node: Node, method: str, *arguments: ua.Variant) -> ua.CallMethodResult:
    """The result as it came, without the client's own check of its status."""
    request = ua.CallMethodRequest(node.nodeid, ua.NodeId.from_string(method), list(arguments))
    (result,) = await node.session.call([request])
    return result


async def test_a_payment_moves_money_and_answers_with_the_transfers_id(bank: Bank) -> None:
    before = bank.desk.accounts[AccountId("agv-7")]
    code, text, transfer = await pay(bank, "first", ore(1250), "SEK", "agv-7", "trip 12")
    assert (code, transfer) == (ResultCode.POSTED, derived_id("pay", "facade-1", "first").hex())
    assert "12.50 SEK from facade-1 to agv-7" in text
    assert bank.desk.accounts[AccountId("agv-7")] == before + Money.parse("12.50 kr")
    request = bank.desk.transfers[derived_id("pay", "facade-1", "first")].request
    assert (request.source, request.reference, request.effective_time) == ("user:anna", "trip 12", bank.clock.now())


async def test_the_same_request_again_pays_nothing_and_answers_the_first_transfer(bank: Bank) -> None:
    first = await pay(bank, "twice", ore(500), "SEK", "agv-7", "")
    after = bank.desk.accounts[AccountId("agv-7")]
    code, _, transfer = await pay(bank, "twice", ore(500), "SEK", "agv-7", "")
    assert (code, transfer) == (ResultCode.ALREADY_POSTED, first[2])
    assert bank.desk.accounts[AccountId("agv-7")] == after


async def test_the_same_request_id_for_another_amount_is_a_conflict(bank: Bank) -> None:
    await pay(bank, "conflict", ore(500), "SEK", "agv-7", "")
    assert (await pay(bank, "conflict", ore(501), "SEK", "agv-7", ""))[0] == ResultCode.CONFLICT


async def test_an_amount_as_text_is_the_same_payment_as_in_minor_units(bank: Bank) -> None:
    first = await pay(bank, "text", ore(1205), "SEK", "agv-7", "")
    again = await pay(bank, "text", "12.05", "SEK", "agv-7", "", method="2:PayDecimal")
    assert (again[0], again[2]) == (ResultCode.ALREADY_POSTED, first[2])


@pytest.mark.parametrize(
    ("amount", "currency", "payee", "expected"),
    [
        ("1.00", "kr", "agv-7", ResultCode.UNKNOWN_CURRENCY),
        ("one", "SEK", "agv-7", ResultCode.NOT_AN_AMOUNT),
        ("-1", "SEK", "agv-7", ResultCode.NOT_AN_AMOUNT),
        ("1e9", "SEK", "agv-7", ResultCode.NOT_AN_AMOUNT),
        ("1.000000001", "SEK", "agv-7", ResultCode.TOO_PRECISE),
        ("999999999999999999", "SEK", "agv-7", ResultCode.TOO_LARGE),
        ("1.00", "SEK", "nobody", ResultCode.UNKNOWN_CREDIT_ACCOUNT),
        ("0", "SEK", "agv-7", ResultCode.INVALID_AMOUNT),
    ],
)
async def test_what_cannot_be_paid_is_answered_with_a_code_and_a_text(
    bank: Bank, amount: str, currency: str, payee: str, expected: ResultCode
) -> None:
    posted = len(bank.desk.transfers)
    code, text, transfer = await pay(bank, f"bad {amount}", amount, currency, payee, "", method="2:PayDecimal")
    assert (code, transfer) == (expected, "")
    assert text
    assert len(bank.desk.transfers) == posted


async def test_a_negative_amount_is_refused_by_the_ledger(bank: Bank) -> None:
    assert (await pay(bank, "negative", ore(-100), "SEK", "agv-7", ""))[0] == ResultCode.INVALID_AMOUNT


async def test_the_status_of_a_payment_can_be_asked_for(bank: Bank) -> None:
    _, _, transfer = await pay(bank, "asked", ore(100), "SEK", "agv-7", "")
    assert (await pay(bank, "asked", method="2:GetStatus", user="cia"))[0::2] == [ResultCode.POSTED, transfer]
    code, text, none = await pay(bank, "never sent", method="2:GetStatus")
    assert (code, none) == (ResultCode.UNKNOWN_REQUEST, "")
    assert "'never sent'" in text


async def test_two_accounts_may_use_the_same_request_id(bank: Bank) -> None:
    await pay(bank, "1", ore(100), "SEK", "agv-7", "")
    answer = await pay(bank, "1", method="2:GetStatus", account="ns=2;s=Accounts.agv-7")
    assert answer[0] == ResultCode.UNKNOWN_REQUEST


@pytest.mark.parametrize(("user", "account"), [("bo", FACADE), ("anna", "ns=2;s=Accounts.agv-7")])
async def test_an_operator_pays_from_the_listed_accounts_only(bank: Bank, user: str, account: str) -> None:
    posted = len(bank.desk.transfers)
    code, text, _ = await pay(bank, "not mine", ore(100), "SEK", "agv-7", "", user=user, account=account)
    assert code == ResultCode.NOT_PERMITTED
    assert text.startswith(f"{user} may pay from ")
    assert len(bank.desk.transfers) == posted


@pytest.mark.parametrize("user", ["", "cia"])
async def test_who_is_not_an_operator_cannot_pay(bank: Bank, user: str) -> None:
    posted = len(bank.desk.transfers)
    with pytest.raises(ua.uaerrors.BadUserAccessDenied):
        await pay(bank, "denied", ore(100), "SEK", "agv-7", "", user=user)
    assert len(bank.desk.transfers) == posted


async def test_nobody_without_a_name_calls_anything(bank: Bank) -> None:
    with pytest.raises(ua.uaerrors.BadUserAccessDenied):
        await pay(bank, "asked", method="2:GetStatus", user="")


async def test_a_method_belongs_to_its_own_account(bank: Bank) -> None:
    async with bank.client("anna") as client:
        node = client.get_node("ns=2;s=Accounts.agv-7")
        result = await raw_call(node, f"{FACADE}.GetStatus", ua.Variant("1", ua.VariantType.String))
    assert result.StatusCode.name == "BadMethodInvalid"


def texts(*values: str) -> list[ua.Variant]:
    return [ua.Variant(value, ua.VariantType.String) for value in values]


@pytest.mark.parametrize(
    ("arguments", "status", "inputs", "diagnostic"),
    [
        (texts("only one"), "BadArgumentsMissing", ["Good"], None),
        ([*texts("r"), ore(1), *texts("SEK", "agv-7", "", "more")], "BadTooManyArguments", ["Good"] * 6, None),
        (
            [*texts("r"), ua.Variant(1, ua.VariantType.Int32), *texts("SEK", "agv-7", "")],
            "BadInvalidArgument",
            ["Good", "BadTypeMismatch", "Good", "Good", "Good"],
            "AmountMinor: expected Int64, got Int32",
        ),
        (
            [*texts("r"), ua.Variant([1], ua.VariantType.Int64), *texts("SEK", "agv-7", "")],
            "BadInvalidArgument",
            ["Good", "BadTypeMismatch", "Good", "Good", "Good"],
            "AmountMinor: expected Int64, got Int64[]",
        ),
        (
            [*texts("r" * 201), ore(1), *texts("SEK", "agv-7", "")],
            "BadInvalidArgument",
            ["BadOutOfRange", "Good", "Good", "Good", "Good"],
            "RequestId: expected 1 to 200 characters, got 201",
        ),
        (
            [ua.Variant(None, ua.VariantType.String), ore(1), *texts("SEK", "agv-7", "")],
            "BadInvalidArgument",
            ["BadOutOfRange", "Good", "Good", "Good", "Good"],
            "RequestId: expected 1 to 200 characters, got 0",
        ),
    ],
)
async def test_wrong_arguments_are_pointed_out_one_by_one(
    bank: Bank, arguments: list[ua.Variant], status: str, inputs: list[str], diagnostic: str | None
) -> None:
    async with bank.client("anna") as client:
        result = await raw_call(client.get_node(FACADE), f"{FACADE}.Pay", *arguments)
    assert result.StatusCode.name == status
    assert [input.name for input in result.InputArgumentResults] == inputs
    assert diagnostic in [info.AdditionalInfo for info in result.InputArgumentDiagnosticInfos] or diagnostic is None


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Unavailable("the database does not answer"), "BadResourceUnavailable"),
        (OutcomeUnknown("no answer came"), "BadResourceUnavailable"),
        (InvariantBroken("the book does not balance"), "BadInternalError"),
    ],
)
async def test_a_failing_ledger_is_an_error_and_the_next_call_works(
    bank: Bank, failure: Exception, status: str
) -> None:
    request = [*texts(f"retry {failure}"), ore(100), *texts("SEK", "agv-7", "")]
    async with bank.client("anna") as client:
        node = client.get_node(FACADE)
        bank.desk.failure = failure
        try:
            result = await raw_call(node, f"{FACADE}.Pay", *request)
        finally:
            bank.desk.failure = None
        assert result.StatusCode.name == status
        retried = await raw_call(node, f"{FACADE}.Pay", *request)
    assert retried.OutputArguments[0].Value == ResultCode.POSTED


async def test_many_payments_go_in_one_request_each_with_its_answer(bank: Bank) -> None:
    requests = [
        ua.CallMethodRequest(
            ua.NodeId.from_string(FACADE),
            ua.NodeId.from_string(f"{FACADE}.Pay"),
            [*texts(id), ore(100), *texts("SEK", payee, "")],
        )
        for id, payee in (("batch-1", "agv-7"), ("batch-2", "nobody"), ("batch-1", "agv-7"))
    ]
    async with bank.client("anna") as client:
        results = await client.uaclient.session.call(requests)
    assert [result.OutputArguments[0].Value for result in results] == [
        ResultCode.POSTED,
        ResultCode.UNKNOWN_CREDIT_ACCOUNT,
        ResultCode.ALREADY_POSTED,
    ]
