"""A day is sealed and a transfer proven from a real book, and a stranger with one script agrees."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from ledgers import Book, account, open_book, payment

from core.clock import SECOND, to_datetime
from core.errors import Rejected
from core.ids import derived_id
from ledger.proof import Proof, check, to_json

CHECKER = Path(__file__).parents[3] / "scripts" / "check_proof.py"
DAY = 86_400 * SECOND


def today(book: Book) -> date:
    return to_datetime(book.clock.now()).date()


def two_days(book: Book) -> date:
    """Payments on one day and one on the next; the first day."""
    book.open(account("a", "-100 kr"), account("b"))
    for n in range(70):
        book.post(payment(f"{n}", "a", "b", "1 kr", text=f"part {n}"))
    first = today(book)
    book.clock.advance(DAY)
    book.post(payment("next day", "a", "b", "1 kr"))
    return first


def strangers_check(folder: Path, proof: Proof, kept: bytes) -> subprocess.CompletedProcess[str]:
    file = folder / "proof.json"
    file.write_bytes(to_json(proof))
    return subprocess.run(
        [sys.executable, str(CHECKER), str(file), kept.hex()], capture_output=True, text=True, check=False
    )


def test_a_transfer_is_proven_up_to_the_seal_of_its_day(database_url: str, tmp_path: Path) -> None:
    with open_book(database_url) as book:
        day = two_days(book)
        seal = book.reader.day_seal(day)
        proof = book.reader.prove(derived_id("41"))
        check(proof, seal.hash)
        answer = strangers_check(tmp_path, proof, seal.hash)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert "part 41" in answer.stdout
        assert strangers_check(tmp_path, proof, bytes(32)).returncode == 1


def test_a_day_is_sealed_once_a_later_one_has_begun(database_url: str) -> None:
    with open_book(database_url) as book:
        day = two_days(book)
        assert book.reader.day_seal(day) == book.reader.day_seal(day)
        with pytest.raises(Rejected, match="day_is_open"):
            book.reader.day_seal(today(book))
        with pytest.raises(Rejected, match="day_is_open"):
            book.reader.prove(derived_id("next day"))
        with pytest.raises(Rejected, match="nothing_sealed"):
            book.reader.day_seal(date(2020, 1, 1))
        with pytest.raises(Rejected, match="unknown_transfer"):
            book.reader.prove(derived_id("never"))


def test_what_was_altered_is_not_proven(tmp_path: Path) -> None:
    with open_book(tmp_path / "book.db") as book:
        two_days(book)
        with book.engine.connect() as connection:
            connection.exec_driver_sql("UPDATE transfer SET amount = amount + 1 WHERE seq = 43")
            connection.commit()
        with pytest.raises(Rejected):
            book.reader.prove(derived_id("41"))
