"""Group `ledger`: how fast the public writer posts and the reader reads, on SQLite and on PostgreSQL, each beside what
the bare database does."""

from __future__ import annotations

import asyncio

from benchmarks.book import open_book
from benchmarks.database import Sqlite, find_server, fresh_postgresql
from benchmarks.figure import Figure
from benchmarks.gateways import two_gateways
from benchmarks.large_book import large_book
from benchmarks.latency import latency
from benchmarks.load import OWNER, Load, random_ids
from benchmarks.pgbench import Pgbench, find_pgbench
from benchmarks.posting import post_built
from benchmarks.run import Run, say
from benchmarks.throughput import throughput

ACCOUNTS = 1_000
REQUESTS_PER_WORK = 5_000


def measure(run: Run) -> list[Figure]:
    """SQLite first, on which memory is watched; PostgreSQL where there is one."""
    figures = _on_sqlite(run)
    server = find_server()
    return figures if server is None else [*figures, *_on_postgresql(run, server)]


def load_of(run: Run) -> Load:
    """The accounts and works of every measurement here."""
    return Load(run.reduced(ACCOUNTS, least=20), run.reduced(REQUESTS_PER_WORK, least=10))


def _on_sqlite(run: Run) -> list[Figure]:
    small, large = (Sqlite(run.folder / f"{name}.db") for name in ("small", "large"))
    figures = large_book(run, small, large, load_of(run))
    load = load_of(run)
    scattered = Load(len(load.accounts), load.per_work, ids=random_ids)
    database, other_database = (Sqlite(run.folder / f"{name}.db") for name in ("ledger", "random-ids"))
    with open_book(database.url, [OWNER], load.accounts) as writer:
        with open_book(other_database.url, [OWNER], scattered.accounts) as other:
            posted = throughput(
                run, database, writer, load, lambda works: post_built(other, scattered.works(works)).rate
            )
        paced = asyncio.run(latency(run, database, writer, load))
    name, against = "ledger.sqlite.posted_per_s_random_ids", "the same with time-ordered ids"
    return [*figures, *posted.figures(), Figure(name, posted.other, "1/s", posted.rate, against), *paced]


def _on_postgresql(run: Run, server: str) -> list[Figure]:
    with fresh_postgresql(server) as small, fresh_postgresql(server) as large:
        figures = large_book(run, small, large, load_of(run))
    load, program = load_of(run), find_pgbench()
    with fresh_postgresql(server) as database:
        pgbench = None if program is None else Pgbench(program, database.uri)
        with open_book(database.url, [OWNER], load.accounts) as writer:
            posted = throughput(
                run, database, writer, load, lambda _: pgbench.transactions_per_s(2 * run.seconds) if pgbench else 0.0
            )
            paced = asyncio.run(latency(run, database, writer, load))
        figures += [*posted.figures(), *paced, *two_gateways(run, database, load)]
    if pgbench is None:
        say("ledger: no pgbench, so the ratio to it is left out")
        return figures
    name, against = "ledger.postgresql.ratio_to_pgbench_tpcb", f"pgbench TPC-B-like, here {posted.other:,.0f} tps"
    return [*figures, Figure(name, posted.rate / posted.other, "ratio", 1.0, against)]
