"""What happens in a book beside transfers; each is an entry of the journal with its content as canonical JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from core.clock import Instant
from core.ids import TransferId
from ledger.account import Account, Party
from ledger.hold import Hold
from ledger.transfer import Refused

NO_ACCOUNT = 0
"""In place of an account's number, for an event that concerns none."""


class EventKind(StrEnum):
    """What happened; the words are sealed in the journal and never change."""

    OPENED = "opened"
    CHANGED = "changed"
    PARTY = "party"
    HOLD_PLACED = "hold placed"
    HOLD_RELEASED = "hold released"
    HOLD_EXPIRED = "hold expired"
    REFUSED = "refused"
    PERIOD_LOCKED = "period locked"


class Event(NamedTuple):
    """An event at its place in the batch; `account_no` is the account it concerns, or `NO_ACCOUNT`."""

    position: int
    account_no: int
    event: str
    content: str


def account_content(account: Account) -> str:
    return canonical(
        {
            "account": account.id,
            "name": account.name,
            "owner": account.owner,
            "kind": account.kind.value,
            "type": account.type.value,
            "currency": account.currency.code,
            "cost_centre": account.cost_centre,
            "labels": dict(account.labels),
            "state": account.state.value,
            "floor_units": account.floor.units,
            "ceiling_units": account.ceiling_units,
        }
    )


def party_content(party: Party) -> str:
    return canonical({"party": party.id, "name": party.name, "organisation": party.organisation})


def hold_content(hold: Hold) -> str:
    request = hold.request
    return canonical(
        {
            "hold": hold.id.hex(),
            "debit": request.debit,
            "credit": request.credit,
            "currency": request.amount.currency.code,
            "units": request.amount.units,
            "expires": hold.expires,
            "effective_time": request.effective_time,
            "text": request.text,
            "reference": request.reference,
            "source": request.source,
        }
    )


def ended_content(hold: TransferId, units: int) -> str:
    """A hold was let go of, with so many ledger units left in it."""
    return canonical({"hold": hold.hex(), "units": units})


def refused_content(refused: Refused) -> str:
    """What was asked and why nothing moved. What was asked may hold anything: what cannot be written is replaced."""
    request = refused.request
    return canonical(
        {
            "transfer": request.id.hex(),
            "debit": request.debit[:_TEXT_KEPT_MAX],
            "credit": request.credit[:_TEXT_KEPT_MAX],
            "currency": request.amount.currency.code,
            "units": str(request.amount.units),
            "effective_time": request.effective_time,
            "text": request.text[:_TEXT_KEPT_MAX],
            "reference": request.reference[:_TEXT_KEPT_MAX],
            "source": request.source[:_TEXT_KEPT_MAX],
            "reason": refused.reason.value,
            "why": refused.text[:_TEXT_KEPT_MAX],
        }
    )


def locked_content(until: Instant) -> str:
    return canonical({"until": until})


def canonical(content: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no spaces, which encodes as UTF-8 whatever it was given."""
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()


_TEXT_KEPT_MAX = 400
