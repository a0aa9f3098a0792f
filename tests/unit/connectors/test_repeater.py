"""What is told again in silence, and in which order; without a server, by a clock that is told."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from connectors.connector import Reading, bad
from connectors.repeater import LATE_SECONDS, Repeater
from core.clock import SECOND, Instant, ManualClock
from core.sample import Quality, Sample, TagId
from settlement.meter import MeterState, RunningTime

START = Instant(1_000 * SECOND)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


def reading(tag: str, value: int, at: int | None = None) -> Reading:
    return Reading(TagId(tag), value, Quality.GOOD, None if at is None else Instant(at))


def told(readings: list[Reading]) -> list[tuple[str, object, Instant | None]]:
    return [(reading.tag, reading.value, reading.source_time) for reading in readings]


def test_a_sign_of_life_repeats_what_it_does_not_change(clock):
    repeater = Repeater(clock)
    assert told(repeater.heard([reading("a", 1, START), reading("b", 2)])) == [("a", 1, START), ("b", 2, None)]
    now = clock.advance(SECOND)
    assert told(repeater.heard([reading("a", 3, now - 5)])) == [("a", 3, now - 5), ("b", 2, now)]
    now = clock.advance(SECOND)
    assert told(repeater.heard([])) == [("a", 3, now), ("b", 2, now)]


def test_signs_of_life_in_quick_succession_repeat_once_a_second(clock):
    repeater = Repeater(clock)
    repeater.heard([reading("a", 1, START)])
    repeated = 0
    for _ in range(100):
        clock.advance(SECOND // 10)
        repeated += len(repeater.heard([]))
    assert 9 <= repeated <= 12


def test_the_remark_on_one_value_is_not_repeated_with_it(clock):
    repeater = Repeater(clock)
    repeater.heard([replace(reading("a", 1, START), reason="data loss")])
    clock.advance(SECOND)
    assert [repeat.reason for repeat in repeater.heard([])] == [""]


@pytest.mark.parametrize("worse", [bad(TagId("a"), "broken"), Reading(TagId("a"), 1, Quality.UNCERTAIN)])
def test_a_tag_that_is_no_longer_good_is_not_repeated(clock, worse):
    repeater = Repeater(clock)
    repeater.heard([reading("a", 1, START), reading("b", 2, START), worse])
    now = clock.advance(SECOND)
    assert told(repeater.heard([])) == [("b", 2, now)]


def test_silence_repeats_nothing_unless_it_was_agreed(clock):
    repeater = Repeater(clock)
    repeater.heard([reading("a", 1, START)])
    clock.advance(SECOND)
    assert repeater.quiet() == []


def test_agreed_silence_repeats_until_the_next_sign_of_life_is_overdue(clock):
    repeater = Repeater(clock, silence_seconds=5)
    repeater.heard([reading("a", 1, START)])
    repeated = []
    for _ in range(20):
        clock.advance(SECOND // 2)
        repeated += repeater.quiet()
    assert len(repeated) == 5
    assert repeated[-1].source_time <= START + int((5 + LATE_SECONDS) * SECOND)
    assert repeater.heard([]) != []  # it was only late


def test_nothing_is_repeated_while_newer_messages_wait(clock):
    repeater = Repeater(clock)
    repeater.heard([reading("a", 1, START)])
    clock.advance(SECOND)
    assert repeater.heard([], newest=False) == []
    assert repeater.heard([]) != []


def test_a_change_timed_before_the_repeat_is_told_after_it_and_those_behind_it_keep_their_distance(clock):
    repeater = Repeater(clock)
    repeater.heard([reading("a", 0, START)])
    repeated = clock.advance(SECOND)
    repeater.heard([])
    now = clock.advance(SECOND // 10)
    changes = [reading("a", 1, repeated - 20), reading("a", 0, repeated), reading("a", 1, repeated + 1)]
    after = repeated + 1
    assert told(repeater.heard(changes)) == [("a", 1, after), ("a", 0, after + 20), ("a", 1, after + 21)]
    assert told(repeater.heard([reading("a", 0, now + 10)])) == [("a", 0, now)]


@pytest.mark.parametrize("slow", [0, 300_000, SECOND, 4 * SECOND])
def test_pulses_keep_their_length_when_the_clock_of_the_device_is_slow(clock, slow):
    """Ten pulses of 0.2 s, one every 0.6 s, published every 0.3 s by a device whose clock is behind."""
    repeater = Repeater(clock)
    meter, state = RunningTime(TagId("a")), MeterState()
    begin = clock.now()
    edges = [(begin + n * 600_000 + off, on) for n in range(10) for off, on in ((0, True), (200_000, False))]
    while clock.now() < begin + 7 * SECOND:
        now = clock.advance(300_000)
        changes = [reading("a", on, at - slow) for at, on in edges if now - 300_000 <= at < now]
        for each in repeater.heard(changes):
            sample = Sample(each.tag, each.value, each.quality, each.source_time, now)
            state, _ = meter.read(state, sample)
    assert abs(state.total - 2) <= Decimal("0.2")


def test_the_wall_clock_may_step_back_without_losing_the_order_for_longer_than_a_repeat(clock):
    repeater = Repeater(clock)
    repeater.heard([reading("a", 0, START)])
    repeated = clock.advance(SECOND)
    repeater.heard([])
    clock.advance(-3600 * SECOND)
    assert told(repeater.heard([reading("a", 1, clock.now())])) == [("a", 1, repeated + 1)]
    now = clock.advance(SECOND)
    assert told(repeater.heard([])) == [("a", 1, now)]
    assert told(repeater.heard([reading("a", 2, now + 1)])) == [("a", 2, now + 1)]


def test_after_messages_were_lost_only_what_is_told_anew_is_repeated(clock):
    repeater = Repeater(clock)
    repeater.heard([reading("a", 1, START), reading("b", 2, START)])
    repeater.forget()
    repeater.heard([reading("b", 3, START)])
    now = clock.advance(SECOND)
    assert told(repeater.heard([])) == [("b", 3, now)]
