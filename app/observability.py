"""Logs: one stream, on standard error unless a file is named, for people or for machines, never a secret in it."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from core.errors import Misconfigured, Problem

LEVELS = ("debug", "info", "warning", "error", "critical")
CHATTY_LIBRARIES = ("asyncua", "pymodbus", "apscheduler", "alembic", "sqlalchemy", "asyncio")
"""They speak up from WARNING on: their info is our heartbeat."""

SPOKEN_FOR = "asyncua.client"
"""Says a dozen lines when a server goes away, and more at every attempt; the poller says it in one."""

MASK = "***"
_SECRET_WORDS = {"password", "passwd", "secret", "token"}
_URL_PASSWORD = re.compile(r"(\w+://[^\s:/@]*:)[^\s/]+@")


def configure_logging(json: bool, level: str, file: Path | None = None) -> None:
    """Send structlog and the standard library's logging to standard error; a second call replaces the first.

    `file` takes the lines instead, after those it has, for when the terminal shows something else; its folder exists.
    `json` gives one JSON object a line, else readable lines, coloured on a terminal unless NO_COLOR is set.
    `level` is one of LEVELS; Misconfigured otherwise.
    """
    if level.lower() not in LEVELS:
        raise Misconfigured([Problem(f"expected one of {', '.join(LEVELS)}, got {level!r}", path="log level")])
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        structlog.processors.UnicodeDecoder(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr) if file is None else logging.FileHandler(file, encoding="utf-8")
    coloured = file is None and sys.stderr.isatty() and "NO_COLOR" not in os.environ
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            mask_secrets,
            _renderer(json, coloured),
        ],
    )
    handler.setFormatter(formatter)
    _replace_handler(handler, threshold)
    for library in CHATTY_LIBRARIES:
        logging.getLogger(library).setLevel(max(threshold, logging.WARNING))
    logging.getLogger(SPOKEN_FOR).setLevel(logging.CRITICAL)


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide what stands under a key that ends in a word for a secret, and any password inside a URL."""
    return {key: _masked(key, value) for key, value in event.items()}


def _masked(key: object, value: object) -> object:
    if isinstance(key, str) and re.split(r"[^a-z]+", key.lower())[-1] in _SECRET_WORDS:
        return MASK
    if isinstance(value, str):
        return _URL_PASSWORD.sub(rf"\1{MASK}@", value)
    if isinstance(value, dict):
        return {inner: _masked(inner, held) for inner, held in value.items()}
    if isinstance(value, list | tuple):
        return [_masked("", held) for held in value]
    return value


def _renderer(json: bool, coloured: bool) -> Processor:
    if json:
        return structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    return structlog.dev.ConsoleRenderer(
        colors=coloured, timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
    )


def _replace_handler(ours: logging.Handler, threshold: int) -> None:
    """Ours takes the place of our last one; handlers of others, such as a test runner's, stay."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(handler)
            handler.close()
    root.addHandler(ours)
    root.setLevel(threshold)
