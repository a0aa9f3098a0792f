"""What a batch decided becomes rows, leaves and a seal, in the same transaction."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import Any

from core.clock import Instant, to_datetime
from core.errors import InvariantBroken
from core.money import Money
from ledger import hold_rows, journal, store, tables, transfer_rows
from ledger.balance import AccountStatus
from ledger.batch import Accepted, Batch
from ledger.journal import FIXED, NO_CAUSE, Seal
from ledger.posting import Standing
from ledger.statements import COPY_ROWS_MIN, insert_rows, pipelined
from ledger.store import BookHead
from ledger.transfer import Transfer

Places = dict[Standing, list[int]]
"""Account → where its transfers stand in the batch."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a batch changed, once it is durable: the book's new head and every account it touched."""

    head: BookHead
    transfers: int
    statuses: tuple[AccountStatus, ...]


def append(batch: Batch) -> Committed | None:
    """Write everything that was decided and seal it; None when there was nothing to seal."""
    connection = batch.connection
    for table, rows in batch.rows:
        insert_rows(connection, table, rows)
    for write in batch.writes:
        write(connection)
    if not batch.length:
        return None
    leaves: list[bytes] = [b""] * batch.length
    places: Places = defaultdict(list)
    is_bulky = batch.length >= COPY_ROWS_MIN
    if is_bulky:  # a COPY stands alone
        _write_journal(batch, leaves, places)
    with pipelined(connection):
        if not is_bulky:
            _write_journal(batch, leaves, places)
        seal = _write_seal(batch, b"".join(leaves))
        _write_accounts(batch, places)
        _write_holds(batch)
        _write_keys(batch)  # the server is busy with these while the rest is sent
        head = _next_head(batch, seal)
        moved = store.advance_book(connection, head)
    if moved.rowcount != 1:
        raise InvariantBroken(f"book {batch.book} moved past batch {batch.head.seq} inside our own transaction")
    return Committed(head, seal.transfers, _statuses(batch, places))


def _write_journal(batch: Batch, leaves: list[bytes], places: Places) -> None:
    """The rows that there may be thousands of; fills in their leaves and where each account's transfers stand."""
    connection, month = batch.connection, month_of(batch.posted_time)
    if not batch.head.seq or month != month_of(batch.head.posted_time):
        transfer_rows.ensure_month(connection, month)
    _write_events(batch, leaves)
    rows = _transfer_rows(batch, month, leaves, places)
    insert_rows(connection, tables.transfer_table, rows, len(batch.accepted))
    insert_rows(connection, tables.posting_table, _posting_rows(batch, places))


def _write_keys(batch: Batch) -> None:
    if batch.accepted:
        transfer_rows.append_keys(batch.connection, batch.book, batch.seq)
    reversals = [(batch.book, original, reversal) for original, reversal in batch.reversals.items()]
    insert_rows(batch.connection, tables.reversal_table, reversals)


def _write_seal(batch: Batch, leaves: bytes) -> Seal:
    seal = journal.seal(
        batch.book,
        batch.seq,
        batch.posted_time,
        batch.head.hash,
        leaves,
        transfers=len(batch.accepted),
        events=len(batch.events),
    )
    store.insert_seal(batch.connection, seal, leaves)
    return seal


def _next_head(batch: Batch, seal: Seal) -> BookHead:
    return BookHead(
        book=batch.book,
        seq=batch.seq,
        hash=seal.hash,
        transfers=batch.head.transfers + seal.transfers,
        posted_time=batch.posted_time,
        locked_until=batch.locked_until,
        next_expiry=batch.next_expiry,
        totalled_seq=batch.head.totalled_seq,
    )


def month_of(at: Instant) -> int:
    """The month in UTC, as 202611."""
    moment = to_datetime(at)
    return moment.year * 100 + moment.month


def _write_events(batch: Batch, leaves: list[bytes]) -> None:
    for position, account_no, kind, content in batch.events:
        leaves[position] = journal.leaf(journal.event_form(account_no, kind, content))
    insert_rows(batch.connection, tables.event_table, [(batch.book, batch.seq, *each) for each in batch.events])


