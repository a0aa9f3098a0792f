"""Pay, PayDecimal and GetStatus: a call becomes a transfer request, exactly once, and its outcome an answer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import structlog
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from core.clock import Clock, to_text
from core.errors import OutcomeUnknown, Rejected, Unavailable
from core.ids import TransferId, derived_id
from core.money import Money, currency
from ledger.account import AccountId
from ledger.clearing import destination_of
from ledger.transfer import AlreadyPosted, Outcome, Posted, Refused, Transfer, TransferRequest
from opcua_server.address_space import GET_STATUS, PAY, PAY_DECIMAL, Argument, account_of
from opcua_server.nodes import VARIANT_TYPES, MethodCallback, ua_status
from opcua_server.security import Caller, Role
from opcua_server.sessions import CALLER
from opcua_server.status_codes import ResultCode, of_reason, of_rejection

REQUEST_ID_CHARACTERS_MAX = 200

_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")
_log = structlog.get_logger()


class PaymentDesk(Protocol):
    """The ledger as this server sees it. Both raise Unavailable when it cannot be reached."""

    async def post(self, request: TransferRequest) -> Outcome: ...

    async def find(self, id: TransferId) -> Transfer | None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """The three outputs of every method here."""

    code: ResultCode
    text: str
    transfer: TransferId | None = None


class AccessDenied(Exception):
    """The caller's role may never do this: an error of access, not of business."""


class PaymentMethods:
    """The callbacks behind the method nodes of every account."""

    def __init__(self, payments: PaymentDesk, clock: Clock) -> None:
        self._payments = payments
        self._clock = clock

    def callbacks(self) -> dict[str, MethodCallback]:
        return {
            "Pay": _method(PAY, self._pay_minor),
            "PayDecimal": _method(PAY_DECIMAL, self._pay_decimal),
            "GetStatus": _method(GET_STATUS, self._get_status),
        }

    async def _pay_minor(
        self, caller: Caller, account: AccountId, request_id: str, minor: int, code: str, payee: str, reference: str
    ) -> Answer:
        _permit(caller, account)
        of = currency(code)
        amount = Money.exact(Decimal(minor).scaleb(-of.exponent), of)
        return await self._pay(caller, account, request_id, amount, payee, reference)

    async def _pay_decimal(
        self, caller: Caller, account: AccountId, request_id: str, text: str, code: str, payee: str, reference: str
    ) -> Answer:
        _permit(caller, account)
        of = currency(code)
        if not _DECIMAL.fullmatch(text):
            raise Rejected("not_an_amount", f"expected an amount such as '12.50', got {text[:40]!r}")
        return await self._pay(caller, account, request_id, Money.exact(Decimal(text), of), payee, reference)

    async def _pay(
        self, caller: Caller, account: AccountId, request_id: str, amount: Money, payee: str, reference: str
    ) -> Answer:
        request = TransferRequest(
            id=_transfer_id(account, request_id),
            debit=account,
            credit=AccountId(payee),
            amount=amount,
            effective_time=self._clock.now(),
            text="Pay",
            reference=reference,
            source=f"user:{caller.name}",
        )
        match await self._payments.post(request):
            case Posted(transfer):
                return _posted(ResultCode.POSTED, transfer)
            case AlreadyPosted(transfer):
                return _posted(ResultCode.ALREADY_POSTED, transfer)
            case Refused(_, reason, text):
                return Answer(of_reason(reason), text)

    async def _get_status(self, caller: Caller, account: AccountId, request_id: str) -> Answer:
        transfer = await self._payments.find(_transfer_id(account, request_id))
        if transfer is None:
            return Answer(
                ResultCode.UNKNOWN_REQUEST, f"nothing was posted from {account} for the request id {request_id!r}"
            )
        return _posted(ResultCode.POSTED, transfer)


def _transfer_id(account: AccountId, request_id: str) -> TransferId:
    """Request ids are the account's own: two controllers may both start at 1."""
    return derived_id("pay", account, request_id)


