"""The shape of what the benchmarks print. How fast anything is, no test says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import GROUPS, LONG_GROUPS, main
from benchmarks.figure import Figure, as_json, as_table
from benchmarks.run import Group, percentile

TINY = ("--seconds", "0.01", "--size", "0.02")

FIGURES = {
    "pipeline": {
        "pipeline.priced_transfers_per_s": "1/s",
        "pipeline.samples_per_s": "1/s",
        "pipeline.sample_to_durable_ms_p50": "ms",
        "pipeline.sample_to_durable_ms_p99": "ms",
        "pipeline.signal_to_client_ms_p50": "ms",
        "pipeline.signal_to_client_ms_p99": "ms",
    },
    "ledger": {
        "ledger.sqlite.posted_per_s": "1/s",
        "ledger.sqlite.posted_per_s_random_ids": "1/s",
        "ledger.sqlite.posted_and_totalled_per_s": "1/s",
        "ledger.sqlite.share_of_raw_insert": "share",
        "ledger.sqlite.single_post_ms_p50": "ms",
        "ledger.sqlite.latency_ms_p50_at_2000_per_s": "ms",
        "ledger.sqlite.latency_ms_p99_at_2000_per_s": "ms",
        "ledger.sqlite.statement_page_ms": "ms",
        "ledger.sqlite.balance_at_ms": "ms",
        "ledger.sqlite.memory_growth_mb": "MB",
        "ledger.postgresql.posted_per_s": "1/s",
        "ledger.postgresql.posted_and_totalled_per_s": "1/s",
        "ledger.postgresql.share_of_raw_insert": "share",
        "ledger.postgresql.ratio_to_pgbench_tpcb": "ratio",
        "ledger.postgresql.single_post_ms_p50": "ms",
        "ledger.postgresql.latency_ms_p50_at_2000_per_s": "ms",
        "ledger.postgresql.latency_ms_p99_at_2000_per_s": "ms",
        "ledger.postgresql.two_gateways_per_s": "1/s",
        "ledger.postgresql.statement_page_ms": "ms",
        "ledger.postgresql.balance_at_ms": "ms",
    },
    "tariff": {"tariff.evaluations_per_s": "1/s", "tariff.prices_per_s": "1/s"},
}


def test_every_group_is_tried_here() -> None:
    assert set(FIGURES) == set(GROUPS)
    assert set(LONG_GROUPS) == {"ledger-growth"}  # tried in test_growth.py


@pytest.mark.parametrize("group", FIGURES)
def test_a_group_prints_one_json_object_of_its_figures_and_cleans_up(
    group: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    if group == "ledger":
        request.getfixturevalue("server")
    main([group, "--json", *TINY, "--folder", str(tmp_path)])
    figures = json.loads(capfd.readouterr().out)  # nothing else there, not even from the processes it starts
    assert {name: figure["unit"] for name, figure in figures.items()} == FIGURES[group]
    for name, figure in figures.items():
        assert list(figure) == ["value", "unit", "baseline", "ratio"]
        assert figure["value"] > 0 or name == "ledger.sqlite.memory_growth_mb"
        assert figure["ratio"] == pytest.approx(figure["value"] / figure["baseline"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_server")
def test_without_postgresql_its_figures_are_left_out_and_one_line_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    main(["ledger", "--json", *TINY, "--folder", str(tmp_path)])
    out, err = capfd.readouterr()
    assert set(json.loads(out)) == {name for name in FIGURES["ledger"] if name.startswith("ledger.sqlite.")}
    (line,) = (line for line in err.splitlines() if "no PostgreSQL" in line)
    assert "Connection refused" in line


def test_without_json_a_table_names_each_figure_and_its_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["tariff", *TINY, "--folder", str(tmp_path)])
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["figure", "value", "unit", "baseline", "ratio", "measured", "against"]
    assert [line.split()[0] for line in lines] == list(FIGURES["tariff"])
    assert all(line.endswith("eval of its bytecode with floats") for line in lines)


def test_all_groups_together_are_one_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_figure(group: str) -> Group:
        return lambda _: [Figure(f"{group}.one", 1.0, "ms", 2.0, "two")]

    for group in list(GROUPS):
        monkeypatch.setitem(GROUPS, group, one_figure(group))
    monkeypatch.setitem(LONG_GROUPS, "ledger-growth", one_figure("ledger-growth"))
    main(["--json", "--folder", str(tmp_path)])
    assert json.loads(capsys.readouterr().out) == {
        f"{group}.one": {"value": 1.0, "unit": "ms", "baseline": 2.0, "ratio": 0.5} for group in GROUPS
    }


@pytest.mark.parametrize("wrong", [["no-such-group"], ["--size", "0"], ["--seconds", "-1"], ["--seconds", "inf"]])
def test_a_wrong_argument_is_refused_and_nothing_measured(
    wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*wrong, "--folder", str(tmp_path / "none")])
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 2), (51, 3), (75, 3), (99, 4), (100, 4)])
def test_a_percentile_is_a_value_that_was_measured(percent: int, expected: float) -> None:
    assert percentile([4.0, 2.0, 1.0, 3.0], percent) == expected


def test_the_table_and_the_json_agree() -> None:
    figure = Figure("disk.commit_ms", 0.5, "ms", 0.25, "nothing")
    assert json.loads(as_json([figure]))["disk.commit_ms"]["ratio"] == 2.0
    assert as_table([figure]).splitlines()[1].split() == ["disk.commit_ms", "0.5", "ms", "0.25", "2.000", "nothing"]
