"""One machine's task: on time, once when lost, once when back, and nothing worse."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from connectors.catalog import KINDS
from connectors.connector import Reading
from connectors.poller import Poller
from core.clock import SystemClock
from core.errors import InvariantBroken, Unavailable
from core.sample import Quality, TagId, tag_id
from tests.unit.connectors.devices import Collected, Device, behave_well, until
from tests.unit.connectors.test_modbus_connector import MISBEHAVIOURS, with_header


def a_poller(device: Device, collected: Collected, **settings: object) -> Poller:
    kind = KINDS["modbus"]
    settings = {"host": "127.0.0.1", "port": device.port, "every": "20 ms", "timeout": "100 ms", **settings}
    tags = {
        "parts": kind.tag.model_validate({"address": "holding:40001", "type": "uint32"}),
        "rpm": kind.tag.model_validate({"address": "holding:40003", "type": "uint16"}),
    }
    clock = SystemClock()
    connector = kind.build("robot", kind.settings.model_validate(settings), tags, clock)
    return Poller("robot", connector, [tag_id("robot", name) for name in tags], collected.deliver, clock)


@asynccontextmanager
async def running(poller: Poller):
    task = asyncio.create_task(poller.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_samples_carry_the_time_of_the_read(device, collected, clock):
    before = clock.now()
    async with running(a_poller(device, collected)):
        await until(lambda: len(collected) >= 4)
    assert {sample.tag for sample in collected} == {"robot.parts", "robot.rpm"}
    assert all(before <= sample.source_time == sample.arrival_time <= clock.now() for sample in collected)


@pytest.mark.parametrize("misbehaviour", MISBEHAVIOURS, ids=lambda change: change.__name__)
async def test_a_device_that_misbehaves_is_lost_once_back_once_and_never_misread(
    device, collected, misbehaviour, monkeypatch
):
    monkeypatch.setattr("connectors.poller.RETRY_SECONDS_MIN", 0.05)
    device.registers[:3] = [0, 1234, 55]
    poller = a_poller(device, collected)
    with capture_logs() as logs:
        async with running(poller):
            await until(lambda: poller.stats.connected)
            device.behave = with_header(misbehaviour)
            await until(lambda: poller.stats.lost == 1 and device.connections >= 2)
            device.behave = behave_well
            await until(lambda: poller.stats.connected)
            good_before = len(collected)
            await until(lambda: len(collected) > good_before)
    assert [entry["event"] for entry in logs] == ["machine connected", "machine lost", "machine is back"]
    assert {sample.value for sample in collected} == {1234, 55, None}
    bad = [sample for sample in collected if sample.quality is Quality.BAD]
    assert sorted(sample.tag for sample in bad) == ["robot.parts", "robot.rpm"]
    assert all(sample.value is None and "robot at 127.0.0.1" in sample.reason for sample in bad)


async def test_a_device_that_was_switched_off_is_read_again_when_it_is_back(device, collected):
    poller = a_poller(device, collected)
    with capture_logs() as logs:
        async with running(poller):
            await until(lambda: poller.stats.connected)
            await device.stop()
            await until(lambda: not poller.stats.connected)
            await device.start()
            await until(lambda: poller.stats.connected)
    assert [entry["event"] for entry in logs] == ["machine connected", "machine lost", "machine is back"]


async def test_a_device_that_was_never_there_is_lost_from_the_start(device, collected):
    await device.stop()
    poller = a_poller(device, collected)
    with capture_logs() as logs:
        async with running(poller):
            await until(lambda: len(collected) == 2)
            await device.start()
            await until(lambda: poller.stats.connected)
    assert [entry["event"] for entry in logs] == ["machine lost", "machine is back"]
    assert [sample.quality for sample in collected[:2]] == [Quality.BAD, Quality.BAD]


class Scripted:
    """A connector that does what its script says, and counts."""

    def __init__(self, *script: object, every: float | None = None) -> None:
        self.every_seconds = every
        self.script = list(script)
        self.connects = self.closes = 0
        self.reads: list[float] = []

    async def connect(self) -> None:
        self.connects += 1

    async def read(self) -> list[Reading]:
        self.reads.append(asyncio.get_running_loop().time())
        step = self.script.pop(0) if self.script else []
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, float):
            await asyncio.sleep(step)
            return []
        await asyncio.sleep(0)
        return step

    async def close(self) -> None:
        self.closes += 1


def scripted(connector: Scripted, collected: Collected) -> Poller:
    return Poller("robot", connector, [TagId("robot.parts")], collected.deliver, SystemClock())


async def test_the_devices_own_time_is_kept(collected):
    reading = Reading(TagId("robot.parts"), 5, Quality.GOOD, source_time=1_000)
    async with running(scripted(Scripted([reading]), collected)):
        await until(lambda: collected)
    assert collected[0].source_time == 1_000
    assert collected[0].arrival_time > 1_000


async def test_a_bug_in_a_connector_is_told_once_with_its_traceback_and_disturbs_only_its_machine(collected):
    broken = Scripted(*[ZeroDivisionError("oops")] * 2)
    healthy = Scripted(every=0.01)
    sick, well = scripted(broken, collected), scripted(healthy, Collected())
    with capture_logs() as logs:
        async with running(sick), running(well):
            await until(lambda: sick.stats.connected)
            await until(lambda: well.stats.reads >= 3)
    events = [(entry["event"], "exc_info" in entry) for entry in logs if entry["event"] != "machine connected"]
    assert events == [("connector failed, machine lost", True), ("machine is back", False)]
    assert sick.stats.lost == 1
    assert well.stats.lost == 0
    assert [sample.reason for sample in collected] == ["oops"]


async def test_waiting_between_attempts_doubles_to_half_a_minute(collected, monkeypatch):
    waits: list[float] = []
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await real_sleep(0)

    connector = Scripted(*[Unavailable("off")] * 8)
    poller = scripted(connector, collected)
    monkeypatch.setattr("connectors.poller.asyncio.sleep", sleep)
    async with running(poller):
        async with asyncio.timeout(5):
            while len([wait for wait in waits if wait >= 0.5]) < 8:
                await real_sleep(0)
    assert [wait for wait in waits if wait >= 0.5] == [0.5, 1, 2, 4, 8, 16, 30, 30]


async def test_reads_keep_to_the_grid_of_the_first_and_skip_what_they_missed(collected):
    connector = Scripted([], 0.25, every=0.1)
    poller = scripted(connector, collected)
    async with running(poller):
        await until(lambda: len(connector.reads) >= 5)
    first = connector.reads[0]
    places = [(read - first) / 0.1 for read in connector.reads[:5]]
    # The second read starts at 0.1 s and ends at 0.35 s: the grid's 0.2 s and 0.3 s are missed.
    assert [round(place) for place in places] == sorted({round(place) for place in places})
    assert places[2] >= 4 - 0.01
    assert poller.stats.late >= 2


async def test_what_deliver_raises_ends_the_poller_and_closes_the_connector():
    async def deliver(samples: object) -> None:
        raise InvariantBroken("the books do not balance")

    connector = Scripted([Reading(TagId("robot.parts"), 5, Quality.GOOD)])
    poller = Poller("robot", connector, [], deliver, SystemClock())
    with pytest.raises(InvariantBroken):
        await poller.run()
    assert connector.closes == 1
    assert not poller.stats.connected


async def test_a_broken_invariant_is_not_taken_for_a_lost_machine(collected):
    poller = scripted(Scripted(InvariantBroken("impossible")), collected)
    with pytest.raises(InvariantBroken):
        await poller.run()
    assert not collected


async def test_cancelling_closes_the_connection(device, collected):
    poller = a_poller(device, collected)
    async with running(poller):
        await until(lambda: poller.stats.connected)
    assert not poller.stats.connected
    asked = len(device.requests)
    await asyncio.sleep(0.1)
    assert len(device.requests) == asked
