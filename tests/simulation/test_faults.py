"""The whole money path on a simulated plant, while the database fails again and again: what is booked is what the
machines did, each charge once, and the same seed gives the same head, whatever fails.

MYNTVERK_NIGHTLY=1 takes hundreds of seeds. A failing test names its seed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.clock import SECOND, Instant, ManualClock
from core.errors import OutcomeUnknown, Unavailable
from core.sample import Quality, Sample, TagId
from ledger.account import AccountId
from ledger.database import open_engine
from ledger.operations import Reader, open_accounts
from ledger.writer import Writer
from migrations import upgrade
from tests.support import simulated_plant
from tests.support.faulty_database import FaultyDatabase, Moment
from tests.support.simulated_plant import MORNING, PASSED, RUNNING, SimulatedPlant
from tests.support.simulation import (
    ACCOUNTS,
    ANSWER_SECONDS_MAX,
    BOOK,
    OWNER,
    TOLD,
    UNKNOWN,
    Ending,
    Fault,
    Simulation,
)

SEEDS = range(300 if os.environ.get("MYNTVERK_NIGHTLY") == "1" else 6)
TICKS = 60
SET_BACK_SHARE = 0.03


def ending(url: str, seed: int, faults: Sequence[Fault] = ()) -> Ending:
    """Run the seed's plant to its end, and prove what it came to."""
    plant = SimulatedPlant.of(seed, TICKS, SET_BACK_SHARE)
    simulation = Simulation(url, plant, seed, faults)
    ended = simulation.run()
    assert ended.faults == (), f"seed {seed}"
    assert ended.paid == plant.owed, f"seed {seed}"
    assert ended.balances == simulation.expected_balances(), f"seed {seed}"
    return ended


@pytest.mark.parametrize("seed", SEEDS)
def test_what_the_machines_did_is_paid_once_and_the_seed_gives_the_head(seed: int, tmp_path: Path) -> None:
    first, second = (ending(f"sqlite:///{tmp_path / name}.db", seed) for name in "ab")
    assert (first.seq, first.head) == (second.seq, second.head)


def test_the_head_does_not_depend_on_the_database(postgresql_url: str, tmp_path: Path) -> None:
    on_sqlite = ending(f"sqlite:///{tmp_path / 'a.db'}", 0)
    on_postgresql = ending(postgresql_url, 0)
    assert (on_sqlite.seq, on_sqlite.head) == (on_postgresql.seq, on_postgresql.head)


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(TOLD, id="told"),
        pytest.param(TOLD + UNKNOWN, id="unknown"),
    ],
)
def test_a_database_that_fails_changes_nothing_of_what_is_booked(faults: Sequence[Fault], tmp_path: Path) -> None:
    struck: Counter[Fault] = Counter()
    for seed in SEEDS:
        calm = ending(f"sqlite:///{tmp_path / f'{seed}-calm'}.db", seed)
        failing = ending(f"sqlite:///{tmp_path / f'{seed}-failing'}.db", seed, faults)
        struck += failing.struck
        assert (calm.seq, calm.head) == (failing.seq, failing.head), f"seed {seed}"
    assert set(struck) == set(faults), "a fault that never struck proves nothing"


def test_samples_that_were_kept_unknown_to_all_are_not_billed_again(tmp_path: Path) -> None:
    samples = [_sample(PASSED, second, second % 2 == 1) for second in range(20)]
    assert _paid(tmp_path, [samples], OutcomeUnknown) == {"gate": 10 * 150_000_000}


def test_a_failed_batch_after_a_silence_costs_no_running_time(tmp_path: Path) -> None:
    on = [_sample(RUNNING, 0, True), _sample(RUNNING, 1, True)]
    assert _paid(tmp_path, [on, [_sample(RUNNING, 30, True)], [_sample(RUNNING, 35, True)]], Unavailable) == {
        "robot": 6 * 750_000
    }


def _sample(tag: TagId, second: int, value: bool) -> Sample:
    at = Instant(MORNING + second * SECOND)
    return Sample(tag, value, Quality.GOOD, at, at)


def _paid(
    folder: Path, deliveries: Sequence[Sequence[Sample]], problem: type[Unavailable | OutcomeUnknown]
) -> dict[str, int]:
    """What the receivers of rent and toll earned, when the last delivery meets this problem once."""
    engine = open_engine(f"sqlite:///{folder / 'a.db'}")
    upgrade(engine)
    database = FaultyDatabase(engine)
    writer = Writer(engine, BOOK, ManualClock(MORNING))
    writer.start()
    settling = simulated_plant.engine(BOOK)
    try:
        writer.submit(open_accounts([OWNER], ACCOUNTS)).result(ANSWER_SECONDS_MAX)
        for delivery in deliveries[:-1]:
            writer.submit(settling.absorb(delivery)).result(ANSWER_SECONDS_MAX)
        if problem is OutcomeUnknown:
            database.fail(Moment.ANSWER, connections_refused=1)
        else:
            database.fail(Moment.STATEMENT)
        with pytest.raises(problem):
            writer.submit(settling.absorb(deliveries[-1])).result(ANSWER_SECONDS_MAX)
        settling.forget()
        writer.submit(settling.absorb(deliveries[-1])).result(ANSWER_SECONDS_MAX)
        statuses = Reader(engine, BOOK).overview().statuses
        received = {status.account.id: status.total_in.units for status in statuses}
        return {name: received[name] for name in map(AccountId, ("robot", "gate")) if received[name]}
    finally:
        writer.stop()
        engine.dispose()
