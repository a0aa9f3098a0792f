"""What is under way between books, as rows: the outbox of the one that sent, the inbox of the one that takes in.

Both can be had from the journals too, so nobody can alter them unseen: `audit` is the second bookkeeping for it.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from core.clock import Instant
from core.errors import Rejected
from core.ids import TransferId
from core.money import Money, currency
from ledger import transfer_rows
from ledger.account import AccountId
from ledger.archived import streamed
from ledger.clearing import (
    CLEARING,
    NOWHERE,
    Destination,
    Origin,
    Parcel,
    Place,
    Returned,
    Sent,
    destination_in,
    destination_of,
    origin_in,
    origin_of,
)
from ledger.database import Connection
from ledger.event import NO_ACCOUNT, EventKind
from ledger.statements import run, run_for_any, upsert_rows
from ledger.tables import inbox_table
from ledger.transfer import Reason, Transfer, TransferRequest

ROWS_PER_PAGE = 1_000

Row = tuple[int, int, str, str]
"""Batch, position, book and account that it goes on to; no account where a refused payment goes back."""


def find_cursor(connection: Connection, book: int, from_book: str) -> Place:
    """How far a book has taken in what another sent."""
    text = "SELECT seq, position FROM inbox WHERE book_id = ? AND from_book = ?"
    row = run(connection, text, (book, from_book)).fetchone()
    return Place(*row) if row else NOWHERE


def move_cursor(connection: Connection, book: int, from_book: str, place: Place) -> None:
    upsert_rows(connection, inbox_table, [(book, from_book, *place)])


def load_parcels(connection: Connection, book: int, to_book: str, after: Place, limit: int) -> list[Parcel]:
    """What the book sent to another after that place, in the order of its journal.

    A row that is not what the journal says ends the list; when it is the first one, Rejected `outbox_is_wrong`.
    """
    rows = run(
        connection,
        "SELECT o.seq, o.position, o.to_account, e.content, s.posted_time FROM outbox o "
        "LEFT JOIN event e ON e.book_id = o.book_id AND e.seq = o.seq AND e.position = o.position AND e.event = ? "
        "LEFT JOIN seal s ON s.book_id = o.book_id AND s.seq = o.seq "
        "WHERE o.book_id = ? AND o.to_book = ? AND (o.seq, o.position) > (?, ?) ORDER BY o.seq, o.position LIMIT ?",
        (EventKind.REFUSED.value, book, to_book, *after, limit),
    ).fetchall()
    places = [(seq, position) for seq, position, _, content, _ in rows if content is None]
    transfers = transfer_rows.load_transfers(connection, book, places)
    reversed_ids = reversed_among(connection, book, [transfer.id for transfer in transfers.values()])
    parcels: list[Parcel] = []
    for seq, position, to_account, content, posted_time in rows:
        place, to = Place(seq, position), Destination(to_book, AccountId(to_account))
        transfer = transfers.get(place)
        parcel: Parcel | None
        if content is not None:
            parcel = _returned(place, to, content, posted_time)
        elif transfer is not None and destination_of(transfer.request) == to:
            parcel = Sent(place, transfer, to, transfer.id in reversed_ids)
        else:
            parcel = None
        if parcel is None and not parcels:
            raise Rejected("outbox_is_wrong", f"the outbox sends entry {place} on to {to}, the journal does not say so")
        if parcel is None:
            break
        parcels.append(parcel)
    return parcels


def find_refusal(connection: Connection, book: int, to_book: str, place: Place) -> Returned | None:
    """The refusal of a payment of `to_book` at that place of the journal, if there is one."""
    row = run(
        connection,
        "SELECT e.content, s.posted_time FROM event e JOIN seal s ON s.book_id = e.book_id AND s.seq = e.seq "
        "WHERE e.book_id = ? AND e.seq = ? AND e.position = ? AND e.event = ?",
        (book, *place, EventKind.REFUSED.value),
    ).fetchone()
    return None if row is None else _returned(place, Destination(to_book, AccountId("")), *row)


def is_listed(connection: Connection, book: int, place: Place) -> bool:
    """Whether the entry at that place goes on to another book."""
    text = "SELECT 1 FROM outbox WHERE book_id = ? AND seq = ? AND position = ?"
    return run(connection, text, (book, *place)).fetchone() is not None


def reversed_among(connection: Connection, book: int, ids: Sequence[TransferId]) -> set[TransferId]:
    """Those of the transfers that were undone."""
    text = "SELECT transfer_id FROM reversal WHERE book_id = ?"
    return {TransferId(bytes(id)) for (id,) in run_for_any(connection, text, "transfer_id", ids, (book,))}


def clearing_transfers(connection: Connection, book: int, account_no: int) -> Iterator[Transfer]:
    """Every transfer to or from a clearing account, in the order of the journal."""
    places: list[tuple[int, int]] = []
    for seq, position, *_ in _through(connection, book, [account_no]):
        places.append((seq, position))
        if len(places) == ROWS_PER_PAGE:
            yield from _loaded(connection, book, places)
            places.clear()
    yield from _loaded(connection, book, places)


def _loaded(connection: Connection, book: int, places: Sequence[tuple[int, int]]) -> Iterator[Transfer]:
    found = transfer_rows.load_transfers(connection, book, places)
    return (found[place] for place in places if place in found)


def audit(connection: Connection, book: int, on_trust: int = 0) -> Iterator[str]:
    """Compare the outbox and the inbox with what the journal gives; what is wrong, a sentence each.

    The batches up to `on_trust` are archived and not looked into: what only they know is not compared.
    """
    cursors: dict[str, Place] = {}
    clearing = _clearing_accounts(connection, book)
    sent = _sent(connection, book, clearing, cursors, with_archives=not on_trust)
    journalled = heapq.merge(sent, _refused(connection, book, clearing, cursors))
    yield from _differences(_after(journalled, on_trust), _after(_rows(connection, book), on_trust))
    shown = {
        from_book: Place(seq, position)
        for from_book, seq, position in run(
            connection, "SELECT from_book, seq, position FROM inbox WHERE book_id = ?", (book,)
        )
    }
    for from_book in sorted(shown.keys() | cursors.keys()):
        says, gives = shown.get(from_book, NOWHERE), cursors.get(from_book, NOWHERE)
        if says < gives or (says > gives and not on_trust):
            yield f"the inbox says that {from_book} was taken in up to entry {says}, the journal goes up to {gives}"


def _differences(journalled: Iterator[Row], shown: Iterator[Row]) -> Iterator[str]:
    """Both come in the order of their places."""
    expected, found = next(journalled, None), next(shown, None)
    while expected is not None or found is not None:
        if found is None or (expected is not None and expected[:2] < found[:2]):
            yield f"entry {_place(expected)} goes on to {_goal(expected)}, and is not in the outbox"
            expected = next(journalled, None)
        elif expected is None or found[:2] < expected[:2]:
            yield f"the outbox sends entry {_place(found)} on to {_goal(found)}, the journal does not say so"
            found = next(shown, None)
        else:
            if found != expected:
                yield (f"the outbox sends entry {_place(found)} on to {_goal(found)}, the journal to {_goal(expected)}")
            expected, found = next(journalled, None), next(shown, None)


def _place(row: Row | None) -> Place:
    return Place(*row[:2]) if row else NOWHERE


def _goal(row: Row | None) -> str:
    return str(Destination(row[2], AccountId(row[3]))) if row else ""


def _after(rows: Iterator[Row], seq: int) -> Iterator[Row]:
    return (row for row in rows if row[0] > seq)


def _sent(
    connection: Connection,
    book: int,
    clearing: Mapping[int, str],
    cursors: dict[str, Place],
    with_archives: bool,
) -> Iterator[Row]:
    """What left by the journal; on the way, how far the book has taken others in."""
    for seq, position, debit, credit, kind, source in _through(connection, book, clearing, with_archives):
        _note(origin_in(source, clearing.get(debit, "")), cursors)
        to = None if kind else destination_in(source, clearing.get(credit, ""))
        if to is not None:
            yield seq, position, *to


def _refused(
    connection: Connection, book: int, clearing: Mapping[int, str], cursors: dict[str, Place]
) -> Iterator[Row]:
    marks = ", ".join("?" * (1 + len(clearing)))
    text = (
        "SELECT seq, position, content FROM event WHERE book_id = ? AND event = ? "
        f"AND account_no IN ({marks}) AND (seq, position) > (?, ?) ORDER BY seq, position LIMIT ?"
    )
    for seq, position, content in _pages(connection, text, (book, EventKind.REFUSED.value, NO_ACCOUNT, *clearing)):
        request = _request(content)
        origin = None if request is None else origin_of(request)
        _note(origin, cursors)
        if origin is not None and not origin.is_return:
            yield seq, position, origin.book, ""


def _rows(connection: Connection, book: int) -> Iterator[Row]:
    text = (
        "SELECT seq, position, to_book, to_account FROM outbox WHERE book_id = ? AND (seq, position) > (?, ?) "
        "ORDER BY seq, position LIMIT ?"
    )
    return _pages(connection, text, (book,))


def _through(
    connection: Connection, book: int, accounts: Collection[int], with_archives: bool = True
) -> Iterator[tuple[Any, ...]]:
    """Place, accounts, kind and source of every transfer to or from these accounts."""
    marks = ", ".join("?" * len(accounts))
    text = (
        "SELECT seq, position, debit, credit, kind, source FROM transfer "
        f"WHERE book_id = ? AND (debit IN ({marks}) OR credit IN ({marks})) AND (seq, position) > (?, ?) "
        "ORDER BY seq, position LIMIT ?"
    )
    values = (book, *accounts, *accounts)
    if not accounts:
        return iter(())
    if not with_archives:
        return _pages(connection, text, values)
    return streamed(connection, book, lambda each: _pages(each, text, values))


def _pages(connection: Connection, text: str, values: tuple[Any, ...]) -> Iterator[Any]:
    """Rows that begin with their place, in its order, without holding them all; the text ends in the place to begin
    after and the limit."""
    place = NOWHERE
    while rows := run(connection, text, (*values, *place, ROWS_PER_PAGE)).fetchall():
        yield from (tuple(row) for row in rows)
        place = Place(*rows[-1][:2])


def _clearing_accounts(connection: Connection, book: int) -> dict[int, str]:
    text = "SELECT account_no, account_id FROM account WHERE book_id = ? AND account_id LIKE ? ORDER BY account_no"
    return dict(run(connection, text, (book, f"{CLEARING}%")).fetchall())


def _note(origin: Origin | None, cursors: dict[str, Place]) -> None:
    if origin is not None:
        cursors[origin.book] = max(origin.place, cursors.get(origin.book, NOWHERE))


def _returned(place: Place, to: Destination, content: str, posted_time: int) -> Returned | None:
    """The refusal, if it is one of a payment of that book, and nothing else is asked."""
    request = _request(content)
    origin = None if request is None else origin_of(request)
    if request is None or origin is None or origin.is_return or to != (origin.book, ""):
        return None
    reason = Reason(json.loads(content)["reason"])
    return Returned(place, origin.place, request.id, request.amount, Instant(posted_time), reason)


def _request(content: str) -> TransferRequest | None:
    """What was asked when it was refused; None where an event's content is no refusal of something that could be."""
    try:
        said: dict[str, Any] = json.loads(content)
        Reason(said["reason"])
        return TransferRequest(
            TransferId(bytes.fromhex(said["transfer"])),
            AccountId(str(said["debit"])),
            AccountId(str(said["credit"])),
            Money(int(said["units"]), currency(said["currency"])),
            Instant(said["effective_time"]),
            source=str(said["source"]),
        )
    except (KeyError, TypeError, ValueError, Rejected):
        return None
