"""Does the book prove itself? Recomputes the chain and everything that follows from the journal, from the first row."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from core.errors import Rejected
from core.money import Money
from ledger import comparison, opening
from ledger.archive_verification import check_archives, with_leaves
from ledger.archived import load_archives
from ledger.chain import Journalled, walk
from ledger.database import Connection
from ledger.journal_rows import read_events, read_seals, read_transfers
from ledger.replay import FAULTS_SHOWN_MAX as FAULTS_SHOWN_MAX
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
    on_trust: int = 0
    """Up to this batch the chain was recomputed and nothing else: the archives were not read."""

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


def verify(
    connection: Connection, head: BookHead, expected: ExpectedHead | None = None, without_archives: bool = False
) -> Verification:
    """Read the whole book once, batch by batch, and recompute it with a second bookkeeping.

    Archives are read as if they had never left the database. Without them, or where one cannot be read, which is a
    fault then, the chain is recomputed from its first batch, and what the last archived batch left is taken on trust.
    """
    faults = Faults()
    replay = Replay(faults)
    archives = load_archives(connection, head.book)
    on_trust = 0
    if archives and (without_archives or not check_archives(connection, head, archives, faults)):
        on_trust = archives[-1].last_seq
        try:
            opening.take(connection, head.book, on_trust, replay)
        except (ValueError, KeyError, TypeError, AttributeError, struct.error):
            faults.add(f"an event up to batch {on_trust} was altered: its content cannot be read")
    is_whole = not on_trust
    seals = read_seals(connection, head.book)
    postings = comparison.Postings(connection, head.book, replay, faults, after=on_trust)
    end = walk(
        with_leaves(connection, head.book, seals, archives, faults) if is_whole else seals,
        Journalled(read_events(connection, head.book), faults),
        Journalled(read_transfers(connection, head.book, with_archives=is_whole), faults),
        replay,
        faults,
        on_trust=on_trust,
        taken=postings.compare,
        wanted=None if expected is None else expected.hash,
    )
    if head.transfers != replay.transfers:
        faults.add(f"the book counts {head.transfers} transfers, it holds {replay.transfers}")
    if (end.seq, end.hash, end.posted_time) != (head.seq, head.hash, head.posted_time):
        faults.add(f"the book says it stands at batch {head.seq}, its seals end at batch {end.seq}")
    if head.locked_until != replay.locked_until:
        faults.add("the book does not say of which periods the journal says that they are locked")
    if head.next_expiry > replay.next_expiry:
        faults.add(f"the book waits for its next hold to expire at {head.next_expiry}, that is {replay.next_expiry}")
    if expected is not None and (end.met is None or end.met != (expected.batch or end.seq)):
        faults.add(_unmet(expected, end.seq, end.met))
    postings.end()
    trial = comparison.compare(connection, head, replay, faults, on_trust)
    return Verification(head.seq, replay.transfers, head.hash, trial, tuple(faults), on_trust)


def _unmet(expected: ExpectedHead, last: int, met: int | None) -> str:
    if met is not None and expected.batch is None:
        return f"the expected hash is that of batch {met}, the book goes on to batch {last}: expect it @{met}"
    if met is not None:
        return f"the expected hash is that of batch {met}, not of batch {expected.batch}"
    place = "any batch" if expected.batch is None else f"batch {expected.batch}"
    return f"the expected hash {expected.hash.hex()} is not that of {place}: the book ends at batch {last}"
