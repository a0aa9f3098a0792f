"""A whole plant to test on: the example factory on free ports, its PLCs and Myntverk as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from examples.plant.plc_process import ROOT, PlcProcess
from opcua_server.security import write_password_file

T = TypeVar("T")

READY_S_MAX = 60.0
END_S_MAX = 10.0
UNITS_PER_KRONA = 10**8
UINT32 = 2**32
KINDS = ("modbus", "opcua")
PASSWORD = "anna-demo"
ENVIRONMENT = os.environ | {"PYTHONUTF8": "1", "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"}

FLAT_TARIFFS = {
    '"12 * odometer if 6 <= hour < 22 else 10 * odometer"': "{charge: 12 * odometer, per: m}",
    "(spot + grid) * energy_kwh": "grid * energy_kwh",
    "- {spot: 1.27, energy_kwh: 10, expect: 17.20 kr}": "- {energy_kwh: 10, expect: 4.50 kr}",
}
"""What makes every tariff of the example but `wear` a plain price × counter, whatever the time of day."""

WITHOUT_WEAR = FLAT_TARIFFS | {
    "  wear:               {from: robot-cell, to: lessor, meter: robot-cell.running, tariff: wear}\n": ""
}
"""The same without wear, which is paid while the robot is switched on, even when the line stands still."""

PRICES: Mapping[str, tuple[str, Decimal]] = {
    "sale": ("parts", Decimal(185)),
    "order-handling": ("orders", Decimal(25)),
    "material": ("picked", Decimal("7.50")),
    "internal-transport": ("odometer", Decimal("0.12")),
    "pallets": ("pallets_out", Decimal(60)),
    "deliveries": ("items_in", Decimal("1.10")),
    "robot-work": ("parts", Decimal(9)),
    "robot-rent": ("parts", Decimal("4.20")),
    "electricity": ("energy", Decimal("0.00045")),
}
"""Each agreement with the PLC's counter behind it and the flat price of one count, in kronor."""

MACHINES = {"modbus": ("agv-7", "robot-cell"), "opcua": ("facade-1", "warehouse", "order-desk")}


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(found: Callable[[], T | None], seconds: float, what: str) -> T:
    """What `found` gives as soon as it gives something; AssertionError when it never does."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.02)
    return value


def write_plant(folder: Path, modbus: int, opcua: int, endpoint: int, changes: Mapping[str, str]) -> Path:
    """The example factory at these ports; each of `changes` must occur in it and is replaced."""
    text = (ROOT / "examples" / "factory.yaml").read_text()
    for old, new in {
        "port: 15020": f"port: {modbus}",
        "opc.tcp://127.0.0.1:4841": f"opc.tcp://127.0.0.1:{opcua}",
        "opc.tcp://127.0.0.1:4840": f"opc.tcp://127.0.0.1:{endpoint}",
        "csv: spot-se3.csv": f"csv: {ROOT / 'examples' / 'spot-se3.csv'}",
        **changes,
    }.items():
        assert old in text, f"examples/factory.yaml no longer holds {old!r}"
        text = text.replace(old, new)
    path = folder / "factory.yaml"
    path.write_text(text)
    return path


def myntverk(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end, as a user's shell would."""
    return subprocess.run(
        [sys.executable, "-m", "app.main", *map(str, arguments)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=READY_S_MAX,
        **options,
    )


class Running:
    """`myntverk run` as a process of its own; its log is JSON, one object a line."""

    def __init__(self, file: Path, data: Path, log: Path, **options: Any) -> None:
        self.log = log
        self._seen = log.stat().st_size if log.exists() else 0
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.main", "run", str(file), "--data", str(data), "--log-json"],
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                **options,
            )

    @property
    def text(self) -> str:
        """Everything this process wrote."""
        with self.log.open("rb") as stream:
            stream.seek(self._seen)
            return stream.read().decode()

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its log so far; a line that is not JSON is a failure."""
        whole, _, _ = self.text.rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def told(self, event: str, **fields: str) -> list[dict[str, Any]]:
        """The log lines that say so."""
        return [line for line in self.events if line["event"] == event and fields.items() <= line.items()]

    def wait_for(self, event: str, seconds: float = READY_S_MAX, **fields: str) -> dict[str, Any]:
        """The first log line that says so."""

        def found() -> list[dict[str, Any]]:
            told = self.told(event, **fields)
            assert told or self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.text}"
            return told

        return eventually(found, seconds, f"{event!r} {fields} in the log")[0]

    @property
    def endpoint(self) -> str:
        """Where clients connect; waits until they can."""
        return str(self.wait_for("opc ua server listening")["endpoint"])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(END_S_MAX)

    def end(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; the exit code."""
        self.process.send_signal(by)
        return self.process.wait(END_S_MAX)


