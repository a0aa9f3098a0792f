"""`myntverk ledger export` and `import`: a book as a file, and payments from one."""

from __future__ import annotations

import csv
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated
from zoneinfo import ZoneInfo

import typer

from app import wiring
from app.ledger_writing_commands import book_writer
from app.options import DEMO_FILE, AsJson, DataOption, PlantOption, print_json
from config.plant import load_plant
from core.errors import Misconfigured, OutcomeUnknown, Problem, Unavailable
from ledger.batch import Batch
from ledger.courier import pay
from ledger.history import History
from ledger.plain_text_accounting import write_beancount, write_hledger
from ledger.transfer import AlreadyPosted, Outcome, Reason, Refused, TransferRequest
from ledger.transfer_files import read_csv, read_json_lines, write_csv, write_json_lines
from ledger.writer import Work, Writer

TRANSFERS_PER_WORK = 1_000
IMPORT_SOURCE = "import:"
"""Before whatever a file says who asked: only Myntverk itself writes `agreement:…` or `user:…`."""


class ExportFormat(StrEnum):
    CSV = "csv"
    JSON_LINES = "json-lines"
    HLEDGER = "hledger"
    BEANCOUNT = "beancount"


class ImportFormat(StrEnum):
    CSV = "csv"
    JSON_LINES = "json-lines"


SUFFIXES = {
    ".csv": ExportFormat.CSV,
    ".jsonl": ExportFormat.JSON_LINES,
    ".ndjson": ExportFormat.JSON_LINES,
    ".journal": ExportFormat.HLEDGER,
    ".hledger": ExportFormat.HLEDGER,
    ".beancount": ExportFormat.BEANCOUNT,
}
READ_SUFFIXES = {".csv": ImportFormat.CSV, ".jsonl": ImportFormat.JSON_LINES, ".ndjson": ImportFormat.JSON_LINES}


