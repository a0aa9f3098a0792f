"""What a batch decided becomes rows, leaves and a seal, in the same transaction."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from core.clock import Instant, to_datetime
from core.errors import InvariantBroken
from core.money import Money
from ledger import journal, store, tables
from ledger.balance import AccountStatus
from ledger.batch import Accepted, Batch
from ledger.journal import FIXED, NO_CAUSE, Seal
from ledger.posting import Standing
from ledger.statements import COPY_ROWS_MIN, insert_rows, pipelined
from ledger.store import BookHead
from ledger.transfer import Transfer

Places = Mapping[Standing, list[int]]
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
    with pipelined(connection, batch.length < COPY_ROWS_MIN):
        seal, places = _write(batch)
    before = batch.head
    head = BookHead(
        book=batch.book,
        seq=batch.seq,
        hash=seal.hash,
        transfers=before.transfers + seal.transfers,
        posted_time=batch.posted_time,
        locked_until=batch.locked_until,
        next_expiry=batch.next_expiry,
        totalled_seq=before.totalled_seq,
    )
    if not store.advance_book(connection, head):
        raise InvariantBroken(f"book {batch.book} moved past batch {before.seq} inside our own transaction")
    return Committed(head, seal.transfers, _statuses(batch, places))


def _write(batch: Batch) -> tuple[Seal, Places]:
    """Every row but the book's own."""
    if not batch.head.seq or month_of(batch.posted_time) != month_of(batch.head.posted_time):
        store.ensure_month(batch.connection, month_of(batch.posted_time))
    leaves: list[bytes] = [b""] * batch.length
    _write_events(batch, leaves)
    places = _write_transfers(batch, leaves)
    _write_accounts(batch, places)
    _write_holds(batch)
    all_leaves = b"".join(leaves)
    seal = journal.seal(
        batch.book,
        batch.seq,
        batch.posted_time,
        batch.head.hash,
        all_leaves,
        transfers=len(batch.accepted),
        events=len(batch.events),
    )
    store.insert_seal(batch.connection, seal, all_leaves)
    return seal, places


def month_of(at: Instant) -> int:
    """The month in UTC, as 202611."""
    moment = to_datetime(at)
    return moment.year * 100 + moment.month


def _write_events(batch: Batch, leaves: list[bytes]) -> None:
    for position, account_no, kind, content in batch.events:
        leaves[position] = journal.leaf(journal.event_form(account_no, kind, content))
    insert_rows(batch.connection, tables.event_table, [(batch.book, batch.seq, *each) for each in batch.events])


def _write_transfers(batch: Batch, leaves: list[bytes]) -> Places:
    """The hot loop: `journal.transfer_form` and `leaf` are written out in it."""
    book, seq, month = batch.book, batch.seq, month_of(batch.posted_time)
    rows: list[tuple[Any, ...]] = []
    places: defaultdict[Standing, list[int]] = defaultdict(list)
    pack = FIXED.pack
    for request, debit, credit, position in batch.accepted:
        id, cause, time, kind = request.id, request.cause, request.effective_time, request.kind
        text, reference, source, units = request.text, request.reference, request.source, request.amount.units
        number = int(kind) if kind else 0
        texts = f"{debit.sealed}{credit.sealed}{debit.code}\0{text}\0{reference}\0{source}".encode()
        leaves[position] = sha256(pack(b"T", id, cause or NO_CAUSE, units, time, number) + texts).digest()
        rows.append(
            (
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
        )
        places[debit].append(position)
        places[credit].append(position)
    if rows:
        insert_rows(batch.connection, tables.transfer_table, rows)
        store.append_keys(batch.connection, book, seq)
    insert_rows(
        batch.connection,
        tables.reversal_table,
        [(book, original, reversal) for original, reversal in batch.reversals.items()],
    )
    return places


def _write_accounts(batch: Batch, places: Places) -> None:
    connection, book, seq = batch.connection, batch.book, batch.seq
    opened = [store.account_row(book, standing, seq) for standing in batch.opened]
    insert_rows(connection, tables.account_table, opened)
    for standing in batch.changed.values():
        store.update_account(connection, book, standing.number, standing.account, seq)
    postings = []
    totals: tuple[list[int], ...] = ([], [], [], [], [], [], [], [])
    for standing, positions in places.items():
        number, total_in, total_out, held = standing.number, standing.total_in, standing.total_out, standing.held
        values = (total_in, total_out, held, seq, seq, positions[-1], seq, number)
        for column, value in zip(totals, values, strict=True):
            column.append(value)
        packed = struct.pack(f">{len(positions)}H", *positions)
        postings.append((book, seq, number, standing.posting_seq, total_in, total_out, held, packed))
        standing.last_seq = standing.posting_seq = seq
    store.update_totals(connection, book, totals)
    for standing in batch.held.values():
        if standing not in places:
            store.update_held(connection, book, standing, seq)
            totals_now = (standing.total_in, standing.total_out, standing.held)
            postings.append((book, seq, standing.number, standing.posting_seq, *totals_now, b""))
            standing.posting_seq = seq
    insert_rows(connection, tables.posting_table, postings)


def _write_holds(batch: Batch) -> None:
    number = {standing.account.id: standing.number for standing in batch.held.values()}
    rows = []
    for hold in batch.holds.values():
        credit = batch.standings.get(hold.request.credit)
        if credit is None:
            raise InvariantBroken(f"hold {hold.id.hex()} was decided without its credit account")
        rows.append((number[hold.request.debit], credit.number, hold))
    store.save_holds(batch.connection, batch.book, rows)
    if rows and batch.next_expiry <= batch.posted_time:
        batch.next_expiry = store.next_expiry(batch.connection, batch.book)


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
