"""The command line as an operator meets it: starts, ends, refusals, and what each command prints."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import pytest
from asyncua.ua.uaerrors import UaStatusCodeError

from tests.conftest import RequireProgram
from tests.support.plant import (
    KINDS,
    PASSWORD,
    PRICES,
    UNITS_PER_KRONA,
    Factory,
    Running,
    eventually,
    free_port,
    myntverk,
    owed,
    write_plant,
)
from tests.support.scada import screen

SUMMARY_KEYS = {
    "seconds",
    "samples",
    "transfers",
    "refused",
    "accounts",
    "links",
    "trial_balance",
    "journal_verified",
    "opcua_endpoint",
}
ACCOUNTS = [
    "customer",
    "line",
    "facade-1",
    "agv-7",
    "warehouse",
    "robot-cell",
    "subcontractor",
    "lessor",
    "energy",
]


@dataclass
class Plant:
    """A factory at work, and the Myntverk that settles it."""

    factory: Factory
    running: Running

    @property
    def options(self) -> tuple[object, ...]:
        return ("--plant", self.factory.file, "--data", self.factory.data)

    def restart(self, by: signal.Signals) -> int:
        code = self.running.end(by)
        self.running = self.factory.start()
        assert self.running.endpoint
        return code


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    factory = Factory(tmp_path_factory.mktemp("plant"))
    try:
        running = factory.start()
        eventually(lambda: running.endpoint and len(factory.meters()) == 9, 30, "the first reading of every meter")
        factory.work()
        eventually(lambda: factory.paid().keys() >= PRICES.keys(), 30, "a payment of every agreement")
        yield Plant(factory, running)
    finally:
        factory.close()


def assert_refused(ended: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    """It ended with that exit code and one clear line that says so."""
    assert "Traceback" not in ended.stderr
    assert all(words in ended.stderr for words in said), ended.stderr
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (code, "", 1), ended.stderr


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_well_and_leaves_nothing_owed(plant: Plant, by: signal.Signals) -> None:
    transfers = sum(paid.transfers for paid in plant.factory.paid().values())
    eventually(lambda: sum(paid.transfers for paid in plant.factory.paid().values()) > transfers, 10, "payments")
    assert plant.running.end(by) == 0
    assert "Traceback" not in plant.running.text
    totals = {meter: total for meter, (_, _, total) in plant.factory.meters().items()}
    with plant.factory.rows("SELECT agreement_id, cursors, charged, settled FROM agreement") as rows:
        assert len(rows) == len(PRICES) + 1
        for agreement, cursors, charged, settled in rows:
            assert {meter: Decimal(at) for meter, at in json.loads(cursors).items()}.items() <= totals.items()
            assert settled == (Decimal(charged) * UNITS_PER_KRONA).quantize(Decimal(1), ROUND_HALF_EVEN)
            assert settled == plant.factory.paid()[agreement].units
    plant.running = plant.factory.start()
    assert plant.running.endpoint


def test_a_second_run_on_the_same_ledger_is_refused_and_the_first_goes_on(plant: Plant) -> None:
    ended = myntverk("run", plant.factory.file, "--data", plant.factory.data)
    lock = plant.factory.data / "myntverk.db.lock"
    assert_refused(ended, 1, f"{lock} is held by process {plant.running.process.pid}", "stop it first")
    assert plant.running.process.poll() is None
    assert myntverk("health", "--endpoint", plant.running.endpoint).returncode == 0


def test_a_port_that_is_taken_is_one_clear_line_and_exit_code_2(plant: Plant, tmp_path: Path) -> None:
    shutil.copytree(plant.factory.data / "demo-passwords", tmp_path / "demo-passwords")
    modbus, opcua = (plant.factory.plcs[kind].port for kind in KINDS)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = myntverk("run", write_plant(tmp_path, modbus, opcua, port, {}), "--data", tmp_path)
    said = f"opcua.endpoint: cannot listen on opc.tcp://127.0.0.1:{port}: "
    assert_refused(ended, 2, said, "address already in use", "Stop it, or choose another")


@pytest.mark.parametrize("command", ["run", "demo"])
def test_a_file_in_place_of_the_data_directory_is_one_clear_line_and_exit_code_2(
    plant: Plant, tmp_path: Path, command: str
) -> None:
    taken = tmp_path / "data"
    taken.write_text("not a directory")
    which = [plant.factory.file] if command == "run" else ["--plant", plant.factory.file, "--for", "1s"]
    assert_refused(myntverk(command, *which, "--data", taken), 2, str(taken))
    assert taken.read_text() == "not a directory"


@pytest.fixture
def small_disk(require_program: RequireProgram, tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB; needs root, by sudo without a password if need be."""
    prefix = [] if os.geteuid() == 0 else [require_program("sudo"), "-n"]
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = [*prefix, require_program("mount"), "-t", "tmpfs", "-o", f"size=24m,uid={os.getuid()}", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"needs to mount a small disk: {mounted.stderr}")
    yield disk
    subprocess.run([*prefix, require_program("umount"), "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("command", ["run", "demo"])
def test_a_disk_that_cannot_be_written_is_one_clear_line_and_exit_code_2(
    plant: Plant, small_disk: Path, command: str
) -> None:
    shutil.copytree(plant.factory.data / "demo-passwords", small_disk / "demo-passwords")
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*sudo, "mount", "-o", "remount,ro", str(small_disk)], check=True)
    which = [plant.factory.file] if command == "run" else ["--plant", plant.factory.file, "--for", "1s"]
    data = small_disk if command == "run" else small_disk / "sub"
    ended = myntverk(command, *which, "--data", data)
    assert_refused(ended, 2, f"cannot write in {data}: Read-only file system", "choose another folder")


