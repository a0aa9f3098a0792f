"""A charge or an agreement altered by hand is found."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from ledgers import PLANT, START, account, open_book, payment
from settlements import Cell, agreement, sample

from core.clock import SECOND, Instant, ManualClock
from core.money import SEK
from ledger.archiving import archive
from ledger.clearing import clearing_accounts
from ledger.courier import send
from ledger.database import open_engine, reading
from ledger.transfer import Posted
from settlement.verification import verify

DAY = 24 * 3600 * SECOND
WORK_GONE = "DELETE FROM agreement WHERE agreement_id = 'work'"
CHARGES_SWAPPED = """
    UPDATE charge SET number = 9 WHERE agreement_id = 'work' AND number = 1;
    UPDATE charge SET number = 1 WHERE agreement_id = 'work' AND number = 2;
    UPDATE charge SET number = 2 WHERE agreement_id = 'work' AND number = 9
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`work`: 1 is paid, 2 is owed, 3 pays what 2 left, 4 is paid, 5 is owed. `power` pays back, `gift` costs 0."""
    path = tmp_path_factory.mktemp("written") / "book.db"
    with open_book(path) as book:
        cell = Cell(
            book,
            (
                agreement("work", "9 * parts"),
                agreement("power", "-2 * energy_kwh"),
                agreement("gift", "0 * running_h"),
                agreement("late", "1 * parts", payee="nobody"),
            ),
        )
        cell.absorb(sample("parts", 0, 100), sample("energy", 0, 0), sample("running", 0, True))
        cell.absorb(sample("parts", 1, 103), sample("energy", 1, 1000), sample("running", 1, True))
        book.open(account("line", "-30 kr"))
        cell.absorb(sample("parts", 2, 105))
        book.open(account("line", "-1000 kr"))
        cell.absorb()
        cell.absorb(sample("parts", 3, 106))
        book.open(account("line", "-55 kr"))
        cell.absorb(sample("parts", 4, 107))
    return path


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(written, tmp_path / "book.db"))


def faults(path: Path) -> tuple[str, ...]:
    with reading(open_engine(f"sqlite:///{path}")) as connection:
        return verify(connection, 1)


def test_what_nobody_altered_has_no_faults_though_some_is_owed(written: Path) -> None:
    connection = sqlite3.connect(written)
    rows = connection.execute("SELECT agreement_id, number, settled / 100000000 FROM agreement").fetchall()
    assert sorted(rows) == [("gift", 1, 0), ("late", 4, 0), ("power", 1, -2), ("work", 5, 54)]
    owed = "SELECT number FROM charge WHERE agreement_id = 'work' AND transfer_id IS NULL"
    assert connection.execute(owed).fetchall() == [(2,), (5,)]
    connection.close()
    assert faults(written) == ()


@pytest.mark.parametrize(
    ("statements", "fault"),
    [
        ("UPDATE agreement SET settled = settled - 100000000", "it says that 5300000000 ledger units were settled"),
        ("UPDATE agreement SET charged = '0'", "it says that 0 was charged, its charges add up to 63"),
        ("UPDATE agreement SET charged = 'NaN'", "'NaN' is not an amount"),
        ("UPDATE agreement SET number = number + 1", "it says that its last charge is number 6, that is number 5"),
        ("UPDATE agreement SET payee = 'thief'", "it is not between line and thief in SEK"),
        ("UPDATE agreement SET payer = payee, payee = payer", "it paid -2700000000 ledger units, the charges"),
        ("UPDATE agreement SET currency = 'EUR'", "it is not between line and cell in EUR"),
        ("UPDATE agreement SET currency = 'XXX'", "it is not between line and cell in XXX"),
        (WORK_GONE, "it has charges or transfers, and is missing itself"),
        (f"{WORK_GONE}; DELETE FROM charge WHERE agreement_id = 'work'", "and is missing itself"),
        ("UPDATE charge SET amount = '0'", "the charges up to number 1 leave 0 to pay"),
        ("UPDATE charge SET amount = '28' WHERE number = 1", "the charges up to number 1 leave 2800000000 to pay"),
        ("UPDATE charge SET amount = '19' WHERE number = 2", "the charges up to number 3 leave 1900000000 to pay"),
        ("UPDATE charge SET amount = '10' WHERE number = 5", "it says that 63 was charged, its charges add up to 64"),
        ("UPDATE charge SET amount = 'x' WHERE number = 5", "'x' is not an amount"),
        ("UPDATE charge SET amount = 'Infinity' WHERE number = 5", "'Infinity' is not an amount"),
        ("UPDATE charge SET amount = '1E999999' WHERE number = 1", "is beyond what the ledger can hold"),
        (CHARGES_SWAPPED, "charge 1 does not say that it was settled by this transfer"),
        ("UPDATE charge SET transfer_id = NULL WHERE number = 1", "charge 1 does not say that it was settled by"),
        ("UPDATE charge SET transfer_id = zeroblob(16) WHERE number = 1", "charge 1 does not say that it was"),
        ("UPDATE charge SET transfer_id = zeroblob(16) WHERE number = 2", "charge 2 says that 0000"),
        ("UPDATE charge SET transfer_id = zeroblob(16) WHERE number = 5", "charge 5 says that 0000"),
        ("UPDATE charge SET to_time = to_time + 1 WHERE number = 1", "charge 1 does not end when this transfer says"),
        ("UPDATE charge SET from_time = to_time + 1 WHERE number = 5", "charge 5 ends before it begins"),
        ("DELETE FROM charge WHERE number = 1", "the charges up to number 1 leave 0 to pay"),
        ("DELETE FROM charge WHERE number = 2", "charge 2 is missing"),
        ("DELETE FROM charge WHERE number = 5", "its last charge is number 5, that is number 4"),
        ("UPDATE charge SET number = 9 WHERE number = 5", "charge 5 is missing"),
        ("INSERT INTO charge VALUES (1, 'work', 3, NULL, '0', 0, 0, '[]')", "charge 3 does not say that it was"),
        ("INSERT INTO charge VALUES (1, 'work', 6, NULL, '0', 0, 0, '[]')", "its last charge is number 5, that is"),
        ("UPDATE transfer SET amount = amount + 1", "it paid 2700000001 ledger units"),
        ("DELETE FROM transfer WHERE reference = 'work#1'", "charge 1 says that"),
        ("DELETE FROM transfer WHERE reference = 'work#3'", "charge 3 is missing"),
        ("UPDATE transfer SET source = 'user:anna' WHERE reference = 'work#4'", "charge 4 says that"),
        ("UPDATE transfer SET reference = 'work#2' WHERE reference = 'work#3'", "charge 2 does not say that it was"),
        ("UPDATE transfer SET reference = 'work#1' WHERE reference = 'work#3'", "charge 1 was settled before"),
        ("UPDATE transfer SET reference = 'work#x' WHERE reference = 'work#3'", "its reference 'work#x' names no"),
        ("UPDATE transfer SET reference = 'rent#3' WHERE reference = 'work#3'", "its reference 'rent#3' names no"),
        ("UPDATE transfer SET credit = 9 WHERE reference = 'work#3'", "it is not between line and cell in SEK"),
    ],
)
def test_an_alteration_is_named(copy: Path, statements: str, fault: str) -> None:
    connection = sqlite3.connect(copy)
    connection.executescript(statements)
    connection.close()
    found = [text for text in faults(copy) if text.startswith("agreement work: ")]
    assert len(found) == 1, faults(copy)
    assert fault in found[0]


def test_a_fault_names_its_agreement_its_transfer_and_its_batch(copy: Path) -> None:
    connection = sqlite3.connect(copy)
    connection.executescript("UPDATE charge SET amount = '-3' WHERE agreement_id = 'power'")
    ((transfer, seq),) = connection.execute("SELECT hex(transfer_id), seq FROM transfer WHERE reference = 'power#1'")
    connection.close()
    assert faults(copy) == (
        f"agreement power: transfer {transfer.lower()} of batch {seq}: it paid -200000000 ledger units, "
        "the charges up to number 1 leave -300000000 to pay",
    )


@pytest.mark.parametrize("name", ["work", "rent"])
def test_a_payment_to_another_book_in_an_agreements_name_is_held_against_that_agreement(copy: Path, name: str) -> None:
    """An agreement pays within its book: nobody else may say that it asked."""
    with open_book(copy) as book:
        book.open(account("line", "-1000 kr"), *clearing_accounts("hall-2", PLANT.id, SEK))
        asked = payment("1", "line", "agv", "5 kr", reference=f"{name}#6", source=f"agreement:{name}")
        (outcome,) = book.work(lambda batch: send(batch, "hall-2", [asked]))
    assert isinstance(outcome, Posted)
    said = {
        "work": f"agreement work: transfer {outcome.transfer.id.hex()} of batch {outcome.transfer.seq}: "
        "it is not between line and cell in SEK, as the agreement is",
        "rent": "agreement rent: it has charges or transfers, and is missing itself",
    }
    assert faults(copy) == (said[name],)


def test_charges_of_no_agreement_are_found(copy: Path) -> None:
    connection = sqlite3.connect(copy)
    connection.executescript("INSERT INTO charge VALUES (1, 'rent', 1, NULL, '1', 0, 0, '[]')")
    connection.close()
    assert faults(copy) == ("agreement rent: it has charges or transfers, and is missing itself",)


def test_charges_are_compared_with_archived_transfers_too(written: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(written, tmp_path / "book.db"))
    with open_book(path, ManualClock(Instant(START + 60 * DAY))) as book:
        book.open(account("later"))
        made = archive(book.engine, "test", 202312)
    assert made.transfers > 3
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM transfer").fetchone() == (0,)
    connection.close()
    assert faults(path) == ()
    connection = sqlite3.connect(tmp_path / "archive" / made.file)
    connection.execute("UPDATE transfer SET amount = amount + 1 WHERE seq = (SELECT min(seq) FROM transfer)")
    connection.commit()
    connection.close()
    assert "it paid" in faults(path)[0]
