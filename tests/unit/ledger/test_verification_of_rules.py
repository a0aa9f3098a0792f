"""The rules of the book were kept, whatever the seals say: for somebody who can make new seals too."""

import shutil
from pathlib import Path

import pytest
from altered_books import alter, seal_again, verified, write_everything
from ledgers import open_book

from ledger.transfer import TIME_END


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "book.db"
    with open_book(path) as book:
        write_everything(book)
    return path


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(written, tmp_path / "book.db"))


TEXTS = ("text", "reference", "source")
UNFIT_TEXT = "a text in it is too long, or cannot be shown"
UNREADABLE = "event 0 of batch {}: its content cannot be read"
NO_ACCOUNT = "event 0 of batch 14: its content is not that of an account"
NOT_GIVEN_BACK = "does not give back what the transfer that it names moved"
UNHELD = "of batch {}: it captures what was not held between these accounts"
HELD_TWICE = "UPDATE event SET content = (SELECT content FROM event WHERE seq = 3) WHERE seq = 4"
ENDED_TWICE = "UPDATE event SET content = (SELECT content FROM event WHERE seq = 9) WHERE seq = 10"
REVERSED_TWICE = "UPDATE transfer SET kind = 2, cause = (SELECT cause FROM transfer WHERE seq = 11) WHERE seq = 15"
NOTHING_REVERSED = """
    UPDATE transfer SET cause = zeroblob(16) WHERE seq = 11;
    UPDATE reversal SET transfer_id = zeroblob(16);
"""
A_CEILING = f'ceiling_units":{2**62 - 1}', 'ceiling_units":200000000'


def content(seq: int, old: str, new: str) -> str:
    return f"UPDATE event SET content = replace(content, '{old}', '{new}') WHERE seq = {seq}"


FROZEN_BEFORE = """
    UPDATE event SET seq = 2, position = 2 WHERE seq = 14;
    UPDATE event SET content = replace(content, '"open"', '"frozen"') WHERE seq = 2;
"""
CLOSED_BEFORE = """
    UPDATE event SET seq = 2, position = 2, account_no = 2, content =
        (SELECT replace(content, '"open"', '"closed"') FROM event WHERE seq = 1 AND account_no = 2) WHERE seq = 14
"""
LOCKED_BEFORE = "UPDATE event SET seq = 2, position = 2, content = '{\"until\":2000}' WHERE seq = 13"
SECOND_LEG_GONE = "DELETE FROM transfer WHERE seq = 10 AND position = 2"
LEGS_APART = """
    UPDATE event SET position = 9 WHERE seq = 10;
    UPDATE transfer SET position = position - 1 WHERE seq = 10;
    UPDATE transfer SET position = 2 WHERE seq = 10 AND position = 1;
    UPDATE event SET position = 1 WHERE seq = 10;
"""


