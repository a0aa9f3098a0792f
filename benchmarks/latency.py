"""How long one transfer takes until it is durable: alone, and among two thousand a second."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator, Sequence

from benchmarks.database import Database, catch_up, posted_rows
from benchmarks.figure import Figure
from benchmarks.load import Load
from benchmarks.posting import clean_heap
from benchmarks.raw_rows import RawTable, Row
from benchmarks.run import ROUNDS, Run, percentile, say
from ledger.transfer import TransferRequest
from ledger.writer import Writer

OFFERED_PER_S = 2_000
ROWS_MAX = 20_000
"""Rows at hand for the bare driver's commits."""


async def latency(run: Run, database: Database, writer: Writer, load: Load) -> list[Figure]:
    """Of a book that holds some batches already: their rows are what the bare driver commits."""
    raw = database.raw("single")
    rows = iter(posted_rows(database, 0)[:ROWS_MAX])
    try:
        single = await _singles(run, writer, load, raw, rows)
        return [_single_figure(database.name, *single), *await _offered(run, database, writer, load, raw, rows)]
    finally:
        raw.close()


async def _singles(
    run: Run, writer: Writer, load: Load, raw: RawTable, rows: Iterator[Row]
) -> tuple[list[float], list[float]]:
    """One post, one raw commit of one row, in turn, so that both meet the same disk."""
    posts, commits = [], []
    ending = time.perf_counter() + ROUNDS * run.seconds
    for row in itertools.islice(rows, ROWS_MAX // 2):
        requests = load.work(1)
        started = time.perf_counter()
        await writer.post(requests)
        posts.append(time.perf_counter() - started)
        commits.append(raw.commit_one(row))
        if time.perf_counter() > ending:
            break
    return posts, commits


def _single_figure(name: str, posts: list[float], commits: list[float]) -> Figure:
    against = "the bare driver's commit of one row, p50"
    return Figure(
        f"ledger.{name}.single_post_ms_p50",
        percentile(posts, 50) * 1_000,
        "ms",
        percentile(commits, 50) * 1_000,
        against,
    )


async def _offered(
    run: Run, database: Database, writer: Writer, load: Load, raw: RawTable, rows: Iterator[Row]
) -> list[Figure]:
    """So many a second, whether or not the ledger keeps up; between the rounds commits of the bare driver."""
    latencies: dict[int, list[float]] = {50: [], 99: []}
    commits: dict[int, list[float]] = {50: [], 99: []}
    for number in range(ROUNDS + 1):
        requests = load.work(max(round(OFFERED_PER_S * run.seconds), 10))
        with clean_heap():
            measured = await offer(writer, requests, OFFERED_PER_S)
        catch_up(database)
        alone = _commits(raw, rows, run.seconds / 2)
        if number and alone:  # the first round warms up
            for percent in latencies:
                latencies[percent].append(percentile(measured, percent) * 1_000)
                commits[percent].append(percentile(alone, percent) * 1_000)
            p50, p99 = latencies[50][-1], latencies[99][-1]
            say(f"ledger: {database.name}: at {OFFERED_PER_S}/s p50 {p50:.2f}, p99 {p99:.2f} ms")
    return [
        Figure(
            f"ledger.{database.name}.latency_ms_p{percent}_at_{OFFERED_PER_S}_per_s",
            statistics.median(latencies[percent]),
            "ms",
            statistics.median(commits[percent]),
            f"the bare driver's commit of one row, p{percent}",
        )
        for percent in (50, 99)
    ]


async def offer(writer: Writer, requests: Sequence[TransferRequest], per_s: float) -> list[float]:
    """Post the requests one by one at their pace, waiting for none; the seconds of each from when it was due."""
    posts = []
    started = time.perf_counter()
    for number, request in enumerate(requests):
        due = started + number / per_s
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        posts.append(asyncio.create_task(_durable_after(writer, request, due)))
    return await asyncio.gather(*posts)


async def _durable_after(writer: Writer, request: TransferRequest, due: float) -> float:
    await writer.post([request])
    return time.perf_counter() - due


def _commits(raw: RawTable, rows: Iterator[Row], seconds: float) -> list[float]:
    """The seconds of each commit, one after the other for so long."""
    taken: list[float] = []
    ending = time.perf_counter() + seconds
    for row in rows:
        taken.append(raw.commit_one(row))
        if time.perf_counter() > ending:
            break
    return taken
