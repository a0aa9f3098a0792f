"""How works are handed to a writer: never one by one, and every answer counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.book import open_book
from benchmarks.database import Database, catch_up, fresh_postgresql, posted_rows
from benchmarks.gateways import FIRST_SEED, two_gateways
from benchmarks.latency import offer
from benchmarks.load import OWNER, Load
from benchmarks.posting import WORKS_QUEUED, post_built, post_works
from benchmarks.run import Run
from ledger.batch import Batch
from ledger.transfer import TransferRequest


def test_the_writer_always_has_further_works_at_hand(database: Database) -> None:
    load, handed_over, waiting = Load(20, 10), [0], []

    def works() -> Iterator[list[TransferRequest]]:
        for work in load.works(9):
            handed_over[0] += 1
            yield work

    with open_book(database.url, [OWNER], load.accounts) as writer:
        for answered, _ in enumerate(post_works(writer, works()), 1):
            waiting.append(handed_over[0] - answered)
    assert waiting == [WORKS_QUEUED] * 5 + [3, 2, 1, 0]


def test_a_tally_counts_what_the_book_holds(database: Database) -> None:
    load = Load(20, 200)
    with open_book(database.url, [OWNER], load.accounts) as writer:
        tally = post_built(writer, load.works(5))
    assert tally.posted + tally.refused == 1_000
    assert tally.refused > 0
    assert len(posted_rows(database, 0)) == tally.posted
    assert len(tally.waits) == 5
    assert max(tally.waits) <= tally.seconds


def test_catching_up_waits_until_the_totals_are_added_up(database: Database) -> None:
    load = Load(20, 2_000)
    with open_book(database.url, [OWNER], load.accounts) as writer:
        tally = post_built(writer, load.works(5))
        catch_up(database)
        with database.connect() as connection:
            ((totalled,),) = connection.execute("SELECT sum(transfers) FROM link").fetchall()
    assert totalled == tally.posted


def test_what_is_offered_waits_for_no_answer_and_is_timed_from_when_it_was_due(database: Database) -> None:
    load = Load(20, 20)

    def hold_up(_: Batch) -> None:
        time.sleep(0.3)

    async def measure() -> list[float]:
        delaying = asyncio.create_task(writer.run(hold_up))
        await asyncio.sleep(0)
        latencies = await offer(writer, load.work(), per_s=200)
        await delaying
        return latencies

    with open_book(database.url, [OWNER], load.accounts) as writer:
        latencies = asyncio.run(measure())
    assert len(latencies) == 20
    assert all(latency > 0.15 for latency in latencies)  # the last was due after 0.1 s, and all waited for 0.3 s
    assert latencies[0] - latencies[-1] > 0.08


def test_two_gateways_both_post_into_one_book(server: str, tmp_path: Path) -> None:
    load = Load(20, 10)
    with fresh_postgresql(server) as database:
        with open_book(database.url, [OWNER], load.accounts):
            pass
        (figure,) = two_gateways(Run(tmp_path, seconds=0.01, size=1), database, load)
        posted = {bytes(row[4]) for row in posted_rows(database, 0)}
    assert figure.name == "ledger.postgresql.two_gateways_per_s"
    for seed in FIRST_SEED, FIRST_SEED + 1:
        assert posted & {bytes(request.id) for request in Load(20, 10, seed).work()}
