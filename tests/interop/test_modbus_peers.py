"""Modbus against other people's code: a libmodbus server in C, and mbpoll as a second opinion."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from connectors.catalog import KINDS
from connectors.poller import Poller
from core.clock import SystemClock
from core.sample import Quality, tag_id
from tests.unit.connectors.devices import Collected, until

SERVER = r"""
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <unistd.h>

/* Serves one connection at a time on 127.0.0.1; the port it got is its first line of output. */
int main(int argc, char **argv) {
    modbus_t *ctx = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
    modbus_mapping_t *map = modbus_mapping_new(32, 32, 64, 64);
    map->tab_registers[0] = 0x075B; map->tab_registers[1] = 0xCD15;             /* 123456789 */
    /* 123.456 by hand: what libmodbus 3.1.6 calls abcd depends on the byte order of the computer. */
    const uint16_t floats[] = {0x42F6, 0xE979, 0xE979, 0x42F6, 0xF642, 0x79E9, 0x79E9, 0xF642};
    memcpy(&map->tab_registers[2], floats, sizeof floats);
    map->tab_input_registers[0] = (uint16_t)-5;
    map->tab_bits[17] = 1;
    map->tab_input_bits[2] = 1;
    int listener = modbus_tcp_listen(ctx, 4);
    struct sockaddr_in bound; socklen_t size = sizeof bound;
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&bound, &size)) return 1;
    printf("%d\n", ntohs(bound.sin_port)); fflush(stdout);
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    for (;;) {
        if (modbus_tcp_accept(ctx, &listener) < 0) return 1;
        int length;
        while ((length = modbus_receive(ctx, query)) >= 0) {
            map->tab_registers[63]++;
            if (modbus_reply(ctx, query, length, map) < 0) break;
        }
        modbus_close(ctx);
    }
}
"""

TAGS = {
    "energy": {"address": "holding:40001", "type": "uint32", "scale": 0.001, "unit": "kWh"},
    "abcd": {"address": "holding:40003", "type": "float32"},
    "cdab": {"address": "holding:40005", "type": "float32", "order": "CDAB"},
    "badc": {"address": "holding:40007", "type": "float32", "order": "BADC"},
    "dcba": {"address": "holding:40009", "type": "float32", "order": "DCBA"},
    "trend": {"address": "input:30001", "type": "int16"},
    "coil": {"address": "coil:18", "type": "bool"},
    "moving": {"address": "discrete:10003", "type": "bool"},
}


class Libmodbus:
    """The C server as a process."""

    def __init__(self, program: Path, port: int = 0) -> None:
        self.process = subprocess.Popen([program, str(port)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("libmodbus") / "server"


@pytest.fixture
def libmodbus(program, require_program) -> Iterator[Libmodbus]:
    if not program.exists():
        gcc, pkg_config = require_program("gcc"), require_program("pkg-config")
        flags = subprocess.run([pkg_config, "--cflags", "--libs", "libmodbus"], capture_output=True, text=True)
        if flags.returncode:
            pytest.skip("needs libmodbus-dev, which pkg-config does not find")
        source = program.with_suffix(".c")
        source.write_text(SERVER)
        subprocess.run([gcc, "-O1", source, "-o", program, *flags.stdout.split()], check=True)
    server = Libmodbus(program)
    yield server
    server.stop()


def build(port: int, tags: dict[str, dict], **settings: object):
    kind = KINDS["modbus"]
    settings = {"host": "127.0.0.1", "port": port, "timeout": "500 ms", "every": "20 ms", **settings}
    tags = {name: kind.tag.model_validate(tag) for name, tag in tags.items()}
    return kind.build("press", kind.settings.model_validate(settings), tags, SystemClock())


async def test_a_libmodbus_server_is_read_in_every_table_and_order(libmodbus):
    connector = build(libmodbus.port, TAGS)
    await connector.connect()
    readings = await connector.read()
    await connector.close()
    assert {reading.tag.removeprefix("press."): reading.value for reading in readings} == {
        "energy": Decimal("123456.789"),
        "abcd": Decimal("123.456"),
        "cdab": Decimal("123.456"),
        "badc": Decimal("123.456"),
        "dcba": Decimal("123.456"),
        "trend": -5,
        "coil": True,
        "moving": True,
    }


async def test_an_address_libmodbus_does_not_have_is_bad_alone(libmodbus):
    connector = build(libmodbus.port, {**TAGS, "beyond": {"address": "holding:40065", "type": "uint16"}}, max_gap=125)
    await connector.connect()
    readings = {reading.tag: reading for reading in await connector.read()}
    await connector.close()
    assert {tag for tag, reading in readings.items() if reading.quality is Quality.BAD} == {"press.beyond"}
    assert "illegal data address" in readings["press.beyond"].reason


def test_mbpoll_reads_the_same_values_as_we_do(libmodbus, require_program):
    mbpoll = require_program("mbpoll")

    def poll(*arguments: str) -> str:
        command = [mbpoll, "-m", "tcp", "-a", "1", "-p", str(libmodbus.port), *arguments, "-1", "127.0.0.1"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
        found = re.search(r"^\[\d+\]:\s*(\S+)", shown, re.MULTILINE)
        assert found, shown
        return found[1]

    async def read() -> dict[str, object]:
        connector = build(libmodbus.port, TAGS)
        await connector.connect()
        try:
            return {reading.tag.removeprefix("press."): reading.value for reading in await connector.read()}
        finally:
            await connector.close()

    ours = asyncio.run(read())
    assert Decimal(poll("-t", "4:int", "-B", "-r", "1")) / 1000 == ours["energy"]
    assert Decimal(poll("-t", "4:float", "-B", "-r", "3")) == ours["abcd"]
    assert Decimal(poll("-t", "4:float", "-r", "5")) == ours["cdab"]
    assert bool(int(poll("-t", "0", "-r", "18"))) is ours["coil"]
    assert bool(int(poll("-t", "1", "-r", "3"))) is ours["moving"]


async def test_a_libmodbus_server_that_is_killed_is_lost_and_read_again_after_its_restart(libmodbus, program):
    collected = Collected()
    tags = {"requests": {"address": "holding:40064", "type": "uint16"}}
    poller = Poller(
        "press", build(libmodbus.port, tags), [tag_id("press", "requests")], collected.deliver, SystemClock()
    )
    task = asyncio.create_task(poller.run())
    await until(lambda: poller.stats.reads >= 3)
    libmodbus.stop()
    await until(lambda: not poller.stats.connected)
    again = Libmodbus(program, libmodbus.port)
    try:
        await until(lambda: collected[-1].value is not None)
    finally:
        again.stop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    values = [sample.value for sample in collected]
    lost = values.index(None)
    assert values[:lost] == list(range(1, lost + 1))
    assert values[lost + 1 :] == list(range(1, len(values) - lost))
    assert poller.stats.lost == 1
