"""How accounts, transfers, holds and refusals are shown: as a line for people, as JSON for programs."""

from __future__ import annotations

from typing import Any

from app.options import Cursor
from core.clock import to_text
from core.money import Money
from ledger.account import AccountId
from ledger.balance import AccountStatus
from ledger.clearing import Returned
from ledger.history import Refusal
from ledger.hold import NEVER, Hold
from ledger.reconciliation import UnderWay
from ledger.transfer import Transfer, TransferRequest
from ledger.transfer_files import kind_text


def status_json(status: AccountStatus) -> dict[str, Any]:
    """Amounts are exact decimals in whole currency, as text; null where there is no limit."""
    account = status.account
    return {
        "id": account.id,
        "name": account.name,
        "owner": account.owner,
        "kind": account.kind.value,
        "type": account.type.value,
        "state": account.state.value,
        "currency": account.currency.code,
        "balance": status.balance.plain(),
        "held": status.held.plain(),
        "available": status.available.plain() if account.has_floor else None,
        "floor": account.floor.plain() if account.has_floor else None,
        "ceiling": account.ceiling.plain() if account.has_ceiling else None,
        "total_in": status.total_in.plain(),
        "total_out": status.total_out.plain(),
        "cost_centre": account.cost_centre,
        "labels": dict(account.labels),
    }


def status_line(status: AccountStatus) -> str:
    account = status.account
    available = str(status.available) if account.has_floor else "without limit"
    ceiling = str(account.ceiling) if account.has_ceiling else "none"
    return (
        f"{account.id:<20} {account.owner:<20} {account.kind:<8} {account.type:<9} {account.state:<6} "
        f"{status.balance!s:>24}  held {status.held}  available {available}  ceiling {ceiling}"
    )


def transfer_json(transfer: Transfer) -> dict[str, Any]:
    request = transfer.request
    return {
        **_request_json(request),
        "batch": transfer.seq,
        "position": transfer.position,
        "cursor": str(cursor_of(transfer)),
        "posted_time": to_text(transfer.posted_time),
        "kind": kind_text(request.kind),
        "cause": request.cause.hex() if request.cause else None,
    }


def transfer_line(transfer: Transfer, account: AccountId) -> str:
    """As the account sees it: what it pays is negative."""
    request = transfer.request
    out = request.debit == account
    amount = -request.amount if out else request.amount
    other = request.credit if out else request.debit
    return f"{to_text(transfer.posted_time)}  {amount!s:>20}  {other:<20} {request.text}  {transfer.id.hex()}"


def cursor_of(transfer: Transfer) -> Cursor:
    return Cursor(transfer.seq, transfer.position)


def hold_json(hold: Hold) -> dict[str, Any]:
    return {
        **_request_json(hold.request),
        "remaining": hold.remaining.plain(),
        "expires": None if hold.expires == NEVER else to_text(hold.expires),
    }


def hold_line(hold: Hold) -> str:
    request = hold.request
    until = "until it is captured or released" if hold.expires == NEVER else f"until {to_text(hold.expires)}"
    return (
        f"{request.debit:<20} {request.credit:<20} {hold.remaining!s:>20} of {hold.amount}  {until}  "
        f"{request.text}  {hold.id.hex()}"
    )


def refusal_json(refusal: Refusal) -> dict[str, Any]:
    refused = refusal.refused
    return {
        **_request_json(refused.request),
        "batch": refusal.seq,
        "position": refusal.position,
        "refused_time": to_text(refusal.posted_time),
        "reason": refused.reason.value,
        "why": refused.text,
    }


def refusal_line(refusal: Refusal) -> str:
    request, refused = refusal.refused.request, refusal.refused
    return (
        f"{to_text(refusal.posted_time)}  {request.amount!s:>20}  {request.debit:<20} {request.credit:<20} "
        f"{refused.reason}: {refused.text}  {request.id.hex()}"
    )


def parcel_line(under_way: UnderWay) -> str:
    parcel, way = under_way.parcel, f"{under_way.from_book} to {under_way.to_book}"
    if isinstance(parcel, Returned):
        when, what = parcel.refused_time, f"refused: {parcel.reason}"
    else:
        when, what = parcel.transfer.posted_time, f"{parcel.transfer.request.debit} pays {parcel.destination.account}"
    return f"{to_text(when)}  {parcel.amount!s:>20}  {way:<20} {what}  entry {parcel.place}"


def parcel_json(under_way: UnderWay) -> dict[str, Any]:
    parcel = under_way.parcel
    place = {"batch": parcel.place.seq, "position": parcel.place.position}
    shared = {"from": under_way.from_book, "to": under_way.to_book, **place, **amount_json(parcel.amount)}
    if isinstance(parcel, Returned):
        return {**shared, "refused_time": to_text(parcel.refused_time), "reason": parcel.reason.value}
    return {**shared, "payee": parcel.destination.account, "transfer": transfer_json(parcel.transfer)}


def amount_json(amount: Money) -> dict[str, str]:
    return {"amount": amount.plain(), "currency": amount.currency.code}


def _request_json(request: TransferRequest) -> dict[str, Any]:
    return {
        "id": request.id.hex(),
        "debit": request.debit,
        "credit": request.credit,
        **amount_json(request.amount),
        "effective_time": to_text(request.effective_time),
        "text": request.text,
        "reference": request.reference,
        "source": request.source,
    }
