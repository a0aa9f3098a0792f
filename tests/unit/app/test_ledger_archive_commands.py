"""`myntverk ledger archive` and `verify-archive`: a plant's old months in a file."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from archives import write_months
from ledger_plants import LedgerPlant, plant_of
from typer.testing import CliRunner

from app import wiring
from app.ledger_commands import app
from config.plant import load_plant
from core.errors import Misconfigured, Rejected, Unavailable
from core.ids import derived_id
from ledger.database_lock import DatabaseLock

NAME = "test-2023-11--2023-12.sqlite"


@pytest.fixture
def plant(tmp_path: Path, database_url: str) -> LedgerPlant:
    plant = plant_of(tmp_path, database_url)
    with plant.opened() as book:
        write_months(book)
    return plant


def folder_of(plant: LedgerPlant, data: Path | None = None) -> Path:
    return wiring.archive_folder(load_plant(plant.file), data)


def test_old_months_go_into_a_file_and_nothing_reads_differently(plant: LedgerPlant) -> None:
    questions = [["statement", "a", "--limit", "4"], ["export", "--format", "csv"], ["totals"], ["verify"]]
    before = [plant.lines(*each) for each in questions]
    file = folder_of(plant) / NAME
    assert plant.lines("archive", "--until", "2023-12")[0] == f"{file}: 14 transfers in batches 1 to 11"
    assert [plant.lines(*each) for each in questions] == before
    shown = plant.read("archive", "--until", "2024-01")
    assert (shown["first_month"], shown["last_month"], shown["first_batch"]) == ("2024-01", "2024-01", 12)
    assert Path(shown["file"]).parent == file.parent
    dropped = shown["dropped_partitions"]
    assert dropped == ([] if plant.url.startswith("sqlite") else ["2024-01"])
    assert [plant.lines(*each) for each in questions] == before
    assert plant.lines("prove", derived_id("first 1").hex())


def test_an_archive_is_verified_without_a_plant(plant: LedgerPlant, tmp_path: Path) -> None:
    plant.lines("archive", "--until", "2023-12")
    file = tmp_path / "elsewhere.sqlite"
    shutil.copy(folder_of(plant) / NAME, file)
    good = CliRunner().invoke(app, ["verify-archive", str(file)])
    assert good.exit_code == 0
    assert good.stdout.splitlines()[0] == "verified: 14 transfers of book test, 2023-11 to 2023-12"
    assert good.stdout.splitlines()[1] == f"after {bytes(32).hex()}@0"
    head = good.stdout.splitlines()[2].split()[1]
    assert plant.lines("verify", "--expect-head", head) == plant.lines("verify")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE transfer SET amount = amount + 1 WHERE seq = 2 AND position = 0")
    altered = CliRunner().invoke(app, ["verify-archive", str(file), "--json"])
    shown = json.loads(altered.stdout)
    assert (altered.exit_code, shown["verified"], shown["first_batch"], shown["last_batch"]) == (1, False, 1, 11)
    assert f"transfer {derived_id('first 0').hex()} of batch 2 was altered" in shown["faults"][0]


def test_what_is_no_archive_is_refused(plant: LedgerPlant, tmp_path: Path) -> None:
    for content in (b"text", b""):
        (tmp_path / "other").write_bytes(content)
        assert isinstance(CliRunner().invoke(app, ["verify-archive", str(tmp_path / "other")]).exception, Rejected)
    missing = CliRunner().invoke(app, ["verify-archive", str(tmp_path / "nowhere")]).exception
    assert isinstance(missing, Rejected)
    assert missing.code == "archive_is_missing"


def test_a_missing_archive_is_named_and_can_be_done_without(plant: LedgerPlant) -> None:
    plant.lines("archive", "--until", "2023-12")
    shutil.rmtree(folder_of(plant))
    result = plant.run("verify")
    assert result.exit_code == 1
    assert f"archive {NAME}" in result.stdout
    assert plant.read("verify", "--without-archives")["on_trust_up_to_batch"] == 11
    assert plant.lines("verify", "--without-archives")[1].startswith("on trust: archives were not read; up to batch 11")


@pytest.mark.parametrize("month", ["2023-13", "2023-1", "202312", "1969-12", "9999-01", "", "2023-12-01"])
def test_what_is_no_month_is_refused(plant: LedgerPlant, month: str) -> None:
    assert plant.run("archive", "--until", month).exit_code == 2
    assert not folder_of(plant).exists()


def test_a_month_that_still_goes_on_is_refused(plant: LedgerPlant) -> None:
    refused = plant.run("archive", "--until", "2024-02").exception
    assert isinstance(refused, Rejected)
    assert refused.code == "month_is_open"


def test_on_sqlite_nothing_is_archived_while_a_gateway_runs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'book.db'}"
    plant = plant_of(tmp_path, url)
    with plant.opened() as book:
        write_months(book)
    lock = DatabaseLock(url)
    lock.acquire()
    assert isinstance(plant.run("archive", "--until", "2023-12").exception, Unavailable)
    lock.release()
    plant.lines("archive", "--until", "2023-12")


def test_on_postgresql_a_gateway_goes_on_meanwhile(tmp_path: Path, postgresql_url: str) -> None:
    plant = plant_of(tmp_path, postgresql_url)
    with plant.opened() as book:
        write_months(book)
        plant.lines("archive", "--until", "2023-12")
        book.change("b", name="Bo")
        book.reverse("after", derived_id("january 1"))
    assert plant.lines("verify")[0].startswith("verified")


def test_a_partition_that_was_read_is_dropped_the_next_time(tmp_path: Path, postgresql_url: str) -> None:
    plant = plant_of(tmp_path, postgresql_url)
    with plant.opened() as book:
        write_months(book)
        with book.reader.history() as history:
            assert next(history.transfers()).seq == 2
            assert plant.read("archive", "--until", "2023-12")["dropped_partitions"] == []
        refused = plant.run("archive", "--until", "2023-12").exception
        assert isinstance(refused, Rejected)
        assert refused.code == "nothing_to_archive"
        assert plant.read("archive", "--until", "2024-01")["dropped_partitions"] == ["2024-01"]


def test_the_folder_is_the_plants_and_follows_the_data(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, "sqlite:///books/a.db")
    assert folder_of(plant) == tmp_path / "books" / "archive"
    assert folder_of(plant, Path("/else")) == Path("/else/archive")
    on_postgresql = plant_of(tmp_path, "postgresql://anna@host/bank")
    assert folder_of(on_postgresql) == tmp_path / "data" / "archive"
    for named, here, there in [
        ("old/months", tmp_path / "old/months", Path("/else/months")),
        ("/old", *[Path("/old")] * 2),
    ]:
        plant.file.write_text(f"plant: {{name: A}}\nledger: {{archive: {named}}}\n")
        assert (folder_of(plant), folder_of(plant, Path("/else"))) == (here, there)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, f"sqlite:///{tmp_path / 'book.db'}")
    with plant.opened() as book:
        write_months(book)
    (tmp_path / "archive").write_text("a file")
    refused = plant.run("archive", "--until", "2023-12").exception
    assert isinstance(refused, Misconfigured)
    assert str(tmp_path / "archive") in str(refused)
    assert plant.lines("verify")[0].startswith("verified")
