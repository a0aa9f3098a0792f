"""PLCs fail in every way they know while Myntverk runs on: no wrong money, one word each, nobody else disturbed.

One Myntverk and two PLCs go through all of it, one fault after the other, as a plant does.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import pytest

from tests.support.plant import KINDS, MACHINES, PRICES, Factory, Running, eventually, owed
from tests.support.scada import Screen, screen, sees

LOST_S_MAX = 10.0
BACK_S_MAX = 15.0
PAID_S_MAX = 10.0

TAG_OF = {
    "agv-7": "odometer",
    "robot-cell": "parts",
    "facade-1": "picked",
    "warehouse": "items_in",
    "order-desk": "orders",
}
BUSY_AGREEMENT = {"modbus": "electricity", "opcua": "material"}
"""Of each PLC, one that is paid at least every second or two."""


@dataclass
class Plant:
    factory: Factory
    running: Running

    def stand_still(self) -> dict[str, int]:
        """Stop the line; its counters."""
        self.factory.work(False)
        return self.factory.counters()

    def settle(self, counters: dict[str, int]) -> dict[str, int]:
        """Wait until Myntverk has read these counters, and with that paid for them; what was paid until then."""
        eventually(lambda: self._has_read(counters), PAID_S_MAX, f"{counters} read; read is {self.factory.meters()}")
        return self.factory.paid_units()

    def _has_read(self, counters: dict[str, int]) -> bool:
        last = {meter.partition(".")[2]: Decimal(last) for meter, (last, _, _) in self.factory.meters().items()}
        return all(last[name] * (100 if name == "odometer" else 1) == value for name, value in counters.items())

    def machines_told(self, event: str, since: int) -> list[str]:
        return sorted(line["machine"] for line in self.running.events[since:] if line["event"] == event)

    def wait_until_told(self, event: str, kind: str, since: int, seconds: float) -> None:
        machines = sorted(MACHINES[kind])
        eventually(lambda: self.machines_told(event, since) == machines, seconds, f"{event!r} of {machines}")


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    factory = Factory(tmp_path_factory.mktemp("plant"))
    try:
        for kind, name in (("modbus", "odometer"), ("modbus", "parts"), ("modbus", "energy"), ("opcua", "items_in")):
            assert factory.plcs[kind].ask(f"set {name} 1000000") == "ok"
        running = factory.start()
        eventually(lambda: running.endpoint and len(factory.meters()) == 9, 30, "the first reading of every meter")
        yield Plant(factory, running)
        assert running.end() == 0
        assert "Traceback" not in running.text
    finally:
        factory.close()


FAULTS = [
    ("modbus", "switched off"),
    ("opcua", "switched off"),
    ("modbus", "killed"),
    ("opcua", "killed"),
    ("modbus", "mute"),
    ("opcua", "suspended"),
]


@pytest.mark.parametrize(("kind", "fault"), FAULTS, ids=[f"{kind}-{fault}" for kind, fault in FAULTS])
async def test_a_plc_that_goes_away_and_comes_back_is_paid_for_exactly_what_it_counted(
    plant: Plant, kind: str, fault: str
) -> None:
    since = len(plant.running.events)
    before = plant.stand_still()
    paid_before = plant.settle(before)
    plant.factory.work()
    await asyncio.sleep(1)
    break_down(plant.factory, kind, fault)
    plant.wait_until_told("machine lost", kind, since, LOST_S_MAX)
    async with screen(plant.running.endpoint) as shown:
        await assert_shown_as_lost(shown, kind)
        assert_the_others_are_paid(plant, kind)
        repair(plant.factory, kind, fault)
        plant.wait_until_told("machine is back", kind, since, BACK_S_MAX)
        await assert_shown_as_good(shown, kind)
    await asyncio.sleep(0.5)
    after = plant.stand_still()
    paid_after = plant.settle(after)
    assert difference(paid_before, paid_after) == owed(before, after)
    assert_told_once(plant, kind, since)


@pytest.mark.parametrize("kind", KINDS)
async def test_garbage_on_the_wire_is_never_billed_and_loses_nothing(plant: Plant, kind: str) -> None:
    since = len(plant.running.events)
    before = plant.stand_still()
    paid_before = plant.settle(before)
    plant.factory.work()
    assert plant.factory.plcs[kind].ask("garbage on") == "ok"
    await asyncio.sleep(3)
    assert_the_others_are_paid(plant, kind)
    paid_during = plant.factory.paid_units()
    due_during = owed(before, plant.factory.counters())
    assert all(paid <= due_during[name] for name, paid in difference(paid_before, paid_during).items())
    assert plant.factory.plcs[kind].ask("garbage off") == "ok"
    after = plant.stand_still()
    paid_after = plant.settle(after)
    assert difference(paid_before, paid_after) == owed(before, after)
    conditions = {line["condition"] for line in plant.running.events[since:] if "condition" in line}
    assert conditions == {"suspect", "glitch"}


async def test_a_counter_that_starts_again_at_zero_is_paid_on_from_there_and_never_twice(plant: Plant) -> None:
    before = plant.stand_still()
    paid_before = plant.settle(before)
    segments = {meter: segment for meter, (_, segment, _) in plant.factory.meters().items()}
    assert plant.factory.plcs["modbus"].ask("reset") == "ok"
    plant.factory.work()
    for meter in ("agv-7.odometer", "robot-cell.parts", "robot-cell.energy"):
        eventually(lambda: plant.factory.meters()[meter][1] == segments[meter] + 1, 10, f"{meter} reset, confirmed")  # noqa: B023
    after = plant.stand_still()
    paid = difference(paid_before, plant.settle(after))
    due = owed({**before, "odometer": 0, "parts": 0, "energy": 0}, after)
    assert all(paid[name] <= due[name] for name in PRICES)
    assert paid["electricity"] == due["electricity"] > 0


async def test_a_plc_killed_at_work_is_paid_for_what_it_worked_even_if_it_forgot_it(plant: Plant) -> None:
    """It retains its counters four times a second: what it counted since is counted anew, and was seen before."""
    before = plant.stand_still()
    paid_before = plant.settle(before)
    plant.factory.work()
    await asyncio.sleep(1.1)
    since = len(plant.running.events)
    assert plant.factory.plcs["modbus"].end(signal.SIGKILL) == -signal.SIGKILL
    plant.wait_until_told("machine lost", "modbus", since, LOST_S_MAX)
    seen = int(plant.factory.meters()["robot-cell.energy"][0])
    retained = json.loads((plant.factory.folder / "plc-modbus.json").read_text())["energy"]
    assert seen >= retained
    plant.factory.start_plc("modbus", still=False)
    plant.wait_until_told("machine is back", "modbus", since, BACK_S_MAX)
    await asyncio.sleep(3)
    after = plant.stand_still()
    paid = difference(paid_before, plant.settle(after))["electricity"]
    worked_at_least = owed(before, after)["electricity"]
    worked_at_most = owed(before, {**after, "energy": after["energy"] + seen - retained})["electricity"]
    assert worked_at_least <= paid <= worked_at_most


def break_down(factory: Factory, kind: str, fault: str) -> None:
    plc = factory.plcs[kind]
    match fault:
        case "switched off":
            assert plc.end(signal.SIGTERM) == 0
        case "killed":
            assert plc.ask("freeze on") == "ok"  # what was counted is retained with the answer
            assert plc.end(signal.SIGKILL) == -signal.SIGKILL
        case "mute":
            assert plc.ask("mute on") == "ok"
        case "suspended":
            plc.process.send_signal(signal.SIGSTOP)


def repair(factory: Factory, kind: str, fault: str) -> None:
    match fault:
        case "switched off" | "killed":
            factory.start_plc(kind, still=False)
        case "mute":
            assert factory.plcs[kind].ask("mute off") == "ok"
        case "suspended":
            factory.plcs[kind].process.send_signal(signal.SIGCONT)


def other(kind: str) -> str:
    return next(another for another in KINDS if another != kind)


def difference(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in before}


async def assert_shown_as_lost(shown: Screen, kind: str) -> None:
    """The PLC's machines are bad, the last values stay on the screen, and the other PLC's machines are good."""
    for machine in MACHINES[kind]:
        tag = f"Machines.{machine}.Tags.{TAG_OF[machine]}"
        await sees(lambda: shown.status(tag), "BadCommunicationError", 5, tag)  # noqa: B023
        assert str(await shown.read(f"Machines.{machine}.Quality")).startswith("bad")
        assert await shown.read(f"Machines.{machine}.Connected") is False
        assert await shown.read(tag) is not None
    for machine in MACHINES[other(kind)]:
        assert await shown.read(f"Machines.{machine}.Quality") == "good"
        assert await shown.status(f"Machines.{machine}.Tags.{TAG_OF[machine]}") == "Good"


async def assert_shown_as_good(shown: Screen, kind: str) -> None:
    for machine in MACHINES[kind]:
        await sees(lambda: shown.read(f"Machines.{machine}.Quality"), "good", 5, f"Quality of {machine}")  # noqa: B023
        assert await shown.status(f"Machines.{machine}.Tags.{TAG_OF[machine]}") == "Good"
        assert await shown.read(f"Machines.{machine}.Connected") is True


def assert_the_others_are_paid(plant: Plant, kind: str) -> None:
    agreement = BUSY_AGREEMENT[other(kind)]
    before = plant.factory.paid_units()[agreement]
    eventually(
        lambda: plant.factory.paid_units()[agreement] > before,
        8,
        f"{agreement} paid while the {kind} PLC is in trouble",
    )


def assert_told_once(plant: Plant, kind: str, since: int) -> None:
    """One warning when a machine is lost, one line when it is back, and nothing else to worry about."""
    machines = sorted(MACHINES[kind])
    assert plant.machines_told("machine lost", since) == machines
    assert plant.machines_told("machine is back", since) == machines
    alarms = [line for line in plant.running.events[since:] if line["level"] not in ("info", "debug")]
    assert [line["event"] for line in alarms] == ["machine lost"] * len(machines), alarms
