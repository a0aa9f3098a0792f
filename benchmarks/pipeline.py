"""Group `pipeline`: from samples to durable transfers, and from a PLC's register to a client's screen."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.book import BOOK, open_book
from benchmarks.database import Sqlite, posted_rows
from benchmarks.figure import Figure
from benchmarks.raw_rows import Rows, by_batch, last_seq
from benchmarks.run import ROUNDS, Run, percentile, say
from benchmarks.signal_to_client import signal_to_client
from benchmarks.synthetic_plant import Floor, synthetic_plant
from core.sample import Sample
from ledger.writer import Writer
from settlement.charge import Conditions
from settlement.engine import Absorbed, Engine

MACHINES = 200
COUNTERS_OF_BUSY = 1
COUNTERS_OF_QUIET = 5
"""Counters of a machine, of which one moves in a step: every sample moves money, or one in five."""

SAMPLES_PER_DELIVERY = 5
DELIVERY_SECONDS = 0.025
"""200 samples a second, as twenty machines with ten tags read each second bring them."""


def measure(run: Run) -> list[Figure]:
    """Rates as fast as it goes, latency at a modest pace, and the whole way through a real gateway."""
    busy, raw_of_busy, rows = _rates(run, COUNTERS_OF_BUSY)
    quiet, raw_of_quiet, _ = _rates(run, COUNTERS_OF_QUIET)
    raw_insert = "the bare driver's bulk insert of the same rows and keys, same batches"
    return [
        Figure("pipeline.priced_transfers_per_s", busy, "1/s", raw_of_busy, raw_insert),
        Figure("pipeline.samples_per_s", COUNTERS_OF_QUIET * quiet, "1/s", raw_of_quiet, raw_insert),
        *asyncio.run(_sample_to_durable(run, rows)),
        *signal_to_client(run),
    ]


@dataclass(frozen=True, slots=True)
class _Settling:
    """The product's engine and writer on a fresh file, and the floor whose samples they take."""

    database: Sqlite
    writer: Writer
    engine: Engine
    floor: Floor

    def absorb(self, samples: list[Sample]) -> Absorbed:
        """As the pipeline does: durable when it returns."""
        return self.writer.submit(self.engine.absorb(samples)).result()


@contextmanager
def _settling(run: Run, name: str, machines: int, counters: int) -> Iterator[_Settling]:
    plant = synthetic_plant(run.folder, machines, counters)
    database = Sqlite(run.folder / f"{name}.db")
    with open_book(database.url, list(plant.parties.values()), list(plant.accounts.values())) as writer:
        conditions = Conditions({}, plant.prices, plant.zone)
        engine = Engine(BOOK, list(plant.meters.values()), list(plant.agreements.values()), conditions)
        settling = _Settling(database, writer, engine, Floor(machines, counters))
        for _ in range(2 * counters):  # meters begin at their first reading, and caches are filled
            settling.absorb(settling.floor.step())
        yield settling


def _rates(run: Run, counters: int) -> tuple[float, float, Rows]:
    """Priced transfers per second, raw rows per second, and the last rows."""
    machines = run.sized(MACHINES, least=5)
    rates, raw_rates = [], []
    with _settling(run, f"rate-{counters}", machines, counters) as settling:
        rows = posted_rows(settling.database, 0)
        raw = settling.database.raw("bulk")
        raw.insert(by_batch(rows))
        for _ in range(ROUNDS):
            posted, seconds = 0, 0.0
            while seconds < run.seconds or not posted:
                samples = settling.floor.step()
                started = time.perf_counter()
                posted += settling.absorb(samples).posted
                seconds += time.perf_counter() - started
            rows = posted_rows(settling.database, last_seq(rows))
            rates.append(posted / seconds)
            raw_rates.append(len(rows) / raw.insert(by_batch(rows)))
            say(f"pipeline: {rates[-1]:,.0f} transfers/s, raw insert {raw_rates[-1]:,.0f} rows/s")
        raw.close()
    return statistics.median(rates), statistics.median(raw_rates), rows


async def _sample_to_durable(run: Run, rows: Rows) -> list[Figure]:
    """Deliveries at their pace, and half-way between two of them a commit of the bare driver."""
    machines = run.sized(MACHINES, least=SAMPLES_PER_DELIVERY)
    latencies: list[float] = []
    commits: list[float] = []
    with _settling(run, "paced", machines, 1) as settling:
        deliveries = (
            settling.floor.step(first, first + SAMPLES_PER_DELIVERY)
            for first in itertools.cycle(range(0, machines, SAMPLES_PER_DELIVERY))
        )
        raw = settling.database.raw("single")
        due = time.perf_counter()
        ending = due + 2 * ROUNDS * run.seconds
        for row in rows:
            due = await _settle_what_is_due(settling, deliveries, due, latencies)
            await _wait_until(due - DELIVERY_SECONDS / 2)
            commits.append(raw.commit_one(row))
            due += min(commits[-1], max(time.perf_counter() - due, 0))  # the baseline's stalls delay no delivery
            if due > ending:
                break
        raw.close()
    say(f"pipeline: {len(latencies)} deliveries, {len(commits)} commits of the bare driver")
    return [
        Figure(
            f"pipeline.sample_to_durable_ms_p{percent}",
            percentile(latencies, percent) * 1_000,
            "ms",
            percentile(commits, percent) * 1_000,
            f"this disk's own commit of one row, p{percent}",
        )
        for percent in (50, 99)
    ]


async def _settle_what_is_due(
    settling: _Settling, deliveries: Iterator[list[Sample]], due: float, latencies: list[float]
) -> float:
    """Wait for a delivery; what came meanwhile is settled with it, as the pipeline does. When the next one is due."""
    handed_over = [await _wait_until(due)]
    samples = next(deliveries)
    while (due := due + DELIVERY_SECONDS) <= time.perf_counter():
        handed_over.append(due)
        samples += next(deliveries)
    await settling.writer.run(settling.engine.absorb(samples))
    durable = time.perf_counter()
    latencies += [durable - each for each in handed_over]
    return due


async def _wait_until(due: float) -> float:
    """The instant from which to count: now, after waiting; or `due`, when that has passed."""
    left = due - time.perf_counter()
    if left <= 0:
        return due
    await asyncio.sleep(left)
    return time.perf_counter()
