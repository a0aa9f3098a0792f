"""What every test may use: outside programs, and the rule that nothing is skipped unseen in CI.

A test that needs an outside program asks for it by name and gets its path:

    def test_mbpoll_reads_the_balance(require_program):
        mbpoll = require_program("mbpoll")
        subprocess.run([mbpoll, ...], check=True)

Where the program is missing the test is skipped; in CI (the environment variable CI is set) it fails, as does
every other skip, whether by `pytest.skip`, `skipif` or `importorskip`: in CI each test runs or somebody looks.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from databases import VARIABLE, postgresql_database, postgresql_server

RequireProgram = Callable[[str], str]
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


@pytest.fixture
def require_program() -> RequireProgram:
    """`require_program("mbpoll")` gives the program's path; without it the test is skipped, or fails in CI."""

    def require(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"needs the program {name}, which is not on PATH")
        return path

    return require


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    """The url of an empty PostgreSQL database of the test's own; without a server the test is skipped."""
    if postgresql_server() is None:
        pytest.skip(f"needs a PostgreSQL: none answers locally, or at {VARIABLE}")
    with postgresql_database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The url of an empty database of the test's own; the test runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'book.db'}"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _no_skip_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _no_skip_in_ci((yield))


def _no_skip_in_ci(report: Report) -> Report:
    expected_to_fail = hasattr(report, "wasxfail")
    if report.outcome == "skipped" and not expected_to_fail and in_ci():
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"Nothing may be skipped in CI, but this was. {reason}"
    return report
