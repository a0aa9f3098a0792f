"""The second, naive bookkeeping: what a book must hold, by its journal alone, entry by entry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from core.clock import EPOCH
from core.money import CURRENCIES, TRANSFER_UNITS_MAX, UNITS_MAX, Money
from ledger import journal
from ledger.database import Row
from ledger.event import NO_ACCOUNT, EventKind
from ledger.hold import NEVER, HoldState
from ledger.journal import NO_CAUSE
from ledger.transfer import (
    REFERENCE_CHARACTERS_MAX,
    SOURCE_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    TIME_END,
    TransferKind,
)

FAULTS_SHOWN_MAX = 20

_TERMS = "name owner kind type currency cost_centre labels state floor_units ceiling_units"
_ACCOUNT_KEYS = {"account", *_TERMS.split()}
_HOLD_KEYS = {"hold", *"debit credit currency units expires effective_time text reference source".split()}  # noqa: SIM905
_HOLD_NUMBERS = ("units", "expires", "effective_time")
_ACCOUNT_NUMBERS = ("floor_units", "ceiling_units")
_FIXED = ("account", "owner", "currency")
_KINDS = {
    0,
    TransferKind.LINKED,
    TransferKind.REVERSAL,
    TransferKind.CAPTURE,
    TransferKind.CAPTURE | TransferKind.LAST_CAPTURE,
}
"""What a transfer can be; the last three have a cause."""
_ENDED = {EventKind.HOLD_RELEASED.value: HoldState.RELEASED, EventKind.HOLD_EXPIRED.value: HoldState.EXPIRED}


class Faults:
    """What did not fit, in the order it was found; what comes after the first twenty is not kept."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def add(self, text: str) -> None:
        if len(self._texts) < FAULTS_SHOWN_MAX:
            self._texts.append(text)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)


class Misfit(Exception):
    """An entry that the journal as a whole does not allow."""


@dataclass(slots=True)
class ReplayedAccount:
    """What the journal gives of one account so far; amounts in ledger units."""

    number: int
    content: dict[str, Any]
    event_seq: int
    total_in: int = 0
    total_out: int = 0
    held: int = 0
    touched_seq: int = 0
    last_seq: int = 0
    last_position: int = 0
    posting_seq: int = 0
    positions: list[int] = field(default_factory=list)
    """Where its transfers stand in the batch that is being read."""

    @property
    def id(self) -> str:
        return str(self.content["account"])

    @property
    def currency(self) -> str:
        return str(self.content["currency"])

    @property
    def balance(self) -> int:
        return self.total_in - self.total_out

    def shown(self, total_in: int, total_out: int, held: int = 0) -> str:
        """Totals as people read them, in this account's currency."""
        of = CURRENCIES[self.currency]
        totals = f"{Money(total_in, of).plain()} in and {Money(total_out, of).plain()} {of} out"
        return f"{totals}, {Money(held, of).plain()} held" if held else totals

    @property
    def computed(self) -> str:
        return self.shown(self.total_in, self.total_out, self.held)


@dataclass(slots=True)
class ReplayedHold:
    """What the journal gives of one hold so far."""

    content: dict[str, Any]
    debit: ReplayedAccount
    credit: ReplayedAccount
    captured: int = 0
    state: HoldState = HoldState.OPEN

    @property
    def units(self) -> int:
        return int(self.content["units"])

    @property
    def expires(self) -> int:
        return int(self.content["expires"])

    @property
    def remaining(self) -> int:
        return self.units - self.captured if self.state is HoldState.OPEN else 0


