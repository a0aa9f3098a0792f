"""Payments by method call, as a controller makes them."""

from __future__ import annotations

from typing import Any

import pytest
from asyncua import Node, ua

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
