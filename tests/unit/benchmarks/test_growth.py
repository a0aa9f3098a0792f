"""The growth of a book: measured as it grows, drawn where there is something to draw with."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import growth
from benchmarks.__main__ import main
from benchmarks.database import Database, posted_rows
from benchmarks.growth import Point, draw, figures_of, grow
from benchmarks.run import Run


def test_a_book_grows_to_its_size_and_each_point_says_how_fast(tmp_path: Path, database: Database) -> None:
    points = grow(Run(tmp_path, seconds=0.01, size=0.002), database)
    sizes = [point.size for point in points]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] >= 0.002 * growth.TRANSFERS > sizes[-2]
    assert sizes[-1] == len(posted_rows(database, 0))
    assert all(point.rate > 0 and point.wait_p99 > 0 for point in points)


def test_the_last_quarter_is_shown_beside_the_first() -> None:
    points = [Point(10 * number, 100 - number, number / 1_000) for number in range(1, 9)]
    rate, wait = figures_of("sqlite", points)
    assert (rate.value, rate.baseline) == (92.5, 98.5)
    assert (wait.value, wait.baseline) == (7.5, 1.5)
    assert rate.against == "the first quarter of 80 transfers"


def test_without_matplotlib_it_says_so_before_it_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(growth, "find_spec", lambda _name: None)
    monkeypatch.setattr(growth, "grow", lambda *_: pytest.fail("it measured"))
    with pytest.raises(SystemExit, match="needs matplotlib"):
        main(["ledger-growth", "--folder", str(tmp_path)])
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs matplotlib")
def test_the_same_points_draw_the_same_picture(tmp_path: Path) -> None:
    curves = {"sqlite": [Point(1_000_000, 90_000, 0.2), Point(2_000_000, 80_000, 0.3)]}
    for name in "one.svg", "two.svg":
        draw(curves, tmp_path / name)
    drawn = (tmp_path / "one.svg").read_text()
    assert "SQLite" in drawn
    assert "million transfers" in drawn
    assert (tmp_path / "two.svg").read_text() == drawn
