"""Compares a book's tables with what the replay of its journal gives."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby, islice
from typing import Any

from core.money import CURRENCIES, Money
from ledger import outbox, statement, store, tables, transfer_rows
from ledger.archived import load_archives, opened, streamed_from_archives
from ledger.database import Connection, Row
from ledger.replay import FAULTS_SHOWN_MAX, Faults, Replay, ReplayedAccount
from ledger.statements import VALUES_PER_SELECT, run, run_for_any
from ledger.store import BookHead
from ledger.totals import HOUR

ROWS_READ_AHEAD = 1_000
LINKS_AT_ONCE = 1_000

_COLUMNS = {
    "account": "account_id",
    "name": "name",
    "owner": "owner",
    "kind": "kind",
    "type": "type",
    "currency": "currency",
    "cost_centre": "cost_centre",
    "state": "state",
    "floor_units": "floor",
    "ceiling_units": "ceiling",
}
"""What an account's event says → the column that must say the same."""


class Postings:
    """Every account's postings after a batch, read beside the replay, batch by batch."""

    def __init__(self, connection: Connection, book: int, replay: Replay, faults: Faults, after: int = 0) -> None:
        table = tables.posting_table
        query = table.select().where(table.c.book_id == book).order_by(table.c.seq, table.c.account_no)
        if after:
            query = query.where(table.c.seq > after)
        self._rows = iter(connection.execute(query, execution_options={"yield_per": ROWS_READ_AHEAD}))
        self._next = next(self._rows, None)
        self._replay = replay
        self._faults = faults
        self._doubtful: set[int] = set()
        """Accounts whose postings were found wrong once, which says enough."""

    def compare(self, seq: int) -> None:
        """The accounts that the batch touched must each have a posting of it, and no other account."""
        rows = self._read(seq)
        for account in self._replay.touched.values():
            self._tell(account.number, self._problem(seq, account, rows.pop(account.number, None)))
            account.posting_seq = seq
        for row in rows.values():
            self._stray(row)

    def end(self) -> None:
        """No posting may be left over."""
        while self._next is not None:
            self._stray(self._next)
            self._next = next(self._rows, None)

    def _read(self, seq: int) -> dict[int, Row[Any]]:
        """The postings of the batch by account number; those of batches before it that have no seal are strays."""
        rows = {}
        while self._next is not None and self._next.seq <= seq:
            if self._next.seq == seq:
                rows[self._next.account_no] = self._next
            else:
                self._stray(self._next)
            self._next = next(self._rows, None)
        return rows

    def _stray(self, row: Row[Any]) -> None:
        self._tell(row.account_no, f"it has a posting of batch {row.seq}, which did not move it")

    def _tell(self, number: int, problem: str | None) -> None:
        if problem is None or number in self._doubtful:
            return
        self._doubtful.add(number)
        account = self._replay.accounts.get(number)
        if account is None:
            self._faults.add(f"there are postings of account number {number}, which was not opened before them")
        else:
            self._faults.add(f"{account.id}: {problem}")

    def _problem(self, seq: int, account: ReplayedAccount, row: Row[Any] | None) -> str | None:
        if row is None:
            return f"its posting of batch {seq} is missing"
        if (row.total_in, row.total_out, row.held) != (account.total_in, account.total_out, account.held):
            shown = account.shown(row.total_in, row.total_out, row.held)
            return f"its posting of batch {seq} shows {shown}, the journal gives {account.computed}"
        if len(row.positions) % 2 or list(statement.positions_of(row.positions)) != account.positions:
            return f"its posting of batch {seq} does not point to its transfers"
        if row.previous_seq != account.posting_seq:
            return f"its posting of batch {seq} does not point to the posting before it"
        return None


def compare(
    connection: Connection, head: BookHead, replay: Replay, faults: Faults, on_trust: int = 0
) -> dict[str, Money]:
    """Compare the tables with what the journal gave; the sum of all balances they show, per currency.

    Archives are looked into, unless the batches up to `on_trust` are taken on trust: then there are no totals per link
    to compare, nor what is found by the ids of archived transfers.
    """
    _compare_parties(connection, head.book, replay, faults)
    trial = _compare_accounts(connection, head.book, replay, faults)
    _compare_holds(connection, head.book, replay, faults)
    _compare_reversals(connection, head.book, faults, on_trust)
    _compare_keys(connection, head.book, replay, faults)
    if not on_trust:
        _compare_archived_keys(connection, head.book, faults)
        _compare_links(connection, head, replay, faults)
    for fault in outbox.audit(connection, head.book, on_trust):
        faults.add(fault)
    for code, left in trial.items():
        if left:
            faults.add(f"accounts in {code} add up to {left}, not to zero")
    return trial


def _compare_parties(connection: Connection, book: int, replay: Replay, faults: Faults) -> None:
    table = tables.party_table
    missing = dict(replay.parties)
    for row in connection.execute(table.select().where(table.c.book_id == book)):
        journalled = missing.pop(row.party_id, None)
        if journalled != (row.name, row.organisation):
            said = "never named it" if journalled is None else f"says {', '.join(filter(None, journalled))}"
            shown = ", ".join(filter(None, (row.name, row.organisation)))
            faults.add(f"party {row.party_id} is {shown}, the journal {said}")
    for party in missing:
        faults.add(f"party {party} is in the journal and nowhere else")


