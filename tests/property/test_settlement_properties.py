"""However readings are cut, delayed, spoilt or interrupted: what is paid is what the register counted."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import open_book
from settlements import Cell, agreement, sample

steps = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["read", "read", "bad", "zero", "again", "restart"])))


@settings(max_examples=60, deadline=None)
@given(steps=steps)
def test_the_bill_is_the_difference_of_the_register(steps: list[tuple[int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder, open_book(Path(folder) / "book.db") as book:
        cell = Cell(book, (agreement("work", "0.37 * parts"),), floor="-100000 kr")
        register, seconds, seen = 1000, 0, 1000
        cell.absorb(sample("parts", seconds, register))
        for made, event in steps:
            register += made
            seconds += 1
            if event == "restart":
                cell.engine = cell.fresh_engine()
            elif event == "again":
                cell.absorb(sample("parts", seconds - 1, seen))
            else:
                value = {"read": register, "bad": None, "zero": 0}[event]
                cell.absorb(sample("parts", seconds, value))
                seen = register if event == "read" else seen
        cell.absorb(sample("parts", seconds + 1, register))
        verification = book.reader.verify()
        paid = next(status.balance for status in book.reader.overview().statuses if status.account.id == "cell")
        assert verification.verified
        assert paid.amount == Decimal("0.37") * (register - 1000)
