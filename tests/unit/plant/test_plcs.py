"""What both PLCs promise: the console, retained counters, and clear ends."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from examples.plant.plc_process import ROOT, StartPlc

DEADLINE_S = 20
KINDS = ("modbus", "opcua")


@pytest.mark.parametrize(
    ("kind", "counter", "by"),
    [("modbus", "parts", signal.SIGTERM), ("modbus", "odometer", signal.SIGINT), ("opcua", "orders", signal.SIGTERM)],
)
def test_a_stopped_plc_ends_well_and_continues_from_its_counters(
    kind: str, counter: str, by: signal.Signals, tmp_path: Path, start_plc: StartPlc
) -> None:
    retain = tmp_path / "not-yet-there" / "counters.json"
    plc = start_plc(kind, retain)
    assert plc.ready == f"ready {kind} 127.0.0.1:{plc.port}\n"
    assert plc.ask(f"set {counter} 4000000000") == "ok"
    assert plc.ask("freeze on") == "ok"
    before = plc.counters()
    assert plc.end(by) == 0
    assert json.loads(retain.read_text()) == before
    after = start_plc(kind, retain).counters()
    assert all(before[name] <= after[name] <= before[name] + 100 for name in before)


def test_a_killed_plc_loses_at_most_half_a_second(tmp_path: Path, start_plc: StartPlc) -> None:
    plc = start_plc("modbus", tmp_path / "counters.json", "--speed", "20")
    seen: list[tuple[float, int]] = []
    with ModbusTcpClient("127.0.0.1", port=plc.port) as client:
        while not seen or seen[-1][1] < 500:
            high, low = client.read_input_registers(2, count=2, device_id=2).registers
            seen.append((time.monotonic(), high << 16 | low))
    killed_at = time.monotonic()
    assert plc.end(signal.SIGKILL) == -signal.SIGKILL
    half_a_second_before = [energy for at, energy in seen if at <= killed_at - 0.5]
    assert json.loads((tmp_path / "counters.json").read_text())["energy"] >= half_a_second_before[-1] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_used_port_is_one_clear_line_and_exit_code_2(kind: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run(kind, "--port", str(port), "--retain", str(tmp_path / "counters.json"))
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        f"{kind} PLC: cannot listen on 127.0.0.1:{port}: Address already in use; "
        "stop what uses the port or choose another with --port\n"
    )


@pytest.mark.parametrize("content", ['{"parts": 1}', '{"odometer": 0, "parts": -1, "energy": 0}', "[]", "{", "\xff"])
def test_a_spoilt_retain_file_is_refused_and_left_as_it_was(content: str, tmp_path: Path) -> None:
    retain = tmp_path / "counters.json"
    retain.write_text(content, encoding="latin-1")
    ended = run("modbus", "--port", "0", "--retain", str(retain))
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert f"{retain}: expected a file with the counters odometer, parts, energy, got " in ended.stderr
    assert retain.read_text(encoding="latin-1") == content


def test_a_plc_with_a_parent_stops_when_the_parent_is_killed(tmp_path: Path) -> None:
    plc = [sys.executable, "-m", "examples.plant.modbus_plc", "--port", "0", "--with-parent"]
    program = f"import subprocess; subprocess.run({[*plc, '--retain', str(tmp_path / 'counters.json')]})"
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, text=True, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline().rpartition(":")[2])
        socket.create_connection(("127.0.0.1", port), DEADLINE_S).close()
        parent.kill()
        deadline = time.monotonic() + DEADLINE_S
        while listens(port):
            assert time.monotonic() < deadline, "the PLC outlived its parent"
            time.sleep(0.02)


def test_the_console_answers_every_line(tmp_path: Path, start_plc: StartPlc) -> None:
    plc = start_plc("modbus", tmp_path / "counters.json")
    for command, answer in (
        ("set litres 1", "error: expected one of odometer, parts, energy, speed, battery, moving"),
        ("set parts many", "error: expected a number that parts can hold, got 'many'"),
        ("set parts 4294967296", "error: expected a number that parts can hold, got '4294967296'"),
        ("set rpm 65536", "error: expected a number that rpm can hold, got '65536'"),
        ("set running 2", "error: expected a number that running can hold, got '2'"),
        ("garbage", "error: expected reset | set NAME VALUE"),
        ("set temperature 71.5", "ok"),
    ):
        assert plc.ask(command).startswith(answer)


def test_a_reset_zeroes_every_counter_of_the_plc(tmp_path: Path, start_plc: StartPlc) -> None:
    plc = start_plc("modbus", tmp_path / "counters.json", "--speed", "50")
    while not all(plc.counters().values()):
        pass
    assert plc.ask("freeze on") == "ok"
    assert plc.ask("reset") == "ok"
    assert plc.counters() == {"odometer": 0, "parts": 0, "energy": 0}


def run(kind: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"examples.plant.{kind}_plc", *options]
    return subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=DEADLINE_S, check=False)


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
