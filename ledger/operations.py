"""What is done to a book beside posting: open it, open its accounts, read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from core.errors import Rejected
from core.ids import TransferId
from ledger import store
from ledger.account import Account, AccountId, Party
from ledger.balance import AccountStatus
from ledger.batch import Batch
from ledger.database import Connection, Engine, reading
from ledger.replay import FAULTS_SHOWN_MAX
from ledger.store import BookHead, LinkTotal
from ledger.transfer import Transfer
from ledger.verification import ExpectedHead, Verification, verify
from ledger.writer import Work

STATEMENT_PAGE_MAX = 1_000
NEWEST_SHOWN = 10


def open_accounts(parties: Sequence[Party], accounts: Sequence[Account]) -> Work[None]:
    """Make the book hold these accounts; each opening and each change is journalled.

    Rejected `account_is_fixed` when an account would change its owner or currency: money in it belongs to
    somebody, in something.
    """

    def work(batch: Batch) -> None:
        open_now = store.load_standings(batch.connection, batch.book)
        for account in accounts:
            standing = open_now.get(account.id)
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
                store.load_links(connection, head.book),
                store.load_newest(connection, head.book, NEWEST_SHOWN),
            )

    def find(self, transfer: TransferId) -> Transfer | None:
        with reading(self._engine) as connection:
            return store.find_transfers(connection, self._head(connection).book, [transfer]).get(transfer)

    def statement(self, account: AccountId, limit: int = 50, before: tuple[int, int] | None = None) -> list[Transfer]:
        """Newest first, at most `limit`; continue with the last one's (seq, position) as `before`."""
        with reading(self._engine) as connection:
            book = self._head(connection).book
            if account not in store.load_standings(connection, book, [account]):
                raise Rejected("unknown_account", f"there is no account {account!r} in book {self._book!r}")
            return store.load_statement(connection, book, account, before, min(limit, STATEMENT_PAGE_MAX))

    def verify(self, expected: ExpectedHead | None = None) -> Verification:
        """Recompute the book, and let every auditor look at the same snapshot."""
        with reading(self._engine) as connection:
            head = self._head(connection)
            verification = verify(connection, head, expected)
            faults = [*verification.faults]
            for audit in self._auditors:
                faults.extend(audit(connection, head.book))
            return replace(verification, faults=tuple(faults[:FAULTS_SHOWN_MAX]))

    def _head(self, connection: Connection) -> BookHead:
        head = store.find_book(connection, self._book)
        if head is None:
            raise Rejected("unknown_book", f"there is no book {self._book!r} in this database")
        return head
