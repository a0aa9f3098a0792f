"""A book's past, read at length in one snapshot: every transfer, what was refused, all accounts at an instant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from core.clock import EPOCH, Instant
from core.errors import InvariantBroken, Rejected
from core.ids import TransferId
from core.money import Money, currency
from ledger import statement, store
from ledger.account import Account, AccountId, Party
from ledger.balance import AccountStatus
from ledger.database import Connection
from ledger.event import EventKind
from ledger.journal_rows import read_transfers
from ledger.posting import Standing
from ledger.statements import run
from ledger.store import BookHead
from ledger.transfer import Reason, Refused, Transfer, TransferKind, TransferRequest

_SEALS_PER_SELECT = 1_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """A payment that was asked for and refused, and where the journal says so. Long texts in it may be cut."""

    refused: Refused
    seq: int
    position: int
    posted_time: Instant


class History:
    """What several questions are asked of, or one with a long answer; good for as long as its snapshot is held."""

    def __init__(self, connection: Connection, head: BookHead) -> None:
        self.head = head
        self._connection = connection
        self._book = head.book
        self._standings: dict[AccountId, Standing] = store.load_standings(connection, head.book)

    @property
    def accounts(self) -> list[Account]:
        """In the order they were opened."""
        return [standing.account for standing in self._standings.values()]

    @property
    def balances(self) -> dict[AccountId, Money]:
        """After the last transfer."""
        return {id: Money(standing.balance, standing.currency) for id, standing in self._standings.items()}

    def parties(self) -> list[Party]:
        return list(store.load_parties(self._connection, self._book).values())

    def transfers(self) -> Iterator[Transfer]:
        """Every transfer of the book in its order, read as it goes."""
        return stream_transfers(self._connection, self._book)

    def statuses_at(self, at: Instant) -> list[AccountStatus]:
        """What each account that was open then held, as the book knew it at that instant."""
        seq = statement.seq_at(self._connection, self._book, at)
        numbers = [standing.number for standing in self._standings.values()]
        statuses = (statement.load_status_after(self._connection, self._book, number, seq) for number in numbers)
        return [status for status in statuses if status is not None]

    def refusals(self, limit: int, account: AccountId | None = None) -> list[Refusal]:
        """The last payments that were refused, newest first: all of them, or those that this account should pay.

        Rejected `unknown_account` when there is none of that name.
        """
        only, number = "", tuple[int, ...]()
        if account is not None:
            if account not in self._standings:
                raise Rejected("unknown_account", f"there is no account {account!r} in this book")
            only, number = "AND e.account_no = ? ", (self._standings[account].number,)
        rows = run(
            self._connection,
            "SELECT e.content, e.seq, e.position, s.posted_time FROM event e "
            "JOIN seal s ON s.book_id = e.book_id AND s.seq = e.seq "
            f"WHERE e.book_id = ? {only}AND e.event = '{EventKind.REFUSED.value}' "
            "ORDER BY e.seq DESC, e.position DESC LIMIT ?",
            (self._book, *number, limit),
        )
        return [Refusal(_refused(json.loads(row[0])), row[1], row[2], Instant(row[3])) for row in rows]


def stream_transfers(connection: Connection, book: int) -> Iterator[Transfer]:
    """Every transfer of the book in its order, without holding them all; InvariantBroken where a batch has no seal."""
    accounts = {standing.number: standing.account for standing in store.load_standings(connection, book).values()}
    times = _posted_times(connection, book)
    seq, posted_time = 0, EPOCH
    for row in read_transfers(connection, book):
        while seq < row.seq:
            seq, posted_time = next(times, (row.seq + 1, EPOCH))
        if seq != row.seq:
            raise InvariantBroken(f"batch {row.seq} has no seal; `ledger verify` says what else does not fit")
        debit, credit = accounts[row.debit], accounts[row.credit]
        request = TransferRequest(
            TransferId(row.transfer_id),
            debit.id,
            credit.id,
            Money(row.amount, debit.currency),
            Instant(row.effective_time),
            row.text,
            row.reference,
            row.source,
            TransferKind(row.kind),
            None if row.cause is None else TransferId(row.cause),
        )
        yield Transfer(request, seq, row.position, posted_time)


def _posted_times(connection: Connection, book: int) -> Iterator[tuple[int, Instant]]:
    """Each batch with its time. (Its leaves stand in the same row and are left there.)"""
    last = 0
    while True:
        rows = run(
            connection,
            "SELECT seq, posted_time FROM seal WHERE book_id = ? AND seq > ? ORDER BY seq LIMIT ?",
            (book, last, _SEALS_PER_SELECT),
        ).fetchall()
        for seq, posted_time in rows:
            yield seq, Instant(posted_time)
        if len(rows) < _SEALS_PER_SELECT:
            return
        last = rows[-1][0]


def _refused(content: dict[str, Any]) -> Refused:
    request = TransferRequest(
        TransferId(bytes.fromhex(content["transfer"])),
        AccountId(content["debit"]),
        AccountId(content["credit"]),
        Money(int(content["units"]), currency(content["currency"])),
        Instant(content["effective_time"]),
        content["text"],
        content["reference"],
        content["source"],
    )
    return Refused(request, Reason(content["reason"]), content["why"])
