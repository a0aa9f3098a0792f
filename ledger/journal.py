"""The journal's form: what was written cannot be altered unseen.

A batch is a list of entries: events (an account was opened, a hold placed, a payment refused) and transfers, each at
its position. Every entry has a leaf, SHA-256 over its canonical form; the leaves' tree has a root; and the batch's
seal is SHA-256 over the root, the batch's number and time, and the seal before it. Whoever changes a row must change
every later seal, and the last one is published. The forms name accounts as people do, so that a leaf can be shown to
somebody who has no database.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from core.clock import Instant
from ledger import hash_tree

GENESIS = bytes(32)
"""What the first seal of a book continues."""

FormError = struct.error
"""What has no canonical form: a number that does not fit its field."""

NO_CAUSE = bytes(16)
"""In a transfer's form, where it has no cause."""

FIXED = struct.Struct(">c16s16sqqB")
"""A transfer's fixed fields: `T`, id, cause, ledger units, effective time, kind. The texts follow."""

SEAL_VERSION = b"mv-seal2"
SEAL_FIXED = struct.Struct(">8sqqqqq32s32s")
"""A seal's form: `SEAL_VERSION`, book, batch, its time, its transfers, its events, root, the hash before it."""

_EVENT = struct.Struct(">cq")


@dataclass(frozen=True, slots=True)
class Seal:
    """One batch's link in the chain."""

    book: int
    seq: int
    posted_time: Instant
    transfers: int
    events: int
    root: bytes
    previous: bytes
    hash: bytes


def transfer_form(
    transfer_id: bytes,
    cause: bytes | None,
    units: int,
    effective_time: int,
    kind: int,
    texts: tuple[str, str, str, str, str, str],
) -> bytes:
    """A transfer in canonical form: fixed fields big-endian, then debit, credit, currency, text, reference and source
    as UTF-8 with a zero byte between; none of them can hold one."""
    return FIXED.pack(b"T", transfer_id, cause or NO_CAUSE, units, effective_time, kind) + "\0".join(texts).encode()


def event_form(subject: int, event: str, content: str) -> bytes:
    """An event in canonical form: `E`, the account's number, what happened, a zero byte, its content as JSON."""
    return _EVENT.pack(b"E", subject) + f"{event}\0{content}".encode()


def leaf(form: bytes) -> bytes:
    """The hash that stands for one entry."""
    return hashlib.sha256(form).digest()


def seal(
    book: int, seq: int, posted_time: Instant, previous: bytes, leaves: bytes, transfers: int, events: int
) -> Seal:
    """Seal one batch; `leaves` are its entries' in the order of their positions."""
    root = hash_tree.root(leaves)
    form = seal_form(book, seq, posted_time, transfers, events, root, previous)
    return Seal(book, seq, posted_time, transfers, events, root, previous, hashlib.sha256(form).digest())


def seal_form(
    book: int, seq: int, posted_time: Instant, transfers: int, events: int, root: bytes, previous: bytes
) -> bytes:
    """A batch's seal in canonical form; `root` is that of its leaves."""
    return SEAL_FIXED.pack(SEAL_VERSION, book, seq, posted_time, transfers, events, root, previous)
