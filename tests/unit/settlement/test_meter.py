"""What a meter bills, and what it holds back. Each case is a row of readings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

import pytest

from core.clock import SECOND, Instant
from core.quantity import UNITS
from core.sample import Quality, Sample, TagId, Value
from settlement.meter import Condition, Counter, Edges, Finding, Integral, Meter, MeterState, RunningTime

TAG = TagId("cell.parts")
NOON = 1_795_000_000 * SECOND
PARTS = Counter(TAG, UNITS["pieces"], max_rate=Decimal(5), modulus=Decimal(2**16))


def sample(seconds: float, value: Value, quality: Quality = Quality.GOOD) -> Sample:
    at = Instant(NOON + round(seconds * SECOND))
    return Sample(TAG, value, quality, at, at)


def read(meter: Meter, samples: Iterable[Sample], state: MeterState | None = None) -> tuple[MeterState, list[Finding]]:
    state, findings = state or MeterState(), []
    for one in samples:
        state, found = meter.read(state, one)
        findings.extend(found)
    return state, findings


def every_second(values: Iterable[Value], start: float = 0) -> list[Sample]:
    return [
        sample(start + second, value, Quality.GOOD if value is not None else Quality.BAD)
        for second, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("readings", "billed", "conditions"),
    [
        ([100, 103, 107], 7, ["first"]),
        ([0, 0, 0], 0, ["first"]),
        ([100, None, None, 112], 12, ["first"]),
        ([100, 103, 0, 106], 6, ["first", "suspect", "glitch"]),
        ([100, 103, 9000, 106], 6, ["first", "suspect", "glitch"]),
        ([100, 103, 9000, 20, 60000, 106], 6, ["first", "suspect", "glitch"]),
        ([100, 103, 0, 0, 0, 0, 0, 0, 3, 6], 3 + 6, ["first", "suspect", "reset"]),
        ([100, 103, 0, 1, 2, 3, 4, 5], 3 + 5, ["first", "suspect", "reset"]),
        ([100, 103, 9000, 9001, 9002, 9003, 9004, 9006], 3 + 6, ["first", "suspect", "jump"]),
        ([65530, 65534, 2, 5], 4 + 4 + 3, ["first", "rollover"]),
        ([100, 98, 103], 3, ["first", "suspect", "glitch"]),
        ([100, "text", 103], 3, ["first"]),
    ],
)
def test_a_counter_bills_what_was_made_and_nothing_else(
    readings: list[Value], billed: int, conditions: list[str]
) -> None:
    state, findings = read(PARTS, every_second(readings))
    assert state.total == billed
    assert [finding.condition.value for finding in findings] == conditions


def test_a_counter_that_restarts_at_zero_is_not_billed_twice() -> None:
    """The naive methods bill the whole register again at a reset, or wrap it round; we bill neither."""
    before, _ = read(PARTS, every_second(range(40_000, 40_050)))
    after, findings = read(PARTS, every_second(range(50), start=50), before)
    assert before.total == 49
    assert after.total == 49 + 49
    assert after.segment == 2
    assert [finding.condition for finding in findings] == [Condition.SUSPECT, Condition.RESET]


def test_zeros_while_a_machine_starts_up_are_no_reset_however_long_they_last() -> None:
    zeros = [sample(10 + n / 10, 0) for n in range(150)]
    state, findings = read(PARTS, [*every_second([100, 104]), *zeros, sample(25.5, 120)])
    assert state.total == 20
    assert state.segment == 1
    assert findings[-1].condition is Condition.GLITCH


def test_what_was_made_while_nobody_looked_is_billed_when_it_can_have_been_made() -> None:
    """A restart after an hour: the register is the truth, bounded by what the machine can do."""
    state, _ = read(PARTS, [sample(0, 100), sample(3600, 100 + 3600 * 5)])
    assert state.total == 18_000
    state, findings = read(PARTS, [sample(0, 100), sample(3600, 100 + 3600 * 6)])
    assert state.total == 0
    assert findings[-1].condition is Condition.SUSPECT


def test_a_register_that_is_renewed_once_a_second_may_be_read_ten_times_a_second() -> None:
    state, findings = read(PARTS, [sample(n / 10, 100 + n // 10 * 5) for n in range(50)])
    assert state.total == 20
    assert [finding.condition for finding in findings] == [Condition.FIRST]


def test_a_reading_that_comes_late_or_twice_changes_nothing() -> None:
    state, findings = read(PARTS, [sample(0, 100), sample(2, 106), sample(1, 103), sample(2, 106), sample(3, 107)])
    assert state.total == 7
    assert [finding.condition for finding in findings] == [Condition.FIRST]


def test_a_clock_that_steps_back_stops_nothing() -> None:
    readings = [sample(7200 + n, 100 + n) for n in range(3)] + [sample(n, 103 + n) for n in range(3)]
    state, findings = read(PARTS, readings)
    assert state.total == 5
    assert Condition.CLOCK_STEPPED in [finding.condition for finding in findings]


def test_a_device_whose_clock_is_wrong_is_timed_by_our_own() -> None:
    wrong = [replace(one, source_time=Instant(one.source_time + 86_400 * SECOND)) for one in every_second([0, 4, 8])]
    state, _ = read(PARTS, wrong)
    assert state.total == 8
    assert state.time == wrong[-1].arrival_time


def test_a_scaled_counter_stays_exact() -> None:
    metres = Counter(TAG, UNITS["m"], max_rate=Decimal(3), step=Decimal("0.01"))
    state, _ = read(metres, every_second([Decimal("0.01") * n for n in range(0, 1000, 7)]))
    assert state.total == Decimal("0.01") * 994


def test_running_time_counts_while_the_tag_is_true_and_not_across_a_gap() -> None:
    meter = RunningTime(TAG, max_gap_microseconds=10 * SECOND)
    samples = [sample(0, True), sample(1.5, True), sample(2, False), sample(5, True), sample(6, True), sample(60, True)]
    state, findings = read(meter, [*samples, sample(61, False)])
    assert state.total == 2 + 1 + 1
    assert [finding.condition for finding in findings] == [Condition.GAP]


def test_power_over_time_is_energy() -> None:
    meter = Integral(TAG, UNITS["kW"])
    state, _ = read(meter, [sample(0, 10), sample(1, 20), sample(3, 0), sample(4, 5)])
    assert state.total == 10 + 40
    assert state.total * Decimal(meter.unit.factor_to(UNITS["kWh"]).denominator) ** -1 == Decimal(50) / 3600


def test_edges_are_counted_by_their_direction() -> None:
    readings = every_second([False, True, True, False, True, False])
    assert read(Edges(TAG), readings)[0].total == 2
    assert read(Edges(TAG, rising=False, falling=True), readings)[0].total == 2
    assert read(Edges(TAG, rising=True, falling=True), readings)[0].total == 4


def test_a_clock_that_was_set_back_costs_one_step_of_time_and_no_more() -> None:
    before, after = [(7200 + n, True) for n in range(11)], [(n, True) for n in range(11)]
    state, findings = read(RunningTime(TAG), [sample(at, value) for at, value in (*before, *after)])
    assert state.total == 20
    assert [finding.condition for finding in findings] == [Condition.CLOCK_STEPPED]
    edges, _ = read(Edges(TAG), [sample(7200, False), sample(1, True), sample(2, False), sample(3, True)])
    assert edges.total == 2


def test_values_that_share_a_time_are_all_news() -> None:
    assert read(Edges(TAG), [sample(0, value) for value in (False, True, False, True)])[0].total == 2
    assert read(PARTS, [sample(0, value) for value in (100, 101, 103)])[0].total == 3


def test_a_gap_in_which_a_register_can_have_turned_over_twice_is_told() -> None:
    state, findings = read(PARTS, [sample(0, 100), sample(100_000, 105)])
    assert state.total == 5
    assert [finding.condition for finding in findings] == [Condition.FIRST, Condition.AMBIGUOUS]


@pytest.mark.parametrize("garbage", [Decimal("1e60"), Decimal("-1e18"), Decimal("NaN"), Decimal("Infinity")])
def test_a_number_that_no_machine_can_mean_is_no_reading(garbage: Decimal) -> None:
    for meter in (Integral(TAG, UNITS["kW"]), Counter(TAG, UNITS["Wh"]), RunningTime(TAG)):
        state, _ = read(meter, [sample(0, 1), sample(1, garbage), sample(2, 1)])
        assert state.total <= 2