@pytest.mark.parametrize(
    ("statements", "fault"),
    [
        ("UPDATE transfer SET amount = 0 WHERE seq = 2", "of batch 2: its amount of 0 ledger units is out of bounds"),
        (f"UPDATE transfer SET amount = {2**53 + 1} WHERE seq = 2", "of batch 2: its amount of 9007199254740993"),
        ("UPDATE transfer SET credit = debit WHERE seq = 15", "of batch 15: a in SEK cannot pay a in SEK"),
        ("UPDATE transfer SET credit = 5 WHERE seq = 15", "of batch 15: a in SEK cannot pay c in EUR"),
        ("UPDATE transfer SET amount = 60 * amount WHERE seq = 15", "of batch 15: a went below the floor it had then"),
        (content(1, "floor_units\":-5", "floor_units\":-1"), "of batch 10: a went below the floor it had then"),
        (content(1, *A_CEILING), "b went above the ceiling it had then"),
        (FROZEN_BEFORE, "of batch 10: a is frozen, sek is open"),
        (FROZEN_BEFORE, "event 0 of batch 3: a is frozen, b is open"),
        (CLOSED_BEFORE, "event 2 of batch 2: b is closed with money or holds in it"),
        (LOCKED_BEFORE, "of batch 15: it is dated in a period that was locked"),
        (LOCKED_BEFORE.replace("2000", "1001"), "of batch 7: it is dated in a period that was locked"),
        (LOCKED_BEFORE.replace("2000", "1001"), "of batch 11: it is dated in a period that was locked"),
        ("UPDATE transfer SET effective_time = -1 WHERE seq = 2", "of batch 2: its time of -1 microseconds is out of"),
        (f"UPDATE transfer SET effective_time = {TIME_END} WHERE seq = 7", f"of batch 7: its time of {TIME_END} micro"),
        (f"UPDATE transfer SET text = '{'x' * 201}' WHERE seq = 11", f"of batch 11: {UNFIT_TEXT}"),
        (f"UPDATE transfer SET reference = '{'x' * 141}' WHERE seq = 2", f"of batch 2: {UNFIT_TEXT}"),
        (f"UPDATE transfer SET source = '{'x' * 141}' WHERE seq = 7", f"of batch 7: {UNFIT_TEXT}"),
        *((f"UPDATE transfer SET {text} = char(9) WHERE seq = 2", f"of batch 2: {UNFIT_TEXT}") for text in TEXTS),
        ("UPDATE transfer SET kind = 16 WHERE seq = 15", "of batch 15: its kind cannot be 16 without a cause"),
        ("UPDATE transfer SET kind = 2 WHERE seq = 15", "of batch 15: its kind cannot be 2 without a cause"),
        ("UPDATE transfer SET cause = zeroblob(16) WHERE seq = 15", "of batch 15: its kind cannot be 0 with a cause"),
        ("UPDATE transfer SET cause = x'' WHERE seq = 15", "of batch 15: its kind cannot be 0 with a cause"),
        (SECOND_LEG_GONE, "of batch 10: it was posted with another that does not follow it"),
        (LEGS_APART, "of batch 10: it was posted with another that does not follow it"),
        ("UPDATE transfer SET kind = 4 WHERE seq = 11", UNHELD.format(11)),
        ("UPDATE transfer SET debit = 3 WHERE seq = 7", UNHELD.format(7)),
        ("UPDATE transfer SET amount = 6 * amount WHERE seq = 7", "of batch 7: it captures 600000000 ledger units"),
        (REVERSED_TWICE, "of batch 15: it reverses what was reversed before"),
        (NOTHING_REVERSED, NOT_GIVEN_BACK),
        ("UPDATE transfer SET amount = 1 WHERE seq = 11", NOT_GIVEN_BACK),
        ("UPDATE transfer SET credit = 3 WHERE seq = 11", NOT_GIVEN_BACK),
        (content(3, ":500000000", ":6000000000"), "event 0 of batch 3: a had not so much available"),
        (content(3, ":500000000", ":0"), "event 0 of batch 3: no such amount can be held between these accounts"),
        (content(3, "SEK", "EUR"), "event 0 of batch 3: no such amount can be held between these accounts"),
        (content(3, '"b"', '"nobody"'), "event 0 of batch 3: it names an account that was not open"),
        ("UPDATE event SET account_no = 2 WHERE seq = 3", "event 0 of batch 3: it names an account that was not open"),
        (HELD_TWICE, "event 0 of batch 4: there is a hold with this id already"),
        ("UPDATE event SET account_no = 1 WHERE seq = 9", "event 0 of batch 9: there is no such open hold"),
        (ENDED_TWICE, "event 0 of batch 10: there is no such open hold"),
        (content(9, ":100000000", ":1"), "event 0 of batch 9: the hold had 100000000 ledger units left, not 1"),
        ("UPDATE event SET content = '7' WHERE seq = 14", UNREADABLE.format(14)),
        ("UPDATE event SET content = '{' WHERE seq = 9", UNREADABLE.format(9)),
        ("UPDATE event SET event = 'gift' WHERE seq = 14", UNREADABLE.format(14)),
        ("UPDATE event SET content = '{}' WHERE seq = 13", UNREADABLE.format(13)),
        ("UPDATE event SET content = '{\"until\":\"1\"}' WHERE seq = 13", UNREADABLE.format(13)),
        ("UPDATE event SET content = '{}' WHERE event = 'party'", UNREADABLE.format(1)),
        (content(1, '"name":"Plant AB"', '"name":7'), UNREADABLE.format(1)),
        (content(14, ":-5000000000", ":\"free\""), UNREADABLE.format(14)),
        (content(14, '{"line":"1"}', "[]"), UNREADABLE.format(14)),
        ("UPDATE event SET content = '{}' WHERE seq = 14", NO_ACCOUNT),
        (content(14, "SEK", "XXX"), NO_ACCOUNT),
        ("UPDATE event SET event = 'opened' WHERE seq = 14", "account number 1 cannot be 'opened'"),
        ("UPDATE event SET account_no = 9 WHERE seq = 14", "account number 9 cannot be 'changed'"),
        (content(14, '"plant"', '"thief"'), "a gets another id, owner or currency"),
    ],
)  # fmt: skip
def test_rules_were_kept_whatever_the_seals_say(copy: Path, statements: str, fault: str) -> None:
    alter(copy, statements)
    seal_again(copy)
    verification = verified(copy)
    assert not any("was altered" in found for found in verification.faults)
    assert any(fault in found for found in verification.faults), verification.faults


def test_a_book_that_is_sealed_anew_as_it_is_has_no_faults(copy: Path) -> None:
    """The attack itself is sound: what the tests above find is what was altered."""
    before = verified(copy)
    seal_again(copy)
    assert verified(copy) == before
    assert before.faults == ()