@dataclass(frozen=True, slots=True)
class Paid:
    """What was paid for one agreement, net, in ledger units, and by how many transfers."""

    units: int = 0
    transfers: int = 0


class Factory:
    """The example factory in a folder. Its PLCs stand still until they are told to work.

    `changes` are replacements in the plant's file, beside the ports; by default all tariffs are flat.
    """

    def __init__(self, folder: Path, changes: Mapping[str, str] = FLAT_TARIFFS) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.plcs: dict[str, PlcProcess] = {}
        self._running: list[Running] = []
        for kind in KINDS:
            self.start_plc(kind)
        self.file = write_plant(folder, self.plcs["modbus"].port, self.plcs["opcua"].port, 0, changes)
        write_password_file(self.data / "demo-passwords" / "anna", PASSWORD)

    def start_plc(self, kind: str, *, still: bool = True) -> PlcProcess:
        """Switch a PLC on, at the port where it was before."""
        before = self.plcs.get(kind)
        port = before.port if before else 0
        plc = PlcProcess(kind, self.folder / f"plc-{kind}.json", port=port)
        self.plcs[kind] = plc
        if before:
            before.close()
        if still:
            plc.ask("freeze on")
        return plc

    def start(self, data: Path | None = None, **options: Any) -> Running:
        running = Running(self.file, data or self.data, self.folder / "myntverk.log", **options)
        self._running.append(running)
        return running

    def close(self) -> None:
        """Make sure that nothing of it is left running."""
        for running in self._running:
            if running.process.poll() is None:
                running.kill()
        for plc in self.plcs.values():
            plc.process.send_signal(signal.SIGCONT)
            plc.close()

    def work(self, work: bool = True, kinds: tuple[str, ...] = KINDS) -> None:
        for kind in kinds:
            assert self.plcs[kind].ask(f"freeze {'off' if work else 'on'}") == "ok"

    def counters(self) -> dict[str, int]:
        """The true counters of both PLCs."""
        return {name: value for kind in KINDS for name, value in self.plcs[kind].counters().items()}

    def meters(self, data: Path | None = None) -> dict[str, tuple[str, int, Decimal]]:
        """Where each meter stands: its last reading, its segment, its total."""
        with self.rows("SELECT meter_id, last, segment, total FROM meter", data=data) as rows:
            return {meter: (last, segment, Decimal(total)) for meter, last, segment, total in rows}

    def paid(self) -> dict[str, Paid]:
        """What was paid per agreement, added up from the transfers themselves."""
        with self.rows(
            "SELECT source, debit_account.account_id, credit_account.account_id, sum(amount), count(*) FROM transfer "
            "JOIN account AS debit_account ON debit_account.account_no = debit "
            "JOIN account AS credit_account ON credit_account.account_no = credit GROUP BY 1, 2, 3"
        ) as rows:
            paid: dict[str, Paid] = {}
            for source, _debit, _credit, units, transfers in rows:
                kind, _, agreement = source.partition(":")
                assert kind == "agreement"
                assert agreement not in paid, f"{agreement} was paid in two directions"
                paid[agreement] = Paid(units, transfers)
            return paid

    def paid_units(self) -> dict[str, int]:
        """What every agreement with a flat price has paid, in ledger units."""
        paid = self.paid()
        return {agreement: paid[agreement].units if agreement in paid else 0 for agreement in PRICES}

    @contextmanager
    def rows(self, query: str, *parameters: object, data: Path | None = None) -> Iterator[list[tuple[Any, ...]]]:
        """Rows of the ledger's database, read without any of our own code."""
        path = (data or self.data) / "myntverk.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            yield connection.execute(query, parameters).fetchall()


def owed(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What every agreement with a flat price must have paid between two states of the counters, in ledger units."""
    due = {}
    for agreement, (counter, price) in PRICES.items():
        exact = price * ((after[counter] - before[counter]) % UINT32) * UNITS_PER_KRONA
        assert exact == int(exact)
        due[agreement] = int(exact)
    return due
