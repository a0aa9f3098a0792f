"""Nodes show the ledger and the machines, and tell of changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, Node, ua

from core.clock import SECOND, Instant, to_datetime
from core.ids import derived_id
from core.money import Money
from core.sample import Quality, Sample, TagId, Value
from ledger.account import AccountId
from ledger.transfer import Transfer, TransferRequest
from opcua_server.address_space import ValueType
from opcua_server.publisher import LedgerStatus, plain
from tests.unit.opcua_server.bank import NOW, Bank, status, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(bank: Bank) -> AsyncIterator[Client]:
    async with bank.client() as client:
        yield client


class Changes:
    """Collects what a subscription delivers."""

    def __init__(self) -> None:
        self.values: list[tuple[Any, str]] = []

    def datachange_notification(self, node: Node, value: Any, data: Any) -> None:
        self.values.append((value, data.monitored_item.Value.StatusCode.name))


async def shown(client: Client, id: str) -> ua.DataValue:
    return await client.get_node(f"ns=2;s={id}").read_data_value(raise_on_bad_status=False)


async def value(client: Client, id: str) -> Any:
    return (await shown(client, id)).Value.Value


def transfer(amount: str, debit: str = "facade-1", credit: str = "agv-7", at: Instant = NOW) -> Transfer:
    request = TransferRequest(
        derived_id("t"), AccountId(debit), AccountId(credit), Money.parse(amount), at, "internal-transport"
    )
    return Transfer(request, 1, 0, at)


def sample(tag: str, value: Value, quality: Quality = Quality.GOOD, at: Instant = NOW, reason: str = "") -> Sample:
    return Sample(TagId(f"agv-7.{tag}"), value, quality, at, at, reason)


async def test_an_account_shows_the_ledgers_truth_from_the_first_moment(client: Client) -> None:
    expected = {
        "Name": "AGV-7",
        "Owner": "Intern Transport AB",
        "OwnerId": "movers",
        "Currency": "SEK",
        "Balance": 250.5,
        "AvailableBalance": 5250.5,
        "CreditLimit": 5000.0,
        "TotalIn": 250.5,
        "TotalOut": 0.0,
        "BalanceUnits": 25_050_000_000,
        "AvailableUnits": 525_050_000_000,
        "LedgerScale": 8,
        "LastTransfer.Id": "",
        "LastTransfer.Amount": 0.0,
    }
    assert {name: await value(client, f"Accounts.agv-7.{name}") for name in expected} == expected


async def test_a_machine_shows_its_identification_its_account_and_that_it_waits(client: Client) -> None:
    expected = {
        "Manufacturer": "Robotbolaget",
        "Model": "Truck 400",
        "SerialNumber": "AGV-0007",
        "Account": "agv-7",
        "Connected": False,
        "Quality": "waiting for the first reading",
    }
    assert {name: await value(client, f"Machines.agv-7.{name}") for name in expected} == expected
    assert (await shown(client, "Machines.agv-7.Tags.parts")).StatusCode.name == "BadWaitingForInitialData"


async def test_units_are_those_of_unece(client: Client) -> None:
    metre = await value(client, "Machines.agv-7.Tags.odometer.EngineeringUnits")
    assert (metre.UnitId, metre.DisplayName.Text) == (5_067_858, "m")
    assert metre.NamespaceUri == "http://www.opcfoundation.org/UA/units/un/cefact"


async def test_a_transfer_reaches_the_subscribers_of_both_sides(bank: Bank, client: Client) -> None:
    changes = Changes()
    subscription = await client.create_subscription(20, changes)
    await subscription.subscribe_data_change(client.get_node("ns=2;s=Accounts.facade-1.Balance"))
    await until(lambda: bool(changes.values))
    posted = transfer("12.50 kr", at=Instant(NOW + SECOND))
    await bank.server.publisher.publish_accounts(
        [
            replace(status("facade-1", "1000 kr", seq=2), total_out=Money.parse("12.50 kr"), last_transfer=posted),
            replace(status("agv-7", "263 kr", seq=2), last_transfer=posted),
        ]
    )
    await until(lambda: len(changes.values) == 2)
    assert changes.values == [(1000.0, "Good"), (987.5, "Good")]
    balance = await shown(client, "Accounts.facade-1.Balance")
    assert balance.SourceTimestamp == to_datetime(posted.posted_time)
    expected: dict[str, list[Any]] = {
        "Id": [posted.id.hex()] * 2,
        "Time": [to_datetime(posted.posted_time)] * 2,
        "Amount": [-12.5, 12.5],
        "Counterparty": ["agv-7", "facade-1"],
        "Text": ["internal-transport"] * 2,
    }
    for name, both in expected.items():
        assert [await value(client, f"Accounts.{id}.LastTransfer.{name}") for id in ("facade-1", "agv-7")] == both
    await subscription.delete()


async def test_only_what_changed_is_told(bank: Bank, client: Client) -> None:
    changes = Changes()
    subscription = await client.create_subscription(20, changes)
    names = ("Balance", "Name", "CreditLimit", "TotalIn", "TotalOut")
    await subscription.subscribe_data_change([client.get_node(f"ns=2;s=Accounts.agv-7.{name}") for name in names])
    await until(lambda: len(changes.values) == len(names))
    await bank.server.publisher.publish_accounts([status("agv-7", "300 kr", seq=10)])
    await until(lambda: len(changes.values) >= len(names) + 2)
    await bank.server.publisher.publish_accounts([status("agv-7", "300 kr", seq=11)])
    await bank.server.publisher.publish_accounts([status("agv-7", "301 kr", seq=12)])
    await until(lambda: (301.0, "Good") in changes.values[-2:])
    assert len(changes.values) == len(names) + 4
    await subscription.delete()


async def test_older_news_does_not_overwrite_newer(bank: Bank, client: Client) -> None:
    publisher = bank.server.publisher
    await publisher.publish_accounts([status("agv-7", "402 kr", seq=22), status("agv-7", "401 kr", seq=21)])
    assert await value(client, "Accounts.agv-7.Balance") == 402.0
    await publisher.publish_accounts([status("agv-7", "400 kr", seq=20)])
    assert await value(client, "Accounts.agv-7.Balance") == 402.0


async def test_what_has_no_node_is_passed_over(bank: Bank, client: Client) -> None:
    stranger = Sample(TagId("crane.height"), 1, Quality.GOOD, NOW, NOW)
    await bank.server.publisher.publish_accounts([status("opened-later", "1 kr"), status("agv-7", "500 kr", seq=30)])
    await bank.server.publisher.publish_samples([stranger, sample("parts", 30)])
    assert await value(client, "Accounts.agv-7.Balance") == 500.0
    assert await value(client, "Machines.agv-7.Tags.parts") == 30


async def test_a_sample_shows_its_value_type_and_the_devices_time(bank: Bank, client: Client) -> None:
    at = Instant(NOW + 5 * SECOND)
    await bank.server.publisher.publish_samples(
        [sample("odometer", Decimal("12.34"), at=at), sample("moving", True, at=at), sample("parts", 7, at=at)]
    )
    odometer = await shown(client, "Machines.agv-7.Tags.odometer")
    assert (odometer.Value.Value, odometer.Value.VariantType.name) == (12.34, "Double")
    assert odometer.SourceTimestamp == to_datetime(at)
    assert await value(client, "Machines.agv-7.Tags.moving") is True
    assert (await shown(client, "Machines.agv-7.Tags.parts")).Value.VariantType.name == "Int64"
    assert await value(client, "Machines.agv-7.Connected") is True
    assert await value(client, "Machines.agv-7.Quality") == "good"


async def test_a_machine_that_is_lost_keeps_its_last_values_marked_bad(bank: Bank, client: Client) -> None:
    publisher = bank.server.publisher
    tags = {"odometer": Decimal(50), "moving": True, "parts": 9}
    await publisher.publish_samples([sample(tag, now) for tag, now in tags.items()])
    changes = Changes()
    subscription = await client.create_subscription(20, changes)
    await subscription.subscribe_data_change(client.get_node("ns=2;s=Machines.agv-7.Tags.odometer"))
    await until(lambda: bool(changes.values))

    await publisher.publish_samples([sample(tag, None, Quality.BAD, reason="no answer in 1 s") for tag in tags])
    await until(lambda: len(changes.values) == 2)
    assert changes.values[-1] == (50.0, "BadCommunicationError")
    assert await value(client, "Machines.agv-7.Connected") is False
    assert await value(client, "Machines.agv-7.Quality") == "bad: agv-7.moving: no answer in 1 s"

    await publisher.publish_samples([sample("odometer", Decimal(51)), sample("parts", 9, Quality.UNCERTAIN)])
    await until(lambda: len(changes.values) == 3)
    assert changes.values[-1] == (51.0, "Good")
    assert (await shown(client, "Machines.agv-7.Tags.parts")).StatusCode.name == "Uncertain"
    assert await value(client, "Machines.agv-7.Connected") is True
    assert (await value(client, "Machines.agv-7.Quality")).startswith("bad: agv-7.moving")
    await subscription.delete()


async def test_a_value_of_the_wrong_type_is_bad_and_not_shown(bank: Bank, client: Client) -> None:
    await bank.server.publisher.publish_samples([sample("parts", 11)])
    await bank.server.publisher.publish_samples([sample("parts", "eleven")])
    parts = await shown(client, "Machines.agv-7.Tags.parts")
    assert (parts.Value.Value, parts.StatusCode.name) == (11, "BadTypeMismatch")


async def test_the_book_as_a_whole_is_shown(bank: Bank, client: Client) -> None:
    await bank.server.publisher.publish_ledger(LedgerStatus("line-1", 12, 345, 6, b"\xab\xcd"))
    expected = {"Book": "line-1", "Sequence": 12, "Transfers": 345, "Refused": 6, "JournalHead": "abcd"}
    assert {name: await value(client, f"Ledger.{name}") for name in expected} == expected


@pytest.mark.parametrize(
    ("given", "type_", "expected"),
    [
        (Decimal("1.5"), ValueType.DOUBLE, 1.5),
        (3, ValueType.DOUBLE, 3.0),
        (Decimal("3"), ValueType.INT64, 3),
        (-(2**63), ValueType.INT64, -(2**63)),
        (False, ValueType.BOOLEAN, False),
        ("on", ValueType.STRING, "on"),
    ],
)
async def test_values_take_their_nodes_type(given: Value, type_: ValueType, expected: Any) -> None:
    found = plain(given, type_)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("given", "type_"),
    [
        (True, ValueType.DOUBLE),
        (1, ValueType.BOOLEAN),
        (Decimal("1.5"), ValueType.INT64),
        (2**63, ValueType.INT64),
        (10**400, ValueType.DOUBLE),
        (Decimal("NaN"), ValueType.INT64),
        (Decimal("Infinity"), ValueType.INT64),
        (Decimal("NaN"), ValueType.DOUBLE),
        (1, ValueType.STRING),
    ],
)
async def test_values_that_do_not_fit_are_refused(given: Value, type_: ValueType) -> None:
    with pytest.raises(ValueError, match="expected"):
        plain(given, type_)
