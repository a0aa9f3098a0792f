"""Does an archive prove itself, and is it what the book put into it?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.clock import Instant
from core.errors import Rejected
from ledger import archive_file, hash_tree, statement, tables
from ledger.append import month_of
from ledger.archive_file import Description
from ledger.archived import Archive, folder_of, opened, streamed_from_archives, wait_for_files
from ledger.chain import ChainEnd, Journalled, walk
from ledger.database import Connection, Row
from ledger.event import EventKind
from ledger.journal import GENESIS
from ledger.journal_rows import SealRow, read_rows, read_seals
from ledger.replay import Faults, Replay, ReplayedAccount, is_transfer
from ledger.statements import run
from ledger.store import BookHead

_HOLD_EVENTS = (EventKind.HOLD_PLACED.value, EventKind.HOLD_RELEASED.value, EventKind.HOLD_EXPIRED.value)


@dataclass(frozen=True, slots=True)
class FileVerification:
    """What an archive says it holds, and everything in it that did not fit; verified when `faults` is empty."""

    description: Description
    faults: tuple[str, ...]

    @property
    def verified(self) -> bool:
        return not self.faults


def verify_file(path: Path) -> FileVerification:
    """Recompute an archive by itself: its part of the chain, each entry, and that the postings follow from them.

    What the chain cannot know is where its part begins: `previous` and `hash` of the description are those of the
    book, or of a day's seal that was kept. Rejected `archive_is_missing`, `archive_was_altered`, `not_an_archive`
    when it cannot be read at all.
    """
    with archive_file.opened(path) as file:
        held = archive_file.describe(file)
        faults = Faults()
        _verify(file, held, faults)
        return FileVerification(held, tuple(faults))


def sha256_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def check_archives(connection: Connection, head: BookHead, archives: Sequence[Archive], faults: Faults) -> bool:
    """Whether every archive is there and can be read from end to end; what is wrong with one is a fault."""
    wait_for_files(connection)
    following, all_there = 1, True
    for archive in archives:
        if archive.first_seq != following:
            faults.add(f"no archive begins at batch {following}, one begins at batch {archive.first_seq}")
        following = archive.last_seq + 1
        try:
            with opened(connection, archive) as file:
                held = archive_file.describe(file)
                path = folder_of(connection) / archive.file
                if sha256_of(path) != archive.sha256:
                    faults.add(f"archive {archive.file} was altered: it is not the file that was written")
                    ((found, *_), *_) = run(file, "PRAGMA integrity_check(1)").fetchall()
                    if found != "ok":
                        raise Rejected("archive_was_altered", f"{archive.file} is damaged: {found}")
        except Rejected as rejected:
            faults.add(f"archive {archive.file}: {rejected.text}")
            all_there = False
            continue
        said = (held.first_month, held.last_month, held.transfers)
        if said != (archive.first_month, archive.last_month, archive.transfers):
            faults.add(f"archive {archive.file} does not hold the months and transfers that the book says")
    return all_there


def with_leaves(
    connection: Connection, book: int, seals: Iterator[SealRow], archives: Sequence[Archive], faults: Faults
) -> Iterator[SealRow]:
    """The book's seals, those of archived batches with the leaves that their archives have."""
    last = archives[-1].last_seq if archives else 0
    kept = streamed_from_archives(connection, book, lambda file: read_seals(file, book))
    held = next(kept, None)
    for seal in seals:
        if seal.seq > last:
            yield seal
            continue
        while held is not None and held.seq < seal.seq:
            held = next(kept, None)
        if held is None or held.seq != seal.seq:
            faults.add(f"batch {seal.seq} is missing in its archive")
            yield seal
            continue
        if held[:-1] != seal[:-1] or hash_tree.root(held.leaves) != seal.leaves:
            faults.add(f"batch {seal.seq} was altered: its archive seals it otherwise")
        yield seal._replace(leaves=held.leaves)


