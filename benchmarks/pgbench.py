"""PostgreSQL's own benchmark, on the same server."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

CLIENTS = 8
THREADS = 2
SCALE = 10
SECONDS_MAX = 300
RATE_GUESSED = 1_000.0
"""Transactions per second, before the first measurement."""

DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian puts each version's programs, outside of PATH."""

_RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


def find_pgbench(debian: Path = DEBIAN) -> str | None:
    """The program's path: from PATH, or of the newest version that Debian has installed."""
    return shutil.which("pgbench") or max(map(str, debian.glob("*/bin/pgbench")), key=_version, default=None)


class Pgbench:
    """pgbench's default script, TPC-B-like: three updates, a select and an insert in each transaction."""

    def __init__(self, program: str, uri: str) -> None:
        """Creates its tables in that database."""
        self._program = program
        self._uri = uri
        self._rate = RATE_GUESSED
        self._run("-i", "-q", "-s", str(SCALE))

    def transactions_per_s(self, seconds: float) -> float:
        """Measure for about so long: as many transactions as the last measurement says."""
        each = max(round(seconds * self._rate / CLIENTS), 1)
        options = ("-n", "-c", str(CLIENTS), "-j", str(THREADS), "-M", "prepared", "-t", str(each))
        self._rate = rate_of(self._run(*options))
        return self._rate

    def _run(self, *options: str) -> str:
        command = [self._program, *options, self._uri]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
        if done.returncode:
            raise RuntimeError(f"pgbench failed: {done.stderr.strip()}")
        return done.stdout


def rate_of(report: str) -> float:
    """Transactions per second, as pgbench reports them at its end."""
    found = _RATE.search(report)
    if found is None:
        raise RuntimeError(f"pgbench reported no tps: {report!r}")
    return float(found[1])


def _version(program: str) -> tuple[int, ...]:
    return tuple(int(part) for part in Path(program).parts[-3].split(".") if part.isdigit())
