"""The Modbus connector against real sockets: no wrong value ever, whatever the device does."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from connectors.catalog import KINDS
from core.clock import SystemClock
from core.errors import Misconfigured, Unavailable
from core.sample import Quality
from tests.unit.connectors.devices import Device, answer, behave_well, frame, until

MODBUS = KINDS["modbus"]


def a_connector(port: int, tags: dict[str, dict], **settings: object):
    settings = {"host": "127.0.0.1", "port": port, "timeout": "200 ms", **settings}
    return MODBUS.build(
        "agv-7",
        MODBUS.settings.model_validate(settings),
        {name: MODBUS.tag.model_validate(tag) for name, tag in tags.items()},
        SystemClock(),
    )


@asynccontextmanager
async def connected(port: int, tags: dict[str, dict], **settings: object):
    connector = a_connector(port, tags, **settings)
    await connector.connect()
    try:
        yield connector
    finally:
        await connector.close()


TWO_WORDS = {"odometer": {"address": "holding:40001", "type": "uint32", "scale": 0.01}}


async def test_a_standard_server_is_read_in_all_four_tables():
    def registers(*values: int) -> list[SimData]:
        return [SimData(0, values=list(values), datatype=DataType.REGISTERS)]

    def bits(*values: bool) -> list[SimData]:
        return [SimData(0, values=list(values), datatype=DataType.BITS)]

    holding = struct.unpack(">4H", struct.pack(">If", 123456789, 21.5))
    tables = (bits(True, False, True), bits(False, True), registers(*holding), registers(0xFFFF, 7, 0, 4242))
    server = ModbusTcpServer(SimDevice(1, simdata=tables), address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    port = server.transport.sockets[0].getsockname()[1]
    tags = {
        "distance": {"address": "holding:40001", "type": "uint32", "scale": 0.01, "unit": "m"},
        "temperature": {"address": "holding:40003", "type": "float32", "unit": "°C"},
        "trend": {"address": "input:30001", "type": "int16"},
        "parts": {"address": "input:30003", "type": "uint32"},
        "third_coil": {"address": "coil:3", "type": "bool"},
        "moving": {"address": "discrete:10002", "type": "bool"},
        "lamp": {"address": "input:30002.1", "type": "bool"},
    }
    try:
        async with connected(port, tags) as connector:
            readings = await connector.read()
    finally:
        await server.shutdown()
    assert {reading.tag: reading.value for reading in readings} == {
        "agv-7.distance": Decimal("1234567.89"),
        "agv-7.temperature": Decimal("21.5"),
        "agv-7.trend": -1,
        "agv-7.parts": 4242,
        "agv-7.third_coil": True,
        "agv-7.moving": True,
        "agv-7.lamp": True,
    }
    assert {reading.quality for reading in readings} == {Quality.GOOD}


def with_header(change):
    async def behave(device: Device, request: bytes) -> None:
        good = bytearray(answer(request, device.registers))
        await device.send(bytes(change(good)))

    return behave


def one_register_short(good: bytearray) -> bytes:
    return bytes(good[:5]) + bytes([5]) + bytes(good[6:8]) + bytes([2]) + bytes(good[9:11])


def data_cut_with_honest_header(good: bytearray) -> bytes:
    return bytes(good[:5]) + bytes([good[5] - 2]) + bytes(good[6:-2])


def data_cut_with_proud_header(good: bytearray) -> bytes:
    return bytes(good[:-2])


def from_another_unit(good: bytearray) -> bytes:
    good[6] = 9
    return bytes(good)


def to_another_function(good: bytearray) -> bytes:
    good[7] = 4
    return bytes(good)


def to_an_unknown_function(good: bytearray) -> bytes:
    good[7] = 0x63
    return bytes(good)


def to_another_transaction(good: bytearray) -> bytes:
    good[1] ^= 0x55
    return bytes(good)


def another_protocol(good: bytearray) -> bytes:
    good[3] = 1
    return bytes(good)


def odd_byte_count(good: bytearray) -> bytes:
    good[8] = 3
    return bytes(good)


def too_long(good: bytearray) -> bytes:
    return bytes(good[:5]) + bytes([good[5] + 2]) + bytes(good[6:]) + b"\x01\x02"


def garbage(good: bytearray) -> bytes:
    return b"HTTP/1.1 400 Bad Request\r\n\r\n"


def noise(good: bytearray) -> bytes:
    return bytes(range(256)) * 8


def exception_without_code(good: bytearray) -> bytes:
    return bytes(good[:5]) + bytes([2, good[6], 0x83])


def nothing(good: bytearray) -> bytes:
    return b""


MISBEHAVIOURS = [
    one_register_short,
    data_cut_with_honest_header,
    data_cut_with_proud_header,
    from_another_unit,
    to_another_function,
    to_an_unknown_function,
    to_another_transaction,
    another_protocol,
    odd_byte_count,
    too_long,
    garbage,
    noise,
    exception_without_code,
    nothing,
]


@pytest.mark.parametrize("misbehaviour", MISBEHAVIOURS, ids=lambda change: change.__name__)
async def test_a_malformed_answer_never_becomes_a_value(device, misbehaviour):
    device.registers[:2] = [0x1111, 0x2222]
    device.behave = with_header(misbehaviour)
    connector = a_connector(device.port, TWO_WORDS)
    await connector.connect()
    with pytest.raises(Unavailable, match="agv-7 at"):
        await connector.read()
    with pytest.raises(Unavailable):
        await connector.read()
    device.behave = behave_well
    await connector.connect()
    assert [reading.value for reading in await connector.read()] == [Decimal("2863355.22")]
    await connector.close()


async def test_a_malformed_answer_is_told_at_once_and_why(device):
    device.behave = with_header(from_another_unit)
    async with connected(device.port, TWO_WORDS, timeout="30 s") as connector, asyncio.timeout(5):
        with pytest.raises(Unavailable, match="expected an answer from unit 1, got one from unit 9"):
            await connector.read()


async def test_half_a_frame_and_then_silence_is_a_lost_device(device):
    async def behave(device: Device, request: bytes) -> None:
        await device.send(answer(request, device.registers)[:9])

    device.behave = behave
    async with connected(device.port, TWO_WORDS) as connector:
        with pytest.raises(Unavailable, match="no answer to holding offset 0 count 2 within"):
            await connector.read()


async def test_an_answer_in_many_pieces_is_one_answer(device):
    device.registers[:2] = [0, 4242]

    async def behave(device: Device, request: bytes) -> None:
        for byte in answer(request, device.registers):
            await device.send(bytes([byte]))
            await asyncio.sleep(0)

    device.behave = behave
    async with connected(device.port, TWO_WORDS, timeout="2 s") as connector:
        assert [reading.value for reading in await connector.read()] == [Decimal("42.42")]


async def test_a_connection_dropped_in_the_middle_of_an_answer_is_told_at_once(device):
    async def behave(device: Device, request: bytes) -> None:
        await device.send(answer(request, device.registers)[:9])
        device.hang_up()

    device.behave = behave
    async with connected(device.port, TWO_WORDS, timeout="30 s") as connector, asyncio.timeout(5):
        with pytest.raises(Unavailable, match="the device closed the connection"):
            await connector.read()


async def test_a_late_answer_is_never_taken_for_the_next_one(device):
    late = [b""]

    async def behave(device: Device, request: bytes) -> None:
        device.registers[1] += 1
        fresh = answer(request, device.registers)
        await device.send(late[0] + fresh)
        late[0] = fresh

    device.behave = behave
    async with connected(device.port, {"count": {"address": "holding:40002", "type": "uint16"}}) as connector:
        assert [(await connector.read())[0].value for _ in range(4)] == [1, 2, 3, 4]


@pytest.mark.parametrize("more", [b"\x00", b"junk that is no frame", bytes(300)], ids=["a byte", "junk", "zeros"])
@pytest.mark.parametrize("at_once", [True, False])
async def test_what_follows_an_answer_unasked_changes_nothing(device, more, at_once):
    async def behave(device: Device, request: bytes) -> None:
        device.registers[1] += 1
        await device.send(answer(request, device.registers) + (more if at_once else b""))
        if not at_once:
            await asyncio.sleep(0)
            await device.send(more)

    device.behave = behave
    async with connected(device.port, {"count": {"address": "holding:40002", "type": "uint16"}}) as connector:
        try:
            values = [(await connector.read())[0].value for _ in range(4)]
        except Unavailable:
            values = []
    assert values in ([1, 2, 3, 4], []), "the right values, or a lost device; never others"


async def test_nothing_is_ever_asked_twice_after_a_timeout(device):
    device.behave = with_header(nothing)
    async with connected(device.port, TWO_WORDS) as connector:
        with pytest.raises(Unavailable):
            await connector.read()
    assert len(device.requests) == 1


async def test_an_exception_is_bad_for_its_tags_and_no_lost_device(device):
    async def behave(device: Device, request: bytes) -> None:
        if request[7] == 4:
            await device.send(frame(request, bytes([0x84, 4])))
        else:
            await behave_well(device, request)

    device.behave = behave
    tags = {**TWO_WORDS, "speed": {"address": "input:30001", "type": "uint16"}}
    async with connected(device.port, tags) as connector:
        for _ in range(2):
            readings = {reading.tag: reading for reading in await connector.read()}
            assert readings["agv-7.odometer"].quality is Quality.GOOD
            assert readings["agv-7.speed"].quality is Quality.BAD
            assert readings["agv-7.speed"].value is None
            assert "exception 4 (device failure)" in readings["agv-7.speed"].reason
    assert device.connections == 1


async def test_one_address_the_device_lacks_does_not_blind_its_neighbours(device):
    device.registers = list(range(200))

    async def behave(device: Device, request: bytes) -> None:
        start, count = int.from_bytes(request[8:10], "big"), int.from_bytes(request[10:12], "big")
        if start <= 13 < start + count:
            await device.send(frame(request, bytes([request[7] | 0x80, 2])))
        else:
            await behave_well(device, request)

    device.behave = behave
    tags = {f"r{at}": {"address": f"holding:{40001 + at}", "type": "uint16"} for at in range(32)}
    async with connected(device.port, tags) as connector:
        readings = {reading.tag: reading for reading in await connector.read()}
        asked = len(device.requests)
        again = await connector.read()
    bad = {tag for tag, reading in readings.items() if reading.quality is Quality.BAD}
    assert bad == {"agv-7.r13"}
    assert readings["agv-7.r31"].value == 31
    assert len(again) == 32
    assert len(device.requests) - asked <= 6, "the device's refusal is remembered"


async def test_a_port_where_nobody_listens_is_unavailable_and_says_why(device):
    await device.stop()
    with pytest.raises(Unavailable, match="Connect call failed"):
        await a_connector(device.port, TWO_WORDS).connect()


async def test_close_is_harmless_at_any_time(device):
    connector = a_connector(device.port, TWO_WORDS)
    await connector.close()
    await connector.connect()
    await connector.close()
    await connector.close()
    with pytest.raises(Unavailable):
        await connector.read()
    await until(lambda: device.connections == 1)


async def test_settings_and_tags_that_do_not_fit_are_all_told_at_once():
    tags = {
        "low": {"address": "holding:40000", "type": "uint16"},
        "past": {"address": "holding:65536", "type": "uint32"},
        "fine": {"address": "holding:1", "type": "uint16"},
        "long": {"address": "holding:1", "type": "float64"},
    }
    with pytest.raises(Misconfigured) as refused:
        a_connector(1, tags, max_registers=2)
    assert [problem.path for problem in refused.value.problems] == [
        "tags.low.address",
        "tags.past.address",
        "tags.long.address",
    ]
