"""A plant's file over a book to test on, and its `myntverk ledger` commands in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledgers import Book, open_book
from typer.testing import CliRunner, Result

from app.ledger_commands import app
from core.clock import ManualClock

FILE = """
plant: {{name: Verkstaden, timezone: {zone}}}
ledger: {{url: "{url}", book: {book}{more}}}
parties: {{plant: {{name: Plant AB}}}}
"""


@dataclass(frozen=True)
class LedgerPlant:
    """A plant's file whose ledger a test writes to as well."""

    file: Path
    url: str

    @contextmanager
    def opened(self, clock: ManualClock | None = None) -> Iterator[Book]:
        """The book, with a writer of the test's own."""
        with open_book(self.url, clock) as book:
            yield book

    def run(self, *arguments: object) -> Result:
        """One command; an error that `main` would print is in the result's `exception`."""
        command, *rest = map(str, arguments)
        return CliRunner().invoke(app, [command, "--plant", str(self.file), *rest])

    def lines(self, *arguments: object) -> list[str]:
        """What the command prints when it ends well, by lines and with plain spaces."""
        result = self.run(*arguments)
        assert (result.exit_code, result.exception) == (0, None), result.output
        return result.stdout.replace("\N{NO-BREAK SPACE}", " ").splitlines()

    def read(self, *arguments: object) -> Any:
        """What it says in JSON."""
        return json.loads("\n".join(self.lines(*arguments, "--json")))


def plant_of(
    folder: Path, url: str, zone: str = "Europe/Stockholm", book: str = "test", pays: Sequence[str] = ()
) -> LedgerPlant:
    file = folder / "factory.yaml"
    more = f", pays: [{', '.join(pays)}], owner: plant" if pays else ""
    file.write_text(FILE.format(url=url, zone=zone, book=book, more=more))
    return LedgerPlant(file, url)
