"""Does the book prove itself? Recomputes the chain and everything that follows from the journal, from the first row."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from core.errors import Rejected
from core.money import Money
from ledger import journal, store, tables
from ledger.database import Connection, Row, Table
from ledger.journal import Seal
from ledger.replay import Faults, Replay
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
    replay = Replay(connection, head.book, faults)
    events = _Journalled(connection, tables.account_event_table, head.book, faults)
    transfers = _Journalled(connection, tables.transfer_table, head.book, faults)
    last, previous, met = 0, journal.GENESIS, None
    for seal in store.read_seals(connection, head.book):
        if seal.seq != last + 1:
            faults.add(f"batch {last + 1} is missing before batch {seal.seq}")
        if seal.previous != previous:
            faults.add(f"batch {seal.seq} does not continue the batch before it")
        event_rows, transfer_rows = events.of(seal.seq), transfers.of(seal.seq)
        recomputed = _hash(seal, event_rows, transfer_rows)
        if recomputed != seal.hash:
            faults.add(f"batch {seal.seq} was altered: its rows no longer give the hash it was sealed with")
        if (seal.transfers, seal.events) != (len(transfer_rows), len(event_rows)):
            faults.add(
                f"batch {seal.seq} counts {seal.transfers} transfers and {seal.events} events, "
                f"it holds {len(transfer_rows)} and {len(event_rows)}"
            )
        replay.take(seal.seq, event_rows, transfer_rows)
        if expected is not None and expected.hash == recomputed:
            met = seal.seq
        last, previous = seal.seq, seal.hash
    events.end()
    transfers.end()
    if head.transfers != replay.transfers:
        faults.add(f"the book counts {head.transfers} transfers, it holds {replay.transfers}")
    if (last, previous) != (head.seq, head.hash):
        faults.add(f"the book says it stands at batch {head.seq}, its seals end at batch {last}")
    if expected is not None and (met is None or met != (expected.batch or last)):
        faults.add(_unmet(expected, last, met))
    return Verification(head.seq, replay.transfers, head.hash, replay.compare(), tuple(faults))


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


def _hash(seal: Seal, events: Sequence[Row[Any]], transfers: Sequence[Row[Any]]) -> bytes | None:
    """What the rows hash to; None when they have no canonical form, so that nobody can have sealed them."""
    try:
        return journal.seal(
            seal.book,
            seal.seq,
            seal.posted_time,
            seal.previous,
            [journal.event_form(row.account_no, row.event, row.content) for row in events],
            [journal.transfer_form(*tuple(row)[3:]) for row in transfers],
        ).hash
    except (struct.error, OverflowError):
        return None


def _unmet(expected: ExpectedHead, last: int, met: int | None) -> str:
    if met is not None and expected.batch is None:
        return f"the expected hash is that of batch {met}, the book goes on to batch {last}: expect it @{met}"
    if met is not None:
        return f"the expected hash is that of batch {met}, not of batch {expected.batch}"
    place = "any batch" if expected.batch is None else f"batch {expected.batch}"
    return f"the expected hash {expected.hash.hex()} is not that of {place}: the book ends at batch {last}"
