"""What both PLCs share: the scan loop, the retained memory, the test console and the command line."""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeAlias

from examples.plant.line import UINT32, Line

HOST = "127.0.0.1"
SCAN_S = 0.1
SCAN_S_MAX = 0.5  # a PLC that was suspended has not worked meanwhile
SAVE_S = 0.25
DEFAULT_SEED = 7
HELP = "reset | set NAME VALUE | garbage on|off | freeze on|off | mute on|off | counters"

Commands: TypeAlias = "asyncio.Queue[str | None]"


class CannotStart(Exception):
    """The PLC cannot start; the text says why and what to do."""


class Plc:
    """A PLC's memory: the line it steers, the counters it owns, and the faults it was told to show."""

    def __init__(
        self, line: Line, counters: Sequence[str], gauges: Sequence[str], retain: Path, can_mute: bool
    ) -> None:
        self.signals = line.signals
        self.garbage = self.freeze = self.mute = False
        self._line = line
        self._counters = counters
        self._names = (*counters, *gauges)
        self._retain = retain
        self._can_mute = can_mute
        self._saved: dict[str, int] | None = None

    def scan(self, dt: float) -> None:
        """One turn of the PLC program: the line works for `dt` seconds, unless it is frozen."""
        if not self.freeze:
            self._line.step(dt)

    def counters(self) -> dict[str, int]:
        """The true counters of this PLC, whatever faults it shows."""
        return {name: value for name, value in self._line.counters().items() if name in self._counters}

    def load(self) -> None:
        """Continue where the retained memory ends. Raises CannotStart if it cannot be read as counters, or kept."""
        try:
            self._retain.parent.mkdir(parents=True, exist_ok=True)
            if self._retain.exists():
                self._line.restore(self._checked(json.loads(self._retain.read_text())))
            self.save()
        except (OSError, ValueError) as problem:
            raise CannotStart(
                f"--retain {self._retain}: expected a file with the counters {', '.join(self._counters)}, "
                f"got {problem}; remove it to start from zero, or name another"
            ) from None

    def _checked(self, counters: object) -> dict[str, int]:
        if (
            isinstance(counters, dict)
            and counters.keys() == set(self._counters)
            and all(type(value) is int and 0 <= value < UINT32 for value in counters.values())
        ):
            return counters
        raise ValueError(json.dumps(counters)[:200])

    def save(self) -> None:
        """Retain the counters, whole or not at all: a reader of the file never sees half of it."""
        counters = self.counters()
        if counters == self._saved:
            return
        unfinished = self._retain.with_name(self._retain.name + ".new")
        unfinished.write_text(json.dumps(counters) + "\n")
        os.replace(unfinished, self._retain)
        self._saved = counters

    def obey(self, command: str) -> str:
        """Carry out one console line; the answer is `ok`, or `error:` and the reason."""
        match command.split():
            case ["reset"]:
                self._line.restore(dict.fromkeys(self._counters, 0))
            case ["set", name, value] if name in self._names:
                try:
                    self._set(name, value)
                except ValueError:
                    return f"error: expected a number that {name} can hold, got {value!r}"
            case ["set", name, _]:
                return f"error: expected one of {', '.join(self._names)}, got {name!r}"
            case ["mute", "on" | "off"] if not self._can_mute:
                return "error: this PLC cannot be muted; stop its process (SIGSTOP) instead"
            case ["garbage" | "freeze" | "mute" as fault, "on" | "off" as state]:
                setattr(self, fault, state == "on")
            case ["counters"]:
                return json.dumps(self.counters()) + "\nok"
            case _:
                return f"error: expected {HELP}, got {command!r}"
        return "ok"

    def _set(self, name: str, value: str) -> None:
        """Counters stay set; the line overwrites a gauge at the next scan unless it is frozen."""
        before = getattr(self.signals, name)
        if isinstance(before, float):
            self.signals.temperature = float(value)
            return
        number, limit = int(value), UINT32 if name in self._counters else 2 if isinstance(before, bool) else 2**16
        if not 0 <= number < limit:
            raise ValueError
        setattr(self.signals, name, type(before)(number))


