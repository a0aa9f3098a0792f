"""May this transfer be posted? Every check, in documented order, on state given in; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.money import TRANSFER_UNITS_MAX, UNITS_MAX, Money
from ledger.account import Account
from ledger.transfer import (
    REFERENCE_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    AlreadyPosted,
    Reason,
    Refused,
    Transfer,
    TransferRequest,
)


@dataclass(frozen=True, slots=True)
class Standing:
    """An account and what has passed through it, in ledger units."""

    number: int
    account: Account
    total_in: int
    total_out: int

    @property
    def balance(self) -> int:
        return self.total_in - self.total_out

    def pay(self, units: int) -> Standing:
        return replace(self, total_out=self.total_out + units)

    def receive(self, units: int) -> Standing:
        return replace(self, total_in=self.total_in + units)


def decide(
    request: TransferRequest, debit: Standing | None, credit: Standing | None, earlier: Transfer | None
) -> AlreadyPosted | Refused | None:
    """None when the transfer may be posted; else the first of `Reason`'s checks that speaks against it.

    `earlier` is the transfer that already bears this id, if any.
    """

    def refuse(reason: Reason, text: str) -> Refused:
        return Refused(request, reason, text)

    amount = request.amount
    if not 0 < amount.units <= TRANSFER_UNITS_MAX:
        largest = Money(TRANSFER_UNITS_MAX, amount.currency)
        return refuse(Reason.INVALID_AMOUNT, f"expected an amount above zero and at most {largest}, got {amount}")
    if len(request.text) > TEXT_CHARACTERS_MAX or len(request.reference) > REFERENCE_CHARACTERS_MAX:
        return refuse(
            Reason.TEXT_TOO_LONG,
            f"expected at most {TEXT_CHARACTERS_MAX} characters of text and {REFERENCE_CHARACTERS_MAX} of reference, "
            f"got {len(request.text)} and {len(request.reference)}",
        )
    if earlier is not None:
        if request.same_content(earlier.request):
            return AlreadyPosted(earlier)
        return refuse(
            Reason.CONFLICT,
            f"this request id already paid {earlier.request.amount} from {earlier.request.debit} "
            f"to {earlier.request.credit}; use a new id for a new payment",
        )
    if request.debit == request.credit:
        return refuse(Reason.SAME_ACCOUNT, f"{request.debit} cannot pay itself")
    if debit is None:
        return refuse(Reason.UNKNOWN_DEBIT_ACCOUNT, f"there is no account {request.debit!r} in this book")
    if credit is None:
        return refuse(Reason.UNKNOWN_CREDIT_ACCOUNT, f"there is no account {request.credit!r} in this book")
    for standing in (debit, credit):
        if standing.account.currency != amount.currency:
            return refuse(
                Reason.CURRENCY_MISMATCH,
                f"{standing.account.id} is kept in {standing.account.currency}, the payment is in {amount.currency}",
            )
    available = Money(debit.balance, amount.currency) - debit.account.floor
    if available < amount:
        return refuse(Reason.INSUFFICIENT_FUNDS, f"{debit.account.id} has {available} available, {amount} was asked")
    if max(debit.total_out, credit.total_in) + amount.units > UNITS_MAX:
        return refuse(Reason.BALANCE_TOO_LARGE, "the total through one of the accounts would leave the ledger's range")
    return None
