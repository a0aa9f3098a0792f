"""What is done with holds: place, capture, release, expire; each is decided in a batch and journalled."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.clock import Instant
from core.errors import InvariantBroken
from core.ids import TransferId
from core.money import Money
from ledger import event, hold_rows
from ledger.batch import Batch, all_or_nothing, check_id, check_new_id
from ledger.event import EventKind
from ledger.hold import (
    AlreadyPlaced,
    Hold,
    HoldOutcome,
    HoldRefused,
    HoldState,
    Placed,
    Released,
    ReleaseOutcome,
)
from ledger.posting import (
    Standing,
    check_form,
    check_hold,
    check_hold_form,
    check_money,
    check_text,
    check_time,
    conflict,
    decide_capture,
    decide_hold,
)
from ledger.transfer import Outcome, Posted, Reason, TransferKind, TransferRequest

EXPIRED_PER_BATCH_MAX = 1_000
"""Holds that are ended at the beginning of one batch; a batch has room for so many entries and no more."""


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """Take from a hold: `amount`, or all that is left when it is None. `is_last` lets go of what then remains.

    `id` is the transfer's id and idempotency key.
    """

    id: TransferId
    hold: TransferId
    effective_time: Instant
    amount: Money | None = None
    is_last: bool = False
    text: str = ""
    source: str = ""


@all_or_nothing
def place(batch: Batch, hold: Hold) -> HoldOutcome:
    """Reserve money on the hold's debit account; asked again, what the hold is now."""
    check_hold(hold)
    check_new_id(hold.id)
    earlier = _find(batch, hold.id)
    if earlier is not None and hold.same_content(earlier) and check_hold_form(hold) is None:
        return AlreadyPlaced(earlier)
    request = hold.request
    batch.load([request.debit, request.credit])
    debit, credit = batch.standings.get(request.debit), batch.standings.get(request.credit)
    objection = decide_hold(hold, debit, credit, earlier, batch.posted_time)
    if objection is not None:
        return HoldRefused(hold.id, *objection)
    if debit is None:
        raise InvariantBroken(f"hold {hold.id.hex()} was accepted without its account")
    batch.record(debit.number, EventKind.HOLD_PLACED, event.hold_content(hold))
    _change(batch, None, hold, debit)
    _watch(batch, hold.expires)
    return Placed(hold)


@all_or_nothing
def capture(batch: Batch, asked: CaptureRequest) -> Outcome | HoldRefused:
    """Turn held money into a transfer to the hold's credit account, which may be captured in parts."""
    _check_capture(asked)
    hold = _find(batch, asked.hold)
    earlier = batch.fetch(asked.id)
    objection = check_form(asked.amount, asked.effective_time, asked.text, "", asked.source)
    if objection is None and (hold is None or earlier is None):
        objection = decide_capture(hold, asked.amount) if earlier is None else conflict(earlier)
    if objection is not None:
        return HoldRefused(asked.hold, *objection)
    if hold is None:
        raise InvariantBroken(f"a capture was accepted of a hold {asked.hold.hex()} that there is not")
    is_last = asked.is_last or asked.amount is None
    kind = TransferKind.CAPTURE | (TransferKind.LAST_CAPTURE if is_last else TransferKind.PLAIN)
    amount = asked.amount
    if amount is None:  # asked again, the rest is what it was then
        amount = hold.remaining if earlier is None else earlier.request.amount
    request = TransferRequest(
        asked.id,
        hold.request.debit,
        hold.request.credit,
        amount,
        asked.effective_time,
        asked.text,
        hold.request.reference,
        asked.source,
        kind,
        hold.id,
    )
    outcome = batch.post_covered(request)
    if isinstance(outcome, Posted):
        captured = hold.captured + amount.units
        is_done = is_last or captured == hold.amount.units
        after = replace(hold, captured=captured, state=HoldState.CAPTURED if is_done else HoldState.OPEN)
        _change(batch, hold, after, batch.standings[hold.debit])
    return outcome


@all_or_nothing
def release(batch: Batch, id: TransferId) -> ReleaseOutcome:
    """Let go of what a hold has left. One that is no longer open stays as it is: released twice is released."""
    hold = _find(batch, id)
    if hold is None:
        return HoldRefused(id, Reason.UNKNOWN_HOLD, "there is no hold with this id in this book")
    if hold.state is HoldState.CAPTURED:
        return HoldRefused(id, Reason.HOLD_NOT_OPEN, "the hold is captured already; nothing is left of it")
    if hold.state is not HoldState.OPEN:
        return Released(hold)
    return Released(_end(batch, hold, HoldState.RELEASED, EventKind.HOLD_RELEASED))


def expire(batch: Batch) -> int:
    """End the holds whose time has come by the batch's own time, the earliest first; how many. Where they are too many
    the others wait for the next batch, though none of them can be captured any more."""
    if batch.next_expiry > batch.posted_time:
        return 0
    due = hold_rows.load_open_holds(batch.connection, batch.book, EXPIRED_PER_BATCH_MAX, expired_at=batch.posted_time)
    for hold in due:
        _end(batch, hold, HoldState.EXPIRED, EventKind.HOLD_EXPIRED)
    if not due:  # the one that would have been next was captured or released
        batch.next_expiry = hold_rows.next_expiry(batch.connection, batch.book)
    return len(due)


def _end(batch: Batch, hold: Hold, state: HoldState, kind: EventKind) -> Hold:
    batch.load([hold.request.debit, hold.request.credit])
    debit = batch.standings[hold.debit]
    after = replace(hold, state=state)
    batch.record(debit.number, kind, event.ended_content(hold.id, hold.remaining.units))
    _change(batch, hold, after, debit)
    return after


def _check_capture(asked: object) -> None:
    """TypeError when it is not a request with the types that are declared."""
    if not isinstance(asked, CaptureRequest):
        raise TypeError(f"expected a CaptureRequest, got {asked!r:.100}")
    if asked.amount is not None:
        check_money(asked.amount)
    check_time("effective_time", asked.effective_time)
    check_text("text", asked.text)
    check_text("source", asked.source)


def _find(batch: Batch, id: TransferId) -> Hold | None:
    check_id(id)
    hold = batch.holds.get(id) or hold_rows.find_hold(batch.connection, batch.book, id)
    if hold is None:
        return None
    batch.load([hold.request.debit, hold.request.credit])
    if hold.state is HoldState.OPEN and hold.expires <= batch.posted_time:  # it waits for its turn in `expire`
        return _end(batch, hold, HoldState.EXPIRED, EventKind.HOLD_EXPIRED)
    return hold


def _change(batch: Batch, before: Hold | None, after: Hold, debit: Standing) -> None:
    """Put the hold's new form into the batch, and its difference on the account."""
    units = after.remaining.units - (before.remaining.units if before else 0)
    known = batch.holds.get(after.id)
    was_held = debit.number in batch.held

    def undo() -> None:
        debit.hold(-units)
        if known is None:
            del batch.holds[after.id]
        else:
            batch.holds[after.id] = known
        if not was_held:
            del batch.held[debit.number]

    debit.hold(units)
    batch.holds[after.id] = after
    batch.held[debit.number] = debit
    batch.on_undo(undo)


def _watch(batch: Batch, expires: Instant) -> None:
    before = batch.next_expiry
    if expires < before:
        batch.next_expiry = expires
        batch.on_undo(lambda: setattr(batch, "next_expiry", before))
