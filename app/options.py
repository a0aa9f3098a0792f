"""The command line's arguments and options that several commands share, and how their texts are read."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from core.clock import Instant, from_datetime
from core.ids import TransferId

DEMO_FILE = Path(__file__).parents[1] / "examples" / "factory.yaml"

PlantFile = Annotated[Path, typer.Argument(metavar="FILE", help="The plant's YAML file.")]
PlantOption = Annotated[
    Path, typer.Option("--plant", metavar="FILE", envvar="MYNTVERK_PLANT", help="The plant's YAML file.")
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Keep, or look for, the ledger and all other data here."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output and nothing else.")]

EPOCH_YEAR, YEAR_END = 1970, 9999

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})")
_CURSOR = re.compile(r"([1-9][0-9]{0,17})\.([0-9]{1,5})")
_ID = re.compile(r"[0-9a-fA-F]{32}")


class Cursor(NamedTuple):
    """Where a page of a statement ended."""

    seq: int
    position: int

    def __str__(self) -> str:
        return f"{self.seq}.{self.position}"


def parse_day(text: str) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass  # the thirtieth of February
    raise typer.BadParameter(f"expected a day such as 2026-11-22, got {text!r}")


def parse_month(text: str) -> int:
    """A month as 202611."""
    if not _MONTH.fullmatch(text) or not EPOCH_YEAR <= int(text[:4]) < YEAR_END:
        raise typer.BadParameter(f"expected a month such as 2026-11, got {text!r}")
    return int(text[:4]) * 100 + int(text[5:])


def parse_time(text: str) -> Instant:
    try:
        if _TIME.fullmatch(text):
            return from_datetime(datetime.fromisoformat(text).astimezone(UTC))
    except (ValueError, OverflowError):
        pass
    raise typer.BadParameter(f"expected a time such as 2026-11-22T15:04:05Z, with Z or an offset, got {text!r}")


def parse_cursor(text: str) -> Cursor:
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"expected BATCH.POSITION as the page before ends with, such as 17.4, got {text!r}")
    return Cursor(int(match[1]), int(match[2]))


def parse_transfer_id(text: str) -> TransferId:
    if not _ID.fullmatch(text):
        raise typer.BadParameter(f"expected a transfer's id, 32 hexadecimal digits, got {text!r}")
    return TransferId(bytes.fromhex(text))


def print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))
