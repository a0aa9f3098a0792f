"""The demo plant: two PLC processes beside a Myntverk that reads them, on this machine's loopback."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.live import Live

from app.gateway import Gateway
from app.screen import Screen
from config.plant import Plant
from core.errors import Misconfigured, Problem, Unavailable
from opcua_server.security import write_password_file

DEMO_PASSWORDS = {"anna": "anna-demo"}
FRAMES_PER_SECOND = 4
LINE_EVERY_SECONDS = 5.0


def prepare(data: Path) -> None:
    """The demo's users can log in; a password that was set stays."""
    for user, password in DEMO_PASSWORDS.items():
        path = data / "demo-passwords" / user
        if not path.exists():
            write_password_file(path, password)


@contextlib.contextmanager
def plcs(plant: Plant, data: Path) -> Iterator[list[Any]]:
    """Both PLCs at the addresses where the plant expects them, standing still until they are told to work."""
    try:
        from examples.plant.plc_process import PlcProcess
    except ImportError as error:
        raise Misconfigured(
            [Problem("the demo's PLCs are in the repository's examples/; run it from there")]
        ) from error
    ports: dict[str, int] = {}
    for machine in plant.machines.values():
        connection: Any = machine.connection
        port = connection.port if machine.kind.name == "modbus" else urlsplit(connection.url).port
        ports.setdefault(machine.kind.name, port)
    with contextlib.ExitStack() as stack:
        started = []
        for kind, port in ports.items():
            try:
                plc = PlcProcess(kind, data / f"plc-{kind}.json", port=port)
            except RuntimeError as error:
                raise Unavailable(f"{error}; its reason is above") from error
            stack.callback(plc.close)
            stack.callback(plc.end)
            plc.ask("freeze on")
            started.append(plc)
        yield started


async def watch(
    gateway: Gateway, plant: Plant, started: list[Any], stop: asyncio.Event, *, seconds: float | None, show: bool
) -> dict[str, Any]:
    """Run the gateway until `stop`, or for `seconds` of work, with a live table if `show`; the summary of the run."""
    ready = asyncio.Event()
    running = asyncio.create_task(gateway.run(stop, ready))

    def ended(_: asyncio.Task[None]) -> None:
        ready.set()
        stop.set()

    running.add_done_callback(ended)
    await ready.wait()
    if not running.done():
        await gateway.all_read(stop)
        for plc in started:
            await asyncio.to_thread(plc.ask, "freeze off")
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, stop.set)
        if show:
            await _show(gateway, Screen(plant.name, plant.zone), stop)
    await running
    return await asyncio.to_thread(summary, gateway)


async def _show(gateway: Gateway, screen: Screen, stop: asyncio.Event) -> None:
    console = Console()
    if not console.is_terminal:
        await _print_lines(gateway, stop)
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while not stop.is_set():
            snapshot = await asyncio.to_thread(gateway.snapshot)
            live.update(screen.draw(gateway, snapshot, gateway.monotonic()), refresh=True)
            await _wait(stop, 1 / FRAMES_PER_SECOND)
    console.print(live.renderable)  # what was seen last stays on the terminal


async def _print_lines(gateway: Gateway, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await _wait(stop, LINE_EVERY_SECONDS)
        shot = await asyncio.to_thread(gateway.snapshot)
        counted = f"{shot.samples} samples  {shot.transfers} transfers  {shot.refused} refused"
        print(f"{shot.seconds:6.0f} s  {counted}", flush=True)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def summary(gateway: Gateway) -> dict[str, Any]:
    """A run in figures, its journal verified; amounts are exact decimals in whole currency, as text."""
    snapshot = gateway.snapshot()
    verification = gateway.reader.verify()
    for fault in verification.faults:
        print(f"journal: {fault}", file=sys.stderr)
    return {
        "seconds": round(snapshot.seconds, 1),
        "samples": snapshot.samples,
        "transfers": snapshot.transfers,
        "refused": snapshot.refused,
        "accounts": [
            {
                "id": status.account.id,
                "name": status.account.name,
                "owner": gateway.owners.get(status.account.owner, status.account.owner),
                "currency": status.account.currency.code,
                "balance": status.balance.plain(),
                "available": status.available.plain(),
            }
            for status in snapshot.statuses
        ],
        "links": [
            {"payer": link.debit, "payee": link.credit, "transfers": link.transfers, "amount": link.amount.plain()}
            for link in snapshot.links
        ],
        "trial_balance": {code: total.plain() for code, total in snapshot.trial_balance.items()},
        "journal_verified": verification.verified,
        "opcua_endpoint": gateway.endpoint,
    }
