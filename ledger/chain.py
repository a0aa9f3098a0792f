"""Goes through a journal batch by batch: does each continue the one before it, and is each row what was sealed?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from core.clock import Instant
from ledger import journal
from ledger.append import month_of
from ledger.database import Row
from ledger.hash_tree import HASH_BYTES
from ledger.journal_rows import SealRow
from ledger.replay import Faults, Replay, is_transfer, name_of


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """A batch, by its number, time and hash."""

    seq: int = 0
    posted_time: int = 0
    hash: bytes = journal.GENESIS
    met: int | None = None
    """The batch that has the hash that was looked for."""


def walk(
    seals: Iterable[SealRow],
    events: Journalled,
    transfers: Journalled,
    replay: Replay,
    faults: Faults,
    *,
    start: ChainEnd | None = None,
    on_trust: int = 0,
    taken: Callable[[int], None] = lambda _: None,
    wanted: bytes | None = None,
) -> ChainEnd:
    """Take every batch in and answer the last one; `taken` is called after each, with its number.

    Up to batch `on_trust` there are seals alone, whose leaves are but their root.
    """
    end = start or ChainEnd()
    last, last_time, previous, met = end.seq, end.posted_time, end.hash, end.met
    for seal in seals:
        if seal.seq != last + 1:
            faults.add(f"batch {last + 1} is missing before batch {seal.seq}")
        if seal.previous != previous:
            faults.add(f"batch {seal.seq} does not continue the batch before it")
        if seal.posted_time < last_time:
            faults.add(f"batch {seal.seq} is older than the batch before it")
        of_events, of_transfers = events.of(seal.seq), transfers.of(seal.seq)
        is_archived = seal.seq <= on_trust
        recomputed = _take_seal(seal, faults) if is_archived else _take(replay, seal, of_events, of_transfers, faults)
        held = 0 if is_archived else seal.transfers
        if (held, seal.events) != (len(of_transfers), len(of_events)):
            faults.add(
                f"batch {seal.seq} counts {held} transfers and {seal.events} events, "
                f"it holds {len(of_transfers)} and {len(of_events)}"
            )
        if not is_archived:
            taken(seal.seq)
        if wanted is not None and wanted == recomputed:
            met = seal.seq
        last, last_time, previous = seal.seq, seal.posted_time, seal.hash
    events.end()
    transfers.end()
    return ChainEnd(last, last_time, previous, met)


class Journalled:
    """The rows of a journalled table, batch by batch."""

    def __init__(self, rows: Iterator[Row[Any]], faults: Faults) -> None:
        self._groups = groupby(rows, key=lambda row: int(row.seq))
        self._faults = faults
        self._next = self._read()

    def of(self, seq: int) -> list[Row[Any]]:
        """The rows of the batch; seals are asked for in their order."""
        while self._next is not None and self._next[0] < seq:
            self._stray(self._next[0])
        if self._next is None or self._next[0] > seq:
            return []
        rows, self._next = self._next[1], self._read()
        return rows

    def end(self) -> None:
        while self._next is not None:
            self._stray(self._next[0])

    def _stray(self, seq: int) -> None:
        self._faults.add(f"rows of batch {seq} belong to no seal")
        self._next = self._read()

    def _read(self) -> tuple[int, list[Row[Any]]] | None:
        for seq, rows in self._groups:
            return seq, list(rows)
        return None


def _take(
    replay: Replay, seal: SealRow, events: Sequence[Row[Any]], transfers: Sequence[Row[Any]], faults: Faults
) -> bytes | None:
    """Replay one batch beside its leaves; the hash that its rows give it, or None where they give none."""
    replay.begin_batch()
    month = _month_of(seal)
    leaves: list[bytes] = []
    positions: list[int] = []
    is_whole = True
    for row in _in_order(events, transfers):
        form = replay.form_of(row)
        if form is None:  # an event may open the account that it needs; a transfer never does
            is_whole = False
        leaf = b"" if form is None else journal.leaf(form)
        leaves.append(leaf)
        positions.append(row.position)
        start = row.position * HASH_BYTES
        if start < 0 or leaf != seal.leaves[start : start + HASH_BYTES]:
            faults.add(f"{name_of(row)} of batch {seal.seq} was altered: it is not what was sealed")
        if is_transfer(row) and row.month != month:
            faults.add(f"{name_of(row)} of batch {seal.seq}: it is kept under month {row.month}, not {month}")
        replay.take(seal.seq, row)
    replay.end_batch(seal.seq)
    sealed = range(len(seal.leaves) // HASH_BYTES)
    if positions != list(sealed):
        is_whole = False
        for missing in sorted(set(sealed) - set(positions)):
            faults.add(f"batch {seal.seq} was altered: entry {missing} is missing")
    as_sealed = _hash(seal, seal.leaves)
    if as_sealed != seal.hash:
        faults.add(f"batch {seal.seq} was altered: its leaves no longer give the hash it was sealed with")
    return _hash(seal, b"".join(leaves)) if is_whole else None


def _take_seal(seal: SealRow, faults: Faults) -> bytes:
    """The hash that a seal gives itself, of whose leaves the root is left."""
    recomputed = _hash(seal, seal.leaves)
    if recomputed != seal.hash:
        faults.add(f"batch {seal.seq} was altered: it no longer gives the hash it was sealed with")
    return recomputed


def _month_of(seal: SealRow) -> int | None:
    """None where it was altered into no time at all."""
    try:
        return month_of(Instant(seal.posted_time))
    except OverflowError:
        return None


def _hash(seal: SealRow, leaves: bytes) -> bytes:
    time = Instant(seal.posted_time)
    return journal.seal(seal.book_id, seal.seq, time, seal.previous, leaves, seal.transfers, seal.events).hash


def _in_order(events: Sequence[Row[Any]], transfers: Sequence[Row[Any]]) -> Iterator[Row[Any]]:
    """Events and transfers by their positions; both come in that order already."""
    if not events or not transfers:
        return iter(events or transfers)
    return iter(sorted((*events, *transfers), key=lambda row: row.position))