def _compare_accounts(connection: Connection, book: int, replay: Replay, faults: Faults) -> dict[str, Money]:
    table = tables.account_table
    sums: dict[str, int] = defaultdict(int)
    missing = dict(replay.accounts)
    for row in connection.execute(table.select().where(table.c.book_id == book)):
        if row.currency in CURRENCIES:
            sums[row.currency] += row.total_in - row.total_out
        account = missing.pop(row.account_no, None)
        if account is None:
            faults.add(f"account {row.account_id} (number {row.account_no}) was never opened")
        else:
            _compare_account(row, account, faults)
    for account in missing.values():
        faults.add(f"account {account.id} (number {account.number}) was opened and is missing")
    return {code: Money(units, CURRENCIES[code]) for code, units in sorted(sums.items())}


def _compare_account(row: Row[Any], account: ReplayedAccount, faults: Faults) -> None:
    shown_terms = {column: getattr(row, column) for column in _COLUMNS.values()}
    for key, column in _COLUMNS.items():
        if shown_terms[column] != account.content[key]:
            faults.add(
                f"account {account.id} (number {row.account_no}) has {column} {shown_terms[column]!r}, "
                f"its event of batch {account.event_seq} says {account.content[key]!r}"
            )
    if row.labels != store.labels_text(account.content["labels"]) or row.event_seq != account.event_seq:
        faults.add(f"account {account.id} does not have the labels, or the date, of its last event")
    if (row.total_in, row.total_out, row.held) != (account.total_in, account.total_out, account.held):
        shown = account.shown(row.total_in, row.total_out, row.held)
        faults.add(f"{account.id} shows {shown}, the journal gives {account.computed}")
    if (row.last_seq, row.last_position) != (account.last_seq, account.last_position):
        faults.add(
            f"{account.id} was last moved by transfer {account.last_position} of batch {account.last_seq}, "
            f"its account says transfer {row.last_position} of batch {row.last_seq}"
        )
    if row.posting_seq != account.posting_seq:
        faults.add(f"{account.id} had its last posting in batch {account.posting_seq}, not in batch {row.posting_seq}")
    if row.touched_seq != account.touched_seq:
        faults.add(f"{account.id} was last changed by batch {account.touched_seq}, not by batch {row.touched_seq}")


def _compare_holds(connection: Connection, book: int, replay: Replay, faults: Faults) -> None:
    table = tables.hold_table
    missing = dict(replay.holds)
    for row in connection.execute(table.select().where(table.c.book_id == book)):
        hold = missing.pop(row.hold_id, None)
        if hold is None:
            faults.add(f"hold {row.hold_id.hex()} was never placed")
            continue
        content = hold.content
        shown = (row.debit, row.credit, row.amount, row.captured, row.state, row.expires, row.effective_time)
        times = (content["expires"], content["effective_time"])
        computed = (hold.debit.number, hold.credit.number, hold.units, hold.captured, hold.state.value, *times)
        texts = (content["text"], content["reference"], content["source"])
        if shown != computed or (row.text, row.reference, row.source) != texts:
            faults.add(f"hold {row.hold_id.hex()} is not what the journal says of it")
    for id in missing:
        faults.add(f"hold {id.hex()} is in the journal and nowhere else")
    table = tables.reversal_table
    shown_reversals = {
        row.transfer_id: row.reversed_by for row in connection.execute(table.select().where(table.c.book_id == book))
    }
    if shown_reversals != replay.reversals:
        wrong = shown_reversals.items() ^ replay.reversals.items()
        faults.add(f"the list of reversals is wrong about transfer {min(wrong)[0].hex()}")


def _compare_reversals(connection: Connection, book: int, faults: Faults, on_trust: int) -> None:
    """Each reversal must give back what an earlier transfer moved, to the unit."""
    suspects = run(
        connection,
        "SELECT v.reversed_by, rk.seq, rk.position, tk.seq, tk.position FROM reversal v "
        "LEFT JOIN transfer_key rk ON rk.book_id = v.book_id AND rk.transfer_id = v.reversed_by "
        "LEFT JOIN transfer r ON r.book_id = rk.book_id AND r.seq = rk.seq AND r.position = rk.position "
        "LEFT JOIN transfer_key tk ON tk.book_id = v.book_id AND tk.transfer_id = v.transfer_id "
        "LEFT JOIN transfer t ON t.book_id = tk.book_id AND t.seq = tk.seq AND t.position = tk.position "
        "AND (t.seq, t.position) < (r.seq, r.position) "
        "AND t.debit = r.credit AND t.credit = r.debit AND t.amount = r.amount "
        "WHERE v.book_id = ? AND t.seq IS NULL ORDER BY v.reversed_by",
        (book,),
    ).fetchall()
    if on_trust:
        suspects = [each for each in suspects if each[3] is None or each[3] > on_trust]
    for reversed_by, seq, position, original_seq, original_position in suspects:
        places = None if seq is None or original_seq is None else ((seq, position), (original_seq, original_position))
        if places is None or not _gives_back(connection, book, *places):
            faults.add(f"transfer {bytes(reversed_by).hex()} does not give back what the transfer that it names moved")
            return


