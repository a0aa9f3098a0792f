"""The second, naive bookkeeping: what a book's tables must hold, by its journal alone."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.money import CURRENCIES, TRANSFER_UNITS_MAX, UNITS_MAX, Money
from ledger import tables
from ledger.database import Connection, Row, Table

FAULTS_SHOWN_MAX = 20
ROWS_PER_PAGE = 64

_COLUMNS = {
    "account": "account_id",
    "name": "name",
    "owner": "owner",
    "kind": "kind",
    "currency": "currency",
    "floor_units": "floor",
}
"""What an account's event says → the column that must say the same."""
_FIXED = ("account", "owner", "currency")
_PARTY = ("party", "name", "organisation")


class Faults:
    """What did not fit, in the order it was found; what comes after the first twenty is not kept."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def add(self, text: str) -> None:
        if len(self._texts) < FAULTS_SHOWN_MAX:
            self._texts.append(text)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)


def rows_of(
    connection: Connection, table: Table, book: int, key: str, value: int | str, order: str
) -> Iterator[Row[Any]]:
    """One key's rows in their order, a page at a time: all keys can be read side by side, and nothing is sorted."""
    place = table.c[order]
    query = table.select().where(table.c.book_id == book, table.c[key] == value).order_by(place).limit(ROWS_PER_PAGE)
    rows = connection.execute(query).all()
    yield from rows
    while len(rows) == ROWS_PER_PAGE:
        rows = connection.execute(query.where(place > getattr(rows[-1], order))).all()
        yield from rows


@dataclass(slots=True)
class ReplayedAccount:
    """What the journal gives of one account so far; amounts in ledger units."""

    content: dict[str, Any]
    event_seq: int
    postings: Iterator[Row[Any]]
    floor: int
    floor_least: int
    """The lowest in this batch: a seal does not tell which of its transfers came before a change of the floor."""
    total_in: int = 0
    total_out: int = 0
    seq: int = 0
    position: int = 0
    is_doubtful: bool = False
    """Its postings were found wrong once, which says enough."""

    @property
    def id(self) -> str:
        return str(self.content["account"])

    @property
    def currency(self) -> str:
        return str(self.content["currency"])

    def shown(self, total_in: int, total_out: int) -> str:
        """Totals as people read them, in this account's currency."""
        of = CURRENCIES[self.currency]
        return f"{Money(total_in, of).plain()} in and {Money(total_out, of).plain()} {of} out"

    @property
    def computed(self) -> str:
        return self.shown(self.total_in, self.total_out)


