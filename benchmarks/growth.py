"""Group `ledger-growth`: the rate and the latency of posting while a book grows, drawn as a picture. Long: it runs only
when it is asked for by name."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.book import open_book
from benchmarks.database import Database, Sqlite, catch_up, find_server, fresh_postgresql
from benchmarks.figure import Figure
from benchmarks.ledger import load_of
from benchmarks.load import OWNER
from benchmarks.posting import post_built
from benchmarks.run import Run, percentile, say

TRANSFERS = 2_000_000
"""Posted on each database, times the run's size."""

WORKS_PER_POINT = 20

PICTURE = Path(__file__).parents[1] / "docs" / "reference" / "ledger_growth.svg"

WAITS_KEPT = 100

LABELS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
COLOURS = {"sqlite": "#0b6e99", "postgresql": "#c1532a"}


@dataclass(frozen=True, slots=True)
class Point:
    """What posting was like when the book had this many transfers."""

    size: int
    rate: float
    """Posted per second, until the totals per link were added up as well."""
    wait_p99: float
    """Seconds from handing a work over to its answer, of the last hundred works."""


def measure(run: Run) -> list[Figure]:
    """SQLite, then PostgreSQL where there is one; the picture replaces the one in the documentation."""
    if find_spec("matplotlib") is None:
        raise SystemExit(
            "The picture needs matplotlib, which is not installed: .venv/bin/python -m pip install -e '.[plots]'"
        )
    curves = {"sqlite": grow(run, Sqlite(run.folder / "growth.db"))}
    server = find_server()
    if server is not None:
        with fresh_postgresql(server) as database:
            curves[database.name] = grow(run, database)
    draw(curves, PICTURE)
    say(f"ledger-growth: drawn in {PICTURE}")
    return [figure for name, points in curves.items() for figure in figures_of(name, points)]


def grow(run: Run, database: Database) -> list[Point]:
    """Post until the book is full. Works are built in between, while the clock stands."""
    load, points = load_of(run), list[Point]()
    size, waits = 0, deque[float](maxlen=WAITS_KEPT)
    with open_book(database.url, [OWNER], load.accounts) as writer:
        while size < run.sized(TRANSFERS, WORKS_PER_POINT * load.per_work):
            tally = post_built(writer, load.works(WORKS_PER_POINT))
            rate = tally.posted / (tally.seconds + catch_up(database))
            size += tally.posted
            waits.extend(tally.waits)
            points.append(Point(size, rate, percentile(list(waits), 99)))
            say(f"ledger-growth: {database.name}: {size:,} transfers, {rate:,.0f} posted/s")
    return points


def figures_of(name: str, points: list[Point]) -> list[Figure]:
    """The last quarter of the way beside the first."""
    quarter = max(len(points) // 4, 1)
    against = f"the first quarter of {points[-1].size:,} transfers"
    (rate_before, wait_before), (rate, wait) = _medians(points[:quarter]), _medians(points[-quarter:])
    return [
        Figure(f"ledger-growth.{name}.posted_per_s", rate, "1/s", rate_before, against),
        Figure(f"ledger-growth.{name}.work_ms_p99", wait * 1_000, "ms", wait_before * 1_000, against),
    ]


def _medians(points: list[Point]) -> tuple[float, float]:
    return statistics.median(point.rate for point in points), statistics.median(point.wait_p99 for point in points)


def draw(curves: Mapping[str, list[Point]], picture: Path) -> None:
    """Rate above, latency below, against the book's size."""
    matplotlib: Any = import_module("matplotlib")  # optional, and without types
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "ledger"  # the same points make the same file
    matplotlib.rcParams["svg.fonttype"] = "none"
    pyplot: Any = import_module("matplotlib.pyplot")
    figure, (rates, waits) = pyplot.subplots(2, 1, sharex=True, figsize=(8, 6), layout="constrained")
    for name, points in curves.items():
        sizes = [point.size / 1_000_000 for point in points]
        rates.plot(sizes, [point.rate / 1_000 for point in points], label=LABELS[name], color=COLOURS[name])
        waits.plot(sizes, [point.wait_p99 * 1_000 for point in points], color=COLOURS[name])
    rates.set_ylabel("thousand posted/s")
    waits.set_ylabel("p99 of a work, ms")
    waits.set_xlabel("million transfers in the book")
    for axes in rates, waits:
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    rates.legend(loc="lower left", frameon=False)
    figure.savefig(picture, metadata={"Date": None})
    pyplot.close(figure)
