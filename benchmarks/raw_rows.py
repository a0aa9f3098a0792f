"""Rows as the ledger wrote them, for the bare drivers to write again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol

from ledger.tables import transfer_key_table, transfer_table

Row = tuple[Any, ...]
Rows = Sequence[Row]

TABLES = (transfer_table.name, transfer_key_table.name)
WIDTHS = (len(transfer_table.columns), len(transfer_key_table.columns))

_TRANSFER_COLUMNS = [column.name for column in transfer_table.columns]
key_of = itemgetter(*(_TRANSFER_COLUMNS.index(column.name) for column in transfer_key_table.columns))
"""The row of the key table that belongs to a row of the transfer table."""

_seq_of = itemgetter(_TRANSFER_COLUMNS.index("seq"))


def last_seq(rows: Rows) -> int:
    """The batch that the last row belongs to; 0 when there is none."""
    return int(_seq_of(rows[-1])) if rows else 0


def by_batch(rows: Rows) -> list[Rows]:
    """The rows as the ledger committed them."""
    return [list(batch) for _, batch in groupby(rows, _seq_of)]


class RawTable(Protocol):
    """A transfer table and its key table as the ledger has them (constraints, indexes), written by the bare driver."""

    def insert(self, batches: Iterable[Rows]) -> float:
        """Insert the transfers and their keys, one commit a batch; the seconds it took."""
        ...

    def commit_one(self, row: Row) -> float:
        """Insert one transfer and commit: the seconds that this database takes for the least there is."""
        ...

    def close(self) -> None: ...
