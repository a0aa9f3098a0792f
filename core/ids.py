"""Identities: derived from what they name, or drawn at random; never from a price or a clock reading."""

from __future__ import annotations

import hashlib
import secrets
from random import Random
from typing import NewType, Protocol

TransferId = NewType("TransferId", bytes)
"""Sixteen bytes that name one transfer for ever; shown to people as 32 hexadecimal digits."""


def derived_id(*parts: str) -> TransferId:
    """The same parts give the same id on every machine: SHA-256 over length-prefixed UTF-8, first 16 bytes."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(4, "big"))
        digest.update(data)
    return TransferId(digest.digest()[:16])


def parse_transfer_id(text: str) -> TransferId:
    """Read 32 hexadecimal digits back; raises ValueError otherwise."""
    data = bytes.fromhex(text)
    if len(data) != 16:
        raise ValueError(f"a transfer id has 32 hexadecimal digits, not {len(text)}")
    return TransferId(data)


class Ids(Protocol):
    """Where fresh ids come from."""

    def fresh(self) -> TransferId: ...


class RandomIds:
    """Ids that nobody can guess."""

    def fresh(self) -> TransferId:
        return TransferId(secrets.token_bytes(16))


class SeededIds:
    """Ids that repeat with the seed; for simulations."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def fresh(self) -> TransferId:
        return TransferId(self._random.randbytes(16))
