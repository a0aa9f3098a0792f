"""Does the book prove itself? Recomputes the chain and every balance from the first row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from core.money import Money, currency
from ledger import journal, store
from ledger.database import Connection, Row
from ledger.posting import Standing
from ledger.store import BookHead


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


FAULTS_SHOWN_MAX = 20


def verify(connection: Connection, head: BookHead) -> Verification:
    """Read the whole book and recompute it with a second, naive bookkeeping."""
    faults: list[str] = []
    total_in: dict[int, int] = defaultdict(int)
    total_out: dict[int, int] = defaultdict(int)
    links: dict[tuple[int, int], tuple[int, int]] = defaultdict(lambda: (0, 0))
    events = _by_batch(store.read_rows(connection, store.account_event_table, head.book))
    transfers = _by_batch(store.read_rows(connection, store.transfer_table, head.book))
    next_events, next_transfers = next(events, None), next(transfers, None)
    previous, expected_seq, count = journal.GENESIS, 1, 0
    for seal in store.read_seals(connection, head.book):
        if seal.seq != expected_seq:
            faults.append(f"batch {expected_seq} is missing before batch {seal.seq}")
        if seal.previous != previous:
            faults.append(f"batch {seal.seq} does not continue the batch before it")
        event_rows: list[Row[Any]] = []
        transfer_rows: list[Row[Any]] = []
        if next_events is not None and next_events[0] == seal.seq:
            event_rows, next_events = next_events[1], next(events, None)
        if next_transfers is not None and next_transfers[0] == seal.seq:
            transfer_rows, next_transfers = next_transfers[1], next(transfers, None)
        again = journal.seal(
            head.book,
            seal.seq,
            seal.posted_time,
            seal.previous,
            [journal.event_form(row.account_no, row.event, row.content) for row in event_rows],
            [journal.transfer_form(*tuple(row)[3:]) for row in transfer_rows],
        )
        if again.hash != seal.hash:
            faults.append(f"batch {seal.seq} was altered: its rows no longer give the hash it was sealed with")
        for row in transfer_rows:
            total_out[row.debit] += row.amount
            total_in[row.credit] += row.amount
            number, amount = links[row.debit, row.credit]
            links[row.debit, row.credit] = (number + 1, amount + row.amount)
        count += len(transfer_rows)
        previous, expected_seq = seal.hash, seal.seq + 1
    if head.transfers != count:
        faults.append(f"the book counts {head.transfers} transfers, it holds {count}")
    if (expected_seq - 1, previous) != (head.seq, head.hash):
        faults.append(f"the book says it stands at batch {head.seq}, its seals end at batch {expected_seq - 1}")
    for left in (next_events, next_transfers):
        if left is not None:
            faults.append(f"rows of batch {left[0]} belong to no seal")
    standings = store.load_standings(connection, head.book)
    faults.extend(_wrong_totals(standings.values(), total_in, total_out))
    stored = {
        (link.debit, link.credit): (link.transfers, link.amount.units)
        for link in store.load_links(connection, head.book)
    }
    names = {standing.number: standing.account.id for standing in standings.values()}
    recomputed = {(names.get(d), names.get(c)): total for (d, c), total in links.items()}
    if stored != recomputed:
        faults.append("the totals per link are not the sums of their transfers")
    trial = trial_balance(standings.values())
    faults.extend(f"accounts in {code} add up to {left}, not to zero" for code, left in trial.items() if left)
    return Verification(head.seq, count, head.hash, trial, tuple(faults[:FAULTS_SHOWN_MAX]))


def trial_balance(standings: Iterable[Standing]) -> dict[str, Money]:
    """The sum of all balances per currency: zero, or money was made or lost."""
    sums: dict[str, int] = defaultdict(int)
    for standing in standings:
        sums[standing.account.currency.code] += standing.balance
    return {code: Money(units, currency(code)) for code, units in sorted(sums.items())}


def _wrong_totals(standings: Iterable[Standing], total_in: dict[int, int], total_out: dict[int, int]) -> Iterator[str]:
    for standing in standings:
        expected = (total_in.pop(standing.number, 0), total_out.pop(standing.number, 0))
        if (standing.total_in, standing.total_out) != expected:
            of = standing.account.currency
            yield (
                f"{standing.account.id} shows {Money(standing.balance, of).plain()} {of}, "
                f"its transfers give {Money(expected[0] - expected[1], of).plain()} {of}"
            )
    for number in {*total_in, *total_out}:
        yield f"transfers name account number {number}, which does not exist"


def _by_batch(rows: Iterator[Row[Any]]) -> Iterator[tuple[int, list[Row[Any]]]]:
    for seq, group in groupby(rows, key=lambda row: row.seq):
        yield seq, list(group)
