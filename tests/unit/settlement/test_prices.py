"""Prices over time: known for a period or not known, by the plant's clock or by instants."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from core.clock import Instant, from_datetime
from core.errors import Misconfigured
from settlement.prices import PROBLEMS_MAX, PriceSeries, PriceSettings, load_price_csv

STOCKHOLM = ZoneInfo("Europe/Stockholm")


def load(folder: Path, *lines: str) -> PriceSeries:
    path = folder / "prices.csv"
    path.write_text("\n".join(["# SE3", "from,to,price", *lines]), "utf-8")
    return load_price_csv(path, STOCKHOLM)


def problems(folder: Path, *lines: str) -> list[tuple[int, str]]:
    with pytest.raises(Misconfigured) as caught:
        load(folder, *lines)
    return [(problem.line, problem.message) for problem in caught.value.problems]


def at(text: str) -> Instant:
    moment = datetime.fromisoformat(text)
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=STOCKHOLM))


def test_a_price_holds_from_its_start_up_to_its_end(tmp_path: Path) -> None:
    series = load(tmp_path, "2026-11-22T00:00+01:00,2026-11-22T00:15+01:00,0.4123")
    start, end = at("2026-11-22T00:00+01:00"), at("2026-11-22T00:15+01:00")
    assert series.price_at(start) == Decimal("0.4123")
    assert series.price_at(Instant(end - 1)) == Decimal("0.4123")
    assert series.price_at(end) is None
    assert series.price_at(Instant(start - 1)) is None


def test_a_price_may_be_negative_and_is_exact(tmp_path: Path) -> None:
    series = load(tmp_path, "2026-06-01T12:00Z,2026-06-01T13:00Z,-0.000000000001")
    assert series.price_at(at("2026-06-01T12:30+00:00")) == Decimal("-0.000000000001")


def test_dated_prices_change_at_every_start_and_end(tmp_path: Path) -> None:
    series = load(
        tmp_path,
        "2026-11-22T02:00Z,2026-11-22T03:00Z,2",
        "2026-11-22T00:00Z,2026-11-22T01:00Z,1",
    )
    cuts, now = [], Instant(0)
    while (cut := series.changes_after(now)) is not None:
        cuts.append(cut)
        now = cut
    assert cuts == [at(f"2026-11-22T0{hour}:00+00:00") for hour in range(4)]


def test_a_day_of_prices_repeats_every_day(tmp_path: Path) -> None:
    series = load(tmp_path, "00:00,06:00,0.30", "06:00,22:00,0.80", "22:00,24:00,0.30")
    for day in ("2026-01-15", "2026-07-15"):
        assert series.price_at(at(f"{day}T05:59:59")) == Decimal("0.30")
        assert series.price_at(at(f"{day}T06:00")) == Decimal("0.80")
        assert series.changes_after(at(f"{day}T06:00")) == at(f"{day}T22:00")


def test_a_period_may_span_midnight_and_midnight_is_then_no_change(tmp_path: Path) -> None:
    series = load(tmp_path, "22:00,06:00,0.30", "06:00,22:00,0.80")
    assert series.price_at(at("2026-11-22T23:59")) == series.price_at(at("2026-11-22T00:01")) == Decimal("0.30")
    assert series.changes_after(at("2026-11-22T22:00")) == at("2026-11-23T06:00")


def test_a_time_of_day_without_a_price_is_not_known(tmp_path: Path) -> None:
    series = load(tmp_path, "06:00,22:00,0.80")
    assert series.price_at(at("2026-11-22T23:00")) is None
    assert series.changes_after(at("2026-11-22T23:00")) == at("2026-11-23T06:00")


def test_one_price_for_the_whole_day_never_changes(tmp_path: Path) -> None:
    series = load(tmp_path, "00:00,24:00,0.80")
    assert series.changes_after(at("2026-11-22T23:00")) is None
    assert load(tmp_path, "00:00,00:00,0.80").price_at(at("2026-11-22T23:59:59")) == Decimal("0.80")


def test_the_hour_that_the_clock_shows_twice_has_its_prices_twice(tmp_path: Path) -> None:
    series = load(tmp_path, "00:00,02:00,1", "02:00,02:30,2", "02:30,03:00,3", "03:00,24:00,4")
    seen, now = [], at("2026-10-25T00:00+02:00")
    while now < at("2026-10-26T00:00+01:00"):
        seen.append((now, series.price_at(now)))
        now = series.changes_after(now) or now
    assert seen == [
        (at("2026-10-25T00:00+02:00"), 1),
        (at("2026-10-25T02:00+02:00"), 2),
        (at("2026-10-25T02:30+02:00"), 3),
        (at("2026-10-25T02:00+01:00"), 2),
        (at("2026-10-25T02:30+01:00"), 3),
        (at("2026-10-25T03:00+01:00"), 4),
    ]


def test_the_hour_that_the_clock_skips_has_no_price(tmp_path: Path) -> None:
    series = load(tmp_path, "00:00,02:00,1", "02:00,02:30,2", "02:30,03:00,3", "03:00,24:00,4")
    before = at("2026-03-29T01:59:59+01:00")
    assert series.price_at(before) == 1
    assert series.changes_after(before) == at("2026-03-29T03:00+02:00")
    assert series.price_at(at("2026-03-29T03:00+02:00")) == 4


def test_quarters_of_a_year_agree_with_the_clock_on_the_wall(tmp_path: Path) -> None:
    clocks = [f"{hour:02}:{minute:02}" for hour in range(24) for minute in (0, 15, 30, 45)]
    lines = [f"{start},{end},{n}" for n, (start, end) in enumerate(zip(clocks, [*clocks[1:], "24:00"], strict=True))]
    series = load(tmp_path, *lines)
    quarter, first = 15 * 60 * 1_000_000, at("2026-01-01T00:07")
    for step in range(0, 365 * 96, 7):
        now = Instant(first + step * quarter)
        local = datetime.fromtimestamp(now // 1_000_000, STOCKHOLM)
        assert series.price_at(now) == local.hour * 4 + local.minute // 15
        assert series.changes_after(now) == now + 8 * 60 * 1_000_000


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("00:00,00:15", "expected from,to,price"),
        ("00:00,00:15,0,4123", "decimals with a point"),
        ("00:00,00:15,cheap", "expected a price such as 0.4123, got 'cheap'"),
        ("00:00,00:15,1e999999", "expected a price"),
        ("00:00,00:15,NaN", "expected a price"),
        ("00:00,00:15,1٣", "expected a price"),
        ("24:15,01:00,1", "from 00:00 to 24:00, got '24:15'"),
        ("00:60,01:00,1", "from 00:00 to 24:00, got '00:60'"),
        ("06:00,06:00,1", "06:00 to 06:00 has no length"),
        ("2026-11-22T00:00,2026-11-22T01:00,1", "with date and offset"),
        ("2026-11-22T01:00Z,2026-11-22T00:00Z,1", "not after it begins"),
        ("2026-02-30T01:00Z,2026-03-01T00:00Z,1", "got '2026-02-30T01:00Z'"),
        ("06:00,2026-11-22T00:00Z,1", "got '06:00'"),
        ("\0,\0,\0", "expected a price"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, line: str, message: str) -> None:
    ((number, text),) = problems(tmp_path, "12:00,13:00,1", line)
    assert number == 4
    assert message in text


def test_every_wrong_line_is_reported_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, "00:00,02:00,1", "x", "01:00,03:00,2", "", "# a comment", "01:30,01:45,3", "y,z,1")
    assert [(line, text.split(",")[0]) for line, text in found] == [
        (4, "expected from"),
        (5, "overlaps line 3"),
        (8, "overlaps line 5"),
        (9, "expected a time such as 06:00"),
    ]


def test_a_flood_of_wrong_lines_is_cut_off(tmp_path: Path) -> None:
    found = problems(tmp_path, *["nonsense"] * (PROBLEMS_MAX + 7))
    assert len(found) == PROBLEMS_MAX + 1
    assert found[-1] == (0, "and 7 more")


def test_times_of_day_and_dates_do_not_mix(tmp_path: Path) -> None:
    ((line, text),) = problems(tmp_path, "00:00,02:00,1", "2026-11-22T00:00Z,2026-11-22T01:00Z,1")
    assert line == 4
    assert "mixed" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "has no prices"), (b"00:00,24:00,1\n", "expected the heading 'from,to,price'"), (b"\xff\xfe", "not UTF-8")],
)
def test_a_file_that_is_no_price_list_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "prices.csv"
    path.write_bytes(content)
    with pytest.raises(Misconfigured, match=message):
        load_price_csv(path, STOCKHOLM)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"missing\.csv: cannot be read"):
        load_price_csv(tmp_path / "missing.csv", STOCKHOLM)


def test_settings_say_where_the_prices_are() -> None:
    settings = PriceSettings.model_validate({"csv": "spot-se3.csv", "unit": "kr/kWh"})
    assert settings.csv == Path("spot-se3.csv")
    with pytest.raises(ValueError, match="uint"):
        PriceSettings.model_validate({"csv": "spot-se3.csv", "uint": "kr/kWh"})
