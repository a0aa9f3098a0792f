"""A quiet OPC UA server that proves itself alive says that nothing changed; real servers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
import pytest_asyncio
from asyncua import Server, ua

from connectors.connector import Connector, Reading
from connectors.poller import Poller
from core.clock import SECOND, SystemClock
from core.errors import Unavailable
from core.quantity import UNITS
from core.sample import Quality, Sample, tag_id
from settlement.meter import Finding, Integral, Meter, MeterState, RunningTime
from tests.unit.connectors.devices import Collected, until
from tests.unit.connectors.test_opcua_connector import (
    URI,
    a_connector,
    a_server,
    by_uri,
    free_port,
    read_until,
    serving,
    write,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUICK = {"publishing": "20 ms", "timeout": "1 s"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with serving(await a_server(), free_port()) as server:
        yield server


@pytest.fixture
def port(server: Server) -> int:
    return server.endpoint.port


async def report(server: Server, name: str, value: ua.DataValue) -> None:
    """Let a node say a whole data value: status and times too."""
    index = await server.get_namespace_index(URI)
    await server.get_node(ua.NodeId(name, index)).write_value(value)


async def lost(connector: Connector, seconds: float, said: list[Reading]) -> str:
    """Read into `said` until the connector says that the server is lost; why it said so."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                said += await connector.read()
            except Unavailable as error:
                return str(error)


async def repeats(connector: Connector, count: int, seconds: float = 6.0) -> list[Reading]:
    """The next `count` readings, none of which the server sent."""
    found: list[Reading] = []
    async with asyncio.timeout(seconds):
        while len(found) < count:
            found += await connector.read()
    return found


async def test_a_quiet_servers_values_are_told_again_with_the_time_of_the_read(server, port):
    connector = a_connector(port, by_uri("Picked", "Moving"), **QUICK)
    await connector.connect()
    await read_until(connector, 2)
    before = SystemClock().now()
    readings = await repeats(connector, 4)
    await connector.close()
    assert [reading.value for reading in readings] == [7, True, 7, True]
    assert {reading.quality for reading in readings} == {Quality.GOOD}
    times = [reading.source_time for reading in readings]
    assert before <= times[0] == times[1] < times[2] == times[3] <= SystemClock().now()
    assert SECOND // 2 < times[2] - times[0] < 3 * SECOND


async def test_a_tag_is_repeated_only_while_its_newest_value_is_good(server, port):
    connector = a_connector(port, by_uri("Picked", "Moving"), **QUICK)
    await connector.connect()
    await read_until(connector, 2)
    value = ua.Variant(7, ua.VariantType.UInt32)
    await report(server, "Picked", ua.DataValue(value, ua.StatusCode(ua.StatusCodes.BadSensorFailure)))
    assert (await read_until(connector, 1))["Picked"].quality is Quality.BAD
    assert {reading.tag for reading in await repeats(connector, 1)} == {"warehouse.Moving"}
    await report(server, "Picked", ua.DataValue(value))
    assert (await read_until(connector, 1))["Picked"].quality is Quality.GOOD
    assert {reading.tag for reading in await repeats(connector, 2)} == {"warehouse.Moving", "warehouse.Picked"}
    await connector.close()


async def test_a_dead_subscription_in_a_living_session_repeats_nothing(server, port):
    connector = a_connector(port, by_uri("Picked"), **QUICK)
    await connector.connect()
    await read_until(connector, 1)
    await repeats(connector, 1)
    service = server.iserver.subscription_service
    await service.delete_subscriptions(list(service.subscriptions))
    said: list[Reading] = []
    why = await lost(connector, 10, said)
    await connector.close()
    assert "fell silent" in why  # so the session lived till then
    assert said == []


async def test_a_server_that_insists_on_rare_keep_alives_is_believed_for_as_long_as_agreed(server, port, monkeypatch):
    service = server.iserver.subscription_service
    monkeypatch.setattr(service, "_clamp_keep_alive_count", lambda requested: 125)  # of 20 ms: 2.5 s
    connector = a_connector(port, by_uri("Picked"), **QUICK)
    await connector.connect()
    await read_until(connector, 1)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await repeats(connector, 2)
    assert loop.time() - began < 2.4
    await connector.close()


async def test_after_a_lost_message_only_what_the_server_tells_anew_is_repeated(server, port):
    connector = a_connector(port, by_uri("Picked", "Moving"), **QUICK)
    await connector.connect()
    await read_until(connector, 2)
    for subscription in server.iserver.subscription_service.subscriptions.values():
        subscription._notification_seq += 1  # as if one message had not arrived
    await write(server, "Moving", False)
    assert (await read_until(connector, 1))["Moving"].value is False
    assert {reading.tag for reading in await repeats(connector, 2)} == {"warehouse.Moving"}
    await write(server, "Moving", True)
    await connector.close()


async def test_a_pulse_of_a_device_whose_clock_runs_behind_comes_after_the_repeats_and_whole(server, port):
    connector = a_connector(port, by_uri("Moving"), **QUICK)
    await connector.connect()
    await read_until(connector, 1)
    (repeat,) = await repeats(connector, 1)
    then = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=3)
    for step, value in enumerate((False, True, False, True)):
        variant = ua.Variant(value, ua.VariantType.Boolean)
        await report(server, "Moving", ua.DataValue(variant, SourceTimestamp=then + timedelta(milliseconds=step)))
    readings = await repeats(connector, 4)
    await connector.close()
    assert [reading.value for reading in readings] == [False, True, False, True]
    times = [repeat.source_time, *(reading.source_time for reading in readings)]
    assert times == sorted(set(times))
    assert times[-1] <= SystemClock().now()


async def test_a_machine_that_runs_steadily_is_counted_all_the_time(server, port, collected: Collected):
    running = RunningTime(tag_id("warehouse", "Moving"))
    energy = Integral(tag_id("warehouse", "Pressure"), UNITS["kW"])
    await turn(server, on=False)
    connector = a_connector(port, by_uri("Moving", "Pressure"), **QUICK)
    poller = Poller("warehouse", connector, [running.tag, energy.tag], collected.deliver, SystemClock())
    task = asyncio.create_task(poller.run())
    await until(lambda: len(collected) >= 2)
    await turn(server, on=True)
    await until(lambda: len(collected) >= 8, seconds=8)
    await turn(server, on=False)
    await until(lambda: not any(sample.value for sample in collected[-2:]))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for meter, per_second in ((running, 1), (energy, 10)):
        of_tag = [sample for sample in collected if sample.tag == meter.tag]
        steady = [sample for sample in of_tag if sample.value]
        end = of_tag[of_tag.index(steady[-1]) + 1]
        totals, findings = totals_of(meter, of_tag)
        assert end.source_time - steady[0].source_time > SECOND
        assert totals[-1] == per_second * Decimal(end.source_time - steady[0].source_time) / SECOND
        assert sum(later > earlier for earlier, later in pairwise(totals)) >= 3  # while it ran, not at its end
        assert findings == []


async def turn(server: Server, *, on: bool) -> None:
    await write(server, "Moving", on)
    await write(server, "Pressure", 10.0 if on else 0.0)


def totals_of(meter: Meter, samples: list[Sample]) -> tuple[list[Decimal], list[Finding]]:
    """What the meter had counted after each sample, and what it found."""
    state, totals, found = MeterState(), [], []
    for sample in samples:
        state, findings = meter.read(state, sample)
        totals.append(state.total)
        found += findings
    return totals, found
