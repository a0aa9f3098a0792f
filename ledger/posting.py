"""May this transfer be posted? Every check, in documented order, on state given in; pure."""

from __future__ import annotations

from core.clock import EPOCH, Instant
from core.money import TRANSFER_UNITS_MAX, UNITS_MAX, Currency, Money
from ledger.account import Account, AccountKind, AccountState
from ledger.hold import NEVER, Hold, HoldState
from ledger.transfer import (
    REFERENCE_CHARACTERS_MAX,
    SOURCE_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    TIME_END,
    AlreadyPosted,
    Reason,
    Refused,
    Transfer,
    TransferKind,
    TransferRequest,
)

Objection = tuple[Reason, str]
"""What speaks against it, and a sentence: what was expected and what came."""


class Standing:
    """An account and what has passed through it, in ledger units. The one thing in a batch that changes in place."""

    __slots__ = (
        "account",
        "ceiling_units",
        "code",
        "currency",
        "event_seq",
        "held",
        "is_open",
        "last_seq",
        "number",
        "payable_floor",
        "posting_seq",
        "sealed",
        "total_in",
        "total_out",
    )

    def __init__(
        self,
        number: int,
        account: Account,
        total_in: int = 0,
        total_out: int = 0,
        held: int = 0,
        event_seq: int = 0,
        last_seq: int = 0,
        posting_seq: int = 0,
    ) -> None:
        self.number = number
        self.total_in = total_in
        self.total_out = total_out
        self.held = held
        self.event_seq = event_seq
        self.last_seq = last_seq
        self.posting_seq = posting_seq
        self.become(account)

    def become(self, account: Account) -> None:
        """The account as it is now; what passed through it stays."""
        self.account = account
        self.currency = account.currency
        self.code = account.currency.code
        self.sealed = f"{account.id}\0"
        # A clearing account is never plainly fine: `decide` looks at who asks.
        self.is_open = account.state is AccountState.OPEN and account.kind is not AccountKind.CLEARING
        self.ceiling_units = account.ceiling_units
        self._tighten()

    def hold(self, units: int) -> None:
        """Reserve so much more, or so much less."""
        self.held += units
        self._tighten()

    def _tighten(self) -> None:
        # The lowest balance that a payment may leave: what is held counts as if it were gone.
        self.payable_floor = self.account.floor.units + self.held

    @property
    def balance(self) -> int:
        return self.total_in - self.total_out

    @property
    def available(self) -> int:
        return self.balance - self.payable_floor


def is_plainly_fine(
    request: TransferRequest, debit: Standing, credit: Standing, locked_until: Instant, units: int
) -> bool:
    """Whether `decide` would answer None for a plain request whose id is new: the same rules at a tenth of the cost.

    True is a promise; False says nothing yet.
    """
    currency = request.amount.currency
    text, reference, source = request.text, request.reference, request.source
    return (
        type(units) is int
        and type(request.effective_time) is int
        and 0 < units <= TRANSFER_UNITS_MAX
        and debit is not credit
        and debit.currency is currency
        and credit.currency is currency
        and debit.is_open
        and credit.is_open
        and locked_until <= request.effective_time < TIME_END
        and debit.total_in - debit.total_out - units >= debit.payable_floor
        and credit.total_in - credit.total_out + units <= credit.ceiling_units
        and debit.total_out + units <= UNITS_MAX
        and credit.total_in + units <= UNITS_MAX
        and not request.kind
        and request.cause is None
        and len(text) <= TEXT_CHARACTERS_MAX
        and len(reference) <= REFERENCE_CHARACTERS_MAX
        and len(source) <= SOURCE_CHARACTERS_MAX
        and text.isprintable()
        and reference.isprintable()
        and source.isprintable()
    )


def decide(
    request: TransferRequest,
    debit: Standing | None,
    credit: Standing | None,
    earlier: Transfer | None,
    locked_until: Instant = EPOCH,
    is_covered: bool = False,
    hindrance: Objection | None = None,
    is_between_books: bool = False,
) -> AlreadyPosted | Refused | None:
    """None when the transfer may be posted; else the first of `Reason`'s checks that speaks against it.

    `earlier` is the transfer that already bears this id, if any. `is_covered`: a hold has reserved the money.
    `hindrance` is what speaks against its cause: what it reverses was reversed before.
    `is_between_books`: the outbox or a courier asks, whose the clearing accounts are.
    """
    objection = _form(request)
    if objection is None and earlier is not None:
        if request.same_content(earlier.request):
            return AlreadyPosted(earlier)
        objection = conflict(earlier)
    objection = objection or hindrance or check_sides(request, debit, credit, locked_until, is_between_books)
    if objection is None and debit is not None and credit is not None:
        objection = _limits(request.amount, debit, credit, is_covered)
    return None if objection is None else Refused(request, *objection)


