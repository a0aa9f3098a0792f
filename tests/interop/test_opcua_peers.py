"""Other people's OPC UA clients against our server: node-opcua, an independent stack, and asyncua's own tools."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from core.ids import derived_id
from core.money import Money
from ledger.transfer import Outcome, Posted, TransferRequest
from opcua_server.settings import OpcUaServerSettings
from tests.support.node import start_node
from tests.unit.opcua_server.bank import ACCOUNTS, Bank, make_bank, status

pytestmark = pytest.mark.asyncio(loop_scope="module")

STORY_SECONDS_MAX = 30


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bank() -> AsyncIterator[Bank]:
    """A bank that shows what it posts, as the whole system does."""
    bank = make_bank()
    post = bank.desk.post

    async def post_and_show(request: TransferRequest) -> Outcome:
        outcome = await post(request)
        if isinstance(outcome, Posted):
            seq = outcome.transfer.seq + 1
            await bank.server.publisher.publish_accounts(
                replace(shown, total_in=bank.desk.accounts[shown.account.id], seq=seq, last_transfer=outcome.transfer)
                for shown in ACCOUNTS
            )
        return outcome

    bank.desk.post = post_and_show  # type: ignore[method-assign]
    await bank.server.start(ACCOUNTS)
    yield bank
    await bank.server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seen(bank: Bank, node_client: Path) -> dict[str, Any]:
    """What node-opcua saw: it browses, reads, subscribes, pays once, again, and wrongly."""
    process = await start_node(node_client, bank.server.endpoint, "payments")
    async with asyncio.timeout(STORY_SECONDS_MAX):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    result: dict[str, Any] = json.loads(out)
    return result


async def test_node_opcua_browses_the_accounts(seen: dict[str, Any]) -> None:
    assert seen["accounts"] == ["facade-1", "agv-7"]
    assert {"Balance", "AvailableBalance", "LastTransfer", "Pay", "GetStatus"} <= set(seen["account"])


async def test_node_opcua_reads_values_with_their_types_units_and_currency(seen: dict[str, Any]) -> None:
    assert seen["balance"] == {"value": 1000, "type": "Double", "status": "Good"}
    assert seen["units"]["type"] == "Int64"
    assert seen["currency"] == {"code": "SEK", "exponent": 2}
    assert seen["unit"] == {"id": int.from_bytes(b"MTR", "big"), "symbol": "m"}
    assert seen["tag"]["status"] == "BadWaitingForInitialData"


async def test_node_opcua_pays_and_sees_the_other_balance_change(seen: dict[str, Any]) -> None:
    assert (seen["first"]["status"], seen["first"]["code"]) == ("Good", 0)
    assert seen["first"]["transfer"] == derived_id("pay", "facade-1", "node-1").hex()
    assert seen["balances"] == [250.5, 263.0]


async def test_the_same_request_id_answers_the_same_transfer(seen: dict[str, Any]) -> None:
    assert (seen["again"]["code"], seen["again"]["transfer"]) == (1, seen["first"]["transfer"])


async def test_the_same_request_id_with_another_amount_is_a_conflict(seen: dict[str, Any]) -> None:
    assert (seen["other"]["status"], seen["other"]["code"], seen["other"]["transfer"]) == ("Good", -3, "")


async def test_an_empty_request_id_is_an_invalid_argument_that_says_why(seen: dict[str, Any]) -> None:
    assert seen["empty"]["status"] == "BadInvalidArgument"
    assert seen["empty"]["inputs"] == ["BadOutOfRange", "Good", "Good", "Good", "Good"]
    assert "expected 1 to 200 characters" in seen["empty"]["diagnostics"][0]


async def test_nobody_pays_without_logging_in(seen: dict[str, Any], bank: Bank) -> None:
    assert seen["anonymousPay"]["status"] == "BadUserAccessDenied"
    assert derived_id("pay", "facade-1", "by-nobody") not in bank.desk.transfers
    assert "BadUserAccessDenied" in seen["badLogin"]


async def test_a_subscription_of_node_opcua_lives_on_after_the_server_restarts(node_client: Path) -> None:
    first = make_bank()
    await first.server.start(ACCOUNTS)
    endpoint = first.server.endpoint
    process = await start_node(node_client, endpoint, "restart")
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        async with asyncio.timeout(STORY_SECONDS_MAX):
            assert json.loads(await process.stdout.readline()) == {"balance": 250.5}
            await first.server.stop()
            second = make_bank(OpcUaServerSettings(endpoint=endpoint))
            await second.server.start((ACCOUNTS[0], status("agv-7", "300 kr")))
            try:
                assert json.loads(await process.stdout.readline()) == {"balance": 300}
                await second.server.publisher.publish_accounts([status("agv-7", "301 kr", seq=2)])
                assert json.loads(await process.stdout.readline()) == {"balance": 301}
                process.stdin.write(b"done\n")
                await process.wait()
            finally:
                await second.server.stop()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run_tool(name: str, *arguments: str) -> str:
    tool = Path(sys.executable).with_name(name)
    process = await asyncio.create_subprocess_exec(tool, *arguments, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(STORY_SECONDS_MAX):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_uals_lists_the_accounts(bank: Bank) -> None:
    listed = await run_tool("uals", "-u", bank.server.endpoint, "-n", "ns=2;s=Accounts")
    assert "ns=2;s=Accounts.facade-1" in listed
    assert "ns=2;s=Accounts.agv-7" in listed


async def test_uaread_reads_a_balance_by_its_node_id(bank: Bank) -> None:
    read = await run_tool("uaread", "-u", bank.server.endpoint, "-n", "ns=2;s=Accounts.facade-1.CreditLimit")
    assert float(read) == float(Money.parse("5000 kr").amount)
