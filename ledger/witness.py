"""Reads what a day seal and a proof are made of."""

from __future__ import annotations

from datetime import date

from core.clock import Instant, to_datetime
from core.errors import Rejected
from core.ids import TransferId
from ledger import hash_tree, journal, transfer_rows
from ledger.archived import load_leaves
from ledger.database import Connection
from ledger.day_seal import DaySeal, seal_day, span
from ledger.hash_tree import HASH_BYTES
from ledger.proof import Proof, make_proof
from ledger.statements import run
from ledger.store import BookHead
from ledger.transfer import Transfer


def read_day_seal(connection: Connection, head: BookHead, book: str, day: date) -> DaySeal:
    """The seal of one day, in UTC, by posting time.

    Rejected `day_is_open` while a batch may still come into it, `nothing_sealed` when the day has none.
    """
    _must_be_over(head, day)
    first_seq, previous, hashes = _seals_of(connection, head.book, day)
    return seal_day(book, day, first_seq, hashes, previous)


def prove(connection: Connection, head: BookHead, book: str, id: TransferId) -> Proof:
    """That the book holds this transfer, for somebody who has that day's seal.

    Rejected `unknown_transfer` when there is none, `day_is_open` when its day cannot be sealed yet.
    """
    transfer = transfer_rows.find_transfers(connection, head.book, [id]).get(id)
    if transfer is None:
        raise Rejected("unknown_transfer", f"there is no transfer {id.hex()} in book {book!r}")
    day = to_datetime(transfer.posted_time).date()
    _must_be_over(head, day)
    first_seq, previous, hashes = _seals_of(connection, head.book, day)
    seq, posted_time, transfers, events, before, hash = run(
        connection,
        "SELECT seq, posted_time, transfers, events, previous, hash FROM seal WHERE book_id = ? AND seq = ?",
        (head.book, transfer.seq),
    ).fetchone()
    leaves = load_leaves(connection, head.book, seq)
    seal = journal.seal(head.book, seq, Instant(posted_time), before, leaves, transfers, events)
    if seal.hash != hash:
        raise Rejected("journal_was_altered", f"batch {seq} is not what was sealed; verify the book")
    return make_proof(_form(transfer), transfer.position, leaves, seal, book, first_seq, hashes, previous)


def is_as_sealed(connection: Connection, book: int, transfer: Transfer) -> bool:
    """Whether a transfer, as it was read from the database or an archive, is what its batch was sealed with."""
    leaves = load_leaves(connection, book, transfer.seq)
    text = "SELECT leaves FROM seal WHERE book_id = ? AND seq = ?"
    (kept,) = run(connection, text, (book, transfer.seq)).fetchone() or (b"",)
    start = transfer.position * HASH_BYTES
    is_leaf = leaves[start : start + HASH_BYTES] == journal.leaf(_form(transfer))
    return is_leaf and hash_tree.root(leaves) == hash_tree.root(bytes(kept))


def _must_be_over(head: BookHead, day: date) -> None:
    end = span(day)[1]
    if head.posted_time < end:
        last = to_datetime(head.posted_time).date()
        raise Rejected(
            "day_is_open",
            f"the book's last batch is of {last}, so more may still come into {day}; ask once a later day has begun",
        )


def _seals_of(connection: Connection, book: int, day: date) -> tuple[int, bytes, bytes]:
    """The number of the day's first batch, the seal before it, and the hashes of all its seals in order."""
    begin, end = span(day)
    text = (
        "SELECT seq, previous, hash FROM seal WHERE book_id = ? AND posted_time >= ? AND posted_time < ? ORDER BY seq"
    )
    rows = run(connection, text, (book, begin, end)).fetchall()
    if not rows:
        raise Rejected("nothing_sealed", f"nothing was posted on {day}")
    first, previous, _ = rows[0]
    if [seq for seq, _, _ in rows] != list(range(first, first + len(rows))):
        raise Rejected("journal_was_altered", f"batches of {day} are missing; verify the book")
    return first, previous, b"".join(hash for _, _, hash in rows)


def _form(transfer: Transfer) -> bytes:
    request = transfer.request
    texts = (
        request.debit,
        request.credit,
        request.amount.currency.code,
        request.text,
        request.reference,
        request.source,
    )
    return journal.transfer_form(
        request.id, request.cause, request.amount.units, request.effective_time, int(request.kind), texts
    )