class Face(Protocol):
    """The side of a PLC that the network sees."""

    async def open(self, port: int) -> None:
        """Accept connections on a loopback port. Raises OSError if the port is taken."""

    async def publish(self) -> None:
        """Show the present signals."""

    async def close(self) -> None:
        """Drop all connections."""


def free_port(port: int) -> int:
    """`port` itself if it can be listened on, a free one for 0. Raises OSError if it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        return int(probe.getsockname()[1])


def main(
    kind: str, port: int, counters: Sequence[str], gauges: Sequence[str], make_face: Callable[[Plc], Face]
) -> None:
    """Run a PLC from the command line until it is told to stop; exit 0, or 2 if it cannot start."""
    parser = argparse.ArgumentParser(prog=f"{kind}_plc", description=f"A PLC of the example factory, by {kind}.")
    parser.add_argument("--port", type=int, default=port, help=f"loopback port, 0 for a free one (default {port})")
    parser.add_argument("--retain", type=Path, required=True, help="file that keeps the counters over a restart")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster than life (default 1)")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of the line's course of events")
    parser.add_argument("--console", action="store_true", help=f"obey lines on stdin: {HELP}")
    parser.add_argument(
        "--with-parent", action="store_true", help="stop when the process that started this one is gone"
    )
    options = parser.parse_args()
    if options.speed <= 0:
        parser.error(f"argument --speed: expected a number above 0, got {options.speed:g}")
    plc = Plc(Line(options.seed), counters, gauges, options.retain, can_mute=kind == "modbus")
    try:
        plc.load()
        asyncio.run(_run(kind, plc, make_face(plc), options))
    except CannotStart as problem:
        print(f"{kind} PLC: {problem}", file=sys.stderr)
        sys.exit(2)


async def _run(kind: str, plc: Plc, face: Face, options: argparse.Namespace) -> None:
    parent = os.getppid()
    commands = _stop_signals()
    try:
        port = free_port(options.port)
        await face.open(port)
    except OSError as problem:
        reason = problem.strerror or problem
        raise CannotStart(
            f"cannot listen on {HOST}:{options.port}: {reason}; stop what uses the port or choose another with --port"
        ) from None
    try:
        if options.console:
            _listen_to_console(commands)
        print(f"ready {kind} {HOST}:{port}", flush=True)
        await _scan(plc, face, commands, options.speed, lambda: options.with_parent and os.getppid() != parent)
    finally:
        plc.save()
        await face.close()


async def _scan(plc: Plc, face: Face, commands: Commands, speed: float, abandoned: Callable[[], bool]) -> None:
    """Turn by turn: take a command if there is one, work, show, retain, answer; until stopped or abandoned."""
    loop = asyncio.get_running_loop()
    scanned_at = saved_at = loop.time()
    command: str | None = ""
    while command is not None and not abandoned():
        now = loop.time()
        plc.scan(min(now - scanned_at, SCAN_S_MAX) * speed)
        scanned_at = now
        answer = plc.obey(command) if command else ""
        await face.publish()
        if answer or now - saved_at >= SAVE_S:
            plc.save()
            saved_at = now
        if answer:
            print(answer, flush=True)
        command = ""
        with suppress(TimeoutError):
            command = await asyncio.wait_for(commands.get(), SCAN_S)


def _stop_signals() -> Commands:
    """The queue of console lines; a signal to stop is a None in it."""
    commands: Commands = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, commands.put_nowait, None)
    return commands


def _listen_to_console(commands: Commands) -> None:
    """Pass on every whole line of stdin; its end only ends the console."""
    loop = asyncio.get_running_loop()
    stdin = sys.stdin.fileno()
    unfinished = bytearray()

    def receive() -> None:
        received = os.read(stdin, 4096)
        if not received:
            loop.remove_reader(stdin)
        unfinished.extend(received)
        *lines, rest = unfinished.split(b"\n")
        unfinished[:] = rest
        for line in lines:
            if line.strip():
                commands.put_nowait(line.decode(errors="replace").strip())

    loop.add_reader(stdin, receive)
