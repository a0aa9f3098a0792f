"""Each folder of tests/cases/config is a file with mistakes, and every problem that must be found in it."""

from pathlib import Path

import pytest

from config.plant import load_plant
from core.errors import Misconfigured

CASES = Path(__file__).parents[2] / "cases" / "config"


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_every_problem_of_a_file_is_found_at_once_with_its_line(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES / case)
    with pytest.raises(Misconfigured) as wrong:
        load_plant(Path("factory.yaml"))
    found = [str(problem) for problem in wrong.value.problems]
    assert found == Path("problems.txt").read_text("utf-8").splitlines()


def test_ten_mistakes_give_ten_problems_with_lines() -> None:
    with pytest.raises(Misconfigured) as wrong:
        load_plant(CASES / "ten-mistakes" / "factory.yaml")
    assert len(wrong.value.problems) == 10
    assert all(problem.line and problem.column and problem.path for problem in wrong.value.problems)


def test_what_may_be_a_secret_is_never_repeated() -> None:
    with pytest.raises(Misconfigured) as wrong:
        load_plant(CASES / "secrets" / "factory.yaml")
    assert "hunter2" not in str(wrong.value)
    assert "811218" not in str(wrong.value)


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.yaml", tmp_path, Path("a\0b")):
        with pytest.raises(Misconfigured, match=r"cannot be read: .*; expected the plant's YAML file"):
            load_plant(path)


def test_a_file_with_a_thousand_problems_says_two_hundred_and_how_many_more(tmp_path: Path) -> None:
    path = tmp_path / "factory.yaml"
    path.write_text(
        "plant: {name: Big}\naccounts:\n" + "".join(f"  a-{i}: {{owner: x, name: A}}\n" for i in range(1000))
    )
    with pytest.raises(Misconfigured) as wrong:
        load_plant(path)
    assert len(wrong.value.problems) == 201
    assert wrong.value.problems[-1].message == "and 800 problems more"
