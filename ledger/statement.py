"""What an account went through: its transfers, page by page, and what it held at a past instant."""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

from core.clock import Instant
from core.money import Money, currency
from ledger import transfer_rows
from ledger.account import Account, AccountId, AccountKind, AccountState, AccountType, PartyId
from ledger.balance import AccountStatus
from ledger.database import Connection, is_postgresql
from ledger.statements import run
from ledger.tables import FIRST_OF_STRETCH, STRETCH
from ledger.transfer import Transfer

_WALK = """
    WITH RECURSIVE walk (seq, previous_seq, total_in, total_out, held, positions, steps) AS (
        SELECT seq, previous_seq, total_in, total_out, held, positions, 1 FROM posting
        WHERE book_id = ? AND account_no = ? AND seq = ?
        UNION ALL
        SELECT p.seq, p.previous_seq, p.total_in, p.total_out, p.held, p.positions, walk.steps + 1
        FROM walk JOIN posting p ON p.book_id = ? AND p.account_no = ? AND p.seq = walk.previous_seq
        WHERE walk.steps < ?
    )
    SELECT seq, previous_seq, total_in, total_out, held, positions FROM walk ORDER BY steps
"""

# SQLite must be told: it prefers the primary key, along which it would meet every other account's postings.
_FIRST_OF_NEXT_STRETCH = (
    "SELECT previous_seq FROM posting {by_account} WHERE book_id = ? AND account_no = ? AND seq > ? "
    f"AND {FIRST_OF_STRETCH} ORDER BY seq LIMIT 1"
)
_BY_ACCOUNT = "INDEXED BY ix_posting_account"


class Posting(NamedTuple):
    """What one batch did to an account: its totals after it, in ledger units, and where its transfers stand in it."""

    seq: int
    previous_seq: int
    total_in: int
    total_out: int
    held: int
    positions: bytes


def load_page(
    connection: Connection, book: int, account_no: int, before: tuple[int, int] | None, limit: int
) -> list[Transfer]:
    """The account's transfers, newest first; `before` is the (seq, position) of the last one already seen.

    A posting tells which transfers of its batch are the account's and which posting was its one before, so a page
    costs the same in a book of any size.
    """
    places: list[tuple[int, int]] = []
    posting = find_posting(connection, book, account_no, None if before is None else before[0])
    postings = [] if posting is None else [posting]
    while postings:
        for each in postings:
            positions = positions_of(each.positions)
            places += [(each.seq, at) for at in reversed(positions) if before is None or (each.seq, at) < before]
            if len(places) >= limit:
                break
        else:
            postings = _walk_back(connection, book, account_no, postings[-1].previous_seq)
            continue
        break
    del places[limit:]
    found = transfer_rows.load_transfers(connection, book, places)
    return [found[place] for place in places if place in found]


def find_posting(connection: Connection, book: int, account_no: int, until: int | None) -> Posting | None:
    """The account's last posting, or its last up to batch `until`; None when there is none."""
    first = None
    if until is not None:
        text = _FIRST_OF_NEXT_STRETCH.format(by_account="" if is_postgresql(connection) else _BY_ACCOUNT)
        first = run(connection, text, (book, account_no, until)).fetchone()
    if first is None:
        text = "SELECT posting_seq FROM account WHERE book_id = ? AND account_no = ?"
        first = run(connection, text, (book, account_no)).fetchone()
    # Between here and there the account has postings of one stretch only.
    postings = [] if first is None else _walk_back(connection, book, account_no, first[0])
    return next((posting for posting in postings if until is None or posting.seq <= until), None)


def find_moved(connection: Connection, book: int, account_no: int, until: int) -> Posting | None:
    """The account's last posting up to batch `until` that has transfers."""
    posting = find_posting(connection, book, account_no, until)
    postings = [] if posting is None else [posting]
    while postings:
        moved = next((each for each in postings if each.positions), None)
        if moved is not None:
            return moved
        postings = _walk_back(connection, book, account_no, postings[-1].previous_seq)
    return None


def _walk_back(connection: Connection, book: int, account_no: int, seq: int) -> list[Posting]:
    """The account's posting of this batch and those before it, newest first, one stretch of them at most."""
    values = (book, account_no, seq, book, account_no, STRETCH)
    return [Posting(*row) for row in run(connection, _WALK, values)]


def positions_of(packed: bytes) -> tuple[int, ...]:
    """Where an account's transfers stand in a batch, from its posting."""
    return struct.unpack(f">{len(packed) // 2}H", packed)


def seq_at(connection: Connection, book: int, at: Instant) -> int:
    """The last batch that was posted by then; 0 when there was none yet."""
    row = run(
        connection,
        "SELECT seq FROM seal WHERE book_id = ? AND posted_time <= ? ORDER BY posted_time DESC, seq DESC LIMIT 1",
        (book, at),
    ).fetchone()
    return int(row[0]) if row else 0


def load_status_after(connection: Connection, book: int, account_no: int, seq: int) -> AccountStatus | None:
    """The account as batch `seq` left it, with the terms it had then; None when it was not open yet."""
    account = _account_after(connection, book, account_no, seq)
    if account is None:
        return None
    posting = find_posting(connection, book, account_no, seq) or Posting(0, 0, 0, 0, 0, b"")
    of = account.currency
    return AccountStatus(
        account, Money(posting.total_in, of), Money(posting.total_out, of), posting.seq, None, posting.held
    )


def account_from(content: dict[str, Any]) -> Account:
    """The account that an event's content describes."""
    return Account(
        AccountId(content["account"]),
        content["name"],
        PartyId(content["owner"]),
        Money(content["floor_units"], currency(content["currency"])),
        AccountKind(content["kind"]),
        AccountType(content["type"]),
        content["ceiling_units"],
        content["cost_centre"],
        content["labels"],
        AccountState(content["state"]),
    )


def _account_after(connection: Connection, book: int, account_no: int, seq: int) -> Account | None:
    for kind in ("changed", "opened"):
        row = run(
            connection,
            "SELECT content FROM event WHERE book_id = ? AND account_no = ? AND event = ? AND seq <= ? "
            "ORDER BY seq DESC, position DESC LIMIT 1",
            (book, account_no, kind, seq),
        ).fetchone()
        if row is not None:
            return account_from(json.loads(row[0]))
    return None