def test_a_disk_that_fills_up_is_told_once_and_what_was_counted_meanwhile_is_paid_when_there_is_room(
    small_disk: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").symlink_to(small_disk)
    factory = Factory(tmp_path)
    try:
        running = factory.start()
        eventually(lambda: running.endpoint and len(factory.meters()) == 9, 30, "the first reading of every meter")
        before = factory.counters()
        factory.work()
        eventually(lambda: len(factory.paid()) > 2, 20, "payments")
        ballast = small_disk / "ballast"
        fill(ballast)
        full = running.wait_for("the ledger takes nothing; samples wait", 20)
        assert full["problem"].endswith(" the batch: database or disk is full")
        healthy = myntverk("health", "--endpoint", running.endpoint)  # about two seconds, in which little can be paid
        assert healthy.returncode == 0
        ballast.unlink()
        running.wait_for("the ledger takes payments again", 20)
        factory.work(False)
        due = owed(before, factory.counters())
        eventually(lambda: factory.paid_units() == due, 20, "all of it paid")
        assert running.end() == 0
        warnings = [line["event"] for line in running.events if line["level"] != "info"]
        assert set(warnings) == {full["event"]}, "the log has room again and again as it is moved home, but never more"
        assert len(warnings) <= 5
    finally:
        factory.close()


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def test_demo_prints_one_json_object_and_a_second_one_goes_on_from_there(tmp_path: Path) -> None:
    file = write_plant(tmp_path, free_port(), free_port(), 0, {})
    balances: dict[str, Decimal] = dict.fromkeys(ACCOUNTS, Decimal(0))
    for seconds in ("8s", "6s"):
        ended = myntverk("demo", "--for", seconds, "--json", "--plant", file, "--data", tmp_path / "data")
        assert ended.returncode == 0
        assert "Traceback" not in ended.stderr
        assert len(ended.stdout.splitlines()) == 1
        summary = json.loads(ended.stdout)
        assert summary.keys() == SUMMARY_KEYS
        assert summary["seconds"] >= 1
        assert summary["samples"] > summary["transfers"] > 0
        assert summary["refused"] == 0
        assert summary["journal_verified"] is True
        assert {code: Decimal(total) for code, total in summary["trial_balance"].items()} == {"SEK": 0}
        assert summary["opcua_endpoint"].startswith("opc.tcp://127.0.0.1:")
        assert sum(link["transfers"] for link in summary["links"]) == summary["transfers"]
        for link in summary["links"]:
            assert link.keys() == {"payer", "payee", "transfers", "amount"}
            balances[link["payer"]] -= Decimal(link["amount"])
            balances[link["payee"]] += Decimal(link["amount"])
        assert all(
            account.keys() == {"id", "name", "owner", "currency", "balance", "available"}
            for account in summary["accounts"]
        )
        assert {account["id"]: Decimal(account["balance"]) for account in summary["accounts"]} == balances


def test_a_time_that_is_none_is_a_usage_error() -> None:
    ended = myntverk("demo", "--for", "banana")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Usage: " in ended.stderr
    assert "banana" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_ledger_commands_tell_people_and_programs_the_same(plant: Plant) -> None:
    plant.factory.work(False)
    before = plant.factory.counters()
    eventually(lambda: len(plant.factory.paid()) == 10, 10, "every agreement paid")
    assert plant.running.end() == 0
    assert plant.factory.counters() == before

    text = myntverk("ledger", "verify", *plant.options)
    verification = json.loads(myntverk("ledger", "verify", *plant.options, "--json").stdout)
    assert (text.returncode, text.stderr) == (0, "")
    told = {"verified", "batches", "transfers", "head_hash", "trial_balance", "faults", "on_trust_up_to_batch"}
    assert verification.keys() == told
    counted = f"{verification['transfers']} transfers in {verification['batches']} batches"
    total = ", ".join(f"{amount} {code}" for code, amount in verification["trial_balance"].items())
    assert text.stdout.splitlines()[0] == f"verified: {counted}; balances add up to {total}"
    assert text.stdout.splitlines()[1] == f"head {verification['head_hash']}@{verification['batches']}"

    text = myntverk("ledger", "accounts", *plant.options)
    accounts = json.loads(myntverk("ledger", "accounts", *plant.options, "--json").stdout)
    assert text.returncode == 0
    assert [account["id"] for account in accounts] == ACCOUNTS == [line.split()[0] for line in text.stdout.splitlines()]
    assert sum(Decimal(account["balance"]) for account in accounts) == 0

    text = myntverk("ledger", "statement", "agv-7", *plant.options, "--limit", "5")
    statement = json.loads(myntverk("ledger", "statement", "agv-7", *plant.options, "--limit", "1000", "--json").stdout)
    assert [line.split()[-1] for line in text.stdout.splitlines()] == [transfer["id"] for transfer in statement[:5]]
    places = [(transfer["batch"], transfer["position"]) for transfer in statement]
    assert places == sorted(places, reverse=True)
    signed = [Decimal(line["amount"]) * (1 if line["credit"] == "agv-7" else -1) for line in statement]
    (balance,) = (account["balance"] for account in accounts if account["id"] == "agv-7")
    assert sum(signed) == Decimal(balance)

    plant.running = plant.factory.start()
    plant.factory.work()
    assert plant.running.endpoint


def test_ledger_commands_say_what_there_is_not(plant: Plant, tmp_path: Path) -> None:
    unknown = myntverk("ledger", "statement", "agv-8", *plant.options)
    assert_refused(unknown, 1, "there is no account 'agv-8' in book 'line-1'")
    empty = myntverk("ledger", "verify", "--plant", plant.factory.file, "--data", tmp_path)
    assert_refused(empty, 2, f"no ledger at {tmp_path / 'myntverk.db'}", "--data")
    assert list(tmp_path.iterdir()) == []


def test_health_is_0_when_the_server_answers_and_1_when_none_does(plant: Plant) -> None:
    healthy = myntverk("health", "--endpoint", plant.running.endpoint)
    assert (healthy.returncode, healthy.stderr) == (0, "")
    assert healthy.stdout.startswith(f"{plant.running.endpoint}: good, the ledger stands at batch ")
    nobody = f"opc.tcp://127.0.0.1:{free_port()}"
    assert_refused(myntverk("health", "--endpoint", nobody), 1, f"{nobody} does not answer as a Myntverk server")


async def test_a_user_with_a_new_password_gets_in_after_a_restart(plant: Plant) -> None:
    fresh = "åtta små grisar"
    ended = myntverk("user", "add", "anna", *plant.options, input=f"{fresh}\n")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "restart Myntverk to let anna in" in ended.stdout
    assert fresh not in (plant.factory.data / "demo-passwords" / "anna").read_text()
    async with screen(plant.running.endpoint, "anna", PASSWORD) as shown:
        assert await shown.read("Accounts.agv-7.Currency") == "SEK"
    assert plant.restart(signal.SIGTERM) == 0
    async with screen(plant.running.endpoint, "anna", fresh) as shown:
        assert await shown.read("Accounts.agv-7.Currency") == "SEK"
    with pytest.raises(UaStatusCodeError):
        async with screen(plant.running.endpoint, "anna", PASSWORD):
            pass


def test_a_user_whom_the_plant_does_not_know_cannot_be_added(plant: Plant) -> None:
    ended = myntverk("user", "add", "bertil", *plant.options, input="secret\n")
    assert_refused(ended, 1, "has no user 'bertil' with a password_file; it has: anna")
