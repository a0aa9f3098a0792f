"""Logs are readable, complete and without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.observability import CHATTY_LIBRARIES, configure_logging
from core.errors import Misconfigured


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in CHATTY_LIBRARIES}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_json_logs_are_one_object_a_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True, level="info")
    structlog.get_logger("connectors.poller").info("machine lost", machine="agv-7", after_seconds=3)
    (line,) = logged(capsys)
    moment = datetime.fromisoformat(line.pop("time"))
    assert moment.utcoffset() == datetime.now(UTC).utcoffset()
    assert line == {
        "event": "machine lost",
        "level": "info",
        "logger": "connectors.poller",
        "machine": "agv-7",
        "after_seconds": 3,
    }


def test_console_logs_are_plain_text_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=False, level="info")
    structlog.get_logger().warning("machine lost", machine="agv-7")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "machine lost" in captured.err
    assert "machine=agv-7" in captured.err
    assert "\x1b" not in captured.err


@pytest.mark.parametrize("as_json", [True, False])
def test_lines_below_the_level_are_silent(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    configure_logging(json=as_json, level="WARNING")
    structlog.get_logger().info("poll planned")
    logging.getLogger("somebody").info("poll planned")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("library", CHATTY_LIBRARIES)
def test_a_library_is_heard_from_warning_on_in_our_form(capsys: pytest.CaptureFixture[str], library: str) -> None:
    configure_logging(json=True, level="debug")
    logging.getLogger(f"{library}.inside").info("connection %s opened", 7)
    logging.getLogger(f"{library}.inside").warning("connection %s lost", 7)
    (line,) = logged(capsys)
    assert (line["event"], line["level"], line["logger"]) == ("connection 7 lost", "warning", f"{library}.inside")


@pytest.mark.parametrize("key", ["password", "secret", "token", "Password", "db_password", "access-token"])
def test_a_secret_is_masked_wherever_it_stands(capsys: pytest.CaptureFixture[str], key: str) -> None:
    configure_logging(json=True, level="info")
    structlog.get_logger().info(
        "user added", **{key: "anna-demo"}, settings={key: "anna-demo", "list": [{key: "anna-demo"}]}
    )
    captured = capsys.readouterr().err
    assert "anna-demo" not in captured
    assert json.loads(captured)["settings"] == {key: "***", "list": [{key: "***"}]}


def test_what_only_resembles_a_secret_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True, level="info")
    structlog.get_logger().info("user added", password_file="data/anna", tokens_used=3)
    (line,) = logged(capsys)
    assert (line["password_file"], line["tokens_used"]) == ("data/anna", 3)


def test_a_password_in_a_url_is_masked_in_values_and_in_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True, level="info")
    url = "postgresql://myntverk:hemligt@db/myntverk"
    structlog.get_logger().info("ledger opened", url=url)
    try:
        raise ConnectionError(f"no answer from {url}")
    except ConnectionError:
        structlog.get_logger().exception("ledger lost")
        logging.getLogger("somebody").exception("ledger lost")
    captured = capsys.readouterr().err
    assert "hemligt" not in captured
    lines = [json.loads(line) for line in captured.splitlines()]
    assert lines[0]["url"] == "postgresql://myntverk:***@db/myntverk"
    assert all("ConnectionError: no answer from" in line["exception"] for line in lines[1:])
    assert len(lines) == 3


def test_an_url_without_a_password_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True, level="info")
    structlog.get_logger().info("listening", url="opc.tcp://127.0.0.1:4840/mail@home")
    (line,) = logged(capsys)
    assert line["url"] == "opc.tcp://127.0.0.1:4840/mail@home"


def test_a_file_takes_the_lines_instead_and_keeps_those_it_has(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "myntverk.log"
    for event in ("first run", "second run"):
        configure_logging(json=False, level="info", file=file)
        structlog.get_logger().info(event, city="Malmö")
    lines = file.read_text(encoding="utf-8").splitlines()
    assert ["first run" in lines[0], "second run" in lines[1], len(lines)] == [True, True, 2]
    assert all("city=Malmö" in line and "\x1b" not in line for line in lines)
    assert capsys.readouterr().err == ""


def test_configuring_twice_does_not_log_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=False, level="info")
    configure_logging(json=True, level="info")
    structlog.get_logger().info("started")
    assert [line["event"] for line in logged(capsys)] == ["started"]


def test_an_unknown_level_says_which_ones_there_are() -> None:
    with pytest.raises(Misconfigured, match="expected one of debug, info, warning, error, critical, got 'loud'"):
        configure_logging(json=False, level="loud")
