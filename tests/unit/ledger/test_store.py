"""The ledger's rows: how they are read."""

from __future__ import annotations

import pytest
from ledgers import account, open_book, payment

from ledger import journal_rows
from ledger.database import reading
from ledger.tables import transfer_table


@pytest.mark.parametrize(
    "stream",
    [
        lambda connection: journal_rows.read_rows(connection, transfer_table, 1),
        lambda connection: journal_rows.read_seals(connection, 1),
    ],
    ids=["rows", "seals"],
)
def test_reading_a_whole_table_in_steps_changes_no_other_statement_of_the_connection(
    database_url: str, stream: object
) -> None:
    with open_book(database_url) as book:
        book.open(account("a", "-10 kr"), account("b"))
        book.post(payment("1", "a", "b", "1 kr"))
        with reading(book.engine) as connection:
            before = dict(connection.get_execution_options())
            assert list(stream(connection))  # type: ignore[operator]
            assert dict(connection.get_execution_options()) == before
