"""absorb(samples): meters, usage, charges, transfers and every cursor, in one transaction of the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal
from typing import TypeVar

from core.clock import EPOCH, SECOND, Instant
from core.errors import InvariantBroken, Rejected
from core.ids import derived_id
from core.money import TRANSFER_UNITS_MAX, Money
from core.sample import Sample, TagId
from ledger.batch import Batch
from ledger.transfer import Posted, Reason, Refused, TransferRequest
from ledger.writer import Work
from settlement import store
from settlement.agreement import Agreement, AgreementState
from settlement.charge import Charge, Conditions, charge
from settlement.meter import Finding, Meter, MeterState

TIME_SAVED_EVERY = 60 * SECOND
"""Microseconds that a standing meter's time may be behind in the database."""

_EXACT = Context(prec=60)


_State = TypeVar("_State", MeterState, AgreementState)


@dataclass(frozen=True, slots=True)
class Held:
    """An agreement whose usage waits: a price or an input is not known, or the payer cannot pay."""

    agreement: str
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Absorbed:
    """What a set of samples came to."""

    samples: int
    posted: int
    refused: tuple[Refused, ...]
    held: tuple[Held, ...]
    findings: tuple[Finding, ...]


@dataclass(slots=True)
class _Standing:
    """Where every meter and agreement stands, and what of it the database holds: bare time passes unsaved."""

    meters: dict[TagId, MeterState]
    agreements: dict[str, AgreementState]
    saved_meters: dict[TagId, MeterState]
    saved_agreements: dict[str, AgreementState]


@dataclass(slots=True)
class _Step:
    """What one call of absorb changes."""

    meters: dict[TagId, MeterState] = field(default_factory=dict)
    agreements: dict[str, AgreementState] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)