def decide_hold(
    hold: Hold, debit: Standing | None, credit: Standing | None, earlier: Hold | None, now: Instant
) -> Objection | None:
    """None when the hold may be placed; else the first of `Reason`'s checks that speaks against it.

    `earlier` is what bears this id already, when it is not the same hold.
    """
    request = hold.request
    objection = check_hold_form(hold)
    if objection is None and earlier is not None:
        text = f"this id already holds {earlier.amount} on {earlier.debit}; use a new id for a new hold"
        objection = Reason.CONFLICT, text
    if objection is None and hold.expires <= now:
        objection = Reason.EXPIRY_HAS_PASSED, "the hold would have expired before it was placed; expected a later time"
    objection = objection or check_sides(request, debit, credit, Instant(0))
    if objection is None and debit is not None and debit.available < request.amount.units:
        objection = _insufficient(debit, request.amount)
    if objection is None and debit is not None and debit.held + request.amount.units > UNITS_MAX:
        objection = Reason.BALANCE_TOO_LARGE, "the total held on the account would leave the ledger's range"
    return objection


def decide_capture(hold: Hold | None, amount: Money | None) -> Objection | None:
    """None when so much, or the rest, may be taken from the hold; the transfer itself is decided as any other, which
    also tells an amount in another currency."""
    if hold is None:
        return Reason.UNKNOWN_HOLD, "there is no hold with this id in this book"
    if hold.state is not HoldState.OPEN:
        return Reason.HOLD_NOT_OPEN, f"the hold is {hold.state.value} already; nothing is left of it"
    if amount is not None and amount.currency == hold.amount.currency and amount > hold.remaining:
        return Reason.EXCEEDS_HOLD, f"the hold has {hold.remaining} left, {amount} was asked"
    return None


def conflict(earlier: Transfer) -> Objection:
    """The id was used before, for something else."""
    return (
        Reason.CONFLICT,
        f"this request id already paid {earlier.request.amount} from {earlier.request.debit} "
        f"to {earlier.request.credit}; use a new id for a new payment",
    )


def check_types(request: object) -> None:
    """TypeError when it is not a request with the types that are declared: the database would take them for others."""
    if not isinstance(request, TransferRequest):
        raise TypeError(f"expected a TransferRequest, got {request!r:.100}")
    check_money(request.amount)
    check_time("effective_time", request.effective_time)
    for name in ("debit", "credit", "text", "reference", "source"):
        check_text(name, getattr(request, name))


def check_hold(hold: object) -> None:
    """TypeError when it is not a hold with the types that are declared, ValueError when it is not a new one."""
    if not isinstance(hold, Hold):
        raise TypeError(f"expected a Hold, got {hold!r:.100}")
    check_types(hold.request)
    check_time("expires", hold.expires)
    if hold.captured or hold.state is not HoldState.OPEN or hold.request.kind or hold.request.cause is not None:
        raise ValueError("expected a new hold for a plain payment, got one that is captured, ended or has a cause")


def check_hold_form(hold: Hold) -> Objection | None:
    """What speaks against the hold whatever the book holds."""
    objection = _form(hold.request)
    if objection is None and not EPOCH <= hold.expires < TIME_END and hold.expires != NEVER:
        text = f"expected an expiry from 1970 to 2199, or never, got {hold.expires} microseconds"
        objection = Reason.INVALID_TIME, text
    return objection


def check_money(amount: object) -> None:
    """TypeError when it is not an amount in whole ledger units of some currency."""
    if not isinstance(amount, Money) or type(amount.units) is not int or not isinstance(amount.currency, Currency):
        raise TypeError(f"expected Money in whole ledger units of a currency, got {amount!r:.100}")


def check_time(name: str, value: object) -> None:
    """TypeError when it is no whole number."""
    if type(value) is not int:
        raise TypeError(f"expected {name} in whole microseconds, got {value!r:.100}")


def check_text(name: str, value: object) -> None:
    """TypeError when it is no text."""
    if not isinstance(value, str):
        raise TypeError(f"expected {name} as text, got {value!r:.100}")


