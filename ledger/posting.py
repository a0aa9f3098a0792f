"""May this transfer be posted? Every check, in documented order, on state given in; pure."""

from __future__ import annotations

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


class Standing:
    """An account and what has passed through it, in ledger units. The one thing in a batch that changes in place."""

    __slots__ = ("account", "currency", "floor_units", "number", "total_in", "total_out")

    def __init__(self, number: int, account: Account, total_in: int, total_out: int) -> None:
        self.number = number
        self.total_in = total_in
        self.total_out = total_out
        self.become(account)

    def become(self, account: Account) -> None:
        """The account as it is now; what passed through it stays."""
        self.account = account
        self.currency = account.currency
        self.floor_units = account.floor.units

    @property
    def balance(self) -> int:
        return self.total_in - self.total_out


def is_plainly_fine(request: TransferRequest, debit: Standing, credit: Standing) -> bool:
    """Whether `decide` would answer None for a request whose id is new: the same rules at a tenth of the cost.

    True is a promise; False says nothing yet.
    """
    units, currency = request.amount.units, request.amount.currency
    return (
        0 < units <= TRANSFER_UNITS_MAX
        and debit is not credit
        and debit.currency is currency
        and credit.currency is currency
        and debit.total_in - debit.total_out - units >= debit.floor_units
        and debit.total_out + units <= UNITS_MAX
        and credit.total_in + units <= UNITS_MAX
        and len(request.text) <= TEXT_CHARACTERS_MAX
        and len(request.reference) <= REFERENCE_CHARACTERS_MAX
        and _is_printable(request)
    )


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
    if not _is_printable(request):
        text = "expected text without control characters or broken encoding in text, reference and source"
        return refuse(Reason.TEXT_NOT_PRINTABLE, text)
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


def _is_printable(request: TransferRequest) -> bool:
    """Whether every text can be written down, sealed and shown; a lone surrogate cannot even be encoded."""
    return request.text.isprintable() and request.reference.isprintable() and request.source.isprintable()