class Replay:
    """Takes the batches in, in their order, then compares every table with what they give.

    Holds the accounts, the pairs that paid each other and a few rows of each account, never all transfers.
    """

    def __init__(self, connection: Connection, book: int, faults: Faults) -> None:
        self.transfers = 0
        self._connection = connection
        self._book = book
        self._faults = faults
        self._accounts: dict[int, ReplayedAccount] = {}
        self._parties: dict[str, tuple[str, str]] = {}
        self._links: dict[tuple[int, int], tuple[int, int]] = defaultdict(lambda: (0, 0))
        self._changed: list[ReplayedAccount] = []

    def take(self, seq: int, events: Sequence[Row[Any]], transfers: Sequence[Row[Any]]) -> None:
        """Take one batch in: its events first, as its seal has them."""
        for account in self._changed:
            account.floor_least = account.floor
        self._changed.clear()
        for place, row in enumerate(events):
            problem = self._event(seq, row)
            if row.position != place:
                problem = f"it is event {place} of the batch"
            if problem:
                self._faults.add(f"event {row.position} of batch {seq}: {problem}")
        self._post(seq, transfers)
        self.transfers += len(transfers)

    def compare(self) -> dict[str, Money]:
        """Compare the tables with what the journal gave; the sum of all balances they show, per currency."""
        self._compare_parties()
        trial = self._compare_accounts()
        self._compare_postings()
        self._compare_links()
        for code, left in trial.items():
            if left:
                self._faults.add(f"accounts in {code} add up to {left}, not to zero")
        return trial

    def _event(self, seq: int, row: Row[Any]) -> str | None:
        """Take one event in; what is wrong with it."""
        try:
            content = json.loads(row.content)
            if (row.account_no, row.event) == (0, "party"):
                id, name, organisation = (str(content[each]) for each in _PARTY)
                self._parties[id] = (name, organisation)
                return None
            floor = int(content["floor_units"])
            if content.keys() != _COLUMNS.keys() or content["currency"] not in CURRENCIES:
                return "its content is not that of an account"
        except (ValueError, KeyError, TypeError, AttributeError):
            return "its content cannot be read"
        account = self._accounts.get(row.account_no)
        if row.event == "opened" and account is None:
            postings = rows_of(
                self._connection, tables.posting_table, self._book, "account_no", row.account_no, order="seq"
            )
            self._accounts[row.account_no] = ReplayedAccount(content, seq, postings, floor, floor)
            return None
        if row.event != "changed" or account is None:
            return f"account number {row.account_no} cannot be {row.event!r} at this place"
        if any(content[each] != account.content[each] for each in _FIXED):
            return f"{account.id} gets another id, owner or currency, which stay as they were when it was opened"
        account.content, account.event_seq, account.floor = content, seq, floor
        account.floor_least = min(account.floor_least, floor)
        self._changed.append(account)
        return None

    def _post(self, seq: int, rows: Sequence[Row[Any]]) -> None:
        accounts, links = self._accounts, self._links
        touched: list[ReplayedAccount] = []
        for place, row in enumerate(rows):
            position, id, debit, credit, units = tuple(row)[2:7]
            number, amount = links[debit, credit]
            links[debit, credit] = (number + 1, amount + units)
            payer, payee = accounts.get(debit), accounts.get(credit)
            if payer is None or payee is None:
                self._wrong(seq, id, "it names an account that was not open")
                continue
            payer.total_out += units
            payee.total_in += units
            for account in (payer, payee):
                if account.seq != seq:
                    account.seq = seq
                    touched.append(account)
                account.position = place
            if position != place:
                self._wrong(seq, id, f"it is transfer {place} of the batch and stands at position {position}")
            if not 0 < units <= TRANSFER_UNITS_MAX:
                self._wrong(seq, id, f"its amount of {units} ledger units is out of bounds")
            if debit == credit or payer.content["currency"] != payee.content["currency"]:
                self._wrong(seq, id, f"{payer.id} in {payer.currency} cannot pay {payee.id} in {payee.currency}")
            if payer.total_in - payer.total_out < payer.floor_least:
                self._wrong(seq, id, f"{payer.id} went below the floor it had then")
            if payer.total_out > UNITS_MAX or payee.total_in > UNITS_MAX:
                self._wrong(seq, id, "the total through one of its accounts leaves the ledger's range")
            if len(id) != 16:
                self._wrong(seq, id, "its id has not 16 bytes")
        for account in touched:
            self._compare_posting(seq, account)

    def _wrong(self, seq: int, transfer: bytes, text: str) -> None:
        self._faults.add(f"transfer {transfer.hex()} of batch {seq}: {text}")

    def _compare_posting(self, seq: int, account: ReplayedAccount) -> None:
        if account.is_doubtful:
            return
        row = next(account.postings, None)
        if row is not None and row.seq == seq:
            if (row.total_in, row.total_out) == (account.total_in, account.total_out):
                return
            shown = account.shown(row.total_in, row.total_out)
            text = f"its posting of batch {seq} shows {shown}, its transfers give {account.computed}"
        elif row is not None and row.seq < seq:
            text = f"it has a posting of batch {row.seq}, which did not move it"
        else:
            text = f"its posting of batch {seq} is missing"
        account.is_doubtful = True
        self._faults.add(f"{account.id}: {text}")

    def _compare_parties(self) -> None:
        table = tables.party_table
        missing = dict(self._parties)
        for row in self._connection.execute(table.select().where(table.c.book_id == self._book)):
            journalled = missing.pop(row.party_id, None)
            if journalled != (row.name, row.organisation):
                said = "never named it" if journalled is None else f"says {', '.join(filter(None, journalled))}"
                shown = ", ".join(filter(None, (row.name, row.organisation)))
                self._faults.add(f"party {row.party_id} is {shown}, the journal {said}")
        for party in missing:
            self._faults.add(f"party {party} is in the journal and nowhere else")

    def _compare_accounts(self) -> dict[str, Money]:
        table = tables.account_table
        sums: dict[str, int] = defaultdict(int)
        seen: set[int] = set()
        for row in self._connection.execute(table.select().where(table.c.book_id == self._book)):
            if row.currency in CURRENCIES:
                sums[row.currency] += row.total_in - row.total_out
            account = self._accounts.get(row.account_no)
            if account is None:
                self._faults.add(f"account {row.account_id} (number {row.account_no}) was never opened")
                continue
            seen.add(row.account_no)
            for key, column in _COLUMNS.items():
                if getattr(row, column) != account.content[key]:
                    self._faults.add(
                        f"account {account.id} (number {row.account_no}) has {column} {getattr(row, column)!r}, "
                        f"its event of batch {account.event_seq} says {account.content[key]!r}"
                    )
            if (row.total_in, row.total_out) != (account.total_in, account.total_out):
                shown = account.shown(row.total_in, row.total_out)
                self._faults.add(f"{account.id} shows {shown}, its transfers give {account.computed}")
            if (row.last_seq, row.last_position) != (account.seq, account.position):
                self._faults.add(
                    f"{account.id} was last moved by transfer {account.position} of batch {account.seq}, "
                    f"its account says transfer {row.last_position} of batch {row.last_seq}"
                )
        for number, account in self._accounts.items():
            if number not in seen:
                self._faults.add(f"account {account.id} (number {number}) was opened and is missing")
        return {code: Money(units, CURRENCIES[code]) for code, units in sorted(sums.items())}

    def _compare_postings(self) -> None:
        for account in self._accounts.values():
            row = None if account.is_doubtful else next(account.postings, None)
            if row is not None:
                self._faults.add(f"{account.id}: it has a posting of batch {row.seq}, which did not move it")
        table = tables.posting_table
        numbers = table.select().with_only_columns(table.c.account_no).where(table.c.book_id == self._book).distinct()
        for row in self._connection.execute(numbers):
            if row.account_no not in self._accounts:
                self._faults.add(f"there are postings of account number {row.account_no}, which was never opened")

    def _compare_links(self) -> None:
        table = tables.link_table
        for row in self._connection.execute(table.select().where(table.c.book_id == self._book)):
            self._compare_link((row.debit, row.credit), (row.transfers, row.amount))
        for pair in list(self._links):
            self._compare_link(pair, (0, 0))

    def _compare_link(self, pair: tuple[int, int], shown: tuple[int, int]) -> None:
        computed = self._links.pop(pair, None)
        if computed != shown:
            debit, credit = (self._accounts[each].id if each in self._accounts else f"number {each}" for each in pair)
            transfers, units = computed or (0, 0)
            self._faults.add(
                f"the totals per link: {debit} → {credit} shows {shown[0]} transfers of {shown[1]} ledger units, "
                f"there are {transfers} of {units}"
            )
