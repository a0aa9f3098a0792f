"""A day's seal: one hash over everything a book sealed in one UTC day, short enough to keep elsewhere.

Whoever holds the line of a day, on paper or in another's archive, holds the book to it: nothing of that day or before
can be altered unseen. Days chain like batches do, since each names the last batch before it. A book's time never
steps back, so the batches of a day stand next to each other.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from datetime import UTC, date, datetime

from core.clock import SECOND, Instant, from_datetime, to_datetime
from core.errors import Rejected
from ledger import hash_tree
from ledger.hash_tree import HASH_BYTES

DAY = 24 * 3600 * SECOND
"""Microseconds in a day; `Instant` knows no leap seconds."""

VERSION = b"mv-day-1"

FIXED = struct.Struct(">8s10sqq32s32s")
"""A day's fixed fields: version, day as ISO text, first and last batch, root over the hashes of its seals, and the
hash of the last seal before it. The book's name follows."""

_FIELDS = ("version", "book", "day", "first_seq", "last_seq", "hash")


@dataclass(frozen=True, slots=True)
class DaySeal:
    """What one UTC day of a book hashes to: its batches `first_seq` to `last_seq`, and all before them."""

    book: str
    day: date
    first_seq: int
    last_seq: int
    hash: bytes


def day_of(posted_time: Instant) -> date:
    """The day that a batch of that time belongs to."""
    return to_datetime(posted_time).date()


def span(day: date) -> tuple[Instant, Instant]:
    """The day's first microsecond, and that of the next day."""
    begin = from_datetime(datetime(day.year, day.month, day.day, tzinfo=UTC))
    return begin, Instant(begin + DAY)


def day_form(book: str, day: date, first_seq: int, last_seq: int, root: bytes, previous: bytes) -> bytes:
    """A day in canonical form; the name stands last, since it alone varies in length."""
    return FIXED.pack(VERSION, day.isoformat().encode(), first_seq, last_seq, root, previous) + book.encode()


def seal_day(book: str, day: date, first_seq: int, hashes: bytes, previous: bytes) -> DaySeal:
    """Seal one day of the book of that name.

    `hashes` are those of all its seals from batch `first_seq` on, one after the other; `previous` is the hash of the
    last seal before them, `journal.GENESIS` where there is none. Rejected `nothing_sealed` for a day without a batch,
    `not_hashes` when the bytes cannot be hashes.
    """
    if len(hashes) % HASH_BYTES or len(previous) != HASH_BYTES:
        text = f"expected hashes of {HASH_BYTES} bytes, got {len(hashes)} bytes of them and {len(previous)} before"
        raise Rejected("not_hashes", text)
    if not hashes:
        raise Rejected("nothing_sealed", f"the book {book} sealed no batch on {day}")
    last_seq = first_seq + len(hashes) // HASH_BYTES - 1
    form = day_form(book, day, first_seq, last_seq, hash_tree.root(hashes), previous)
    return DaySeal(book, day, first_seq, last_seq, hashlib.sha256(form).digest())


def to_line(seal: DaySeal) -> str:
    """One line of JSON without its end, to keep where nobody who can write to the book can change it."""
    values = (VERSION.decode(), seal.book, seal.day.isoformat(), seal.first_seq, seal.last_seq, seal.hash.hex())
    return json.dumps(dict(zip(_FIELDS, values, strict=True)), ensure_ascii=False)


def parse(line: str) -> DaySeal:
    """Read what `to_line` wrote, with or without its end; Rejected `not_a_day_seal` for anything else."""
    try:
        content = json.loads(line)
        day = date.fromisoformat(content["day"])
        seal = DaySeal(
            str(content["book"]),
            day,
            int(content["first_seq"]),
            int(content["last_seq"]),
            bytes.fromhex(content["hash"]),
        )
        version, written = content["version"], to_line(seal)
    except KeyError as missing:
        raise _unfit(f"it has no {missing}") from None
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise _unfit("expected one line of JSON as it was written when the day was sealed") from None
    if version != VERSION.decode():
        raise _unfit(f"expected version {VERSION.decode()}, got {version!r}")
    if written != line.rstrip("\r\n") or not seal.book.isprintable():
        raise _unfit(f"expected {written!r}, got {line[:500]!r}")
    if not 0 < seal.first_seq <= seal.last_seq or len(seal.hash) != HASH_BYTES:
        raise _unfit(f"expected a first batch, a last one not before it and a hash of {HASH_BYTES} bytes")
    return seal


def _unfit(text: str) -> Rejected:
    return Rejected("not_a_day_seal", text)