def check_sides(
    request: TransferRequest,
    debit: Standing | None,
    credit: Standing | None,
    locked_until: Instant,
    is_between_books: bool = False,
) -> Objection | None:
    """Do the accounts exist, in this currency, open to who asks, for a time that is not locked?"""
    amount = request.amount
    if request.debit == request.credit:
        return Reason.SAME_ACCOUNT, f"{request.debit} cannot pay itself"
    if debit is None:
        return Reason.UNKNOWN_DEBIT_ACCOUNT, f"there is no account {request.debit!r} in this book"
    if credit is None:
        return Reason.UNKNOWN_CREDIT_ACCOUNT, f"there is no account {request.credit!r} in this book"
    for standing in (debit, credit):
        if standing.account.currency != amount.currency:
            kept = f"{standing.account.id} is kept in {standing.account.currency}, the payment is in {amount.currency}"
            return Reason.CURRENCY_MISMATCH, kept
    for standing in (debit, credit):
        if standing.account.kind is AccountKind.CLEARING and not is_between_books:
            return Reason.CLEARING_ACCOUNT, _for_books_only(request, standing)
    if request.effective_time < locked_until:
        return Reason.PERIOD_LOCKED, "the books are closed for the time of this payment; date it in an open period"
    for standing in (debit, credit):
        if standing.account.state is AccountState.CLOSED:
            return Reason.ACCOUNT_CLOSED, f"{standing.account.id} is closed"
    if debit.account.state is AccountState.FROZEN:
        return Reason.ACCOUNT_FROZEN, f"{debit.account.id} is frozen and pays nothing"
    return None


def _for_books_only(request: TransferRequest, standing: Standing) -> str:
    if request.kind & TransferKind.REVERSAL:
        return "a payment between two books is not undone in one of them; have it paid back by the other book"
    return f"{standing.account.id} moves only by what is paid from book to book; to pay another, name BOOK/ACCOUNT"


def _form(request: TransferRequest) -> Objection | None:
    check_types(request)
    return check_form(request.amount, request.effective_time, request.text, request.reference, request.source)


def check_form(
    amount: Money | None, effective_time: Instant, text: str, reference: str, source: str
) -> Objection | None:
    """What speaks against a request whatever the book holds; `amount` is None where the book says how much."""
    if amount is not None and not 0 < amount.units <= TRANSFER_UNITS_MAX:
        largest = Money(TRANSFER_UNITS_MAX, amount.currency)
        return Reason.INVALID_AMOUNT, f"expected an amount above zero and at most {largest}, got {amount}"
    if not EPOCH <= effective_time < TIME_END:
        return Reason.INVALID_TIME, f"expected a time from 1970 to 2199, got {effective_time} microseconds"
    lengths = (len(text), len(reference), len(source))
    longest = (TEXT_CHARACTERS_MAX, REFERENCE_CHARACTERS_MAX, SOURCE_CHARACTERS_MAX)
    if any(length > most for length, most in zip(lengths, longest, strict=True)):
        return (
            Reason.TEXT_TOO_LONG,
            "expected at most {} characters of text, {} of reference and {} of source, got {}, {} and {}".format(
                *longest, *lengths
            ),
        )
    if not (text.isprintable() and reference.isprintable() and source.isprintable()):
        # It could not be written down, sealed and shown; a lone surrogate cannot even be encoded.
        why = "expected text without control characters or broken encoding in text, reference and source"
        return Reason.TEXT_NOT_PRINTABLE, why
    return None


def _limits(amount: Money, debit: Standing, credit: Standing, is_covered: bool) -> Objection | None:
    if not is_covered and debit.available < amount.units:
        return _insufficient(debit, amount)
    if credit.account.has_ceiling and credit.balance + amount.units > credit.ceiling_units:
        ceiling = credit.account.ceiling
        text = f"{credit.account.id} may hold {ceiling} at most, it has {Money(credit.balance, credit.currency)}"
        return Reason.CEILING_REACHED, text
    if max(debit.total_out, credit.total_in) + amount.units > UNITS_MAX:
        return Reason.BALANCE_TOO_LARGE, "the total through one of the accounts would leave the ledger's range"
    return None


def _insufficient(debit: Standing, amount: Money) -> Objection:
    shown = Money(debit.available, amount.currency)
    return Reason.INSUFFICIENT_FUNDS, f"{debit.account.id} has {shown} available, {amount} was asked"
