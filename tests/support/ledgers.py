"""Books to test on: a real database each."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from core.clock import Instant, ManualClock
from core.ids import TransferId, derived_id
from core.money import Money
from ledger import holds, totals
from ledger.account import Account, AccountId, Party, PartyId
from ledger.append import Committed
from ledger.balance import AccountStatus
from ledger.database import open_engine
from ledger.hold import NEVER, Hold, HoldOutcome, HoldRefused, ReleaseOutcome
from ledger.holds import CaptureRequest
from ledger.operations import Reader, open_accounts
from ledger.transfer import Outcome, TransferRequest
from ledger.writer import Result, Work, Writer
from migrations import upgrade

PLANT = Party(PartyId("plant"), "Plant AB")
START = Instant(1_700_000_000_000_000)
"""What a book's clock shows when it is opened first: 2023-11-14T22:13:20Z."""


def account(name: str, floor: str = "0 kr", owner: str = "plant", **more: Any) -> Account:
    return Account(AccountId(name), name.title(), PartyId(owner), Money.parse(floor), **more)


def payment(key: str, debit: str, credit: str, amount: str, **more: Any) -> TransferRequest:
    return TransferRequest(
        derived_id(key), AccountId(debit), AccountId(credit), Money.parse(amount), Instant(1_000), **more
    )


def hold(key: str, debit: str, credit: str, amount: str, expires: Instant = NEVER, **more: str) -> Hold:
    return Hold(payment(key, debit, credit, amount, **more), expires)


def capture(key: str, hold_key: str, amount: str | None = None, **more: Any) -> CaptureRequest:
    taken = None if amount is None else Money.parse(amount)
    return CaptureRequest(derived_id(key), derived_id(hold_key), Instant(1_000), taken, **more)


@dataclass
class Book:
    engine: Engine
    writer: Writer
    reader: Reader
    clock: ManualClock
    commits: list[Committed]

    def work(self, work: Work[Result]) -> Result:
        """Have it done; wait until it is durable."""
        return self.writer.submit(work).result(10)

    def together(self, *works: Work[Any]) -> list[Any]:
        """Have several pieces of work done in one batch; what each answered or raised."""
        gate, started = threading.Event(), threading.Event()

        def stall(_: object) -> None:
            started.set()
            gate.wait(10)

        waiting = self.writer.submit(stall)
        started.wait(10)
        answers = [self.writer.submit(work) for work in works]
        gate.set()
        waiting.result(10)
        return [answer.exception(10) or answer.result() for answer in answers]

    def open(self, *accounts: Account) -> None:
        self.work(open_accounts([PLANT], accounts))

    def post(self, *requests: TransferRequest) -> list[Outcome]:
        return list(self.work(lambda batch: batch.post(requests)))

    def post_linked(self, *requests: TransferRequest) -> list[Outcome]:
        return self.work(lambda batch: batch.post_linked(requests))

    def place(self, hold: Hold) -> HoldOutcome:
        return self.work(lambda batch: holds.place(batch, hold))

    def capture(self, asked: CaptureRequest) -> Outcome | HoldRefused:
        return self.work(lambda batch: holds.capture(batch, asked))

    def release(self, key: str) -> ReleaseOutcome:
        return self.work(lambda batch: holds.release(batch, derived_id(key)))

    def reverse(self, key: str, original: TransferId, **more: str) -> Outcome:
        return self.work(lambda batch: batch.reverse(derived_id(key), original, Instant(1_000), **more))

    def add_up(self, transfers: int = 1_000_000) -> int:
        """Bring the totals per link on by so many transfers; the writer does it when it has nothing else to do."""
        return self.work(lambda batch: totals.add_up(batch.connection, batch.book, batch.head.totalled_seq, transfers))

    def status(self, account: str) -> AccountStatus:
        return next(each for each in self.reader.overview().statuses if each.account.id == account)

    def balance(self, account: str) -> str:
        return str(self.status(account).balance)

    def change(self, account: str, **terms: Any) -> None:
        """Open an account again with other terms."""
        self.open(replace(self.status(account).account, **terms))


@contextmanager
def open_book(place: Path | str, clock: ManualClock | None = None, name: str = "test") -> Iterator[Book]:
    """A book of that name in a SQLite file, or in the database of a url."""
    engine = open_engine(place if isinstance(place, str) else f"sqlite:///{place}")
    upgrade(engine)
    clock = clock or ManualClock(START)
    commits: list[Committed] = []
    writer = Writer(engine, name, clock, commits.append)
    writer.start()
    try:
        yield Book(engine, writer, Reader(engine, name), clock, commits)
    finally:
        writer.stop()
        engine.dispose()
