"""Do the charges say what the ledger says? Replays every agreement's charges against its transfers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from core.errors import Rejected
from core.exact import EXACT
from core.money import CURRENCIES, TRANSFER_UNITS_MAX, Money
from ledger.clearing import without_destination
from ledger.database import Connection, Row
from ledger.journal_rows import read_transfers
from ledger.replay import Faults
from ledger.tables import account_table, book_table
from settlement.engine import SOURCE
from settlement.store import agreement_table, charge_table

ROWS_PER_PAGE = 64

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


def verify(connection: Connection, book: int) -> tuple[str, ...]:
    """What does not fit, the first of each agreement, at most `FAULTS_SHOWN_MAX`; the ledger itself is taken as proven.

    One pass over the transfers in their order, each agreement's charges beside them. Nothing in the journal bears
    witness to meters, to an agreement's cursors and time, or to a charge's working: they are not checked.
    """
    faults = Faults()
    accounts = {
        row.account_no: (row.account_id, row.currency)
        for row in connection.execute(account_table.select().where(account_table.c.book_id == book))
    }
    book_row = connection.execute(book_table.select().where(book_table.c.book_id == book)).one()
    locked_until = int(book_row.locked_until)
    billings = {
        row.agreement_id: _Billing(connection, row, locked_until)
        for row in connection.execute(agreement_table.select().where(agreement_table.c.book_id == book))
    }
    unknown: set[str] = set()
    for transfer in read_transfers(connection, book, SOURCE):
        agreement = without_destination(transfer.source).removeprefix(SOURCE)
        billing = billings.get(agreement)
        if billing is None:
            unknown.add(agreement)
        elif billing.fault is None:
            billing.take(transfer, accounts)
    for agreement, billing in billings.items():
        if billing.fault is None:
            billing.end()
        if billing.fault is not None:
            faults.add(f"agreement {agreement}: {billing.fault}")
    charged = charge_table.select().with_only_columns(charge_table.c.agreement_id)
    for row in connection.execute(charged.where(charge_table.c.book_id == book).distinct()):
        if row.agreement_id not in billings:
            unknown.add(row.agreement_id)
    for agreement in sorted(unknown):
        faults.add(f"agreement {agreement}: it has charges or transfers, and is missing itself")
    return tuple(faults)


class _Fault(Exception):
    """The first thing about an agreement that does not fit."""


class _Billing:
    """One agreement's charges and transfers, number by number: each number has a charge, a transfer or both."""

    def __init__(self, connection: Connection, agreement: Row[Any], locked_until: int) -> None:
        self._locked_until = locked_until
        """Work of before then may be dated later than it was done."""
        self.fault: str | None = None
        self._agreement = agreement
        self._id: str = agreement.agreement_id
        self._currency = CURRENCIES.get(agreement.currency)
        self._payer = (agreement.payer, agreement.currency)
        self._payee = (agreement.payee, agreement.currency)
        self._number = 0
        self._charged = Decimal(0)
        self._settled = 0
        self._charges = _charges_of(connection, agreement.book_id, self._id)
        self._next = next(self._charges, None)

    def take(self, transfer: Row[Any], accounts: Mapping[int, tuple[str, str]]) -> None:
        """Go on to the number that this transfer settled."""
        try:
            self._take(transfer, accounts)
        except (_Fault, Rejected) as fault:
            self.fault = f"transfer {transfer.transfer_id.hex()} of batch {transfer.seq}: {fault}"

    def end(self) -> None:
        """What comes after the last transfer is owed still; then the agreement must say where this has come to."""
        try:
            while self._next is not None:
                self._owe()
            self._compare()
        except _Fault as fault:
            self.fault = str(fault)

    def _take(self, transfer: Row[Any], accounts: Mapping[int, tuple[str, str]]) -> None:
        currency = self._currency
        sides = (accounts.get(transfer.debit), accounts.get(transfer.credit))
        if currency is None or sides not in ((self._payer, self._payee), (self._payee, self._payer)):
            of = self._agreement
            raise _Fault(f"it is not between {of.payer} and {of.payee} in {of.currency}, as the agreement is")
        paid = transfer.amount if sides[0] == self._payer else -transfer.amount
        name, _, digits = transfer.reference.rpartition("#")
        if name != self._id or _NUMBER.fullmatch(digits) is None:
            raise _Fault(f"its reference {transfer.reference!r} names no charge of the agreement")
        number = int(digits)
        if number <= self._number:
            raise _Fault(f"charge {number} was settled before")
        while self._number < number - 1:
            self._owe()
        self._number = number
        charge = self._next
        if charge is not None and charge.number == number:
            if charge.transfer_id != transfer.transfer_id:
                raise _Fault(f"charge {number} does not say that it was settled by this transfer")
            is_moved = charge.to_time < transfer.effective_time <= self._locked_until
            if charge.to_time != transfer.effective_time and not is_moved:
                raise _Fault(f"charge {number} does not end when this transfer says")
            self._add(charge)
        due = Money.rounded(self._charged, currency).units - self._settled
        due = max(-TRANSFER_UNITS_MAX, min(TRANSFER_UNITS_MAX, due))
        if paid != due:
            raise _Fault(f"it paid {paid} ledger units, the charges up to number {number} leave {due} to pay")
        self._settled += paid

    def _owe(self) -> None:
        """Go on by one charge that no transfer settled."""
        self._number += 1
        charge = self._next
        if charge is None or charge.number != self._number:
            raise _Fault(f"charge {self._number} is missing")
        if charge.transfer_id is not None:
            raise _Fault(f"charge {self._number} says that {charge.transfer_id.hex()} settled it, which did not")
        self._add(charge)

    def _add(self, charge: Row[Any]) -> None:
        if charge.from_time > charge.to_time:
            raise _Fault(f"charge {charge.number} ends before it begins")
        self._charged = EXACT.add(self._charged, _decimal(charge.amount))
        self._next = next(self._charges, None)

    def _compare(self) -> None:
        shown = self._agreement
        if shown.number != self._number:
            raise _Fault(f"it says that its last charge is number {shown.number}, that is number {self._number}")
        if _decimal(shown.charged) != self._charged:
            raise _Fault(f"it says that {shown.charged} was charged, its charges add up to {self._charged}")
        if shown.settled != self._settled:
            raise _Fault(f"it says that {shown.settled} ledger units were settled, its transfers moved {self._settled}")


def _charges_of(connection: Connection, book: int, agreement: str) -> Iterator[Row[Any]]:
    """An agreement's charges by their numbers, a page at a time: those of all agreements can be read side by side."""
    table = charge_table
    query = table.select().where(table.c.book_id == book, table.c.agreement_id == agreement).order_by(table.c.number)
    query = query.limit(ROWS_PER_PAGE)
    rows = connection.execute(query).all()
    yield from rows
    while len(rows) == ROWS_PER_PAGE:
        rows = connection.execute(query.where(table.c.number > rows[-1].number)).all()
        yield from rows


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise _Fault(f"{text!r} is not an amount") from None
    if not number.is_finite():
        raise _Fault(f"{text!r} is not an amount")
    return number
