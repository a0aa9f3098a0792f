"""The example's spot prices: one whole day, in quarters of an hour."""

import csv
from decimal import Decimal

from examples.plant.plc_process import ROOT


def test_the_quarters_join_into_one_day_with_two_peaks_and_one_negative_night_price() -> None:
    comment, *rows = (ROOT / "examples" / "spot-se3.csv").read_text().splitlines()
    quarters = list(csv.DictReader(rows))
    times = [f"{quarter // 4:02}:{quarter % 4 * 15:02}" for quarter in range(97)]
    prices = [Decimal(quarter["price"]) for quarter in quarters]
    assert comment.startswith("#")
    assert [quarter["from"] for quarter in quarters] == times[:96]
    assert [quarter["to"] for quarter in quarters] == times[1:]
    assert [quarter["from"] < "06:00" for quarter in quarters if quarter["price"].startswith("-")] == [True]
    midday = max(prices[11 * 4 : 14 * 4])
    assert max(prices[7 * 4 : 9 * 4]) > midday
    assert max(prices[17 * 4 : 20 * 4]) > midday
