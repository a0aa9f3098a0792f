"""What a payment method answers in ResultCode: zero and above is done, below zero nothing moved.

The numbers are a published interface: PLC programs compare them. Add at the end, never renumber.
"""

from __future__ import annotations

from enum import IntEnum

from ledger.transfer import Reason


class ResultCode(IntEnum):
    """Results of the business. Errors of protocol and access are OPC UA status codes instead (Part 4, 7.38)."""

    POSTED = 0
    ALREADY_POSTED = 1

    INVALID_AMOUNT = -1
    TEXT_TOO_LONG = -2
    CONFLICT = -3
    SAME_ACCOUNT = -4
    UNKNOWN_DEBIT_ACCOUNT = -5
    UNKNOWN_CREDIT_ACCOUNT = -6
    CURRENCY_MISMATCH = -7
    INSUFFICIENT_FUNDS = -8
    BALANCE_TOO_LARGE = -9
    TEXT_NOT_PRINTABLE = -10
    PERIOD_LOCKED = -11
    ACCOUNT_CLOSED = -12
    ACCOUNT_FROZEN = -13
    CEILING_REACHED = -14
    ALREADY_REVERSED = -15
    UNKNOWN_HOLD = -16
    HOLD_NOT_OPEN = -17
    EXCEEDS_HOLD = -18
    EXPIRY_HAS_PASSED = -19

    NOT_PERMITTED = -20
    UNKNOWN_CURRENCY = -21
    NOT_AN_AMOUNT = -22
    TOO_PRECISE = -23
    TOO_LARGE = -24

    UNKNOWN_REQUEST = -30

    LINKED_REFUSED = -40
    INVALID_TIME = -41
    CLEARING_ACCOUNT = -42

    REJECTED = -99


_BY_NAME = {code.name.lower(): code for code in ResultCode}


def of_reason(reason: Reason) -> ResultCode:
    """The code of a refusal by the ledger."""
    return _BY_NAME[reason.value]


def of_rejection(code: str) -> ResultCode:
    """The code of a `Rejected`; REJECTED when this table does not know it, the text then says what it was."""
    return _BY_NAME.get(code, ResultCode.REJECTED)
