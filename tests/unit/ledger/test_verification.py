"""A row altered by hand is found."""

from pathlib import Path

import pytest
from ledgers import account, open_book, payment

from ledger.database import transaction

FORGED = """
    INSERT INTO transfer
    SELECT book_id, 9, 0, zeroblob(16), debit, credit, 1, 0, '', '', '' FROM transfer LIMIT 1
"""


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE transfer SET amount = amount + 1 WHERE seq = 3", "batch 3 was altered"),
        ("UPDATE transfer SET text = 'gift' WHERE seq = 2", "batch 2 was altered"),
        ("DELETE FROM transfer WHERE seq = 2", "batch 2 was altered"),
        ("UPDATE account SET total_in = total_in + 1 WHERE account_id = 'b'", "b shows"),
        ("UPDATE account_event SET content = '{}'", "batch 1 was altered"),
        ("UPDATE seal SET posted_time = 0 WHERE seq = 2", "batch 2 was altered"),
        ("DELETE FROM seal WHERE seq = 2", "batch 2 is missing"),
        ("UPDATE seal SET previous = hash WHERE seq = 3", "batch 3 does not continue"),
        ("UPDATE book SET seq = 9", "the book says it stands at batch 9"),
        ("UPDATE link SET amount = 1", "the totals per link"),
        (FORGED, "rows of batch 9 belong to no seal"),
    ],
)
def test_an_alteration_is_named(tmp_path: Path, statement: str, fault: str) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        book.post(payment("1", "a", "b", "1 kr", text="rent"))
        book.post(payment("2", "a", "b", "2 kr"))
        assert book.reader.verify().verified
        with book.engine.connect() as connection, transaction(connection):
            connection.exec_driver_sql(statement)
        verification = book.reader.verify()
        assert not verification.verified
        assert any(fault in found for found in verification.faults), verification.faults


def test_the_statement_pages_through_everything_once(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-1000 kr"), account("b"), account("c"))
        for n in range(7):
            book.post(*(payment(f"{n}-{m}", "a", "bc"[m % 2], "1 kr", reference=f"{n}-{m}") for m in range(5)))
        seen: list[str] = []
        place = None
        while page := book.reader.statement(account("b").id, limit=4, before=place):
            seen += [transfer.request.reference for transfer in page]
            place = (page[-1].seq, page[-1].position)
        assert seen == [f"{n}-{m}" for n in reversed(range(7)) for m in (4, 2, 0)]
