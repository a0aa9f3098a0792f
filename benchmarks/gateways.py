"""Two gateways, each a process with a writer of its own, on one book of one PostgreSQL."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection

from app.memory import calm_collector
from benchmarks.book import running_writer
from benchmarks.database import Database, catch_up
from benchmarks.figure import Figure
from benchmarks.load import Load
from benchmarks.posting import Tally, post_built
from benchmarks.run import ROUNDS, Run, say
from benchmarks.throughput import works_for

GATEWAYS = 2
ANSWER_SECONDS_MAX = 120.0
FIRST_SEED = 100
"""Gateways make ids and payments of their own, between the same accounts."""


def two_gateways(run: Run, database: Database, load: Load) -> list[Figure]:
    """Both at once and one alone, in turn. The book has the load's accounts already."""
    both_rates, alone_rates = [], []
    with ExitStack() as running:
        gateways = [
            running.enter_context(_gateway(database.url, load, FIRST_SEED + number)) for number in range(GATEWAYS)
        ]
        rate = 0.0
        for number in range(ROUNDS + 1):
            works = works_for(run.seconds, rate, load.per_work)
            rate = _rate(_post(gateways[:1], works))
            catch_up(database)
            both = _rate(_post(gateways, works))
            catch_up(database)
            if number:  # the first round warms up
                alone_rates.append(rate)
                both_rates.append(both)
                say(f"ledger: {database.name}: two gateways {both:,.0f} posted/s, one {rate:,.0f}")
    against = "one of the two gateways alone"
    return [
        Figure(
            f"ledger.{database.name}.two_gateways_per_s",
            statistics.median(both_rates),
            "1/s",
            statistics.median(alone_rates),
            against,
        )
    ]


def _rate(tallies: list[Tally]) -> float:
    """Posted by all, from the first one's start to the last one's end: all processes read the same clock."""
    seconds = max(tally.ended for tally in tallies) - min(tally.started for tally in tallies)
    return sum(tally.posted for tally in tallies) / seconds


def _post(gateways: list[Connection], works: int) -> list[Tally]:
    """Let each build that many works; once all have, let each post them."""
    for gateway in gateways:
        gateway.send(works)
    for gateway in gateways:
        _await_answer(gateway)
        gateway.recv()
    for gateway in gateways:
        gateway.send("go")
    tallies: list[Tally] = []
    for gateway in gateways:
        _await_answer(gateway)
        tallies.append(gateway.recv())
    return tallies


def _await_answer(gateway: Connection) -> None:
    if not gateway.poll(ANSWER_SECONDS_MAX):
        raise RuntimeError(f"a gateway did not answer within {ANSWER_SECONDS_MAX:g} s")


@contextmanager
def _gateway(url: str, load: Load, seed: int) -> Iterator[Connection]:
    """A process that waits for what to post."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, url, len(load.accounts), load.per_work, seed), daemon=True)
    process.start()
    there.close()
    try:
        yield here
    finally:
        here.close()
        process.join(ANSWER_SECONDS_MAX)
        if process.is_alive():
            process.kill()


def _serve(orders: Connection, url: str, accounts: int, per_work: int, seed: int) -> None:
    calm_collector()
    load = Load(accounts, per_work, seed)
    with running_writer(url) as writer:
        while (works := _next_order(orders)) is not None:
            built = load.works(works)
            orders.send("built")
            orders.recv()
            orders.send(post_built(writer, built))


def _next_order(orders: Connection) -> int | None:
    """How many works to build; None when the other end has closed."""
    try:
        works: int = orders.recv()
    except EOFError:
        return None
    return works
