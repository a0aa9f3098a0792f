"""A screen in a SCADA system follows the money: what it is shown is what the ledger holds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from asyncua.common.node import Node
from asyncua.ua.uaerrors import UaStatusCodeError

from tests.support.plant import UNITS_PER_KRONA, WITHOUT_WEAR, Factory, Running, eventually
from tests.support.scada import screen

SEEN_S_MAX = 5.0


class Changes:
    """Collects what a subscription is told."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[object] = asyncio.Queue()

    def datachange_notification(self, _node: Node, value: object, _data: object) -> None:
        self.queue.put_nowait(value)

    async def next(self) -> object:
        return await asyncio.wait_for(self.queue.get(), SEEN_S_MAX)

    async def until(self, expected: object) -> None:
        async with asyncio.timeout(SEEN_S_MAX):
            while await self.queue.get() != expected:
                pass


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[tuple[Factory, Running]]:
    """It stands still."""
    factory = Factory(tmp_path, WITHOUT_WEAR)
    try:
        running = factory.start()
        eventually(lambda: running.endpoint and len(factory.meters()) == 9, 30, "the first reading of every meter")
        yield factory, running
        assert running.end() == 0
    finally:
        factory.close()


async def test_a_subscribed_client_sees_each_balance_that_a_plc_moves(plant: tuple[Factory, Running]) -> None:
    factory, running = plant
    async with screen(running.endpoint) as shown:
        changes = {account: Changes() for account in ("energy", "robot-cell", "customer")}
        for account, told in changes.items():
            subscription = await shown.client.create_subscription(50, told)
            await subscription.subscribe_data_change(shown.node(f"Accounts.{account}.Balance"))
            assert await told.next() == 0.0
        for energy in (10, 17, 40):
            assert factory.plcs["modbus"].ask(f"set energy {energy}") == "ok"
            paid = energy * Decimal("0.00045")
            assert await changes["energy"].next() == float(paid)
            assert await changes["robot-cell"].next() == float(-paid)
        assert changes["customer"].queue.empty()
        assert factory.plcs["modbus"].ask("set parts 2") == "ok"
        assert await changes["customer"].next() == -2 * 185.0
        assert await changes["robot-cell"].next() == float(2 * (9 - Decimal("4.20")) - paid)
        assert changes["energy"].queue.empty()


async def test_when_the_line_rests_the_screen_shows_what_the_ledger_holds(
    plant: tuple[Factory, Running],
) -> None:
    factory, running = plant
    async with screen(running.endpoint) as shown:
        told = Changes()
        subscription = await shown.client.create_subscription(50, told)
        await subscription.subscribe_data_change(shown.node("Accounts.line.Balance"))
        factory.work()
        eventually(lambda: sum(paid.transfers for paid in factory.paid().values()) > 100, 30, "a hundred transfers")
        factory.work(False)
        counters = factory.counters()
        eventually(lambda: settled(factory, counters), 10, "everything that was counted to be paid")
        with factory.rows("SELECT account_id, total_in, total_out, last_seq FROM account") as rows:
            held = {account: (into, out) for account, into, out, _ in rows}
            line_seq = next(seq for account, _, _, seq in rows if account == "line")
        assert line_seq > 0
        into, out = held["line"]
        await told.until((into - out) / UNITS_PER_KRONA)
        for account, (into, out) in held.items():
            node = f"Accounts.{account}"
            assert await shown.read(f"{node}.BalanceUnits") == into - out
            assert await shown.read(f"{node}.Balance") == (into - out) / UNITS_PER_KRONA
            assert await shown.read(f"{node}.TotalIn") == into / UNITS_PER_KRONA
            assert await shown.read(f"{node}.TotalOut") == out / UNITS_PER_KRONA
            assert await shown.status(f"{node}.Balance") == "Good"
        with factory.rows("SELECT seq, transfers, hex(head_hash) FROM book") as rows:
            ((seq, transfers, head),) = rows
        assert await shown.read("Ledger.Sequence") == seq
        assert await shown.read("Ledger.Transfers") == transfers
        assert str(await shown.read("Ledger.JournalHead")).upper() == head
        assert await shown.read("Machines.robot-cell.Tags.parts") == counters["parts"]
        assert await shown.read("Machines.agv-7.Tags.odometer") == pytest.approx(counters["odometer"] / 100)
        with pytest.raises(UaStatusCodeError):
            await shown.node("Accounts.line.Balance").write_value(1e6)


def settled(factory: Factory, counters: dict[str, int]) -> bool:
    """Whether every counter was read; the reading and its payment are one transaction."""
    last = {meter.partition(".")[2]: float(last) for meter, (last, _, _) in factory.meters().items()}
    return all(round(last[name] * (100 if name == "odometer" else 1)) == value for name, value in counters.items())
