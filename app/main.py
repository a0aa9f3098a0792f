"""The command line."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from app import demo as demo_plant
from app import ledger_commands, user_commands, wiring
from app.observability import configure_logging
from app.options import DEMO_FILE, AsJson, DataOption, PlantFile
from config.plant import load_plant
from config.schema import plant_schema
from core.errors import InvariantBroken, Misconfigured, MyntverkError, Problem, Rejected
from core.quantity import parse_duration

EXIT_MISCONFIGURED = 2
EXIT_BROKEN = 3
EXIT_INTERRUPTED = 130
HEALTH_TIMEOUT_SECONDS = 5.0

app = typer.Typer(
    help="Every machine a bank account: machines pay each other, in real time, for the work they do for each other.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.add_typer(ledger_commands.app, name="ledger")
app.add_typer(user_commands.app, name="user")

LogLevel = Annotated[str, typer.Option("--log-level", help="debug, info, warning, error or critical.")]
LogJson = Annotated[bool, typer.Option("--log-json", help="Logs as one JSON object a line.")]


def main() -> None:
    """Entry point: every expected failure is a few clear lines and an exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names are not ASCII, whatever the locale says
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        app()
    except Misconfigured as wrong:
        _fail(wrong, EXIT_MISCONFIGURED)
    except InvariantBroken as bug:
        _fail(bug, EXIT_BROKEN)
    except MyntverkError as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        _fail(KeyboardInterrupt("stopped before it had started"), EXIT_INTERRUPTED)


def _fail(error: BaseException, code: int) -> NoReturn:
    print(error, file=sys.stderr)
    sys.exit(code)


def _duration(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text).total_seconds()
    except Rejected:
        raise typer.BadParameter(f"expected a time such as '20s' or '5 min', got {text!r}") from None


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"Myntverk {version('myntverk')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """What every command takes."""


@app.command()
def run(file: PlantFile, data: DataOption = None, log_level: LogLevel = "info", log_json: LogJson = False) -> None:
    """Run a plant until it is told to stop (Ctrl-C, SIGTERM)."""
    configure_logging(log_json, log_level)
    plant = load_plant(file)

    async def serve() -> None:
        stop = _stop_on_signal()
        with wiring.gateway(plant, data) as gateway:
            await gateway.run(stop)

    asyncio.run(serve())


@app.command()
def demo(
    file: Annotated[Path, typer.Option("--plant", help="Another plant file with the same two PLCs.")] = DEMO_FILE,
    for_: Annotated[str | None, typer.Option("--for", metavar="20s", help="End the run after this time.")] = None,
    as_json: AsJson = False,
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Where the ledger is kept.")] = Path("data/demo"),
) -> None:
    """Run a small factory: two PLCs as processes of their own, and Myntverk beside them."""
    seconds = _duration(for_)
    on_screen = not as_json and sys.stdout.isatty()
    log = data / "myntverk.log" if on_screen else None
    try:
        data.mkdir(parents=True, exist_ok=True)
        configure_logging(json=False, level="warning" if as_json else "info", file=log)
        demo_plant.prepare(data)
    except OSError as error:
        text = f"cannot write in {data}: {error.strerror}; make it writable, or choose another folder with --data"
        raise Misconfigured([Problem(text)]) from None
    plant = load_plant(file)

    async def act() -> dict[str, Any]:
        stop = _stop_on_signal()
        with demo_plant.plcs(plant, data) as plcs, wiring.gateway(plant, data) as gateway:
            return await demo_plant.watch(gateway, plant, plcs, stop, seconds=seconds, show=not as_json)

    result = asyncio.run(act())
    if as_json:
        print(json.dumps(result, ensure_ascii=False))


def _stop_on_signal() -> asyncio.Event:
    """An event that Ctrl-C and SIGTERM set; a second Ctrl-C interrupts at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask_to_stop(number: signal.Signals) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, ask_to_stop, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda received, _: loop.call_soon_threadsafe(stop.set))
    return stop


@app.command()
def check(file: PlantFile) -> None:
    """Check a plant's file. Exit code 0 when it may go live, 2 with every problem when not."""
    plant = load_plant(file)
    print(
        f"{file}: good. {len(plant.accounts)} accounts, {len(plant.machines)} machines, "
        f"{len(plant.agreements)} agreements."
    )


@app.command()
def schema() -> None:
    """The JSON Schema of a plant's file, for editors."""
    print(json.dumps(plant_schema(), ensure_ascii=False, indent=2))


@app.command()
def health(
    endpoint: Annotated[str, typer.Option(help="The OPC UA server to ask.")] = "opc.tcp://127.0.0.1:4840",
) -> None:
    """Exit code 0 when the OPC UA server answers and shows its ledger."""
    from opcua_server.health import ask_sequence

    configure_logging(json=False, level="warning")
    sequence = asyncio.run(ask_sequence(endpoint, HEALTH_TIMEOUT_SECONDS))
    shown = "and lets nobody look without a password" if sequence is None else f"the ledger stands at batch {sequence}"
    print(f"{endpoint}: good, {shown}")


if __name__ == "__main__":
    main()
