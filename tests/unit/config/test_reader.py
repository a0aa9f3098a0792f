"""Reading YAML: exact values, exact places, and none of YAML 1.1's traps."""

from decimal import Decimal
from typing import Any

import pytest

from config.reader import FILE_BYTES_MAX, LEVELS_MAX, read


def value_of(text: str) -> Any:
    document = read(f"a: {text}\n".encode(), "f.yaml")
    assert not document.problems
    return document.data()["a"]


def problem_of(text: str) -> str:
    document = read(text.encode(), "f.yaml")
    (problem,) = document.problems
    return str(problem)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.10", Decimal("0.10")),
        ("-0.0000000000000000000000000001", Decimal("-0.0000000000000000000000000001")),
        ("+12", 12),
        ("0", 0),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ('"12"', "12"),
        ("'true'", "true"),
        ("'null'", "null"),
    ],
)
def test_numbers_truth_and_nothing_are_what_they_look_like(text: str, value: Any) -> None:
    found = value_of(text)
    assert (found, type(found)) == (value, type(value))
    assert str(found) == str(value)


@pytest.mark.parametrize(
    "text",
    [
        *("12:30", "on", "off", "yes", "no", "Yes", "1_000", "0x1F", "0o17", "007", "1e3", ".5", "5.", ".inf", ".nan"),
        *("2026-11-22", "<<", "=", "1" * 19, "1 000", "556000-4615"),
    ],
)
def test_everything_else_stays_text_as_written(text: str) -> None:
    assert value_of(text) == text


def test_keys_are_text_whatever_they_look_like() -> None:
    assert read(b"{on: 1, 2: 2, null: 3, 0.10: 4, true: 5}", "f").data() == {
        "on": 1,
        "2": 2,
        "null": 3,
        "0.10": 4,
        "true": 5,
    }


def test_every_value_and_key_has_its_place() -> None:
    document = read('\ufeffå:\n  ä: {ö: 1, list: [1, "två"]}\n'.encode(), "f.yaml")
    assert str(document.problem("x", ("å", "ä", "ö"))) == "f.yaml:2:10: å.ä.ö: x"
    assert str(document.problem("x", ("å", "ä", "ö"), at_key=True)) == "f.yaml:2:7: å.ä.ö: x"
    assert str(document.problem("x", ("å", "ä", "list", 1))) == "f.yaml:2:23: å.ä.list[1]: x"
    assert document.data(("å", "ä", "list")) == [1, "två"]


def test_a_problem_with_something_that_is_not_there_stands_at_what_is_around_it() -> None:
    document = read(b"a:\n  b: {c: 1}\n", "f.yaml")
    assert str(document.problem("is missing", ("a", "b", "d"))) == "f.yaml:2:3: a.b.d: is missing"
    assert str(document.problem("is missing", ("x",))) == "f.yaml:1:1: x: is missing"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "f.yaml:1:1: is empty; expected plant:, accounts:, machines: and so on"),
        ("- a\n", "f.yaml:1:1: expected keys such as plant:, accounts: and machines:"),
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: 'a' stands here a second time; the first is on line 1"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: a second YAML document starts here; expected one per file"),
        ("a: *b\n", "f.yaml:1:4: *b stands before any &b; text that begins with * needs quotes"),
        ("a: &x [*x]\n", "f.yaml:1:8: *x stands inside &x itself"),
        ("a: !env PASSWORD\n", "f.yaml:1:4: tags such as '!env' mean nothing here; expected a plain value"),
        ("{{ a }}: 1\n", "f.yaml:1:1: expected a key that is plain text; braces and brackets in text need quotes"),
        ("a: å\n\x01", "f.yaml:2:1: control characters are not allowed"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str, problem: str) -> None:
    assert problem_of(text) == problem


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("a:\n\tb: 1\n", "2:", "spaces, not with tabs"),
        ("unit: %\n", "1:7:", "begins with % needs quotes"),
        ("a: b: c\n", "1:5:", "': ' in it needs quotes"),
        ("a: {b: 1\nc: 2\n", "2:", ""),
        ("a: 'b\nc: 2\n", "3:1:", "that line 1 opens not closed"),
    ],
)
def test_a_syntax_error_says_what_usually_helps(text: str, place: str, hint: str) -> None:
    problem = problem_of(text)
    assert problem.startswith(f"f.yaml:{place}")
    assert "is not valid YAML" in problem
    assert hint in problem


def test_a_file_that_is_not_utf8_is_refused_with_the_line() -> None:
    document = read("a: 1\nb: ä\n".encode("latin-1"), "f.yaml")
    assert [str(problem) for problem in document.problems] == ["f.yaml:2:4: is not UTF-8 text; save the file as UTF-8"]


def test_tags_of_equal_machines_may_be_written_once() -> None:
    document = read(b"one: {tags: &tags {a: 1}}\ntwo: {tags: *tags}\n", "f.yaml")
    assert document.data(("two", "tags")) == {"a": 1}
    assert document.problem("x", ("two", "tags", "a")).line == 1


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * (LEVELS_MAX + 2) + "]" * (LEVELS_MAX + 2),
        "a: " + "[" * 100_000,
        "a: " + "{a: " * 100_000,
        "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 2000)),
        "a0: &a0 [1,1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1},*a{i - 1}]\n" for i in range(1, 30)),
    ],
)
def test_a_small_file_cannot_cost_much(text: str) -> None:
    assert "than" in problem_of(text)


def test_a_large_file_is_refused_before_it_is_parsed() -> None:
    assert problem_of("#" * (FILE_BYTES_MAX + 1)) == f"f.yaml:1:1: is larger than {FILE_BYTES_MAX} bytes"