def export(
    plant: PlantOption = DEMO_FILE,
    data: DataOption = None,
    format: Annotated[ExportFormat | None, typer.Option(help="By the file's name when not given.")] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write here, all or nothing; else to standard output.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write every transfer of the book, in its order: as a table, or as a journal that hledger or beancount checks.

    With --to, --json tells how many there were.
    """
    if as_json and to is None:
        raise typer.BadParameter("tells about a file; name it with --to", param_hint="--json")
    format = format or _format_of(to)
    found = load_plant(plant)
    reader = wiring.reader(found, data)
    with _written(to) as stream, reader.history() as history:
        count = _write(history, format, stream, found.zone)
        batch = history.head.seq
    if as_json:
        print_json({"file": str(to), "format": format.value, "transfers": count, "batch": batch})
    elif to is not None:
        print(f"{to}: {count} transfers, up to batch {batch}")


def _format_of(file: Path | None) -> ExportFormat:
    format = None if file is None else SUFFIXES.get(file.suffix.lower())
    if format is None:
        names = ", ".join(SUFFIXES)
        raise typer.BadParameter(f"is needed, unless a file's name ends with one of {names}", param_hint="--format")
    return format


def _write(history: History, format: ExportFormat, stream: IO[str], zone: ZoneInfo) -> int:
    if format is ExportFormat.CSV:
        return write_csv(history.transfers(), stream)
    if format is ExportFormat.JSON_LINES:
        return write_json_lines(history.transfers(), stream)
    write = write_hledger if format is ExportFormat.HLEDGER else write_beancount
    return write(history.accounts, history.parties(), history.transfers(), stream, balances=history.balances, zone=zone)


def _print(content: IO[bytes]) -> None:
    try:
        sys.stdout.flush()
        shutil.copyfileobj(content, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # whoever read it has seen enough
    except OSError as error:
        raise Misconfigured([Problem(f"cannot write to standard output: {error.strerror}")]) from None


@contextmanager
def _written(to: Path | None) -> Iterator[IO[str]]:
    """A text stream whose content is in `to`, or on standard output, once all of it was written, and not before.

    Who reads standard output slowly does not keep the book's snapshot open.
    """
    if to is None:
        with tempfile.TemporaryFile() as content:
            stream = io.TextIOWrapper(content, encoding="utf-8", newline="")
            yield stream
            stream.flush()
            content.seek(0)
            _print(content)
        return
    target = to.resolve()
    if target.exists() and not target.is_file():
        raise Misconfigured([Problem(f"cannot write {to}: it is no file")])
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("w", encoding="utf-8", newline="") as opened:
                yield opened
                opened.flush()
                os.fsync(opened.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise Misconfigured([Problem(f"cannot write {to}: {error.strerror}")]) from None


@dataclass(slots=True)
class Imported:
    """What a file's payments came to; what was refused, by its place in the file."""

    posted: int = 0
    already_posted: int = 0
    refused: dict[int, Refused] = field(default_factory=dict)

    @property
    def taken(self) -> int:
        return self.posted + self.already_posted + len(self.refused)

    def take(self, outcome: Outcome) -> None:
        if isinstance(outcome, Refused):
            self.refused[self.taken] = outcome
        elif isinstance(outcome, AlreadyPosted):
            self.already_posted += 1
        else:
            self.posted += 1


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Comma-separated values or JSON lines.")],
    plant: PlantOption = DEMO_FILE,
    data: DataOption = None,
    format: Annotated[ImportFormat | None, typer.Option(help="By the file's name when not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Post the payments in a file, each once however often it is imported. Exit code 1 when any was refused.

    A file with a mistake in it is refused as a whole, with every mistake. What the file says of who asked is kept
    behind `import:`.
    """
    format = format or READ_SUFFIXES.get(file.suffix.lower())
    if format is None:
        names = ", ".join(READ_SUFFIXES)
        raise typer.BadParameter(f"is needed, unless the file's name ends with one of {names}", param_hint="--format")
    found = load_plant(plant)
    requests = _read(file, format)
    with book_writer(found, data) as writer:
        imported = _post(writer, requests)
    lines = _lines(file, format) if imported.refused else []
    if as_json:
        print_json(
            {
                "posted": imported.posted,
                "already_posted": imported.already_posted,
                "refused": [
                    {
                        "line": lines[place],
                        "id": refused.request.id.hex(),
                        "reason": refused.reason.value,
                        "why": refused.text,
                    }
                    for place, refused in imported.refused.items()
                ],
            }
        )
    else:
        for place, refused in imported.refused.items():
            print(f"{file}:{lines[place]}: {refused.reason}: {refused.text}")
        counts = f"{imported.already_posted} already there, {len(imported.refused)} refused"
        print(f"{imported.posted} posted, {counts}")
    if imported.refused:
        raise typer.Exit(1)


def _read(file: Path, format: ImportFormat) -> list[TransferRequest]:
    read = read_csv if format is ImportFormat.CSV else read_json_lines
    try:
        with file.open("rb") as lines:
            return read(lines, str(file))
    except OSError as error:
        raise Misconfigured([Problem(f"cannot be read: {error.strerror}", file=str(file))]) from None


def _post(writer: Writer, requests: Sequence[TransferRequest]) -> Imported:
    imported = Imported()
    for start in range(0, len(requests), TRANSFERS_PER_WORK):
        try:
            outcomes = writer.submit(_posting(requests[start : start + TRANSFERS_PER_WORK])).result()
        except (Unavailable, OutcomeUnknown) as error:
            text = f"{error}; {imported.taken} of {len(requests)} payments were taken before"
            raise type(error)(f"{text}: import the file again, nothing is posted twice") from error
        for outcome in outcomes:
            imported.take(outcome)
    return imported


def _posting(requests: Sequence[TransferRequest]) -> Work[list[Outcome]]:
    def work(batch: Batch) -> list[Outcome]:
        outcomes = pay(batch, [_as_imported(request) for request in requests])
        for place, outcome in enumerate(outcomes):
            if isinstance(outcome, Refused) and outcome.reason is Reason.CONFLICT:
                earlier = batch.fetch(requests[place].id)
                if earlier is not None and requests[place].same_content(earlier.request):
                    outcomes[place] = AlreadyPosted(earlier)  # it came from this very book
        return outcomes

    return work


def _as_imported(request: TransferRequest) -> TransferRequest:
    if request.source.startswith(IMPORT_SOURCE):
        return request
    return replace(request, source=IMPORT_SOURCE + request.source)


def _lines(file: Path, format: ImportFormat) -> list[int]:
    """The line on which each payment of a file begins that could be read."""
    with file.open(encoding="utf-8-sig", newline="\n") as stream:
        if format is ImportFormat.JSON_LINES:
            return [number for number, line in enumerate(stream, start=1) if line.strip()]
        header = stream.readline()
        rows = csv.reader(stream, delimiter=";" if ";" in header else ",", strict=True)
        begins, lines = 2, []
        for row in rows:
            if any(row):
                lines.append(begins)
            begins = rows.line_num + 2
        return lines