class _Continued(Replay):
    """Goes on from where the accounts stood before the archive, which it learns from their first postings."""

    def __init__(self, file: Connection, held: Description, faults: Faults) -> None:
        super().__init__(faults)
        self._known: set[int] = set()
        self._file = file
        self._book = held.book_id
        self._first_seq = held.first_seq
        self.postings = 0
        for row in file.execute(tables.account_table.select()):
            content = {"account": row.account_id, "currency": row.currency}
            self.accounts[row.account_no] = ReplayedAccount(row.account_no, content, row.event_seq)

    def take(self, seq: int, row: Row[Any]) -> None:
        if not is_transfer(row):
            holder = self.accounts.get(row.account_no)
            if holder is not None and row.event in _HOLD_EVENTS:
                self.touched[row.account_no] = holder
            return
        self.transfers += 1
        for number, moved in ((row.debit, "total_out"), (row.credit, "total_in")):
            account = self.accounts.get(number)
            if account is not None:  # else it has no form either
                setattr(account, moved, getattr(account, moved) + row.amount)
                account.positions.append(row.position)
                self.touched[number] = account

    def compare(self, seq: int) -> None:
        """Each account that the batch moved or held on has a posting of it, which goes on from the one before. (What is
        held cannot be told: the hold may be older than the archive.)"""
        for number, account in self.touched.items():
            text = (
                "SELECT previous_seq, total_in, total_out, positions FROM posting "
                "WHERE book_id = ? AND seq = ? AND account_no = ?"
            )
            row = run(self._file, text, (self._book, seq, number)).fetchone()
            if row is None:
                self._faults.add(f"{account.id}: its posting of batch {seq} is missing")
                continue
            self.postings += 1
            previous_seq, total_in, total_out, positions = row
            if number not in self._known:
                self._known.add(number)
                account.posting_seq = min(previous_seq, self._first_seq - 1)
                if total_in >= account.total_in and total_out >= account.total_out:
                    account.total_in, account.total_out = total_in, total_out
            if (total_in, total_out) != (account.total_in, account.total_out):
                shown = account.shown(total_in, total_out)
                self._faults.add(f"{account.id}: its posting of batch {seq} shows {shown}, that is {account.computed}")
            if len(positions) % 2 or list(statement.positions_of(positions)) != account.positions:
                self._faults.add(f"{account.id}: its posting of batch {seq} does not point to its transfers")
            if previous_seq != account.posting_seq:
                self._faults.add(f"{account.id}: its posting of batch {seq} does not point to the posting before it")
            account.posting_seq = seq


def _verify(file: Connection, held: Description, faults: Faults) -> None:
    replay, book = _Continued(file, held, faults), held.book_id
    end = walk(
        read_seals(file, book),
        Journalled(read_rows(file, tables.event_table, book), faults),
        Journalled(read_rows(file, tables.transfer_table, book), faults),
        replay,
        faults,
        start=ChainEnd(held.first_seq - 1, 0, held.previous),
        taken=replay.compare,
    )
    if (end.seq, end.hash, replay.transfers) != (held.last_seq, held.hash, held.transfers):
        faults.add(f"it says it ends at batch {held.last_seq} with {held.transfers} transfers, its seals do not")
    if held.first_seq == 1 and held.previous != GENESIS:
        faults.add("it says it begins with the book, and that something came before")
    months = [month_of(Instant(time)) for time in _one(file, "SELECT min(posted_time), max(posted_time) FROM seal")]
    if months != [held.first_month, held.last_month]:
        faults.add("it does not hold the months that it says")
    (postings,) = _one(file, "SELECT count(*) FROM posting")
    if postings != replay.postings:
        faults.add(f"it has {postings} postings, its batches give {replay.postings}")
    lost = run(
        file,
        "SELECT count(*) FROM transfer t LEFT JOIN transfer_key k ON k.book_id = t.book_id "
        "AND k.transfer_id = t.transfer_id AND k.seq = t.seq AND k.position = t.position WHERE k.seq IS NULL",
    ).fetchone()[0]
    if lost:
        faults.add(f"{lost} transfers are not found by their ids")


def _one(file: Connection, text: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = run(file, text).fetchone()
    return row