class Engine:
    """Settles one book, one `absorb` at a time: wait for its commit before asking for the next.

    Its memory is a copy of the database's; `forget` after a failed batch reads it anew.
    """

    def __init__(
        self, book: str, meters: Sequence[Meter], agreements: Sequence[Agreement], conditions: Conditions
    ) -> None:
        self._book = book
        self._meters: Mapping[TagId, Meter] = {meter.tag: meter for meter in meters}
        self._agreements: Mapping[str, Agreement] = {agreement.id: agreement for agreement in agreements}
        self._place = {agreement.id: place for place, agreement in enumerate(agreements)}
        self._of_meter: dict[TagId, list[Agreement]] = {}
        for agreement in agreements:
            for meter in agreement.meters:
                self._of_meter.setdefault(meter, []).append(agreement)
        self._tags: dict[TagId, Sample] = dict(conditions.tags)
        self._conditions = replace(conditions, tags=self._tags)
        self._standing: _Standing | None = None
        self._waiting: set[str] = set()
        self._uncommitted = False

    def absorb(self, samples: Sequence[Sample]) -> Work[Absorbed]:
        """A piece of work that takes these samples in, in their order, all or none."""

        def work(batch: Batch) -> Absorbed:
            if self._uncommitted:
                raise InvariantBroken("samples were absorbed before the last ones were committed")
            standing = self._standing or self._load(batch)
            step = _Step()
            self._read_meters(samples, standing, step)
            charges = self._price(standing, step)
            refused, posted = self._settle(batch, standing, step, charges)
            self._save(batch, standing, step)
            return Absorbed(len(samples), posted, tuple(refused), tuple(step.held), tuple(step.findings))

        return work

    def forget(self) -> None:
        """A batch failed: what memory says may not be what the database holds."""
        self._standing = None
        self._uncommitted = False

    def _load(self, batch: Batch) -> _Standing:
        meters = store.load_meters(batch.connection, batch.book)
        agreements = store.load_agreements(batch.connection, batch.book)
        self._standing = standing = _Standing(dict(meters), dict(agreements), meters, agreements)
        self._waiting = set(self._agreements)
        return standing

    def _read_meters(self, samples: Sequence[Sample], standing: _Standing, step: _Step) -> None:
        for sample in samples:
            self._tags[sample.tag] = sample
            meter = self._meters.get(sample.tag)
            if meter is None:
                continue
            before = step.meters.get(sample.tag) or standing.meters.get(sample.tag) or MeterState()
            step.meters[sample.tag], findings = meter.read(before, sample)
            step.findings.extend(findings)

    def _price(self, standing: _Standing, step: _Step) -> list[Charge]:
        """Charges for what was used; agreements whose inputs are missing keep their cursor and wait."""
        moved = (meter for meter, state in step.meters.items() if state.total != _total(standing.meters.get(meter)))
        touched = {agreement.id for meter in moved for agreement in self._of_meter.get(meter, ())}
        charges = []
        for agreement in self._in_order(touched | self._waiting):
            meters = {meter: step.meters.get(meter) or standing.meters.get(meter) for meter in agreement.meters}
            totals = {meter: _total(state) for meter, state in meters.items()}
            to_time = max((state.time for state in meters.values() if state is not None), default=EPOCH)
            state = standing.agreements.get(agreement.id)
            if state is None or any(meter not in state.cursors for meter in totals):
                state = self._begin(state or AgreementState(), totals, to_time)
                step.agreements[agreement.id] = state
            usage = state.usage(totals)
            if not any(usage.values()):
                continue
            from_time = min(_since(agreement, state, standing), to_time)
            try:
                charged = charge(agreement, usage, from_time, to_time, self._conditions)
            except Rejected as waiting:
                step.held.append(Held(agreement.id, waiting.code, waiting.text))
                continue
            charges.append(charged)
            step.agreements[agreement.id] = replace(
                state,
                cursors={**state.cursors, **totals},
                charged=_EXACT.add(state.charged, charged.amount),
                time=to_time,
            )
        return charges

    def _in_order(self, ids: Iterable[str]) -> list[Agreement]:
        """In the order of the plant's file: who is paid first in a batch may pay later in it."""
        return [self._agreements[id] for id in sorted(ids, key=self._place.__getitem__)]

    def _begin(self, state: AgreementState, totals: Mapping[TagId, Decimal], at: Instant) -> AgreementState:
        """An agreement counts from where its meters stand when it first sees them."""
        return replace(state, cursors={**totals, **state.cursors}, time=state.time or at)

    def _settle(
        self, batch: Batch, standing: _Standing, step: _Step, charges: Sequence[Charge]
    ) -> tuple[list[Refused], int]:
        by_agreement = {charged.agreement: charged for charged in charges}
        asked: list[tuple[Agreement, AgreementState, int]] = []
        requests: list[TransferRequest] = []
        for agreement in self._in_order(by_agreement.keys() | self._waiting):
            state = step.agreements.get(agreement.id) or standing.agreements.get(agreement.id)
            if state is None:
                continue
            due = Money.rounded(state.charged, agreement.currency).units - state.settled
            due = max(-TRANSFER_UNITS_MAX, min(TRANSFER_UNITS_MAX, due))
            charged = by_agreement.get(agreement.id)
            if not due and charged is None:
                continue
            if due:
                requests.append(self._request(agreement, state, due, charged, batch.posted_time))
            asked.append((agreement, state, due))
        answers = iter(batch.post(requests))
        refused: list[Refused] = []
        rows = []
        for agreement, state, due in asked:
            charged = by_agreement.get(agreement.id)
            outcome = next(answers) if due else None
            transfer_id = None
            if isinstance(outcome, Posted):
                transfer_id = outcome.transfer.id
                state = replace(state, settled=state.settled + due)
            elif isinstance(outcome, Refused) and outcome.reason is not Reason.CONFLICT:
                refused.append(outcome)
                step.held.append(Held(agreement.id, outcome.reason.value, outcome.text))
            elif outcome is not None:
                raise InvariantBroken(
                    f"charge {state.number + 1} of {agreement.id} was settled before; "
                    "its cursor is behind the ledger: was an older copy of the settlement tables restored?"
                )
            if charged is not None or transfer_id is not None:
                state = replace(state, number=state.number + 1)
            if charged is not None:
                rows.append(
                    (
                        batch.book,
                        agreement.id,
                        state.number,
                        transfer_id,
                        str(charged.amount),
                        charged.from_time,
                        charged.to_time,
                        json.dumps(charged.working, ensure_ascii=False, separators=(",", ":")),
                    )
                )
            step.agreements[agreement.id] = state
        batch.append(store.charge_table, rows)
        return refused, len(requests) - len(refused)

    def _request(
        self, agreement: Agreement, state: AgreementState, due: int, charged: Charge | None, now: Instant
    ) -> TransferRequest:
        """The transfer of what is owed; its id names the agreement and the place in its charges, never the amount."""
        payer, payee = agreement.payer, agreement.payee
        if due < 0:  # a negative price: the payee pays
            payer, payee = payee, payer
        used = (
            ", ".join(
                f"{amount.normalize():f} {self._meters[meter].unit} {meter}" for meter, amount in charged.usage.items()
            )
            if charged
            else "what was owed"
        )
        return TransferRequest(
            id=derived_id("charge", self._book, agreement.id, str(state.number + 1)),
            debit=payer,
            credit=payee,
            amount=Money(abs(due), agreement.currency),
            effective_time=charged.to_time if charged else now,
            text=used[:200],
            reference=f"{agreement.id}#{state.number + 1}",
            source=f"agreement:{agreement.id}",
        )

    def _save(self, batch: Batch, standing: _Standing, step: _Step) -> None:
        meters = {
            meter: state
            for meter, state in step.meters.items()
            if _worth_saving(standing.saved_meters.get(meter), state)
        }
        agreements = {
            agreement: state
            for agreement, state in step.agreements.items()
            if _worth_saving(standing.saved_agreements.get(agreement), state)
        }
        book = batch.book
        batch.also(lambda connection: store.save_meters(connection, book, meters.items()))
        batch.also(lambda connection: store.save_agreements(connection, book, agreements.items()))

        def adopt() -> None:
            standing.meters.update(step.meters)
            standing.agreements.update(step.agreements)
            standing.saved_meters.update(meters)
            standing.saved_agreements.update(agreements)
            self._waiting = {held.agreement for held in step.held}
            self._uncommitted = False

        batch.when_committed(adopt)
        self._uncommitted = True


def _worth_saving(saved: _State | None, state: _State) -> bool:
    return saved is None or not state.same_position(saved) or state.time - saved.time >= TIME_SAVED_EVERY


def _total(state: MeterState | None) -> Decimal:
    return Decimal(0) if state is None else state.total


def _since(agreement: Agreement, state: AgreementState, standing: _Standing) -> Instant:
    """When what is not priced yet began to be used: at the reading before, or earlier if some has waited since."""
    before = {meter: standing.meters[meter] for meter in agreement.meters if meter in standing.meters}
    if any(meter.total != state.cursors.get(tag) for tag, meter in before.items()):
        return state.time
    return max([state.time, *(meter.time for meter in before.values())])
