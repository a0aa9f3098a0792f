"""Books to test on: a real SQLite file each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from core.clock import Instant, ManualClock
from core.ids import derived_id
from core.money import Money
from ledger.account import Account, AccountId, Party, PartyId
from ledger.batch import Committed
from ledger.database import open_engine
from ledger.operations import Reader, open_accounts
from ledger.transfer import Outcome, TransferRequest
from ledger.writer import Writer
from migrations import upgrade

PLANT = Party(PartyId("plant"), "Plant AB")


def account(name: str, floor: str = "0 kr", owner: str = "plant") -> Account:
    return Account(AccountId(name), name.title(), PartyId(owner), Money.parse(floor))


def payment(key: str, debit: str, credit: str, amount: str, **more: str) -> TransferRequest:
    return TransferRequest(
        derived_id(key), AccountId(debit), AccountId(credit), Money.parse(amount), Instant(1_000), **more
    )


@dataclass
class Book:
    engine: Engine
    writer: Writer
    reader: Reader
    clock: ManualClock
    commits: list[Committed]

    def open(self, *accounts: Account) -> None:
        self.writer.submit(open_accounts([PLANT], accounts)).result(10)

    def post(self, *requests: TransferRequest) -> list[Outcome]:
        return self.writer.submit(lambda batch: batch.post(requests)).result(10)

    def balance(self, name: str) -> str:
        return next(str(s.balance) for s in self.reader.overview().statuses if s.account.id == name)


@contextmanager
def open_book(path: Path) -> Iterator[Book]:
    engine = open_engine(f"sqlite:///{path}")
    upgrade(engine)
    clock = ManualClock(Instant(1_700_000_000_000_000))
    commits: list[Committed] = []
    writer = Writer(engine, "test", clock, commits.append)
    writer.start()
    try:
        yield Book(engine, writer, Reader(engine, "test"), clock, commits)
    finally:
        writer.stop()
        engine.dispose()
