"""Archiving, cut off at every single moment that it has with the database or with files."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from archives import MONTHS, archiving_book, exported, write_months
from ledgers import Book
from sqlalchemy import text

from core.errors import Rejected
from ledger import archived
from ledger.archiving import archive, drop_emptied_months
from ledger.database import open_engine, reading
from tests.support.faulty_database import watch
from tests.support.forked import Forked

NIGHTLY = os.environ.get("MYNTVERK_NIGHTLY") == "1"
FILE_EVENTS = {"os.rename", "os.mkdir", "os.remove", "sqlite3.connect"}
"""What Python tells of files, before it is done."""
UNTIL = MONTHS[1]


def act(url: str, folder: Path, name: str, place: int, steps: Path | None = None) -> None:
    """Archive; be killed at the moment of this place, or write down how many there were."""
    passed = 0

    def step() -> None:
        nonlocal passed
        if passed == place:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FILE_EVENTS or (event == "open" and folder.name in str(arguments[0])):
            step()

    engine = open_engine(url)
    archived.keep_in(engine, folder)
    watch(engine, lambda _moment, _connection: step())
    sys.addaudithook(hear)
    archive(engine, name, UNTIL)
    drop_emptied_months(engine)
    if steps is not None:
        count, place = passed, -1
        steps.write_text(str(count))


def is_archived(book: Book, name: str) -> bool:
    """Whether the book says so; then its transfers of those months are gone, else they are all there."""
    with reading(book.engine) as connection:
        of_book = f"WHERE book_id = (SELECT book_id FROM book WHERE name = '{name}')"
        archives = connection.execute(text(f"SELECT count(*) FROM archive {of_book}")).scalar_one()
        old = connection.execute(text(f"SELECT count(*) FROM transfer {of_book} AND month <= {UNTIL}")).scalar_one()
    assert (archives, bool(old)) in ((0, True), (1, False))
    return bool(archives)


def count_moments(url: str, folder: Path, log: Path) -> int:
    with archiving_book(url, folder, "counted") as book:
        write_months(book)
    steps = log.with_name("steps")
    counted = Forked(partial(act, url, folder, "counted", -1, steps), log)
    assert (counted.end(), counted.said) == (0, "")
    return int(steps.read_text())


def test_a_process_that_dies_at_any_moment_of_archiving_leaves_the_rows_or_the_file(
    database_url: str, tmp_path: Path
) -> None:
    folder, log = tmp_path / "kept", tmp_path / "log"
    count = count_moments(database_url, folder, log)
    last = range(count - 12, count)  # it may be done sooner, as what totals are left to add up varies
    seen = set()
    for place in sorted({0, 1, *range(3, count, 1 if NIGHTLY else 16), *last}):
        name = f"killed-{place}"
        with archiving_book(database_url, folder, name) as book:
            write_months(book)
            before = exported(book)
            killed = Forked(partial(act, database_url, folder, name, place), log)
            assert killed.end() == -9 or (place in last and killed.said == "")
            recorded = is_archived(book, name)
            seen.add(recorded)
            assert book.reader.verify().faults == ()
            again = suppress(Rejected) if recorded else nullcontext()
            with again:
                archive(book.engine, name, UNTIL)
            assert is_archived(book, name)
            assert (exported(book), book.reader.verify().faults) == (before, ())
    assert seen == {False, True}
    assert [each.name for each in folder.iterdir() if not each.name.endswith(".sqlite")] == []
