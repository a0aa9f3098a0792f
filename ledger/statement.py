"""What an account went through: its transfers, page by page, and what it held at a past instant."""

from __future__ import annotations

import json
import struct
from typing import Any

from core.clock import Instant
from core.money import Money, currency
from ledger import store
from ledger.account import Account, AccountId, AccountKind, AccountState, AccountType, PartyId
from ledger.balance import AccountStatus
from ledger.database import Connection
from ledger.statements import run
from ledger.transfer import Transfer

_POSTINGS_PER_SELECT = 64


def load_page(
    connection: Connection, book: int, account_no: int, before: tuple[int, int] | None, limit: int
) -> list[Transfer]:
    """The account's transfers, newest first; `before` is the (seq, position) of the last one already seen.

    A posting tells which transfers of its batch are the account's, so a page costs the same in a book of any size.
    """
    places: list[tuple[int, int]] = []
    until = 2**62 if before is None else before[0]
    while len(places) < limit:
        rows = run(
            connection,
            "SELECT seq, positions FROM posting WHERE book_id = ? AND account_no = ? AND seq <= ? "
            "ORDER BY seq DESC LIMIT ?",
            (book, account_no, until, _POSTINGS_PER_SELECT),
        ).fetchall()
        for seq, packed in rows:
            positions = positions_of(packed)
            places += [(seq, at) for at in reversed(positions) if before is None or (seq, at) < before]
            if len(places) >= limit:
                break
        if len(rows) < _POSTINGS_PER_SELECT:
            break
        until = rows[-1][0] - 1
    del places[limit:]
    found = store.load_transfers(connection, book, places)
    return [found[place] for place in places if place in found]


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
    row = run(
        connection,
        "SELECT total_in, total_out, held, seq FROM posting WHERE book_id = ? AND account_no = ? AND seq <= ? "
        "ORDER BY seq DESC LIMIT 1",
        (book, account_no, seq),
    ).fetchone()
    total_in, total_out, held, last = row or (0, 0, 0, 0)
    of = account.currency
    return AccountStatus(account, Money(total_in, of), Money(total_out, of), last, None, held)


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
