"""The hash chain: what was written cannot be altered unseen.

Each batch is sealed with SHA-256 over the previous seal's hash, the batch's number and time, and every
row in it in canonical form. Whoever changes a row must change every later seal, and the last one is
published.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from core.clock import Instant

GENESIS = bytes(32)
"""What the first seal of a book continues."""

_SEAL = struct.Struct(">8sqqqqq32s")
_TRANSFER = struct.Struct(">16sqqqqHH")
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
    """A transfer row in canonical form: fixed fields big-endian, the lengths of text and reference, the three texts."""
    fixed = _TRANSFER.pack(transfer_id, debit, credit, amount, effective_time, len(text), len(reference))
    return fixed + (text + reference + source).encode()


def event_form(account: int, event: str, content: str) -> bytes:
    """An account event in canonical form."""
    return b"".join((_EVENT.pack(b"A", account), _text(event), _text(content)))


def seal(
    book: int,
    seq: int,
    posted_time: Instant,
    previous: bytes,
    events: Sequence[bytes],
    transfers: Sequence[bytes],
) -> Seal:
    """Seal one batch: its account events first, then its transfers, each in the order of their positions."""
    head = _SEAL.pack(_VERSION, book, seq, posted_time, len(events), len(transfers), previous)
    forms = [*events, *transfers]
    digest = hashlib.sha256(head)
    digest.update(struct.pack(f">{len(forms)}I", *map(len, forms)))
    digest.update(b"".join(forms))
    return Seal(book, seq, posted_time, len(transfers), len(events), previous, digest.digest())


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(4, "big") + data
