"""The line: repeatable, and it behaves like a line."""

from itertools import pairwise

import pytest

from examples.plant.agv import LEG_M, TURN_FROM_M, TURN_TO_M, Agv, speed_limit
from examples.plant.line import COUNTERS, FACADE_ROOM_ITEMS, UINT32, Line

HOUR_S = 3600
RARE = ["pallets_in", "pallets_out", "items_in", "orders"]


def test_the_same_seed_gives_the_same_signals_however_time_is_cut() -> None:
    whole, cut = Line(3), Line(3)
    whole.step(120)
    for _ in range(1200):
        cut.step(0.1)
    assert whole.signals == cut.signals


def test_another_seed_gives_another_course_of_events() -> None:
    one, other = Line(1), Line(2)
    one.step(600)
    other.step(600)
    assert one.counters() != other.counters()


@pytest.mark.parametrize("seed", range(25))
def test_every_counter_has_moved_within_eight_seconds_of_a_fresh_start(seed: int) -> None:
    line = Line(seed)
    line.step(8)
    assert [name for name, value in line.counters().items() if value == 0] == []


def test_the_rare_counters_wait_until_a_reader_has_had_time_to_connect() -> None:
    line = Line(7)
    line.step(6)
    assert [name for name, value in line.counters().items() if value == 0] == RARE


def test_an_hour_looks_like_a_real_line() -> None:
    line = Line(7)
    before = line.counters()
    working = 0
    for _ in range(HOUR_S):
        line.step(1)
        now, signals = line.counters(), line.signals
        assert all(now[name] >= before[name] for name in COUNTERS)
        assert now["odometer"] - before["odometer"] <= 165
        assert now["energy"] - before["energy"] <= 60_000 // HOUR_S + 1
        assert 0 <= signals.speed <= 1600
        assert 200 <= signals.battery <= 1000
        assert 35 <= signals.temperature <= 75
        assert 0 <= signals.rpm <= 3000
        assert 5900 <= signals.pressure <= 6300
        working += signals.running
        before = now
    assert 0.7 * HOUR_S < working < HOUR_S  # short stops, but mostly at work
    assert HOUR_S / 3.5 < now["parts"] < HOUR_S / 2
    assert 4 * now["parts"] <= now["picked"] <= 4.3 * now["parts"]
    assert 20_000 < now["energy"] < 60_000
    assert 24 * now["pallets_in"] <= now["items_in"] <= 48 * now["pallets_in"]
    # Material is neither made nor lost: what left the warehouse was picked, but for what stands at the facade.
    assert abs(48 * now["pallets_out"] - now["picked"]) <= FACADE_ROOM_ITEMS


def test_a_retained_counter_counts_on_and_wraps_at_32_bits() -> None:
    line = Line(7)
    line.restore({"energy": UINT32 - 5, "parts": 1000})
    line.step(8)
    assert 0 < line.signals.energy < 1000
    assert 1000 < line.signals.parts < 1005


def test_an_unknown_counter_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"expected a counter \(odometer.*got 'litres'"):
        Line(7).restore({"litres": 1})


def test_the_agv_slows_down_for_the_turn_and_stops_at_the_end() -> None:
    assert speed_limit(TURN_FROM_M) == speed_limit(TURN_TO_M - 0.01) == pytest.approx(0.6)
    assert speed_limit(TURN_TO_M + 1) > 0.6
    agv, speeds, driven = Agv(), [], 0.0
    while not agv.step(0.05, pallet_waits=True).loaded:
        pass
    while True:
        step = agv.step(0.05, pallet_waits=True)
        driven += step.distance_m
        speeds.append(agv.speed)
        if step.unloaded:
            break
    assert driven == pytest.approx(LEG_M)
    assert speeds[-1] == 0
    assert max(speeds) > 1.5
    assert all(abs(later - earlier) < 0.1 for earlier, later in pairwise(speeds))


def test_the_agv_waits_until_a_pallet_is_wanted() -> None:
    agv = Agv()
    assert not any(agv.step(0.05, pallet_waits=False).loaded for _ in range(1000))
    assert any(agv.step(0.05, pallet_waits=True).loaded for _ in range(100))