def _gives_back(connection: Connection, book: int, place: tuple[int, int], original_place: tuple[int, int]) -> bool:
    """The same for two transfers of which at least one may have been archived."""
    found = transfer_rows.load_transfers(connection, book, [place, original_place], as_far_as_there=True)
    reversal, original = found.get(place), found.get(original_place)
    if reversal is None or original is None or original_place >= place:
        return False
    back, out = reversal.request, original.request
    return (back.debit, back.credit, back.amount) == (out.credit, out.debit, out.amount)


def _compare_archived_keys(connection: Connection, book: int, faults: Faults) -> None:
    def read(file: Connection) -> Iterator[tuple[bytes, int, int]]:
        return iter(run(file, "SELECT transfer_id, seq, position FROM transfer WHERE book_id = ?", (book,)))

    rows = streamed_from_archives(connection, book, read)
    while part := list(islice(rows, VALUES_PER_SELECT)):
        text = "SELECT transfer_id, seq, position FROM transfer_key WHERE book_id = ?"
        ids = [id for id, _, _ in part]
        there = {(bytes(id), *place) for id, *place in run_for_any(connection, text, "transfer_id", ids, (book,))}
        lost = next((id for id, *place in part if (id, *place) not in there), None)
        if lost is not None:
            faults.add(f"transfer {lost.hex()} is not found by its id")
            return


def _compare_keys(connection: Connection, book: int, replay: Replay, faults: Faults) -> None:
    """Each transfer's id must lead to it, or the same payment could be made twice."""
    ((count,),) = run(connection, "SELECT count(*) FROM transfer_key WHERE book_id = ?", (book,)).fetchall()
    lost = run(
        connection,
        "SELECT t.transfer_id FROM transfer t LEFT JOIN transfer_key k ON k.book_id = t.book_id "
        "AND k.transfer_id = t.transfer_id AND k.seq = t.seq AND k.position = t.position "
        "WHERE t.book_id = ? AND k.seq IS NULL LIMIT 1",
        (book,),
    ).fetchone()
    if lost is not None:
        faults.add(f"transfer {bytes(lost[0]).hex()} is not found by its id")
    elif count != replay.transfers:
        faults.add(f"{count} transfers are found by their ids, there are {replay.transfers}")


def _compare_links(connection: Connection, head: BookHead, replay: Replay, faults: Faults) -> None:
    per_hour = f"effective_time / {HOUR}"
    for table, hour, effective, group in (("link", "0", "0", ""), ("link_hour", "hour", per_hour, f"{per_hour}, ")):
        shown = (
            f"SELECT {hour}, debit, credit, transfers, amount, 0, 0 FROM {table} WHERE book_id = {int(head.book)} "
            f"ORDER BY {'hour, ' if group else ''}debit, credit"
        )
        there = (
            f"SELECT {effective}, debit, credit, 0, 0, count(*), CAST(sum(amount) AS BIGINT) FROM transfer "
            f"WHERE book_id = {int(head.book)} AND seq <= {int(head.totalled_seq)} "
            f"GROUP BY {group}debit, credit ORDER BY {group}debit, credit"
        )
        with ExitStack() as stack:
            files = [stack.enter_context(opened(connection, each)) for each in load_archives(connection, head.book)]
            both_sides = [_streamed(connection, shown), *(_streamed(each, there) for each in (*files, connection))]
            merged = heapq.merge(*both_sides, key=lambda row: row[:3])
            for fault in islice(_unequal(merged, replay, table), FAULTS_SHOWN_MAX):
                faults.add(fault)


def _streamed(connection: Connection, text: str) -> Iterator[tuple[int, ...]]:
    """The rows of a statement, without holding them all."""
    for row in connection.exec_driver_sql(text, execution_options={"yield_per": LINKS_AT_ONCE}):
        yield tuple(row)


def _unequal(rows: Iterator[tuple[int, ...]], replay: Replay, table: str) -> Iterator[str]:
    """Rows of hour, debit and credit in that order, each with the transfers and ledger units that are shown, and those
    that are there."""
    for (at, *ends), parts in groupby(rows, key=lambda row: tuple(row[:3])):
        shown, shown_units, there, units = (sum(column) for column in list(zip(*parts, strict=True))[3:])
        if (shown, shown_units) != (there, units):
            debit, credit = (replay.accounts[each].id if each in replay.accounts else f"number {each}" for each in ends)
            of_hour = f" in hour {at}" if table == "link_hour" else ""
            yield (
                f"the totals per link: {debit} → {credit}{of_hour} shows {shown} transfers of {shown_units} ledger "
                f"units, there are {there} of {units}"
            )
