"""Does the book prove itself? Recomputes the chain and everything that follows from the journal, from the first row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from core.clock import Instant
from core.errors import Rejected
from core.money import Money
from ledger import comparison, journal, store, tables
from ledger.append import month_of
from ledger.database import Connection, Row, Table
from ledger.hash_tree import HASH_BYTES
from ledger.replay import FAULTS_SHOWN_MAX as FAULTS_SHOWN_MAX
from ledger.replay import Faults, Replay, is_transfer, name_of
from ledger.store import BookHead

_HEAD = re.compile(r"(?P<hash>[0-9a-fA-F]{64})(?:@(?P<batch>[1-9][0-9]{0,17}))?")


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked and everything that did not fit; verified when `faults` is empty."""

    batches: int
    transfers: int
    head_hash: bytes
    trial_balance: dict[str, Money]
    faults: tuple[str, ...]

    @property
    def verified(self) -> bool:
        return not self.faults


@dataclass(frozen=True, slots=True)
class ExpectedHead:
    """A hash that was kept elsewhere: of batch `batch`, or of the book's last one.

    The chain cannot show that its end was cut off; this can.
    """

    hash: bytes
    batch: int | None = None

    @classmethod
    def parse(cls, text: str) -> ExpectedHead:
        """Read `HASH` or `HASH@BATCH`; Rejected `not_a_head` otherwise."""
        match = _HEAD.fullmatch(text)
        if match is None:
            raise Rejected("not_a_head", f"expected 64 hexadecimal digits, or those and @BATCH, got {text!r}")
        return cls(bytes.fromhex(match["hash"]), int(match["batch"]) if match["batch"] else None)


def verify(connection: Connection, head: BookHead, expected: ExpectedHead | None = None) -> Verification:
    """Read the whole book once, batch by batch, and recompute it with a second bookkeeping."""
    faults = Faults()
    replay = Replay(faults)
    events = _Journalled(connection, tables.event_table, head.book, faults)
    transfers = _Journalled(connection, tables.transfer_table, head.book, faults)
    postings = comparison.Postings(connection, head.book, replay, faults)
    last, last_time, previous, met = 0, 0, journal.GENESIS, None
    for seal in store.read_seals(connection, head.book):
        if seal.seq != last + 1:
            faults.add(f"batch {last + 1} is missing before batch {seal.seq}")
        if seal.previous != previous:
            faults.add(f"batch {seal.seq} does not continue the batch before it")
        if seal.posted_time < last_time:
            faults.add(f"batch {seal.seq} is older than the batch before it")
        of_events, of_transfers = events.of(seal.seq), transfers.of(seal.seq)
        recomputed = _take(replay, seal, of_events, of_transfers, faults)
        if (seal.transfers, seal.events) != (len(of_transfers), len(of_events)):
            faults.add(
                f"batch {seal.seq} counts {seal.transfers} transfers and {seal.events} events, "
                f"it holds {len(of_transfers)} and {len(of_events)}"
            )
        postings.compare(seal.seq)
        if expected is not None and expected.hash == recomputed:
            met = seal.seq
        last, last_time, previous = seal.seq, seal.posted_time, seal.hash
    events.end()
    transfers.end()
    if head.transfers != replay.transfers:
        faults.add(f"the book counts {head.transfers} transfers, it holds {replay.transfers}")
    if (last, previous, last_time) != (head.seq, head.hash, head.posted_time):
        faults.add(f"the book says it stands at batch {head.seq}, its seals end at batch {last}")
    if head.locked_until != replay.locked_until:
        faults.add("the book does not say of which periods the journal says that they are locked")
    if head.next_expiry > replay.next_expiry:
        faults.add(f"the book waits for its next hold to expire at {head.next_expiry}, that is {replay.next_expiry}")
    if expected is not None and (met is None or met != (expected.batch or last)):
        faults.add(_unmet(expected, last, met))
    postings.end()
    trial = comparison.compare(connection, head, replay, faults)
    return Verification(head.seq, replay.transfers, head.hash, trial, tuple(faults))


class _Journalled:
    """The rows of a journalled table, batch by batch."""

    def __init__(self, connection: Connection, table: Table, book: int, faults: Faults) -> None:
        self._groups = groupby(store.read_rows(connection, table, book), key=lambda row: int(row.seq))
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
    replay: Replay, seal: Row[Any], events: Sequence[Row[Any]], transfers: Sequence[Row[Any]], faults: Faults
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


def _month_of(seal: Row[Any]) -> int | None:
    """None where it was altered into no time at all."""
    try:
        return month_of(Instant(seal.posted_time))
    except OverflowError:
        return None


def _hash(seal: Row[Any], leaves: bytes) -> bytes:
    time = Instant(seal.posted_time)
    return journal.seal(seal.book_id, seal.seq, time, seal.previous, leaves, seal.transfers, seal.events).hash


def _in_order(events: Sequence[Row[Any]], transfers: Sequence[Row[Any]]) -> Iterator[Row[Any]]:
    """Events and transfers by their positions; both come in that order already."""
    if not events or not transfers:
        return iter(events or transfers)
    return iter(sorted((*events, *transfers), key=lambda row: row.position))


def _unmet(expected: ExpectedHead, last: int, met: int | None) -> str:
    if met is not None and expected.batch is None:
        return f"the expected hash is that of batch {met}, the book goes on to batch {last}: expect it @{met}"
    if met is not None:
        return f"the expected hash is that of batch {met}, not of batch {expected.batch}"
    place = "any batch" if expected.batch is None else f"batch {expected.batch}"
    return f"the expected hash {expected.hash.hex()} is not that of {place}: the book ends at batch {last}"
