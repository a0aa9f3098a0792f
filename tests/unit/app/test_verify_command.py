"""`myntverk ledger verify` on a ledger in a file."""

import json
import sqlite3
from pathlib import Path

import pytest
from ledgers import PLANT, account, payment
from typer.testing import CliRunner, Result

from app.ledger_commands import app
from core.clock import Instant, ManualClock
from ledger.database import open_engine
from ledger.operations import open_accounts
from ledger.writer import Writer
from migrations import upgrade


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of a ledger of the demo plant's book: three batches, the last two a payment each."""
    engine = open_engine(f"sqlite:///{tmp_path / 'myntverk.db'}")
    upgrade(engine)
    writer = Writer(engine, "line-1", ManualClock(Instant(1)))
    writer.start()
    writer.submit(open_accounts([PLANT], [account("a", "-10 kr"), account("b")])).result(10)
    for key in "12":
        request = payment(key, "a", "b", "1 kr")
        writer.submit(lambda batch, request=request: batch.post([request])).result(10)
    writer.stop()
    engine.dispose()
    return tmp_path


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["verify", "--data", str(data), *arguments])


def alter(data: Path, statements: str) -> None:
    connection = sqlite3.connect(data / "myntverk.db")
    connection.executescript(statements)
    connection.close()


def head_of(data: Path, batch: int) -> str:
    connection = sqlite3.connect(data / "myntverk.db")
    ((head,),) = connection.execute(f"SELECT hex(hash) FROM seal WHERE seq = {batch}").fetchall()
    connection.close()
    return str(head).lower()


def test_a_sound_ledger_shows_its_head(data: Path) -> None:
    result = run(data)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == f"head {head_of(data, 3)}@3"


def test_faults_of_ledger_and_settlement_are_shown_together(data: Path) -> None:
    alter(
        data,
        "UPDATE party SET name = 'Thief AB'; INSERT INTO charge VALUES (1, 'rent', 1, NULL, '1', 0, 0, '[]')",
    )
    result = run(data, "--json")
    assert result.exit_code == 1
    shown = json.loads(result.stdout)
    assert not shown["verified"]
    assert [fault.split(" is ")[0] for fault in shown["faults"]] == [
        "party plant",
        "agreement rent: it has charges or transfers, and",
    ]


def test_the_head_that_is_expected_may_be_an_older_one(data: Path) -> None:
    assert run(data, "--expect-head", head_of(data, 3)).exit_code == 0
    assert run(data, "--expect-head", f"{head_of(data, 2)}@2").exit_code == 0
    older = run(data, "--expect-head", head_of(data, 2))
    assert older.exit_code == 1
    assert "the expected hash is that of batch 2, the book goes on to batch 3: expect it @2" in older.stdout


def test_another_head_than_expected_is_a_fault(data: Path) -> None:
    result = run(data, "--expect-head", f"{'0f' * 32}@9")
    assert result.exit_code == 1
    assert "is not that of batch 9: the book ends at batch 3" in result.stdout
    assert "NOT verified" in result.stdout


def test_what_is_no_head_is_a_usage_error(data: Path) -> None:
    result = run(data, "--expect-head", "banana")
    assert result.exit_code == 2
    assert "--expect-head" in result.stderr
    assert "got 'banana'" in result.stderr


def test_the_help_says_what_the_expected_head_is_for() -> None:
    shown = " ".join(CliRunner().invoke(app, ["verify", "--help"]).stdout.split())
    assert "A chain whose newest batches were cut off is a shorter chain and verifies." in shown