def _posted(code: ResultCode, transfer: Transfer) -> Answer:
    request = transfer.request
    payee = destination_of(request) or request.credit
    text = f"{request.amount} from {request.debit} to {payee} at {to_text(transfer.posted_time)}"
    return Answer(code, text, transfer.id)


def _permit(caller: Caller, account: AccountId) -> None:
    if caller.role is not Role.OPERATOR:
        raise AccessDenied
    if account not in caller.pays_from:
        allowed = ", ".join(sorted(caller.pays_from)) or "no account"
        raise Rejected("not_permitted", f"{caller.name} may pay from {allowed}, not from {account}")


def _method(expected: Sequence[Argument], act: Callable[..., Awaitable[Answer]]) -> MethodCallback:
    """Check the arguments, act, and put the answer or the error into OPC UA's words."""

    async def call(parent: ua.NodeId, *inputs: ua.Variant) -> ua.CallMethodResult:
        wrong = argument_error(expected, inputs)
        if wrong is not None:
            return wrong
        caller = CALLER.get()
        account = account_of(str(parent.Identifier))
        values: list[Any] = ["" if given.Value is None else given.Value for given in inputs]
        try:
            answer = await act(caller, account, *values)
        except Rejected as rejected:
            answer = Answer(of_rejection(rejected.code), rejected.text)
        except AccessDenied:
            return _failed(StatusCodes.BadUserAccessDenied)
        except (Unavailable, OutcomeUnknown) as error:
            _log.warning("payment method: ledger unavailable", account=account, user=caller.name, reason=str(error))
            return _failed(StatusCodes.BadResourceUnavailable)
        except Exception:  # asyncua would answer BadUnexpectedError; InvariantBroken has done its work where it arose
            _log.critical("payment method failed", account=account, user=caller.name, exc_info=True)
            return _failed(StatusCodes.BadInternalError)
        return ua.CallMethodResult(
            OutputArguments=[
                ua.Variant(int(answer.code), ua.VariantType.Int32),
                ua.Variant(answer.text, ua.VariantType.String),
                ua.Variant(answer.transfer.hex() if answer.transfer else "", ua.VariantType.String),
            ]
        )

    return call


def argument_error(expected: Sequence[Argument], inputs: Sequence[ua.Variant]) -> ua.CallMethodResult | None:
    """What is wrong with the arguments of a call (Part 4, 5.12.2), or None."""
    if len(inputs) < len(expected):
        return _failed(StatusCodes.BadArgumentsMissing)
    if len(inputs) > len(expected):
        return _failed(StatusCodes.BadTooManyArguments)
    checked = [_checked(argument, given) for argument, given in zip(expected, inputs, strict=True)]
    if all(status == StatusCodes.Good for status, _ in checked):
        return None
    result = _failed(StatusCodes.BadInvalidArgument)
    result.InputArgumentResults = [ua_status(code) for code, _ in checked]
    result.InputArgumentDiagnosticInfos = [
        ua.DiagnosticInfo(AdditionalInfo=ua.String(text) if text else None) for _, text in checked
    ]
    return result


def _checked(argument: Argument, given: ua.Variant) -> tuple[int, str]:
    type_ = VARIANT_TYPES[argument.type]
    if given.VariantType != type_ or given.is_array:
        came = f"{given.VariantType.name}{'[]' if given.is_array else ''}"
        return StatusCodes.BadTypeMismatch, f"{argument.name}: expected {type_.name}, got {came}"
    if argument.name == "RequestId" and not 1 <= len(given.Value or "") <= REQUEST_ID_CHARACTERS_MAX:
        return (
            StatusCodes.BadOutOfRange,
            f"RequestId: expected 1 to {REQUEST_ID_CHARACTERS_MAX} characters, got {len(given.Value or '')}",
        )
    if isinstance(given.Value, str) and not given.Value.isprintable():
        return (
            StatusCodes.BadOutOfRange,
            f"{argument.name}: expected text without control characters or broken encoding",
        )
    return StatusCodes.Good, ""


def _failed(status: int) -> ua.CallMethodResult:
    return ua.CallMethodResult(StatusCode=ua_status(status))
