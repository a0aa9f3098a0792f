"""The OPC UA connector against real servers on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import groupby

import pytest
import pytest_asyncio
from asyncua import Server, ua
from structlog.testing import capture_logs

from connectors.catalog import KINDS
from connectors.connector import Connector, Reading
from connectors.poller import Poller
from core.clock import SystemClock
from core.errors import Unavailable
from core.sample import Quality, tag_id
from tests.unit.connectors.devices import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPCUA = KINDS["opcua"]
URI = "urn:plant:logistics"
NODES = {
    "Picked": (7, ua.VariantType.UInt32),
    "Level": (0.1, ua.VariantType.Float),
    "Pressure": (0.1, ua.VariantType.Double),
    "Moving": (True, ua.VariantType.Boolean),
    "State": ("run", ua.VariantType.String),
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def a_server(*uris: str) -> Server:
    """A server that has the plant's nodes, its namespace after those of `uris`; not started yet."""
    server = Server()
    await server.init()
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    for uri in uris:
        await server.register_namespace(uri)
    index = await server.register_namespace(URI)
    for name, (value, type_) in NODES.items():
        await server.nodes.objects.add_variable(ua.NodeId(name, index), name, value, type_)
    return server


@asynccontextmanager
async def serving(server: Server, port: int) -> AsyncIterator[Server]:
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with serving(await a_server("urn:another"), free_port()) as server:
        yield server


@pytest.fixture
def port(server: Server) -> int:
    return server.endpoint.port


async def write(server: Server, name: str, value: object) -> None:
    index = await server.get_namespace_index(URI)
    await server.get_node(ua.NodeId(name, index)).write_value(ua.Variant(value, NODES[name][1]))


def a_connector(port: int, tags: dict[str, dict], **settings: object) -> Connector:
    settings = {"url": f"opc.tcp://127.0.0.1:{port}", "publishing": "20 ms", "timeout": "1 s", **settings}
    tags = {name: OPCUA.tag.model_validate(tag) for name, tag in tags.items()}
    return OPCUA.build("warehouse", OPCUA.settings.model_validate(settings), tags, SystemClock())


async def read_until(connector: Connector, count: int, seconds: float = 5.0) -> dict[str, Reading]:
    """Read until `count` tags have said something; the last word of each."""
    last: dict[str, Reading] = {}
    async with asyncio.timeout(seconds):
        while len(last) < count:
            last |= {reading.tag.removeprefix("warehouse."): reading for reading in await connector.read()}
    return last


def by_uri(*names: str) -> dict[str, dict]:
    return {name: {"node": f"nsu={URI};s={name}"} for name in names}


async def test_every_kind_of_value_arrives_exact_and_with_the_servers_time(port):
    connector = a_connector(port, {**by_uri(*NODES), "scaled": {"node": f"nsu={URI};s=Picked", "scale": 0.5}})
    await connector.connect()
    readings = await read_until(connector, 6)
    await connector.close()
    assert {name: reading.value for name, reading in readings.items()} == {
        "Picked": 7,
        "Level": Decimal("0.1"),
        "Pressure": Decimal("0.1"),
        "Moving": True,
        "State": "run",
        "scaled": Decimal("3.5"),
    }
    assert {reading.quality for reading in readings.values()} == {Quality.GOOD}
    assert all(reading.source_time is not None for reading in readings.values())


async def test_a_change_arrives_with_the_time_at_which_the_server_saw_it(server, port):
    connector = a_connector(port, by_uri("Level"))
    await connector.connect()
    await read_until(connector, 1)
    before = SystemClock().now()
    await write(server, "Level", 0.7)
    reading = (await read_until(connector, 1))["Level"]
    assert reading.value == Decimal("0.7")
    assert before <= reading.source_time <= SystemClock().now()
    await write(server, "Level", 0.1)
    await connector.close()