def _transfer_rows(batch: Batch, month: int, leaves: list[bytes], places: Places) -> Iterator[tuple[Any, ...]]:
    """The hot loop: `journal.transfer_form` and `leaf` are written out in it."""
    book, seq = batch.book, batch.seq
    pack = FIXED.pack
    for request, debit, credit, position in batch.accepted:
        id, cause, time, kind = request.id, request.cause, request.effective_time, request.kind
        text, reference, source, units = request.text, request.reference, request.source, request.amount.units
        number = int(kind) if kind else 0
        texts = f"{debit.sealed}{credit.sealed}{debit.code}\0{text}\0{reference}\0{source}".encode()
        leaves[position] = sha256(pack(b"T", id, cause or NO_CAUSE, units, time, number) + texts).digest()
        places[debit].append(position)
        places[credit].append(position)
        yield (
            book,
            seq,
            position,
            month,
            id,
            debit.number,
            credit.number,
            units,
            time,
            number,
            cause,
            text,
            reference,
            source,
        )


def _posting_rows(batch: Batch, places: Places) -> list[tuple[Any, ...]]:
    book, seq = batch.book, batch.seq
    rows: list[tuple[Any, ...]] = []
    for each, positions in chain(places.items(), ((each, ()) for each in _held_only(batch, places))):
        packed = struct.pack(f">{len(positions)}H", *positions)
        rows.append((book, seq, each.number, each.posting_seq, each.total_in, each.total_out, each.held, packed))
        each.posting_seq = seq
    return rows


def _held_only(batch: Batch, places: Places) -> list[Standing]:
    """Accounts of which something was reserved or released, and nothing moved."""
    return [standing for standing in batch.held.values() if standing not in places]


def _write_accounts(batch: Batch, places: Places) -> None:
    connection, book, seq = batch.connection, batch.book, batch.seq
    opened = [store.account_row(book, standing, seq) for standing in batch.opened]
    insert_rows(connection, tables.account_table, opened)
    for standing in batch.changed.values():
        store.update_account(connection, book, standing.number, standing.account, seq)
    totals: tuple[list[int], ...] = ([], [], [], [], [], [], [], [])
    for standing, positions in places.items():
        standing.last_seq = seq
        values = (standing.total_in, standing.total_out, standing.held, seq, seq, positions[-1], seq, standing.number)
        for column, value in zip(totals, values, strict=True):
            column.append(value)
    store.update_totals(connection, book, totals)
    for standing in _held_only(batch, places):
        store.update_held(connection, book, standing, seq)


def _write_holds(batch: Batch) -> None:
    number = {standing.account.id: standing.number for standing in batch.held.values()}
    rows = []
    for hold in batch.holds.values():
        credit = batch.standings.get(hold.request.credit)
        if credit is None:
            raise InvariantBroken(f"hold {hold.id.hex()} was decided without its credit account")
        rows.append((number[hold.request.debit], credit.number, hold))
    hold_rows.save_holds(batch.connection, batch.book, rows)
    if rows and batch.next_expiry <= batch.posted_time:
        batch.next_expiry = hold_rows.next_expiry(batch.connection, batch.book)


def _statuses(batch: Batch, places: Places) -> tuple[AccountStatus, ...]:
    at: Mapping[int, Accepted] = {}
    if batch.events:
        at = {accepted[3]: accepted for accepted in batch.accepted}
    statuses = []
    for standing, positions in places.items():
        request, _, _, position = at[positions[-1]] if batch.events else batch.accepted[positions[-1]]
        transfer = Transfer(request, batch.seq, position, batch.posted_time)
        statuses.append(_status(standing, batch.seq, transfer))
    others = {standing.number: standing for standing in (*batch.opened, *batch.changed.values(), *batch.held.values())}
    unmoved = [standing for standing in others.values() if standing not in places]
    if any(standing.last_seq for standing in unmoved):  # rare: their last transfer lies further back
        earlier = {
            status.account.id: status.last_transfer
            for status in store.load_statuses(batch.connection, batch.book, only=[each.number for each in unmoved])
        }
        statuses += [_status(standing, batch.seq, earlier.get(standing.account.id)) for standing in unmoved]
    else:
        statuses += [_status(standing, batch.seq, None) for standing in unmoved]
    return tuple(statuses)


def _status(standing: Standing, seq: int, transfer: Transfer | None) -> AccountStatus:
    of = standing.currency
    return AccountStatus(
        standing.account, Money(standing.total_in, of), Money(standing.total_out, of), seq, transfer, standing.held
    )
