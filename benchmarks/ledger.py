"""Group `ledger`: how fast the public writer posts, against the bare driver's insert and commit on the same disk."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from benchmarks.book import open_book
from benchmarks.figure import Figure
from benchmarks.raw_sqlite import RawTable, Rows, posted_rows
from benchmarks.run import ROUNDS, Run, percentile, say
from core.clock import Instant
from core.ids import SeededIds
from core.money import SEK, Money
from ledger.account import Account, AccountId, Party, PartyId
from ledger.transfer import Outcome, Posted, TransferRequest
from ledger.writer import Work, Writer

ACCOUNTS = 1_000
TRANSFERS_PER_BATCH = 5_000
TIGHT_EVERY = 20
"""One account in so many has no credit, so that its payments are refused while it has received nothing."""

OWNER = Party(PartyId("plant"), "Plant AB")
CREDIT = Money.parse("-1000000000 kr")


def measure(run: Run) -> list[Figure]:
    """Batches through `Writer`, and single posts one after the other; every answer waited for is durable."""
    accounts = [
        Account(
            AccountId(f"machine-{n}"), f"Machine {n}", OWNER.id, Money.zero(SEK) if n % TIGHT_EVERY == 7 else CREDIT
        )
        for n in range(run.sized(ACCOUNTS, least=20))
    ]
    path = run.folder / "ledger.db"
    with open_book(path, [OWNER], accounts) as writer:
        raw = RawTable(run.folder / "raw.db", path)
        single = RawTable(run.folder / "single.db", path)
        try:
            requests = _requests(accounts)
            per_batch = run.sized(TRANSFERS_PER_BATCH, least=10)
            figures, rows = _batches(run, writer, path, raw, requests, per_batch)
            return [*figures, _singles(run, writer, single, requests, rows)]
        finally:
            raw.close()
            single.close()


def _requests(accounts: list[Account]) -> Iterator[TransferRequest]:
    """Payments between accounts picked by Zipf's law with exponent 1: the busiest machine has an eighth of all."""
    random, ids = Random(1), SeededIds(1)
    names = [account.id for account in accounts]
    weights = list(itertools.accumulate(1 / (place + 1) for place in range(len(names))))
    for number in itertools.count():
        debit, credit = random.choices(names, cum_weights=weights, k=2)
        if debit != credit:
            yield TransferRequest(
                id=ids.fresh(),
                debit=debit,
                credit=credit,
                amount=Money(random.randrange(1, 10**9), SEK),
                effective_time=Instant(1_780_000_000_000_000 + number),
                text="7.5 m agv-7.odometer",
                reference=f"transport#{number}",
                source="agreement:transport",
            )


def _posting(requests: list[TransferRequest]) -> Work[list[Outcome]]:
    return lambda batch: batch.post(requests)


def _batches(
    run: Run, writer: Writer, path: Path, raw: RawTable, requests: Iterator[TransferRequest], per_batch: int
) -> tuple[list[Figure], Rows]:
    rates: list[float] = []
    raw_rates: list[float] = []
    rows: Rows = []
    for number in range(ROUNDS + 1):
        posted, seconds = 0, 0.0
        while seconds < run.seconds or not posted:
            work = _posting(list(itertools.islice(requests, per_batch)))
            started = time.perf_counter()
            outcomes = writer.submit(work).result()
            seconds += time.perf_counter() - started
            posted += sum(isinstance(outcome, Posted) for outcome in outcomes)
        rows = posted_rows(path, rows[-1][1] if rows else 0)
        raw_seconds = raw.insert(rows, per_batch)
        if number:  # the first round warms up
            rates.append(posted / seconds)
            raw_rates.append(len(rows) / raw_seconds)
            say(f"ledger: {rates[-1]:,.0f} posted/s, raw insert {raw_rates[-1]:,.0f} rows/s")
    rate, raw_rate = statistics.median(rates), statistics.median(raw_rates)
    return [
        Figure("ledger.sqlite.posted_per_s", rate, "1/s", raw_rate, "raw insert of the same rows, same batch size"),
        Figure("ledger.sqlite.share_of_raw_insert", rate / raw_rate, "share", 1.0, "the raw insert itself"),
    ], rows


def _singles(run: Run, writer: Writer, raw: RawTable, requests: Iterator[TransferRequest], rows: Rows) -> Figure:
    """One post, one raw commit of one row, in turn, so that both meet the same disk."""
    posts, commits = [], []
    ending = time.perf_counter() + ROUNDS * run.seconds
    for row in rows:
        outcome = None
        while not isinstance(outcome, Posted):
            work = _posting([next(requests)])
            started = time.perf_counter()
            (outcome,) = writer.submit(work).result()
            seconds = time.perf_counter() - started
        posts.append(seconds)
        commits.append(raw.insert([row], 1))
        if time.perf_counter() > ending:
            break
    post, commit = percentile(posts, 50) * 1_000, percentile(commits, 50) * 1_000
    return Figure("ledger.sqlite.single_post_ms_p50", post, "ms", commit, "this disk's own commit of one row, p50")
