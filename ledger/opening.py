"""Where a book stood after a batch, by the rows that stay when the batches up to it are archived; taken on trust."""

from __future__ import annotations

import json
from typing import Any

from ledger import statement, tables
from ledger.database import Connection
from ledger.event import EventKind
from ledger.hold import HoldState
from ledger.replay import Replay, ReplayedAccount, ReplayedHold
from ledger.statements import run
from ledger.transfer import TransferKind

_ENDS = {EventKind.HOLD_RELEASED: HoldState.RELEASED, EventKind.HOLD_EXPIRED: HoldState.EXPIRED}


def take(connection: Connection, book: int, seq: int, replay: Replay) -> None:
    """Bring a replay to where batch `seq` left the book, without having read its transfers.

    ValueError, KeyError, TypeError or AttributeError where an event was altered into something that cannot be read.
    """
    _take_events(connection, book, seq, replay)
    for account in replay.accounts.values():
        _take_totals(connection, book, seq, account)
    _take_captures(connection, book, seq, replay)
    text = (
        "SELECT v.transfer_id, v.reversed_by FROM reversal v JOIN transfer_key k ON k.book_id = v.book_id "
        "AND k.transfer_id = v.reversed_by WHERE v.book_id = ? AND k.seq <= ?"
    )
    replay.reversals.update((bytes(id), bytes(by)) for id, by in run(connection, text, (book, seq)))
    text = "SELECT CAST(coalesce(sum(transfers), 0) AS BIGINT) FROM seal WHERE book_id = ? AND seq <= ?"
    replay.transfers = int(run(connection, text, (book, seq)).fetchone()[0])


def _take_events(connection: Connection, book: int, seq: int, replay: Replay) -> None:
    by_id: dict[str, ReplayedAccount] = {}
    table = tables.event_table
    query = table.select().where(table.c.book_id == book, table.c.seq <= seq).order_by(table.c.seq, table.c.position)
    for row in connection.execute(query):
        content: dict[str, Any] = json.loads(row.content)
        kind = EventKind(row.event)
        if kind is EventKind.PARTY:
            replay.parties[content["party"]] = (content["name"], content["organisation"])
        elif kind is EventKind.PERIOD_LOCKED:
            replay.locked_until = max(replay.locked_until, content["until"])
        elif kind is EventKind.OPENED:
            account = ReplayedAccount(row.account_no, content, row.seq, touched_seq=row.seq)
            by_id[account.id] = account
            replay.know(account)
        elif kind is EventKind.CHANGED:
            account = replay.accounts[row.account_no]
            account.content, account.event_seq, account.touched_seq = content, row.seq, row.seq
        elif kind is EventKind.HOLD_PLACED:
            hold = ReplayedHold(content, by_id[content["debit"]], by_id[content["credit"]])
            replay.holds[bytes.fromhex(content["hold"])] = hold
        elif kind in _ENDS:
            ended = replay.holds[bytes.fromhex(content["hold"])]
            ended.state, ended.captured = _ENDS[kind], ended.units - content["units"]


def _take_totals(connection: Connection, book: int, seq: int, account: ReplayedAccount) -> None:
    last = statement.find_posting(connection, book, account.number, seq)
    if last is None:
        return
    account.total_in, account.total_out, account.held = last.total_in, last.total_out, last.held
    account.posting_seq = last.seq
    account.touched_seq = max(account.touched_seq, last.seq)
    moved = statement.find_moved(connection, book, account.number, seq)
    if moved is not None:
        account.last_seq, account.last_position = moved.seq, statement.positions_of(moved.positions)[-1]


def _take_captures(connection: Connection, book: int, seq: int, replay: Replay) -> None:
    """A hold that no event ended had been captured as far as its row says, less what was captured later."""
    later: dict[bytes, int] = {}
    text = "SELECT cause, amount, kind FROM transfer WHERE book_id = ? AND seq > ? AND cause IS NOT NULL"
    for cause, amount, kind in run(connection, text, (book, seq)):
        if kind & TransferKind.CAPTURE:
            later[bytes(cause)] = later.get(bytes(cause), 0) + amount
    text = "SELECT hold_id, captured, state FROM hold WHERE book_id = ?"
    for id, captured, state in run(connection, text, (book,)):
        hold = replay.holds.get(bytes(id))
        if hold is not None and hold.state is HoldState.OPEN:
            hold.captured = captured - later.get(bytes(id), 0)
            if state == HoldState.CAPTURED.value and bytes(id) not in later:
                hold.state = HoldState.CAPTURED
