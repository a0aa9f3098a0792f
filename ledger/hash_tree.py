"""A tree of hashes, 64 wide: one hash stands for many, and a short path shows that one of them is among them.

A node is SHA-256 over the byte 01 and its children, at most 64 of 32 bytes. A single leaf is its own root; no leaf at
all is 32 zero bytes. What is hashed into a leaf begins with another byte than 01, so no node can pass for a leaf (the
same guard as RFC 6962, section 2.1).
"""

from __future__ import annotations

import hashlib

HASH_BYTES = 32
FAN_OUT = 64
_NODE = b"\x01"
_STEP = FAN_OUT * HASH_BYTES


def root(leaves: bytes) -> bytes:
    """The root over leaves that stand one after the other."""
    level = leaves
    while len(level) > HASH_BYTES:
        level = _above(level)
    return level or bytes(HASH_BYTES)


def path(leaves: bytes, place: int) -> list[tuple[bytes, bytes]]:
    """What stands before and after the leaf at `place`, level by level up to the root; see `climb`."""
    if not 0 <= place < len(leaves) // HASH_BYTES:
        raise IndexError(f"there is no leaf {place} among {len(leaves) // HASH_BYTES}")
    steps = []
    level = leaves
    while len(level) > HASH_BYTES:
        first = place // FAN_OUT * _STEP
        own = place * HASH_BYTES
        steps.append((level[first:own], level[own + HASH_BYTES : first + _STEP]))
        level, place = _above(level), place // FAN_OUT
    return steps


def climb(leaf: bytes, steps: list[tuple[bytes, bytes]]) -> bytes:
    """The root that this leaf and this path give."""
    for before, after in steps:
        leaf = hashlib.sha256(_NODE + before + leaf + after).digest()
    return leaf


def _above(level: bytes) -> bytes:
    nodes = (level[start : start + _STEP] for start in range(0, len(level), _STEP))
    return b"".join(hashlib.sha256(_NODE + node).digest() for node in nodes)
