"""The Modbus PLC, read by a pymodbus client as factory.yaml says."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from examples.plant.plc_process import ROOT, StartPlc

MACHINES: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "factory.yaml").read_text())["machines"]
FORMATS = {"uint16": ">H", "uint32": ">I", "float32": ">f"}


@asynccontextmanager
async def connected(port: int, timeout_s: float = 5) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=timeout_s, retries=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


async def read(client: AsyncModbusTcpClient, machine: str, tag: str) -> float:
    """The raw value of a tag at the address and in the type that factory.yaml gives."""
    unit = MACHINES[machine]["modbus"]["unit"]
    settings = MACHINES[machine]["tags"][tag]
    table, _, number = settings["address"].partition(":")
    if table == "discrete":
        reply = await client.read_discrete_inputs(int(number) - 10001, count=1, device_id=unit)
        assert not reply.isError(), reply
        return reply.bits[0]
    layout = FORMATS[settings["type"]]
    reply = await client.read_input_registers(int(number) - 30001, count=struct.calcsize(layout) // 2, device_id=unit)
    assert not reply.isError(), reply
    words = reply.registers[::-1] if settings.get("order") == "CDAB" else reply.registers
    value: float = struct.unpack(layout, struct.pack(f">{len(words)}H", *words))[0]
    return value


async def test_every_modbus_tag_of_the_factory_shows_what_the_plc_knows(tmp_path: Path, start_plc: StartPlc) -> None:
    plc = start_plc("modbus", tmp_path / "counters.json")
    assert plc.ask("freeze on") == "ok"
    expected: dict[str, dict[str, float]] = {
        "agv-7": {"odometer": 4_000_000_001, "speed": 1599, "battery": 775, "moving": 1},
        "robot-cell": {
            "parts": 70_001,
            "energy": 131_073,
            "temperature": 56.25,
            "pressure": 6123,
            "rpm": 2876,
            "running": 1,
        },
    }
    for values in expected.values():
        for tag, value in values.items():
            assert plc.ask(f"set {tag} {value}") == "ok"
    async with connected(plc.port) as client:
        shown = {
            machine: {tag: await read(client, machine, tag) for tag in MACHINES[machine]["tags"]}
            for machine in expected
        }
        assert shown == expected
        assert plc.ask("set running 0") == "ok"
        assert await read(client, "robot-cell", "running") == 0
        assert await read(client, "agv-7", "moving") == 1


async def test_a_32_bit_value_is_never_torn_between_its_registers(tmp_path: Path, start_plc: StartPlc) -> None:
    plc = start_plc("modbus", tmp_path / "counters.json", "--speed", "100")
    async with connected(plc.port) as client:
        for _ in range(3):
            assert plc.ask("set energy 65000") == "ok"
            before = 65000.0
            while before < 66000:
                now = await read(client, "robot-cell", "energy")
                assert before <= now <= before + 5000
                before = now


async def test_nothing_lies_beyond_the_last_register(tmp_path: Path, start_plc: StartPlc) -> None:
    plc = start_plc("modbus", tmp_path / "counters.json")
    async with connected(plc.port) as client:
        for unit, words in ((1, 4), (2, 8)):
            assert not (await client.read_input_registers(0, count=words, device_id=unit)).isError()
            assert (await client.read_input_registers(0, count=words + 1, device_id=unit)).exception_code == 2
            assert (await client.read_holding_registers(0, count=1, device_id=unit)).exception_code == 2


async def test_garbage_is_shown_but_not_counted(tmp_path: Path, start_plc: StartPlc) -> None:
    plc = start_plc("modbus", tmp_path / "counters.json")
    assert plc.ask("freeze on") == "ok"
    true = plc.counters()
    async with connected(plc.port) as client:
        assert plc.ask("garbage on") == "ok"
        assert len({await read(client, "robot-cell", "parts") for _ in range(5)}) == 5
        assert plc.counters() == true
        assert plc.ask("garbage off") == "ok"
        assert await read(client, "robot-cell", "parts") == true["parts"]


async def test_a_muted_plc_accepts_but_never_answers(tmp_path: Path, start_plc: StartPlc) -> None:
    plc = start_plc("modbus", tmp_path / "counters.json")
    assert plc.ask("mute on") == "ok"
    async with connected(plc.port, timeout_s=0.3) as client:
        with pytest.raises(ModbusIOException):
            await read(client, "agv-7", "odometer")
    assert plc.ask("mute off") == "ok"
    async with connected(plc.port) as client:
        assert await read(client, "agv-7", "odometer") >= 0
