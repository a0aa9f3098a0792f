"""A book as one would keep it on paper: dictionaries and whole numbers, none of the ledger's own code.

It decides what the ledger must decide, in the order that the documents give, so that a test can compare the two.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

LIMIT = 2**62 - 1
NEVER = 2**62


class NaiveRejected(Exception):
    """The piece of work is given up; the argument is the code of the rejection."""


@dataclass
class NaiveAccount:
    currency: str
    floor: int = 0
    ceiling: int = LIMIT
    state: str = "open"
    name: str = ""
    total_in: int = 0
    total_out: int = 0
    held: int = 0

    @property
    def balance(self) -> int:
        return self.total_in - self.total_out

    @property
    def available(self) -> int:
        return self.balance - self.held - self.floor

    @property
    def shown(self) -> tuple[Any, ...]:
        return self.total_in, self.total_out, self.held, self.floor, self.ceiling, self.state, self.name


@dataclass
class NaiveHold:
    debit: str
    credit: str
    units: int
    currency: str
    expires: int
    captured: int = 0
    state: str = "open"

    @property
    def left(self) -> int:
        return self.units - self.captured if self.state == "open" else 0

    @property
    def asked(self) -> tuple[Any, ...]:
        return self.debit, self.credit, self.units, self.currency, self.expires


@dataclass(frozen=True)
class NaiveTransfer:
    """One payment; `kind` is what it is beside that: a reversal or a capture of `cause`."""

    debit: str
    credit: str
    units: int
    currency: str
    text: str = ""
    kind: str = ""
    cause: str = ""
    hour: int = field(default=0, compare=False)


@dataclass
class NaiveBook:
    """Accounts by name; holds and transfers by the key that their ids are made of."""

    accounts: dict[str, NaiveAccount] = field(default_factory=dict)
    holds: dict[str, NaiveHold] = field(default_factory=dict)
    transfers: dict[str, NaiveTransfer] = field(default_factory=dict)
    """In the order they were posted."""
    reversed_by: dict[str, str] = field(default_factory=dict)
    locked_until: int = 0
    time: int = 0
    """Of the last batch, and of the one that is being written."""
    seq: int = 0
    entries: int = 0
    """In the batch that is being written."""

    @contextmanager
    def batch(self, now: int) -> Iterator[None]:
        """Everything inside is one batch; a batch without entries is none."""
        before = self.time
        self.time = max(now, before)
        self.entries = 0
        for hold in self.holds.values():
            if hold.state == "open" and hold.expires <= self.time:
                self._end(hold, "expired")
        yield
        if self.entries:
            self.seq += 1
        else:
            self.time = before

    @contextmanager
    def piece_of_work(self) -> Iterator[None]:
        """What is done inside is as if it had never been when it is given up."""
        before = copy.deepcopy(self.__dict__)
        try:
            yield
        except NaiveRejected:
            self.__dict__.update(before)
            raise

    def open(self, name: str, currency: str, floor: int, ceiling: int, state: str, title: str) -> None:
        account = self.accounts.get(name)
        if account is None:
            self.accounts[name] = NaiveAccount(currency, floor, ceiling, state, title)
            self.entries += 1
            return
        if account.currency != currency:
            raise NaiveRejected("account_is_fixed")
        if (account.floor, account.ceiling, account.state, account.name) == (floor, ceiling, state, title):
            return
        if state == "closed" and (account.balance or account.held):
            raise NaiveRejected("account_not_empty")
        account.floor, account.ceiling, account.state, account.name = floor, ceiling, state, title
        self.entries += 1

    def post(self, key: str, asked: NaiveTransfer, is_covered: bool = False, hindrance: str = "") -> str:
        """`posted`, `already posted`, or the reason of the refusal."""
        if not 0 < asked.units <= 2**53:
            return "invalid_amount"
        if len(asked.text) > 200:
            return "text_too_long"
        if key in self.transfers:
            return "already posted" if self.transfers[key] == asked else "conflict"
        reason = hindrance or self._objection(asked.debit, asked.credit, asked.currency, asked.hour)
        if reason:
            return reason
        debit, credit = self.accounts[asked.debit], self.accounts[asked.credit]
        if not is_covered and debit.available < asked.units:
            return "insufficient_funds"
        if credit.ceiling < LIMIT and credit.balance + asked.units > credit.ceiling:
            return "ceiling_reached"
        debit.total_out += asked.units
        credit.total_in += asked.units
        self.transfers[key] = asked
        self.entries += 1
        return "posted"

    def post_linked(self, legs: list[tuple[str, NaiveTransfer]]) -> list[str]:
        before = copy.deepcopy(self.__dict__)
        answers = [self.post(key, asked) for key, asked in legs]
        if set(answers) <= {"posted"} or set(answers) <= {"already posted"}:
            return answers
        self.__dict__.update(before)
        refused = [each for each, answer in enumerate(answers) if answer not in ("posted", "already posted")]
        culprit = refused[0] if refused else answers.index("already posted")
        reason = answers[culprit] if refused else "conflict"
        return [reason if each == culprit else "linked_refused" for each in range(len(legs))]

    def reverse(self, key: str, original: str, hour: int) -> str:
        undone = self.transfers.get(original)
        if undone is None:
            raise NaiveRejected("unknown_transfer")
        asked = NaiveTransfer(
            undone.credit, undone.debit, undone.units, undone.currency, "", "reversal", original, hour
        )
        is_undone = self.reversed_by.get(original, key) != key
        answer = self.post(key, asked, hindrance="already_reversed" if is_undone else "")
        if answer == "posted":
            self.reversed_by[original] = key
        return answer

    def place(self, key: str, asked: NaiveHold) -> str:
        known = self.holds.get(key)
        if known is not None and known.asked == asked.asked:
            return f"already placed, {known.state}, {known.captured}"
        if not 0 < asked.units <= 2**53:
            return "invalid_amount"
        if known is not None:
            return "conflict"
        if asked.expires <= self.time:
            return "expiry_has_passed"
        reason = self._objection(asked.debit, asked.credit, asked.currency, hour=None)
        if reason:
            return reason
        debit = self.accounts[asked.debit]
        if debit.available < asked.units:
            return "insufficient_funds"
        debit.held += asked.units
        self.holds[key] = copy.copy(asked)
        self.entries += 1
        return "placed"

    def capture(self, key: str, hold_key: str, units: int | None, currency: str, is_last: bool, hour: int) -> str:
        hold = self.holds.get(hold_key)
        earlier = self.transfers.get(key)
        if units is not None and not 0 < units <= 2**53:
            return "invalid_amount"
        if hold is None:
            return "unknown_hold" if earlier is None else "conflict"
        kind = "last capture" if is_last or units is None else "capture"
        if units is None:
            units, currency = (hold.left, hold.currency) if earlier is None else (earlier.units, earlier.currency)
        if earlier is None:
            if hold.state != "open":
                return "hold_not_open"
            if currency == hold.currency and units > hold.left:
                return "exceeds_hold"
        asked = NaiveTransfer(hold.debit, hold.credit, units, currency, "", kind, hold_key, hour)
        answer = self.post(key, asked, is_covered=True)
        if answer == "posted":
            debit = self.accounts[hold.debit]
            hold.captured += units
            debit.held -= units
            if kind == "last capture" or hold.captured == hold.units:
                debit.held -= hold.left
                hold.state = "captured"
        return answer

    def release(self, key: str) -> str:
        hold = self.holds.get(key)
        if hold is None:
            return "unknown_hold"
        if hold.state == "captured":
            return "hold_not_open"
        if hold.state == "open":
            self._end(hold, "released")
        return hold.state

    def lock(self, until: int) -> None:
        if until <= self.locked_until:
            raise NaiveRejected("period_is_locked")
        self.locked_until = until
        self.entries += 1

    def links(self, begin: int = 0, end: int = LIMIT) -> dict[tuple[str, str], tuple[int, int]]:
        """How often and how much each account paid each other in the hours from `begin` to before `end`."""
        totals: dict[tuple[str, str], tuple[int, int]] = {}
        for transfer in self.transfers.values():
            if begin <= transfer.hour < end:
                times, units = totals.get((transfer.debit, transfer.credit), (0, 0))
                totals[transfer.debit, transfer.credit] = times + 1, units + transfer.units
        return totals

    def _objection(self, debit: str, credit: str, currency: str, hour: int | None) -> str:
        """The first of the checks of both sides that says no; a hold is for no hour."""
        if debit == credit:
            return "same_account"
        if debit not in self.accounts:
            return "unknown_debit_account"
        if credit not in self.accounts:
            return "unknown_credit_account"
        sides = self.accounts[debit], self.accounts[credit]
        if any(side.currency != currency for side in sides):
            return "currency_mismatch"
        if hour is not None and hour < self.locked_until:
            return "period_locked"
        if any(side.state == "closed" for side in sides):
            return "account_closed"
        if sides[0].state == "frozen":
            return "account_frozen"
        return ""

    def _end(self, hold: NaiveHold, state: str) -> None:
        self.accounts[hold.debit].held -= hold.left
        hold.state = state
        self.entries += 1
