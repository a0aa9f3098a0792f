"""From a PLC's register to the payee's balance on a client's screen: PLC, gateway and client, each its own process."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from asyncua.client.client import Client

from benchmarks.figure import Figure
from benchmarks.run import Run, percentile, say
from examples.plant.plc_process import PlcProcess

ROOT = Path(__file__).parents[1]
SIGNALS = 40
POLLING_MS = 100
PUBLISHING_MS = 50
START_SECONDS_MAX = 30.0
CHANGE_SECONDS_MAX = 5.0

NAMESPACE = "urn:myntverk:bank:1"
BALANCE = "Accounts.robot-cell.Balance"

PLANT = """\
plant: {{name: One cell, timezone: Europe/Stockholm, currency: SEK}}
parties: {{plant: {{name: Plant AB}}, workshop: {{name: Workshop AB}}}}
accounts:
  line: {{owner: plant, name: Line, floor: -1000000 kr}}
  robot-cell: {{owner: workshop, name: Robot cell, machine: robot-cell}}
machines:
  robot-cell:
    name: Robot cell
    modbus: {{host: 127.0.0.1, port: {port}, unit: 2, every: {polling_ms} ms}}
    tags:
      parts: {{address: "input:30001", type: uint32, unit: pieces, counter: {{max_rate: 5 pieces/s}}}}
tariffs:
  per-part: {{charge: 185 * parts, per: pieces}}
agreements:
  sale: {{from: line, to: robot-cell, meter: robot-cell.parts, tariff: per-part}}
opcua:
  endpoint: opc.tcp://127.0.0.1:0
"""


def signal_to_client(run: Run) -> list[Figure]:
    """The parts counter is set at a random moment of the poll; when does the new balance reach the subscriber?"""
    plc = PlcProcess("modbus", run.folder / "plc.json")
    try:
        plc.ask("freeze on")
        with _gateway(run.folder, plc.port) as endpoint:
            latencies = asyncio.run(_latencies(endpoint, plc, run.sized(SIGNALS, least=3)))
    finally:
        plc.close()
    say(f"pipeline: {len(latencies)} signals seen by the client")
    return [
        Figure(
            f"pipeline.signal_to_client_ms_p{percent}",
            percentile(latencies, percent) * 1_000,
            "ms",
            POLLING_MS + PUBLISHING_MS,
            "polling period plus publishing interval",
        )
        for percent in (50, 99)
    ]


class _Changes:
    """What the subscription brings, with the instant it came."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[float, float]] = asyncio.Queue()

    def datachange_notification(self, _node: Any, value: float, _data: Any) -> None:
        self.queue.put_nowait((time.perf_counter(), value))


async def _latencies(endpoint: str, plc: PlcProcess, signals: int) -> list[float]:
    """Seconds from asking the PLC to the client's notification, of each signal."""
    logging.getLogger("asyncua.client").setLevel(logging.ERROR)  # it warns of every interval a server revises
    async with Client(endpoint) as client:
        return await _watch(client, plc, signals)


async def _watch(client: Client, plc: PlcProcess, signals: int) -> list[float]:
    index = await client.get_namespace_index(NAMESPACE)
    changes, random = _Changes(), Random(1)
    subscription = await client.create_subscription(PUBLISHING_MS, changes)
    await subscription.subscribe_data_change(client.get_node(f"ns={index};s={BALANCE}"))
    async with asyncio.timeout(CHANGE_SECONDS_MAX):
        await changes.queue.get()
    latencies = []
    for number in range(1, signals + 2):
        await asyncio.sleep((POLLING_MS + random.uniform(0, 2 * POLLING_MS)) / 1_000)
        started = time.perf_counter()
        answer = await asyncio.to_thread(plc.ask, f"set parts {number}")
        if answer != "ok":
            raise RuntimeError(f"the PLC answered {answer!r}")
        async with asyncio.timeout(CHANGE_SECONDS_MAX):
            at, _ = await changes.queue.get()
        latencies.append(at - started)
    return latencies[1:]  # the first warms up


@contextmanager
def _gateway(folder: Path, plc_port: int) -> Iterator[str]:
    """`myntverk run` as a process of its own; the endpoint it listens on, once it has read the machine."""
    plant, log = folder / "plant.yaml", folder / "gateway.log"
    plant.write_text(PLANT.format(port=plc_port, polling_ms=POLLING_MS))
    command = [sys.executable, "-m", "app.main", "run", str(plant), "--data", str(folder / "gateway"), "--log-json"]
    with log.open("w") as stderr:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
    try:
        yield _ready(process, log)
    finally:
        process.terminate()
        process.wait(START_SECONDS_MAX)


def _ready(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS_MAX
    while process.poll() is None and time.monotonic() < deadline:
        events = {line["event"]: line for line in map(json.loads, log.read_text().splitlines())}
        if {"opc ua server listening", "machine connected"} <= events.keys():
            return str(events["opc ua server listening"]["endpoint"])
        time.sleep(0.05)
    raise RuntimeError(f"the gateway was not ready within {START_SECONDS_MAX:g} s; it said:\n{log.read_text()}")
