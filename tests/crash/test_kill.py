"""Myntverk is killed again and again while the PLCs run on: no krona is lost, none is paid twice.

MYNTVERK_CRASH_ROUNDS kills more often than 20 times, MYNTVERK_CRASH_SEED at other moments. A round takes about as
long as a start, two to four seconds of one core.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from core.ids import TransferId
from ledger.account import AccountId
from ledger.database import open_engine
from ledger.operations import Reader
from ledger.transfer import Transfer
from tests.support.plant import PRICES, Factory, eventually, myntverk, owed

ROUNDS = int(os.environ.get("MYNTVERK_CRASH_ROUNDS", "20"))
SEED = int(os.environ.get("MYNTVERK_CRASH_SEED", "1"))
STARTING_SHARE = 0.3
"""Of the kills, those that strike before the server listens."""
SETTLED_S_MAX = 20.0

BEFORE = {"odometer": 1234, "parts": 2**32 - 3, "energy": 99_999, "picked": 7, "orders": 2**31, "items_in": 480}
"""Where the counters stand when Myntverk first sees them; `parts` rolls over in the middle of it all."""


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[Factory]:
    factory = Factory(tmp_path)
    try:
        yield factory
    finally:
        factory.close()


def test_every_count_is_paid_once_however_often_myntverk_is_killed(factory: Factory) -> None:
    random = Random(SEED)
    for name, value in BEFORE.items():
        kind = "modbus" if name in ("odometer", "parts", "energy") else "opcua"
        assert factory.plcs[kind].ask(f"set {name} {value}") == "ok"
    began = time.monotonic()
    before = factory.counters()
    assert before.items() >= BEFORE.items()
    running = factory.start()
    running.wait_for("opc ua server listening")
    eventually(lambda: len(factory.meters()) == 9, 20, "the first reading of every meter")
    assert factory.paid().keys() <= {"wear"}  # the line stands still, only its robot is switched on
    factory.work()

    paid_when_killed = []
    for _ in range(ROUNDS):
        if random.random() < STARTING_SHARE:
            time.sleep(random.uniform(0.2, 4.0))
        else:
            running.wait_for("opc ua server listening")
            time.sleep(random.uniform(0.3, 1.5))
        running.kill()
        paid_when_killed.append(sum(paid.units for paid in factory.paid().values()))
        assert "Traceback" not in running.text
        running = factory.start()

    running.wait_for("opc ua server listening")
    factory.work(False)
    after = factory.counters()
    due = owed(before, after)
    eventually(lambda: factory.paid_units() == due or None, SETTLED_S_MAX, f"{due} paid; paid is {factory.paid()}")
    assert running.end() == 0

    assert factory.paid_units() == due
    assert all(due[agreement] > 0 for agreement in PRICES), "the line worked too little to prove anything"
    assert after["parts"] < BEFORE["parts"]
    assert len(set(paid_when_killed)) > 1, "it was always killed before the first payment"
    hours = Decimal(time.monotonic() - began) / 3600
    assert 0 < factory.paid()["wear"].units <= 2 * 950 * hours * 10**8
    assert_the_book_is_sound(factory)


def assert_the_book_is_sound(factory: Factory) -> None:
    ended = myntverk("ledger", "verify", "--plant", factory.file, "--data", factory.data, "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    verification = json.loads(ended.stdout)
    assert verification["verified"]
    assert verification["faults"] == []
    assert {code: Decimal(total) for code, total in verification["trial_balance"].items()} == {"SEK": 0}

    reader = Reader(open_engine(f"sqlite:///{factory.data / 'myntverk.db'}"), "line-1")
    times_seen: Counter[TransferId] = Counter()
    for status in reader.overview().statuses:
        balance = 0
        for transfer in whole_statement(reader, status.account.id):
            sign = 1 if transfer.request.credit == status.account.id else -1
            balance += sign * transfer.request.amount.units
            times_seen[transfer.id] += 1
        assert balance == status.balance.units
    assert set(times_seen.values()) == {2}, "each transfer stands in exactly two statements"
    assert len(times_seen) == verification["transfers"]
    with factory.rows("SELECT count(*), count(DISTINCT transfer_id), count(DISTINCT reference) FROM transfer") as rows:
        assert rows == [(len(times_seen),) * 3]


def whole_statement(reader: Reader, account: AccountId) -> Iterator[Transfer]:
    before = None
    while page := reader.statement(account, limit=1000, before=before):
        yield from page
        before = (page[-1].seq, page[-1].position)
