"""The command line: `python -m benchmarks [GROUP] [--json] [--seconds S] [--size N]`."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from app.memory import calm_collector
from app.observability import configure_logging
from benchmarks import growth, ledger, pipeline, tariff
from benchmarks.figure import Figure, as_json, as_table
from benchmarks.run import Group, Run, say

GROUPS: dict[str, Group] = {
    "pipeline": pipeline.measure,
    "ledger": ledger.measure,
    "tariff": tariff.measure,
}
"""A new group is a file with a `measure` and a line here."""

LONG_GROUPS: dict[str, Group] = {"ledger-growth": growth.measure}
"""Measured only when they are named."""

DATA = Path(__file__).parents[1] / "data"
"""Beside the ledgers of this checkout, so that their disk is measured; /tmp is memory on many machines."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; results alone go to standard output."""
    asked = _asked(arguments)
    figures: list[Figure] = []
    groups = GROUPS | LONG_GROUPS
    asked.folder.mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(sys.stderr):
        for name in [asked.group] if asked.group else GROUPS:
            with tempfile.TemporaryDirectory(prefix=f"benchmark-{name}-", dir=asked.folder) as folder:
                say(f"{name}: measuring in {folder}")
                figures += groups[name](Run(Path(folder), asked.seconds, asked.size))
    print(as_json(figures) if asked.json else as_table(figures))


_GROUP_HELP = f"one group; when not given, all but {', '.join(LONG_GROUPS)}"


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure Myntverk on this machine.")
    parser.add_argument("group", nargs="?", choices=GROUPS | LONG_GROUPS, help=_GROUP_HELP)
    parser.add_argument("--json", action="store_true", help="one JSON object: figure → value, unit, baseline, ratio")
    parser.add_argument("--seconds", type=_positive, default=1.0, metavar="S", help="measured in one round (default 1)")
    parser.add_argument("--size", type=_positive, default=1.0, metavar="N", help="times the default counts (default 1)")
    parser.add_argument("--folder", type=Path, default=DATA, metavar="DIR", help="a folder on the disk to measure")
    return parser.parse_args(arguments)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return number


if __name__ == "__main__":
    configure_logging(json=False, level="warning")
    calm_collector()  # as a gateway does
    main()
