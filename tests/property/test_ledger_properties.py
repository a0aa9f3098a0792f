"""Random work on a real book, beside a second, naive bookkeeping that must agree after every step."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ledgers import Book, account, open_book

from core.clock import Instant
from core.ids import derived_id
from core.money import SEK, Money
from ledger.account import AccountId
from ledger.transfer import AlreadyPosted, Posted, Reason, Refused, TransferRequest

NAMES = ("a", "b", "c", "d")
FLOORS = {"a": Decimal(-100), "b": Decimal(0), "c": Decimal(-10), "d": Decimal(0)}

names = st.sampled_from(NAMES)
amounts = st.decimals("0.00000001", "60", places=8)
keys = st.integers(0, 30).map(str)


class BookAndAuditor(RuleBasedStateMachine):
    """The auditor knows only balances as decimals and which key asked for what."""

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.files = ExitStack()
        self.book: Book = self.files.enter_context(open_book(self.folder / "book.db"))
        self.book.open(*(account(name, f"{floor} kr") for name, floor in FLOORS.items()))
        self.balances = dict.fromkeys(NAMES, Decimal(0))
        self.asked: dict[str, tuple[str, str, Decimal]] = {}

    @rule(batch=st.lists(st.tuples(keys, names, names, amounts), min_size=1, max_size=6))
    def post(self, batch: list[tuple[str, str, str, Decimal]]) -> None:
        requests = [
            TransferRequest(
                derived_id(key), AccountId(debit), AccountId(credit), Money.exact(amount, SEK), Instant(0), "work"
            )
            for key, debit, credit, amount in batch
        ]
        for asked, outcome in zip(batch, self.book.post(*requests), strict=True):
            expected = self.audit(*asked)
            found = outcome.reason if isinstance(outcome, Refused) else type(outcome)
            assert found == expected, (asked, outcome)

    def audit(self, key: str, debit: str, credit: str, amount: Decimal) -> object:
        if key in self.asked:
            return AlreadyPosted if self.asked[key] == (debit, credit, amount) else Reason.CONFLICT
        if debit == credit:
            return Reason.SAME_ACCOUNT
        if self.balances[debit] - amount < FLOORS[debit]:
            return Reason.INSUFFICIENT_FUNDS
        self.balances[debit] -= amount
        self.balances[credit] += amount
        self.asked[key] = (debit, credit, amount)
        return Posted

    @rule()
    def restart(self) -> None:
        self.files.close()
        self.book = self.files.enter_context(open_book(self.folder / "book.db"))

    @rule(name=st.sampled_from(("a", "c")), text=st.text(max_size=10))
    def rename(self, name: str, text: str) -> None:
        self.book.open(replace(account(name, f"{FLOORS[name]} kr"), name=text))

    @invariant()
    def the_auditor_agrees(self) -> None:
        if hasattr(self, "book"):
            statuses = self.book.reader.overview().statuses
            assert {status.account.id: status.balance.amount for status in statuses} == self.balances
            verification = self.book.reader.verify()
            assert verification.faults == ()
            assert verification.transfers == len(self.asked)

    def teardown(self) -> None:
        if hasattr(self, "files"):
            self.files.close()
            shutil.rmtree(self.folder)


TestBookAndAuditor = BookAndAuditor.TestCase
TestBookAndAuditor.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)
