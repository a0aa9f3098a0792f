"""pgbench: found, run, and its report read."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.database import fresh_postgresql
from benchmarks.pgbench import Pgbench, find_pgbench, rate_of

REPORT = """\
pgbench (15.20 (Debian 15.20-0+deb12u1))
transaction type: <builtin: TPC-B (sort of)>
scaling factor: 10
query mode: prepared
number of clients: 8
number of transactions actually processed: 2000/2000
latency average = 4.967 ms
initial connection time = 12.043 ms
tps = 1610.882989 (without initial connection time)
"""


def test_the_rate_is_read_from_the_report() -> None:
    assert rate_of(REPORT) == 1610.882989
    with pytest.raises(RuntimeError, match="reported no tps"):
        rate_of("pgbench (15.20)\n")


def test_outside_of_path_the_newest_version_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_pgbench(tmp_path) is None
    for version in "9.6", "15", "16":
        program = tmp_path / version / "bin" / "pgbench"
        program.parent.mkdir(parents=True)
        program.touch()
    assert find_pgbench(tmp_path) == str(tmp_path / "16" / "bin" / "pgbench")


def test_pgbench_measures_this_server(server: str) -> None:
    program = find_pgbench()
    if program is None:
        pytest.skip("needs the program pgbench")
    with fresh_postgresql(server) as database:
        assert Pgbench(program, database.uri).transactions_per_s(0.05) > 0


def test_a_database_that_is_not_there_is_told_with_pgbenchs_words(server: str) -> None:
    program = find_pgbench()
    if program is None:
        pytest.skip("needs the program pgbench")
    with pytest.raises(RuntimeError, match='database "bench_none" does not exist'):
        Pgbench(program, "postgresql:///bench_none")
