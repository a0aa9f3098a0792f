"""Identities: derived from what they name, never from a price or a clock reading."""

from __future__ import annotations

import hashlib
from random import Random
from typing import NewType

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


def numbered_id(number: int, *parts: str) -> TransferId:
    """The id of one in a series: eight bytes that the parts give, then its number. A series' ids stand side by side in
    an index, which a large book thanks for."""
    return TransferId(derived_id(*parts)[:8] + number.to_bytes(8, "big"))


class SeededIds:
    """Fresh ids that repeat with the seed; for simulations and benchmarks."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def fresh(self) -> TransferId:
        return TransferId(self._random.randbytes(16))