class Replay:
    """Takes the entries in, in their order. Holds the accounts, the holds and the reversals, never all transfers."""

    def __init__(self, faults: Faults) -> None:
        self.transfers = 0
        self.locked_until = 0
        self.accounts: dict[int, ReplayedAccount] = {}
        self.parties: dict[str, tuple[str, str]] = {}
        self.holds: dict[bytes, ReplayedHold] = {}
        self.reversals: dict[bytes, bytes] = {}
        self.touched: dict[int, ReplayedAccount] = {}
        """Accounts that the batch being read moved or held on."""
        self._by_id: dict[str, ReplayedAccount] = {}
        self._linked: str | None = None
        """The last entry, when it was linked with the one that follows it."""
        self._faults = faults

    @property
    def next_expiry(self) -> int:
        """When the first of the open holds expires."""
        return min((hold.expires for hold in self.holds.values() if hold.state is HoldState.OPEN), default=NEVER)

    def know(self, account: ReplayedAccount) -> None:
        self.accounts[account.number] = self._by_id[account.id] = account

    def begin_batch(self) -> None:
        for account in self.touched.values():
            account.positions.clear()
        self.touched.clear()

    def end_batch(self, seq: int) -> None:
        if self._linked is not None:
            self._faults.add(f"{self._linked} of batch {seq}: it was posted with another that does not follow it")
            self._linked = None

    def form_of(self, row: Row[Any]) -> bytes | None:
        """The entry's canonical form; None when it has none, so that nobody can have sealed it."""
        try:
            if not is_transfer(row):
                return journal.event_form(row.account_no, row.event, row.content)
            debit, credit = self.accounts[row.debit], self.accounts[row.credit]
            texts = (debit.id, credit.id, debit.currency, row.text, row.reference, row.source)
            if len(row.transfer_id) != 16 or len(row.cause or NO_CAUSE) != 16:
                return None  # the form would cut it off, or fill it up
            return journal.transfer_form(row.transfer_id, row.cause, row.amount, row.effective_time, row.kind, texts)
        except (KeyError, OverflowError, ValueError, journal.FormError):
            return None

    def take(self, seq: int, row: Row[Any]) -> None:
        """Take one entry in; what it breaks is a fault."""
        if not is_transfer(row):
            self.end_batch(seq)  # linked transfers stand side by side
        try:
            if is_transfer(row):
                self.transfers += 1
                self._linked = name_of(row) if row.kind and row.kind & TransferKind.LINKED else None
                self._transfer(seq, row)
            else:
                self._event(seq, row)
        except Misfit as misfit:
            self._faults.add(f"{name_of(row)} of batch {seq}: {misfit}")

    def _event(self, seq: int, row: Row[Any]) -> None:
        try:
            content = json.loads(row.content)
            kind = EventKind(row.event)
            if not isinstance(content, dict):
                raise ValueError(row.content)
            if kind is EventKind.PARTY:
                party, name, organisation = (content[key] for key in ("party", "name", "organisation"))
                _must_be(str, party, name, organisation)
                self.parties[party] = (name, organisation)
            elif kind is EventKind.PERIOD_LOCKED:
                _must_be(int, content["until"])
                self.locked_until = max(self.locked_until, content["until"])
            elif kind in (EventKind.OPENED, EventKind.CHANGED):
                self._account_event(seq, row.account_no, kind, content)
            elif kind is EventKind.HOLD_PLACED:
                self._place(seq, row.account_no, content)
            elif kind is not EventKind.REFUSED:
                self._end(seq, row.account_no, kind, content)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Misfit("its content cannot be read") from None

    def _account_event(self, seq: int, number: int, kind: EventKind, content: dict[str, Any]) -> None:
        if content.keys() != _ACCOUNT_KEYS or content["currency"] not in CURRENCIES:
            raise Misfit("its content is not that of an account")
        for key, value in content.items():
            _must_be(int if key in _ACCOUNT_NUMBERS else dict if key == "labels" else str, value)
        account = self.accounts.get(number)
        if kind is EventKind.OPENED and account is None and number != NO_ACCOUNT:
            account = ReplayedAccount(number, content, seq)
            self.know(account)
        elif kind is EventKind.CHANGED and account is not None:
            if any(content[each] != account.content[each] for each in _FIXED):
                raise Misfit(
                    f"{account.id} gets another id, owner or currency, which stay as they were when it was opened"
                )
            if content["state"] == "closed" and (account.balance or account.held):
                raise Misfit(f"{account.id} is closed with money or holds in it")
            account.content, account.event_seq = content, seq
        else:
            raise Misfit(f"account number {number} cannot be {kind.value!r} at this place")
        account.touched_seq = seq

    def _place(self, seq: int, number: int, content: dict[str, Any]) -> None:
        id = bytes.fromhex(content["hold"])
        debit, credit = self._by_id.get(content["debit"]), self._by_id.get(content["credit"])
        if content.keys() != _HOLD_KEYS or debit is None or credit is None or debit.number != number:
            raise Misfit("it names an account that was not open")
        if id in self.holds:
            raise Misfit("there is a hold with this id already")
        for key in _HOLD_NUMBERS:
            _must_be(int, content[key])
        hold = ReplayedHold(content, debit, credit)
        currencies = {debit.currency, credit.currency, content["currency"]}
        if not 0 < hold.units <= TRANSFER_UNITS_MAX or debit is credit or len(currencies) > 1:
            raise Misfit("no such amount can be held between these accounts")
        if debit.content["state"] != "open" or credit.content["state"] == "closed":
            raise Misfit(f"{debit.id} is {debit.content['state']}, {credit.id} is {credit.content['state']}")
        if debit.balance - debit.held - hold.units < debit.content["floor_units"]:
            raise Misfit(f"{debit.id} had not so much available")
        self.holds[id] = hold
        self._hold(seq, debit, hold.units)

    def _end(self, seq: int, number: int, kind: EventKind, content: dict[str, Any]) -> None:
        hold = self.holds.get(bytes.fromhex(content["hold"]))
        if hold is None or hold.state is not HoldState.OPEN or hold.debit.number != number:
            raise Misfit("there is no such open hold")
        if hold.remaining != content["units"]:
            raise Misfit(f"the hold had {hold.remaining} ledger units left, not {content['units']}")
        self._hold(seq, hold.debit, -hold.remaining)
        hold.state = _ENDED[kind.value]

    def _hold(self, seq: int, account: ReplayedAccount, units: int) -> None:
        account.held += units
        account.touched_seq = seq
        self.touched[account.number] = account

    def _transfer(self, seq: int, row: Row[Any]) -> None:
        payer, payee = self.accounts.get(row.debit), self.accounts.get(row.credit)
        if payer is None or payee is None:
            raise Misfit("it names an account that was not open")
        units = row.amount
        payer.total_out += units
        payee.total_in += units
        for account in (payer, payee):
            account.touched_seq = account.last_seq = seq
            account.last_position = row.position
            account.positions.append(row.position)
            self.touched[account.number] = account
        is_covered = False
        if row.kind or row.cause is not None:
            if row.kind not in _KINDS or (row.cause is None) != (row.kind <= TransferKind.LINKED):
                raise Misfit(f"its kind cannot be {row.kind} {'without' if row.cause is None else 'with'} a cause")
            is_covered = bool(row.kind & TransferKind.CAPTURE)
            if is_covered:
                self._capture(seq, row)
            if row.kind & TransferKind.REVERSAL:
                if row.cause in self.reversals:
                    raise Misfit("it reverses what was reversed before")
                self.reversals[row.cause] = row.transfer_id
        self._check(row, payer, payee, is_covered)

    def _capture(self, seq: int, row: Row[Any]) -> None:
        hold = self.holds.get(row.cause)
        if hold is None or (hold.debit.number, hold.credit.number) != (row.debit, row.credit):
            raise Misfit("it captures what was not held between these accounts")
        before = hold.remaining
        if row.amount > before:
            raise Misfit(f"it captures {row.amount} ledger units of a hold that had {before} left")
        hold.captured += row.amount
        if row.kind & TransferKind.LAST_CAPTURE or hold.captured == hold.units:
            hold.state = HoldState.CAPTURED
        self._hold(seq, hold.debit, hold.remaining - before)

    def _check(self, row: Row[Any], payer: ReplayedAccount, payee: ReplayedAccount, is_covered: bool) -> None:
        if not 0 < row.amount <= TRANSFER_UNITS_MAX:
            raise Misfit(f"its amount of {row.amount} ledger units is out of bounds")
        if not EPOCH <= row.effective_time < TIME_END:
            raise Misfit(f"its time of {row.effective_time} microseconds is out of bounds")
        if not _is_fit(row.text, row.reference, row.source):
            raise Misfit("a text in it is too long, or cannot be shown")
        if payer is payee or payer.currency != payee.currency:
            raise Misfit(f"{payer.id} in {payer.currency} cannot pay {payee.id} in {payee.currency}")
        if row.effective_time < self.locked_until:
            raise Misfit("it is dated in a period that was locked")
        if payer.content["state"] != "open" or payee.content["state"] == "closed":
            raise Misfit(f"{payer.id} is {payer.content['state']}, {payee.id} is {payee.content['state']}")
        if not is_covered and payer.balance - payer.held < payer.content["floor_units"]:
            raise Misfit(f"{payer.id} went below the floor it had then")
        if payee.balance > payee.content["ceiling_units"]:
            raise Misfit(f"{payee.id} went above the ceiling it had then")
        if payer.total_out > UNITS_MAX or payee.total_in > UNITS_MAX:
            raise Misfit("the total through one of its accounts leaves the ledger's range")
        if len(row.transfer_id) != 16:
            raise Misfit("its id has not 16 bytes")


def _must_be(type_: type, *values: object) -> None:
    if any(type(value) is not type_ for value in values):
        raise TypeError(f"expected {type_.__name__}, got {values}")


def _is_fit(text: str, reference: str, source: str) -> bool:
    """Whether they are no longer than a transfer's texts may be, and can be shown."""
    return (
        len(text) <= TEXT_CHARACTERS_MAX
        and len(reference) <= REFERENCE_CHARACTERS_MAX
        and len(source) <= SOURCE_CHARACTERS_MAX
        and f"{text}{reference}{source}".isprintable()
    )


def is_transfer(row: Row[Any]) -> bool:
    return hasattr(row, "transfer_id")


def name_of(row: Row[Any]) -> str:
    """The entry as a fault names it."""
    return f"transfer {row.transfer_id.hex()}" if is_transfer(row) else f"event {row.position}"
