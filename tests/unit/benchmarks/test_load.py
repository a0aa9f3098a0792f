"""The load: as a plant makes it, and the same again for the same seed."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from benchmarks.load import Load, random_ids
from ledger.transfer import TransferRequest


def test_the_same_seed_makes_the_same_requests() -> None:
    assert Load(50, 20).works(3) == Load(50, 20).works(3)
    assert Load(50, 20, seed=1).work() != Load(50, 20, seed=2).work()


def test_ids_are_sixteen_bytes_and_those_of_a_later_work_come_later() -> None:
    works = Load(50, 20).works(3)
    assert {len(request.id) for work in works for request in work} == {16}
    assert all(max(_ids(earlier)) < min(_ids(later)) for earlier, later in pairwise(works))


def test_random_ids_say_nothing_of_when_they_were_made() -> None:
    first, second = Load(50, 20, ids=random_ids).works(2)
    assert min(_ids(second)) < max(_ids(first))


def test_no_id_comes_twice_and_nobody_pays_himself() -> None:
    requests = [request for work in Load(20, 500).works(10) for request in work]
    assert len({request.id for request in requests}) == len(requests) == 5_000
    assert all(request.debit != request.credit for request in requests)


def test_the_busiest_of_a_thousand_accounts_makes_an_eighth_of_all_payments() -> None:
    paid = Counter(str(request.debit) for request in Load(1_000, 40_000).work())
    assert paid["machine-0"] / 40_000 == pytest.approx(1 / 7.485, rel=0.05)
    assert paid["machine-0"] / paid["machine-1"] == pytest.approx(2, rel=0.1)


def test_about_one_payment_in_a_hundred_finds_no_funds() -> None:
    load = Load(1_000, 5_000)
    balances = {account.id: 0 for account in load.accounts}
    floors = {account.id: account.floor.units for account in load.accounts}
    refused = 0
    for request in (request for work in load.works(60) for request in work):
        if balances[request.debit] - request.amount.units < floors[request.debit]:
            refused += 1
        else:
            balances[request.debit] -= request.amount.units
            balances[request.credit] += request.amount.units
    assert 0.007 < refused / 300_000 < 0.013


def test_a_work_of_another_size_counts_on() -> None:
    load = Load(50, 20)
    (one,) = load.work(1)
    assert [request.reference.partition("#")[2] for request in load.work(2)] == ["1", "2"]
    assert one.reference == "drill-wear#0"


def _ids(work: list[TransferRequest]) -> list[bytes]:
    return [request.id for request in work]
