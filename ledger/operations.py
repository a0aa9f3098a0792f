"""What is done to a book beside posting: open its accounts, read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date

from core.clock import Instant
from core.errors import Rejected
from core.ids import TransferId
from ledger import hold_rows, statement, store, totals, transfer_rows, witness
from ledger.account import Account, AccountId, Party
from ledger.append import Committed
from ledger.balance import AccountStatus
from ledger.batch import Batch
from ledger.database import Connection, Engine, reading
from ledger.day_seal import DaySeal
from ledger.history import History
from ledger.hold import Hold
from ledger.proof import Proof
from ledger.store import BookHead
from ledger.totals import LinkTotal
from ledger.transfer import Transfer
from ledger.verification import FAULTS_SHOWN_MAX, ExpectedHead, Verification, verify
from ledger.writer import Work

STATEMENT_PAGE_MAX = 1_000
OPEN_HOLDS_PAGE_MAX = 1_000
NEWEST_SHOWN = 10


def open_accounts(parties: Sequence[Party], accounts: Sequence[Account]) -> Work[None]:
    """Make the book hold these accounts; each opening and each change is journalled.

    Rejected `account_is_fixed` when an account would change its owner or currency: money in it belongs to
    somebody, in something.
    """

    def work(batch: Batch) -> None:
        batch.load([account.id for account in accounts])
        for account in accounts:
            standing = batch.standings.get(account.id)
            if standing is not None and (standing.account.owner, standing.account.currency) != (
                account.owner,
                account.currency,
            ):
                was = standing.account
                raise Rejected(
                    "account_is_fixed",
                    f"account {account.id!r} belongs to {was.owner!r} in {was.currency} since it was opened, "
                    f"not to {account.owner!r} in {account.currency}; open a new account instead",
                )
        batch.set_parties(parties)
        for account in accounts:
            batch.open_account(account)

    return work


@dataclass(frozen=True, slots=True)
class Overview:
    """A book at one instant, read in one snapshot."""

    head: BookHead
    statuses: list[AccountStatus]
    links: list[LinkTotal]
    newest: list[Transfer]
    """The last transfers, newest first."""


Auditor = Callable[[Connection, int], Iterable[str]]
"""Checks what another package keeps beside a book; what it finds wrong, a sentence each."""


class Reader:
    """Reads one book while the writer goes on; each call sees one consistent snapshot."""

    def __init__(self, engine: Engine, book: str, auditors: Sequence[Auditor] = ()) -> None:
        self._engine = engine
        self._book = book
        self._auditors = auditors

    def overview(self) -> Overview:
        with reading(self._engine) as connection:
            head = self._head(connection)
            return Overview(
                head,
                store.load_statuses(connection, head.book),
                totals.load_links(connection, head.book, head.totalled_seq),
                transfer_rows.load_newest(connection, head.book, NEWEST_SHOWN),
            )

    def find(self, transfer: TransferId) -> Transfer | None:
        with reading(self._engine) as connection:
            return transfer_rows.find_transfers(connection, self._head(connection).book, [transfer]).get(transfer)

    def statement(self, account: AccountId, limit: int = 50, before: tuple[int, int] | None = None) -> list[Transfer]:
        """Newest first, at most `limit`; continue with the last one's (seq, position) as `before`."""
        with reading(self._engine) as connection:
            book = self._head(connection).book
            number = self._number(connection, book, account)
            return statement.load_page(connection, book, number, before, min(limit, STATEMENT_PAGE_MAX))

    def status_at(self, account: AccountId, at: Instant) -> AccountStatus:
        """What the account held at a past instant, as the book knew it then, without its last transfer.

        Rejected `unknown_account` when it was not open yet.
        """
        with reading(self._engine) as connection:
            book = self._head(connection).book
            number = self._number(connection, book, account)
            seq = statement.seq_at(connection, book, at)
            status = statement.load_status_after(connection, book, number, seq)
            if status is None:
                raise Rejected("unknown_account", f"account {account!r} was not open then")
            return status

    def links_between(self, begin: Instant, end: Instant) -> list[LinkTotal]:
        """What each account paid each other for work done from `begin` to before `end`, in whole hours."""
        with reading(self._engine) as connection:
            head = self._head(connection)
            return totals.load_links_between(connection, head.book, head.totalled_seq, begin, end)

    def open_holds(self, limit: int = OPEN_HOLDS_PAGE_MAX, after: Hold | None = None) -> list[Hold]:
        """In the order of their expiry, at most `limit`; continue with the last one as `after`."""
        limit = min(limit, OPEN_HOLDS_PAGE_MAX)
        place = None if after is None else (after.expires, after.id)
        with reading(self._engine) as connection:
            return hold_rows.load_open_holds(connection, self._head(connection).book, limit, after=place)

    def find_hold(self, hold: TransferId) -> Hold | None:
        with reading(self._engine) as connection:
            return hold_rows.find_hold(connection, self._head(connection).book, hold)

    @contextmanager
    def history(self) -> Iterator[History]:
        """One snapshot for several questions, or for one with a long answer such as a whole book."""
        with reading(self._engine) as connection:
            yield History(connection, self._head(connection))

    def changes_after(self, seq: int) -> Committed | None:
        """What changed since batch `seq`, whoever wrote it; None when nothing did."""
        with reading(self._engine) as connection:
            head = store.find_book(connection, self._book)
            if head is None or head.seq <= seq:
                return None
            return Committed(head, 0, tuple(store.load_statuses(connection, head.book, after=seq)))

    def day_seal(self, day: date) -> DaySeal:
        """The seal of one day in UTC, to keep elsewhere; Rejected `day_is_open` while more may come into it."""
        with reading(self._engine) as connection:
            return witness.read_day_seal(connection, self._head(connection), self._book, day)

    def prove(self, transfer: TransferId) -> Proof:
        """That the book holds the transfer, for somebody who has that day's seal and no database."""
        with reading(self._engine) as connection:
            return witness.prove(connection, self._head(connection), self._book, transfer)

    def verify(self, expected: ExpectedHead | None = None, without_archives: bool = False) -> Verification:
        """Recompute the book, and let every auditor look at the same snapshot, unless archives were not read."""
        with reading(self._engine) as connection:
            head = self._head(connection)
            verification = verify(connection, head, expected, without_archives)
            faults = [*verification.faults]
            for audit in () if verification.on_trust else self._auditors:
                faults.extend(audit(connection, head.book))
            return replace(verification, faults=tuple(faults[:FAULTS_SHOWN_MAX]))

    def _head(self, connection: Connection) -> BookHead:
        head = store.find_book(connection, self._book)
        if head is None:
            raise Rejected("unknown_book", f"there is no book {self._book!r} in this database")
        return head

    def _number(self, connection: Connection, book: int, account: AccountId) -> int:
        number = store.find_account_number(connection, book, account)
        if number is None:
            raise Rejected("unknown_account", f"there is no account {account!r} in book {self._book!r}")
        return number
