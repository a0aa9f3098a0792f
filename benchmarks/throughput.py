"""How many transfers a second the public writer makes durable, beside the bare driver's insert of the same rows."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.database import Database, catch_up, posted_rows
from benchmarks.figure import Figure
from benchmarks.load import Load
from benchmarks.posting import Tally, clean_heap, post_built
from benchmarks.raw_rows import by_batch, last_seq
from benchmarks.run import ROUNDS, Run, say
from ledger.writer import Writer

RAW_INSERT = "the bare driver's bulk insert of the same rows and keys, same batches"


def works_for(seconds: float, rate: float, per_work: int) -> int:
    """How many works keep a writer of that rate busy for about so long; two at the least."""
    return max(round(seconds * rate / per_work), 2)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Medians of the rounds: ours, the bare driver's, and what else was measured in turn with them."""

    name: str
    rate: float
    rate_with_totals: float
    """Until the totals per link were added up as well."""
    raw_rate: float
    other: float

    def figures(self) -> list[Figure]:
        name, rate, raw_rate = f"ledger.{self.name}", self.rate, self.raw_rate
        return [
            Figure(f"{name}.posted_per_s", rate, "1/s", raw_rate, RAW_INSERT),
            Figure(f"{name}.posted_and_totalled_per_s", self.rate_with_totals, "1/s", raw_rate, RAW_INSERT),
            Figure(f"{name}.share_of_raw_insert", rate / raw_rate, "share", 1.0, "that insert itself"),
        ]


def throughput(run: Run, database: Database, writer: Writer, load: Load, other: Callable[[int], float]) -> Throughput:
    """Rounds of works through the writer, of their rows through the bare driver, and of `other`, which gets to know
    how many works the round had and answers a rate."""
    rates, rates_with_totals, raw_rates, others = [], [], [], []
    rate, seq = 0.0, last_seq(posted_rows(database, 0))
    raw = database.raw("bulk")
    try:
        for number in range(ROUNDS + 1):
            works = works_for(run.seconds, rate, load.per_work)
            tally = post_built(writer, load.works(works))
            rate = tally.rate
            rate_with_totals = tally.posted / (tally.seconds + catch_up(database))
            rows = posted_rows(database, seq)
            seq = last_seq(rows)
            batches = by_batch(rows)
            with clean_heap():
                raw_rate = len(rows) / raw.insert(batches)
            other_rate = other(works)
            if number:  # the first round warms up, and tells how many works fill a round
                rates.append(rate)
                rates_with_totals.append(rate_with_totals)
                raw_rates.append(raw_rate)
                others.append(other_rate)
                _say(database.name, tally, raw_rate, len(rows) / len(batches))
    finally:
        raw.close()
    return Throughput(
        database.name, *(statistics.median(each) for each in (rates, rates_with_totals, raw_rates, others))
    )


def _say(name: str, tally: Tally, raw_rate: float, per_batch: float) -> None:
    refused = tally.refused / (tally.posted + tally.refused)
    say(
        f"ledger: {name}: {tally.rate:,.0f} posted/s, {per_batch:,.0f} a commit, {refused:.1%} refused; "
        f"raw insert {raw_rate:,.0f} rows/s"
    )
