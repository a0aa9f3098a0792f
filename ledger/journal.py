"""The hash chain: what was written cannot be altered unseen.

Each batch is sealed with SHA-256 over the previous seal's hash, the batch's number and time, and every
row in it in canonical form. Whoever changes a row must change every later seal, and the last one is
published.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from core.clock import Instant

GENESIS = bytes(32)
"""What the first seal of a book continues."""

_SEAL = struct.Struct(">8sqqqqq32s")
_TRANSFER = struct.Struct(">c16sqqqq")
_EVENT = struct.Struct(">cq")
_VERSION = b"mv-seal1"


@dataclass(frozen=True, slots=True)
class Seal:
    """One batch's link in the chain."""

    book: int
    seq: int
    posted_time: Instant
    transfers: int
    events: int
    previous: bytes
    hash: bytes


def transfer_form(
    transfer_id: bytes,
    debit: int,
    credit: int,
    amount: int,
    effective_time: int,
    text: str,
    reference: str,
    source: str,
) -> bytes:
    """A transfer row in canonical form: fixed fields big-endian, then each text with its length."""
    fixed = _TRANSFER.pack(b"T", transfer_id, debit, credit, amount, effective_time)
    return b"".join((fixed, _text(text), _text(reference), _text(source)))


def event_form(account: int, event: str, content: str) -> bytes:
    """An account event in canonical form."""
    return b"".join((_EVENT.pack(b"A", account), _text(event), _text(content)))


def seal(
    book: int,
    seq: int,
    posted_time: Instant,
    previous: bytes,
    events: Iterable[bytes],
    transfers: Iterable[bytes],
) -> Seal:
    """Seal one batch: its account events first, then its transfers, each in the order of their positions."""
    events, transfers = list(events), list(transfers)
    head = _SEAL.pack(_VERSION, book, seq, posted_time, len(events), len(transfers), previous)
    digest = hashlib.sha256(head)
    for form in (*events, *transfers):
        digest.update(len(form).to_bytes(4, "big"))
        digest.update(form)
    return Seal(book, seq, posted_time, len(transfers), len(events), previous, digest.digest())


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data