async def test_a_node_the_server_lacks_is_bad_with_its_reason_and_the_others_go_on(port):
    tags = {
        **by_uri("Picked", "Nonsense"),
        "elsewhere": {"node": "nsu=urn:nowhere;s=Picked"},
        "indexed": {"node": "ns=3;s=Picked"},
    }
    connector = a_connector(port, tags)
    await connector.connect()
    readings = await read_until(connector, 4)
    await connector.close()
    assert (readings["Picked"].value, readings["indexed"].value) == (7, 7)
    assert readings["Nonsense"].quality is Quality.BAD
    assert "BadNodeIdUnknown" in readings["Nonsense"].reason
    assert readings["elsewhere"].quality is Quality.BAD
    assert "no namespace urn:nowhere" in readings["elsewhere"].reason


async def test_a_node_that_appears_later_is_read_from_then_on(server, port, monkeypatch):
    monkeypatch.setattr("connectors.opcua_connector.ASK_AGAIN_SECONDS", 0.1)
    connector = a_connector(port, by_uri("Late"))
    await connector.connect()
    assert (await read_until(connector, 1))["Late"].quality is Quality.BAD
    index = await server.get_namespace_index(URI)
    await server.nodes.objects.add_variable(ua.NodeId("Late", index), "Late", 3, ua.VariantType.UInt32)
    assert (await read_until(connector, 1))["Late"].value == 3
    await connector.close()


async def test_a_server_that_stops_is_lost_once_and_read_again_when_it_is_back(collected):
    # After its restart the server gives the namespace another index; the URI still finds it.
    port, first, second = free_port(), await a_server(), await a_server("urn:new")
    connector = a_connector(port, by_uri("Picked"))
    poller = Poller("warehouse", connector, [tag_id("warehouse", "Picked")], collected.deliver, SystemClock())
    with capture_logs() as logs:
        async with serving(first, port):
            task = asyncio.create_task(poller.run())
            await until(lambda: collected and collected[-1].value == 7)
            await write(first, "Picked", 8)
            await until(lambda: collected[-1].value == 8)
        await until(lambda: collected[-1].quality is Quality.BAD)
        async with serving(second, port):
            await until(lambda: collected[-1].value == 7, seconds=10)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert [entry["event"] for entry in logs] == ["machine connected", "machine lost", "machine is back"]
    assert [value for value, _ in groupby(sample.value for sample in collected)] == [7, 8, None, 7]


class Tap:
    """A TCP line to the server that can go dead without a word, as when a cable is pulled."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.dead = False
        self.port = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(self._pump(reader, onward_writer), self._pump(onward_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if not self.dead:
                    writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()


async def lost(connector: Connector, seconds: float) -> str:
    """Read until the connector says that the server is lost; why it said so."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                await connector.read()
            except Unavailable as error:
                return str(error)


async def test_a_line_that_goes_dead_without_a_word_is_noticed_within_the_timeout(port):
    tap = Tap(port)
    await tap.open()
    connector = a_connector(tap.port, by_uri("Picked"), timeout="1 s")
    await connector.connect()
    await read_until(connector, 1)
    tap.dead = True
    assert "no sign of life" in await lost(connector, 2.5)
    await connector.close()
    tap.close()


async def test_a_subscription_the_server_dropped_is_noticed_though_the_session_lives(server, port):
    connector = a_connector(port, by_uri("Picked"), timeout="400 ms")
    await connector.connect()
    await read_until(connector, 1)
    service = server.iserver.subscription_service
    await service.delete_subscriptions(list(service.subscriptions))
    assert "silent" in await lost(connector, 5)
    await connector.close()


@pytest.mark.parametrize("hello", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"ERRF\x10\x00\x00\x00\x00\x00\x00\x00"])
async def test_what_is_no_opcua_server_is_unavailable(hello):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(hello)
        await reader.read(100)
        writer.close()

    stranger = await asyncio.start_server(serve, "127.0.0.1", 0)
    connector = a_connector(stranger.sockets[0].getsockname()[1], by_uri("Picked"), timeout="300 ms")
    with pytest.raises(Unavailable, match="warehouse at"):
        await connector.connect()
    await connector.close()
    stranger.close()


async def test_a_port_where_nobody_listens_is_unavailable():
    with pytest.raises(Unavailable, match="no connection"):
        await a_connector(free_port(), by_uri("Picked")).connect()
