"""The disk is full: nothing acknowledged is lost, what does not fit is told, and with room again it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from core.clock import SystemClock
from core.errors import Unavailable
from ledger.batch import Batch
from ledger.database import Connection, open_engine, reading
from ledger.operations import Reader
from ledger.statements import run
from ledger.writer import Writer
from migrations import upgrade
from tests.support.load import Load
from tests.support.small_disk import SmallDisk, small_disk

DISK_MEBIBYTES = 6
FAILURES = 5
FULL = "database or disk is full"
ANSWER_SECONDS_MAX = 30.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", DISK_MEBIBYTES) as disk:
        yield disk


class Asked:
    """A book on the disk, and how many pieces of its load were acknowledged."""

    def __init__(self, url: str, writer: Writer, load: Load) -> None:
        self.url = url
        self.acknowledged = 0
        self.told: set[str] = set()
        self.writer = writer
        self._load = load

    def ask(self) -> None:
        """Ask for the next piece; it counts once it is acknowledged."""
        self.writer.submit(self._load.work(self.acknowledged)).result(ANSWER_SECONDS_MAX)
        self.acknowledged += 1

    def ask_until_full(self) -> None:
        """Ask until there is no room, and some more."""
        failures = 0
        while failures < FAILURES:
            try:
                self.ask()
            except Unavailable as error:
                failures += 1
                self.told.add(str(error).rpartition(": ")[2])

    def assert_kept(self) -> None:
        """The book holds what was acknowledged, each once, and nothing else."""
        engine = open_engine(self.url)
        with reading(engine) as connection:
            posted = sorted(bytes(id) for (id,) in connection.execute(text("SELECT transfer_id FROM transfer")))
        assert posted == sorted(id for piece in range(self.acknowledged) for id, *_ in self._load.moved(piece))
        assert Reader(engine, self._load.book).verify().faults == ()
        engine.dispose()


@contextmanager
def writing(disk: SmallDisk, acknowledged: int = 0) -> Iterator[Asked]:
    url = f"sqlite:///{disk.path / 'book.db'}"
    engine = open_engine(url)
    load = Load(1, "main", 50)
    writer = Writer(engine, load.book, SystemClock())
    try:
        upgrade(engine)
        writer.start()
        writer.submit(load.accounts).result(ANSWER_SECONDS_MAX)
        asked = Asked(url, writer, load)
        asked.acknowledged = acknowledged
        yield asked
    finally:
        writer.stop()
        engine.dispose()


def test_a_disk_that_fills_up_is_told_and_with_room_again_it_goes_on(disk: SmallDisk) -> None:
    with writing(disk) as asked:
        asked.ask()
        for leave in (0, 40_000, 150_000):
            disk.fill(leave)
            asked.ask_until_full()
            asked.assert_kept()
            disk.free()
            for _ in range(5):
                asked.ask()
        asked.assert_kept()
        assert asked.told == {FULL}


def test_what_is_written_beside_the_journal_is_told_to_be_lost_too(disk: SmallDisk) -> None:
    def work(batch: Batch) -> None:
        batch.also(lambda connection: run(connection, "INSERT INTO scrap VALUES (zeroblob(100000))"))

    with writing(disk) as asked:
        asked.writer.submit(lambda batch: batch.also(create_scrap)).result(ANSWER_SECONDS_MAX)
        disk.fill()
        for _ in range(FAILURES):
            with pytest.raises(Unavailable, match=FULL):
                asked.writer.submit(work).result(ANSWER_SECONDS_MAX)
        disk.free()
        asked.writer.submit(work).result(ANSWER_SECONDS_MAX)
        asked.assert_kept()


def create_scrap(connection: Connection) -> None:
    """A table that no seal covers, as the meters' positions are not."""
    run(connection, "CREATE TABLE scrap (content BLOB)")


def test_a_restart_on_a_full_disk_says_so_and_loses_nothing(disk: SmallDisk) -> None:
    with writing(disk) as asked:
        for _ in range(5):
            asked.ask()
    disk.fill()
    with pytest.raises(Unavailable, match=f"{FULL}|disk I/O error|unable to open"), writing(disk):
        pass
    disk.free()
    with writing(disk, asked.acknowledged) as again:
        again.ask()
    again.assert_kept()


def test_no_room_for_the_tables_leaves_no_half_made_ledger(disk: SmallDisk) -> None:
    disk.fill(leave=100_000)
    with pytest.raises(Unavailable), writing(disk):
        pass
    disk.free()
    with writing(disk) as asked:
        asked.ask()
    asked.assert_kept()
