"""A load that follows from a seed: piece n asks for the same on every machine and however often it is asked."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from core.clock import Instant
from core.ids import TransferId, derived_id
from core.money import SEK, Money
from ledger import holds
from ledger.account import Account, AccountId, Party, PartyId
from ledger.batch import Batch
from ledger.hold import Hold
from ledger.holds import CaptureRequest
from ledger.operations import open_accounts
from ledger.transfer import TransferRequest
from ledger.writer import Work

OWNER = Party(PartyId("plant"), "Plant AB")
ACCOUNTS = tuple(
    Account(AccountId(f"m{n}"), f"Machine {n}", OWNER.id, Money.parse("-1000000000 kr")) for n in range(40)
)
WORK_TIME = Instant(1_790_000_000_000_000)
KINDS = ("many", "hold", "linked", "capture part", "reverse", "many", "capture rest", "release", "rename")

Moved = tuple[bytes, str, str, int]
"""A transfer as its row must tell it: id, debit, credit, ledger units."""


class Load:
    """Pieces of work number 0, 1, 2, …; asked in this order none is refused."""

    def __init__(self, seed: int, book: str, transfers_per_piece: int = 150) -> None:
        self._seed = seed
        self.book = book
        self._most = transfers_per_piece

    @property
    def accounts(self) -> Work[None]:
        return open_accounts([OWNER], ACCOUNTS)

    def work(self, n: int) -> Work[list[Any]]:
        """Answers the outcome of everything that piece n asks for."""
        kind, before = self._kind(n), self._first_of_round(n)
        plain = self._plain(n)

        def work(batch: Batch) -> list[Any]:
            outcomes: list[Any] = []
            if kind == "linked":
                outcomes += batch.post_linked(plain)
            else:
                outcomes += batch.post(plain)
            if kind == "hold":
                outcomes += [holds.place(batch, self._hold(n, each)) for each in ("captured", "released")]
            elif kind == "capture part":
                amount = Money(self._hold(before + 1, "captured").amount.units // 3, SEK)
                outcomes.append(holds.capture(batch, self._capture(n, amount)))
            elif kind == "capture rest":
                outcomes.append(holds.capture(batch, self._capture(n, None)))
            elif kind == "release":
                outcomes.append(holds.release(batch, self._hold(before + 1, "released").id))
            elif kind == "reverse":
                original = self._plain(before)[0]
                outcomes.append(batch.reverse(self._id(n, "reversal"), original.id, WORK_TIME))
            elif kind == "rename":
                batch.open_account(replace(ACCOUNTS[n % len(ACCOUNTS)], name=f"Machine of piece {n}"))
            return outcomes

        return work

    def moved(self, n: int) -> list[Moved]:
        """The transfers that piece n brings into the book, by a bookkeeping of its own."""
        kind, before = self._kind(n), self._first_of_round(n)
        moved = [(each.id, each.debit, each.credit, each.amount.units) for each in self._plain(n)]
        if kind in ("capture part", "capture rest"):
            hold = self._hold(before + 1, "captured")
            part = hold.amount.units // 3
            units = part if kind == "capture part" else hold.amount.units - part
            moved.append((self._id(n, "capture"), hold.debit, hold.request.credit, units))
        elif kind == "reverse":
            original = self._plain(before)[0]
            moved.append((self._id(n, "reversal"), original.credit, original.debit, original.amount.units))
        return [(bytes(id), str(debit), str(credit), units) for id, debit, credit, units in moved]

    def _kind(self, n: int) -> str:
        return KINDS[n % len(KINDS)]

    def _first_of_round(self, n: int) -> int:
        return n - n % len(KINDS)

    def _plain(self, n: int) -> list[TransferRequest]:
        count = {"many": self._most, "linked": 3}.get(self._kind(n), self._most // 5)
        random = Random(f"{self._seed} {self.book} {n}")
        requests = []
        for place in range(count):
            debit, credit = random.sample(ACCOUNTS, 2)
            amount = Money(random.randrange(1, 10**9), SEK)
            at = Instant(WORK_TIME + n * 1_000_000 + place)
            requests.append(TransferRequest(self._id(n, str(place)), debit.id, credit.id, amount, at, f"piece {n}"))
        return requests

    def _hold(self, n: int, name: str) -> Hold:
        debit, credit = Random(f"{self._seed} {n} {name}").sample(ACCOUNTS, 2)
        return Hold(TransferRequest(self._id(n, name), debit.id, credit.id, Money(3 * 10**8 + n, SEK), WORK_TIME))

    def _capture(self, n: int, amount: Money | None) -> CaptureRequest:
        hold = self._hold(self._first_of_round(n) + 1, "captured")
        return CaptureRequest(self._id(n, "capture"), hold.id, WORK_TIME, amount)

    def _id(self, n: int, name: str) -> TransferId:
        return derived_id(str(self._seed), self.book, str(n), name)
