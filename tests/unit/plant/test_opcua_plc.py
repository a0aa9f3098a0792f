"""The OPC UA PLC, read and subscribed to by an asyncua client as factory.yaml says."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.ua.uaerrors import UaStatusCodeError

from examples.plant.plc_process import ROOT, StartPlc

DEADLINE_S = 20
MACHINES: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "factory.yaml").read_text())["machines"]
NODES = {
    tag: settings["node"]
    for machine in MACHINES.values()
    if "opcua" in machine
    for tag, settings in machine["tags"].items()
}


async def node_of(client: Client, tag: str) -> Node:
    namespace, _, identifier = NODES[tag].partition(";")
    index = await client.get_namespace_index(namespace.removeprefix("nsu="))
    return client.get_node(f"ns={index};{identifier}")


async def test_every_opcua_tag_of_the_factory_shows_what_the_plc_knows(tmp_path: Path, start_plc: StartPlc) -> None:
    plc = start_plc("opcua", tmp_path / "counters.json")
    assert plc.ask("freeze on") == "ok"
    for value, counter in enumerate(plc.counters(), start=4_000_000_000):
        assert plc.ask(f"set {counter} {value}") == "ok"
    counters = plc.counters()
    tags = {
        "orders": "orders",
        "picked": "picked",
        **{name: name for name in ("pallets_in", "pallets_out", "items_in")},
    }
    assert NODES.keys() == tags.keys()
    async with Client(f"opc.tcp://127.0.0.1:{plc.port}") as client:
        for tag, counter in tags.items():
            node = await node_of(client, tag)
            shown = await node.read_data_value()
            assert shown.Value == ua.Variant(counters[counter], ua.VariantType.UInt32)
            assert shown.SourceTimestamp is not None
            assert abs(datetime.now(UTC) - shown.SourceTimestamp) < timedelta(seconds=DEADLINE_S)
            name = await node.read_browse_name()
            assert name.NamespaceIndex == node.nodeid.NamespaceIndex
            assert str(node.nodeid.Identifier).endswith(f".{name.Name}")
            with pytest.raises(UaStatusCodeError):
                await node.write_value(ua.Variant(1, ua.VariantType.UInt32))


async def test_a_subscriber_sees_every_counter_move_from_a_fresh_start(tmp_path: Path, start_plc: StartPlc) -> None:
    plc = start_plc("opcua", tmp_path / "counters.json", "--speed", "10")
    seen: dict[str, list[int]] = {tag: [] for tag in NODES}
    all_moved = asyncio.Event()

    class Handler:
        def datachange_notification(self, node: Node, value: int, data: object) -> None:
            seen[tags[node.nodeid]].append(value)
            if all(len(values) > 1 for values in seen.values()):
                all_moved.set()

    async with Client(f"opc.tcp://127.0.0.1:{plc.port}") as client:
        nodes = [await node_of(client, tag) for tag in NODES]
        tags = dict(zip((node.nodeid for node in nodes), NODES, strict=True))
        subscription = await client.create_subscription(50, Handler())
        await subscription.subscribe_data_change(nodes)
        await asyncio.wait_for(all_moved.wait(), DEADLINE_S)
    assert all(values == sorted(values) for values in seen.values())


async def test_garbage_is_shown_but_not_counted(tmp_path: Path, start_plc: StartPlc) -> None:
    plc = start_plc("opcua", tmp_path / "counters.json")
    assert plc.ask("freeze on") == "ok"
    true = plc.counters()
    async with Client(f"opc.tcp://127.0.0.1:{plc.port}") as client:
        node = await node_of(client, "items_in")
        assert plc.ask("garbage on") == "ok"
        assert await node.read_value() != true["items_in"]
        assert plc.counters() == true
        assert plc.ask("garbage off") == "ok"
        assert await node.read_value() == true["items_in"]


def test_muting_it_is_refused_with_what_to_do_instead(tmp_path: Path, start_plc: StartPlc) -> None:
    plc = start_plc("opcua", tmp_path / "counters.json")
    assert plc.ask("mute on") == "error: this PLC cannot be muted; stop its process (SIGSTOP) instead"
