"""A row altered by hand is found."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from altered_books import alter, verified
from ledgers import account, open_book, payment

from core.errors import Rejected
from core.ids import derived_id
from ledger.batch import Batch
from ledger.replay import FAULTS_SHOWN_MAX
from ledger.tables import STRETCH
from ledger.verification import ExpectedHead

FORGED = """
    INSERT INTO transfer
    SELECT book_id, 9, 0, month, zeroblob(16), debit, credit, 1, 0, 0, NULL, '', '', '' FROM transfer LIMIT 1
"""
IDS_SWAPPED = """
    UPDATE account SET account_id = 'tmp' WHERE account_id = 'a';
    UPDATE account SET account_id = 'a' WHERE account_id = 'b';
    UPDATE account SET account_id = 'b' WHERE account_id = 'tmp'
"""
PLACES_SWAPPED = """
    UPDATE transfer SET position = 9 WHERE seq = 3 AND position = 0;
    UPDATE transfer SET position = 0 WHERE seq = 3 AND position = 1;
    UPDATE transfer SET position = 1 WHERE seq = 3 AND position = 9
"""
END_CUT_OFF = """
    DELETE FROM transfer WHERE seq = 5;
    DELETE FROM posting WHERE seq = 5;
    DELETE FROM event WHERE seq > 4;
    DELETE FROM transfer_key WHERE seq > 4;
    DELETE FROM seal WHERE seq > 4;
    UPDATE book SET seq = 4, totalled_seq = 4, transfers = 3, head_hash = (SELECT hash FROM seal WHERE seq = 4);
    UPDATE account SET floor = -2000000000, event_seq = 4, touched_seq = 4 WHERE account_id = 'a';
    UPDATE account SET total_out = 300000000, last_seq = 3, last_position = 1, posting_seq = 3
        WHERE account_id = 'a';
    UPDATE account SET total_in = 300000000, last_seq = 3, last_position = 1, posting_seq = 3, touched_seq = 3
        WHERE account_id = 'b';
    UPDATE link SET transfers = 2, amount = 300000000 WHERE debit = 1;
    UPDATE link_hour SET transfers = 2, amount = 300000000 WHERE debit = 1
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six batches: accounts, a payment, two payments, more credit, its use, less credit."""
    path = tmp_path_factory.mktemp("written") / "book.db"
    with open_book(path) as book:
        book.open(account("a", "-10 kr"), account("b"), account("euro", "0 EUR"), account("idle"))
        book.post(payment("1", "a", "b", "1 kr", text="rent"))
        book.post(payment("2", "a", "b", "2 kr"), payment("3", "b", "a", "0.5 kr"))
        book.open(account("a", "-20 kr"))
        book.post(payment("4", "a", "b", "15 kr"))
        book.open(account("a", "-5 kr"))
        book.add_up()
    return path


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(written, tmp_path / "book.db"))


def test_what_nobody_altered_is_verified_although_an_account_is_below_the_floor_it_got_later(written: Path) -> None:
    verification = verified(written)
    assert verification.faults == ()
    assert (verification.batches, verification.transfers) == (6, 4)
    assert {code: total.plain() for code, total in verification.trial_balance.items()} == {
        "EUR": "0.000000",
        "SEK": "0.000000",
    }


@pytest.mark.parametrize(
    ("statements", "fault"),
    [
        ("UPDATE transfer SET amount = amount + 1 WHERE seq = 3", "batch 3 was altered"),
        ("UPDATE transfer SET text = 'gift' WHERE seq = 2", "batch 2 was altered"),
        ("UPDATE transfer SET transfer_id = zeroblob(16) WHERE seq = 2", "batch 2 was altered"),
        ("UPDATE transfer SET transfer_id = zeroblob(17) WHERE seq = 2", "batch 2 was altered"),
        (f"UPDATE transfer SET text = '{'x' * 70_000}' WHERE seq = 2", "batch 2 was altered"),
        ("UPDATE transfer SET debit = 3 WHERE seq = 2", "batch 2 was altered"),
        ("DELETE FROM transfer WHERE seq = 2", "batch 2 was altered"),
        ("UPDATE transfer SET position = position + 7 WHERE seq = 3", "of batch 3 was altered: it is not"),
        (PLACES_SWAPPED, "batch 3 was altered"),
        (FORGED, "rows of batch 9 belong to no seal"),
        ("UPDATE account SET total_in = total_in + 1 WHERE account_id = 'b'", "b shows"),
        ("UPDATE account SET total_in = total_in + 1, total_out = total_out + 1", "a shows"),
        ("UPDATE account SET last_seq = 3 WHERE account_id = 'a'", "a was last moved by transfer 0 of batch 5"),
        ("UPDATE account SET last_position = 1 WHERE account_id = 'a'", "a was last moved by transfer 0 of batch 5"),
        (IDS_SWAPPED, "account b (number 2) has account_id 'a'"),
        ("UPDATE account SET name = 'Gift' WHERE account_id = 'b'", "account b (number 2) has name 'Gift'"),
        ("UPDATE account SET owner = 'thief' WHERE account_id = 'b'", "account b (number 2) has owner 'thief'"),
        ("UPDATE account SET kind = 'gift' WHERE account_id = 'b'", "account b (number 2) has kind 'gift'"),
        ("UPDATE account SET currency = 'EUR' WHERE account_id = 'b'", "account b (number 2) has currency 'EUR'"),
        ("UPDATE account SET currency = 'XXX' WHERE account_id = 'b'", "account b (number 2) has currency 'XXX'"),
        ("UPDATE account SET floor = -2 WHERE account_id = 'a'", "account a (number 1) has floor -2, its event of"),
        ("DELETE FROM account WHERE account_id = 'idle'", "account idle (number 4) was opened and is missing"),
        ("UPDATE account SET account_no = 9 WHERE account_id = 'idle'", "account idle (number 9) was never opened"),
        (
            "INSERT INTO account SELECT 1, 9, 'ghost', name, owner, kind, type, currency, cost_centre, labels, state, "
            "0, ceiling, 1, 0, 0, 0, 1, 0, 0, 0 FROM account LIMIT 1",
            "account ghost (number 9) was never opened",
        ),
        ("UPDATE event SET content = '{}' WHERE seq = 1", "batch 1 was altered"),
        ("UPDATE event SET event = 'closed' WHERE seq = 4", "batch 4 was altered"),
        ("DELETE FROM event WHERE seq = 4", "batch 4 was altered"),
        ("UPDATE event SET position = position + 7 WHERE seq = 1", "event 7 of batch 1 was altered"),
        ("UPDATE party SET name = 'Thief AB'", "party plant is Thief AB, the journal says Plant AB"),
        ("UPDATE party SET organisation = '1'", "party plant is Plant AB, 1, the journal says Plant AB"),
        ("INSERT INTO party VALUES (1, 'thief', 'T AB', '')", "party thief is T AB, the journal never named it"),
        ("DELETE FROM party", "party plant is in the journal and nowhere else"),
        ("DELETE FROM posting WHERE account_no = 2", "b: its posting of batch 2 is missing"),
        ("DELETE FROM posting WHERE account_no = 2 AND seq = 5", "b: its posting of batch 5 is missing"),
        ("UPDATE posting SET total_in = total_in + 1 WHERE account_no = 1", "a: its posting of batch 2 shows"),
        ("INSERT INTO posting VALUES (1, 4, 1, 2, 0, 0, 0, x'')", "a: it has a posting of batch 4"),
        ("INSERT INTO posting VALUES (1, 6, 1, 5, 0, 0, 0, x'')", "a: it has a posting of batch 6"),
        ("INSERT INTO posting VALUES (1, 2, 4, 0, 0, 0, 0, x'')", "idle: it has a posting of batch 2"),
        (
            "INSERT INTO posting VALUES (1, 2, 9, 0, 0, 0, 0, x'')",
            "postings of account number 9, which was not opened before them",
        ),
        (
            "UPDATE posting SET previous_seq = 0 WHERE account_no = 1 AND seq = 5",
            "a: its posting of batch 5 does not point to the posting before it",
        ),
        ("UPDATE account SET posting_seq = 3 WHERE account_id = 'a'", "a had its last posting in batch 5, not in"),
        ("UPDATE seal SET posted_time = 0 WHERE seq = 2", "batch 2 is older than the batch before it"),
        ("UPDATE seal SET posted_time = posted_time + 1 WHERE seq = 6", "batch 6 was altered"),
        ("UPDATE seal SET transfers = 0, events = 5 WHERE seq = 3", "batch 3 was altered"),
        ("UPDATE seal SET hash = zeroblob(32) WHERE seq = 6", "batch 6 was altered"),
        ("UPDATE seal SET previous = hash WHERE seq = 3", "batch 3 does not continue"),
        ("DELETE FROM seal WHERE seq = 2", "batch 2 is missing"),
        ("DELETE FROM seal WHERE seq = 6", "rows of batch 6 belong to no seal"),
        ("UPDATE book SET seq = 9", "the book says it stands at batch 9"),
        ("UPDATE book SET transfers = 9", "the book counts 9 transfers, it holds 4"),
        ("UPDATE link SET amount = 1", "the totals per link: a → b shows 3 transfers of 1 ledger units"),
        ("UPDATE link SET transfers = 1", "the totals per link: a → b shows 1 transfers"),
        ("DELETE FROM link WHERE debit = 2", "the totals per link: b → a shows 0 transfers"),
        ("INSERT INTO link VALUES (1, 4, 9, 1, 1)", "the totals per link: idle → number 9 shows 1 transfers"),
    ],
)  # fmt: skip
def test_an_alteration_is_the_first_thing_named(copy: Path, statements: str, fault: str) -> None:
    alter(copy, statements)
    verification = verified(copy)
    assert not verification.verified
    assert fault in verification.faults[0], verification.faults


def test_the_transfer_that_was_altered_is_named_and_no_other(copy: Path) -> None:
    alter(copy, "UPDATE transfer SET reference = 'gift' WHERE seq = 3 AND position = 0")
    assert verified(copy).faults == (
        f"transfer {derived_id('2').hex()} of batch 3 was altered: it is not what was sealed",
    )


def test_the_event_that_was_altered_is_named_and_no_other(copy: Path) -> None:
    alter(copy, "UPDATE event SET content = content || ' ' WHERE seq = 1 AND position = 2")
    assert verified(copy).faults == ("event 2 of batch 1 was altered: it is not what was sealed",)


def test_what_is_missing_is_named_and_what_stands_behind_it_is_not(copy: Path) -> None:
    alter(copy, "DELETE FROM transfer WHERE seq = 3 AND position = 0; DELETE FROM event WHERE seq = 1 AND position = 0")
    altered = [fault for fault in verified(copy).faults if "altered" in fault]
    assert altered == [
        "batch 1 was altered: entry 0 is missing",
        "batch 3 was altered: entry 0 is missing",
    ]


def test_a_fault_names_its_transfer(copy: Path) -> None:
    alter(copy, "UPDATE transfer SET amount = 10 * amount WHERE seq = 5")
    assert verified(copy).faults[1].startswith(f"transfer {derived_id('4').hex()} of batch 5: ")


def test_credit_may_come_and_go_within_one_batch(tmp_path: Path) -> None:
    def work(batch: Batch) -> None:
        batch.post([payment("1", "a", "b", "10 kr")])
        batch.open_account(account("a"))
        batch.open_account(account("b", "-5 kr"))
        batch.post([payment("2", "b", "a", "15 kr")])

    path = tmp_path / "book.db"
    with open_book(path) as book:
        book.open(account("a", "-10 kr"), account("b"))
        book.writer.submit(work).result(10)
        assert book.balance("b") == "-5.00 SEK"
    assert verified(path).faults == ()


def test_an_account_of_many_batches_is_compared_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "book.db"
    last = 2 * STRETCH + 1
    with open_book(path) as book:
        book.open(account("a", "-1000 kr"), account("b"))
        for n in range(2, last + 1):
            book.post(payment(f"{n}", "a", "b", "1 kr"))
    assert verified(path).faults == ()
    alter(path, f"UPDATE posting SET total_in = 0 WHERE account_no = 2 AND seq = {last}")
    (fault,) = verified(path).faults
    assert fault.startswith(f"b: its posting of batch {last} shows 0.000000 in")


def test_only_the_first_faults_are_told(copy: Path) -> None:
    alter(
        copy,
        "INSERT INTO posting SELECT 1, 1, value, 0, 0, 0, 0, x'' FROM json_each('["
        + ",".join(map(str, range(9, 99)))
        + "]')",
    )
    assert len(verified(copy).faults) == FAULTS_SHOWN_MAX


def test_an_end_that_was_cut_off_is_found_by_a_head_that_was_kept(copy: Path) -> None:
    kept = verified(copy)
    assert verified(copy, ExpectedHead(kept.head_hash)).verified
    assert verified(copy, ExpectedHead(kept.head_hash, 6)).verified
    alter(copy, END_CUT_OFF)
    assert verified(copy).verified, "a shorter chain is a chain"
    for expected in (ExpectedHead(kept.head_hash), ExpectedHead(kept.head_hash, 6)):
        (fault,) = verified(copy, expected).faults
        assert fault.startswith(f"the expected hash {kept.head_hash.hex()} is not that of ")
        assert fault.endswith("the book ends at batch 4")


def test_a_head_that_was_kept_stays_good_while_the_book_goes_on(copy: Path) -> None:
    connection = sqlite3.connect(copy)
    ((kept,),) = connection.execute("SELECT hash FROM seal WHERE seq = 3").fetchall()
    connection.close()
    assert verified(copy, ExpectedHead(kept, 3)).verified
    assert verified(copy, ExpectedHead(kept)).faults == (
        "the expected hash is that of batch 3, the book goes on to batch 6: expect it @3",
    )
    assert verified(copy, ExpectedHead(kept, 4)).faults == ("the expected hash is that of batch 3, not of batch 4",)


def test_a_head_is_read_as_it_is_printed() -> None:
    digits = "0f" * 32
    assert ExpectedHead.parse(digits) == ExpectedHead(bytes.fromhex(digits))
    assert ExpectedHead.parse(f"{digits.upper()}@12") == ExpectedHead(bytes.fromhex(digits), 12)


@pytest.mark.parametrize("text", ["", "0f", "0f" * 33, "zz" * 32, "0f" * 32 + "@", "0f" * 32 + "@0", "0f" * 32 + "@-1"])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(Rejected, match="expected 64 hexadecimal digits"):
        ExpectedHead.parse(text)
