"""absorb(samples): meters, usage, charges, transfers and every cursor, in one transaction of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from core.clock import EPOCH, Instant
from core.errors import InvariantBroken, Rejected
from core.exact import EXACT
from core.ids import numbered_id
from core.money import TRANSFER_UNITS_MAX, Money
from core.sample import Sample, TagId
from ledger.batch import Batch
from ledger.transfer import TEXT_CHARACTERS_MAX, Outcome, Posted, Reason, Refused, TransferRequest
from ledger.writer import Work
from settlement import position, store
from settlement.agreement import Agreement, AgreementState
from settlement.charge import Charge, Conditions, charge
from settlement.meter import Finding, Meter, MeterState
from settlement.position import Positions, Saved, Step

SOURCE = "agreement:"
"""What the source of a transfer begins with that an agreement asked for."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What was found when settling began: meters that count otherwise than before, agreements that ended owing."""

    findings: tuple[Finding, ...]
    ended_owing: tuple[str, ...]


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
class _Told:
    """What one call of absorb has to say."""

    findings: list[Finding] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    posted: int = 0


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an absorb decided, until it is known whether it was kept."""

    absorbed: Absorbed
    positions: Positions
    saved: Saved
    waiting: set[str]
    refused: dict[str, Reason]


class Engine:
    """Settles one book, one `absorb` at a time: wait for its commit before asking for the next.

    Its memory is a copy of the database's, and follows what is committed.
    """

    def __init__(
        self,
        book: str,
        meters: Sequence[Meter],
        agreements: Sequence[Agreement],
        conditions: Conditions,
        gateway: str = "main",
    ) -> None:
        self._book = book
        self._gateway = gateway
        self._meters: Mapping[TagId, Meter] = {meter.tag: meter for meter in meters}
        self._agreements: Mapping[str, Agreement] = {agreement.id: agreement for agreement in agreements}
        self._place = {agreement.id: place for place, agreement in enumerate(agreements)}
        self._of_meter: dict[TagId, list[str]] = {}
        for agreement in agreements:
            for meter in agreement.meters:
                self._of_meter.setdefault(meter, []).append(agreement.id)
        self._tags: dict[TagId, Sample] = dict(conditions.tags)
        self._conditions = replace(conditions, tags=self._tags)
        self._positions: Positions | None = None
        self._waiting: set[str] = set()
        self._refused: dict[str, Reason] = {}
        """Why agreements were refused when they last asked; it is journalled when that changes."""
        self._is_stale = False
        """Somebody else may have settled since the positions were read."""
        self._uncommitted = False
        self._asked: _Asked | None = None
        self._doubted: _Asked | None = None
        """What may or may not have been kept."""

    def begin(self) -> Work[Begun]:
        """A piece of work that takes up where the book stands; Rejected when the plant cannot go on from there."""

        def work(batch: Batch) -> Begun:
            _, begun = self._load(batch)
            return begun

        return work

    def absorb(self, samples: Sequence[Sample]) -> Work[Absorbed]:
        """A piece of work that takes these samples in, in their order, all or none."""

        def work(batch: Batch) -> Absorbed:
            if self._uncommitted:
                raise InvariantBroken("samples were absorbed before the last ones were committed")
            doubted = self._doubted
            if doubted is not None and doubted.saved.is_in(batch):
                return self._found(batch, doubted)
            positions = self._positions or self._load(batch)[0]
            step, told = Step(), _Told()
            self._read_meters(samples, positions, step, told)
            charges = self._price(positions, step, told)
            waiting = self._settle(batch, positions, step, charges, told)
            saved = positions.save(batch, step, self._meters, self._agreements)
            refused = {each.request.source.removeprefix(SOURCE): each.reason for each in told.refused}
            batch.when_committed(lambda: self._adopt(waiting, refused))
            self._uncommitted = True
            absorbed = Absorbed(len(samples), told.posted, tuple(told.refused), tuple(told.held), tuple(told.findings))
            self._asked = _Asked(absorbed, positions, saved, waiting, refused)
            return absorbed

        return work

    def forget(self) -> None:
        """A batch failed. Whether it was kept all the same, the database says when its samples come again."""
        self._doubted = self._asked
        self._uncommitted = False

    def reload(self) -> None:
        """Somebody else may have settled meanwhile: where every meter stands is read anew with the next samples."""
        self._positions = None
        self._is_stale = True

    def _found(self, batch: Batch, asked: _Asked) -> Absorbed:
        """The batch that was in doubt was kept: its samples are in."""

        def adopt() -> None:
            asked.saved.adopt()
            self._positions = None if self._is_stale else asked.positions
            self._adopt(asked.waiting, asked.refused)

        batch.when_committed(adopt)
        self._uncommitted = True
        return asked.absorbed

    def _adopt(self, waiting: set[str], refused: dict[str, Reason]) -> None:
        self._waiting = waiting
        self._refused = refused
        self._uncommitted = False
        self._asked = self._doubted = None

    def _load(self, batch: Batch) -> tuple[Positions, Begun]:
        positions, findings, owing = position.load(batch, self._gateway, self._meters, self._agreements)

        def adopt() -> None:
            self._positions = positions
            self._is_stale = False

        batch.when_committed(adopt)
        self._waiting = set(self._agreements)
        return positions, Begun(tuple(findings), tuple(owing))

    def _read_meters(self, samples: Sequence[Sample], positions: Positions, step: Step, told: _Told) -> None:
        for sample in samples:
            self._tags[sample.tag] = sample
            meter = self._meters.get(sample.tag)
            if meter is None:
                continue
            before = step.meters.get(sample.tag) or positions.meters.get(sample.tag) or MeterState()
            step.meters[sample.tag], findings = meter.read(before, sample)
            told.findings.extend(findings)

    def _price(self, positions: Positions, step: Step, told: _Told) -> dict[str, Charge]:
        """Charges for what was used; agreements whose inputs are missing keep their cursor and wait."""
        moved = (meter for meter, state in step.meters.items() if state.total != positions.total(meter))
        touched = {agreement for meter in moved for agreement in self._of_meter.get(meter, ())}
        charges: dict[str, Charge] = {}
        for agreement in self._in_order(touched | self._waiting):
            state = self._begun(agreement, positions, step)
            meters = {meter: step.meters.get(meter) or positions.meters.get(meter) for meter in agreement.meters}
            read = {meter: read for meter, read in meters.items() if read is not None}
            usage = state.usage({meter: read.total for meter, read in read.items()})
            if not any(usage.values()):
                continue
            to_time = max(meter.time for meter in read.values())
            from_time = _since(agreement, state, positions, to_time)
            try:
                priced = charge(agreement, usage, from_time, to_time, self._conditions)
                charged = EXACT.add(state.charged, priced.amount)
                Money.rounded(charged, agreement.currency)
            except (Rejected, ArithmeticError) as waiting:
                told.held.append(_held(agreement, waiting))
                step.agreements[agreement.id] = replace(state, time=from_time)
                continue
            charges[agreement.id] = priced
            cursors = {**state.cursors, **{meter: read.total for meter, read in read.items()}}
            step.agreements[agreement.id] = replace(state, cursors=cursors, charged=charged, time=to_time)
        return charges

    def _begun(self, agreement: Agreement, positions: Positions, step: Step) -> AgreementState:
        """The agreement's state. What it has not billed before, it bills from now on; a new meter from its start."""
        state = positions.agreements.get(agreement.id) or AgreementState()
        new = [meter for meter in agreement.meters if meter not in state.cursors]
        if new:
            begins = {meter: step.total(meter, positions) if meter in positions.meters else Decimal(0) for meter in new}
            step.agreements[agreement.id] = state = replace(state, cursors={**state.cursors, **begins})
        return state

    def _in_order(self, ids: Iterable[str]) -> list[Agreement]:
        """In the order of the plant's file: who is paid first in a batch may pay later in it."""
        return [self._agreements[id] for id in sorted(ids, key=self._place.__getitem__)]

    def _settle(
        self, batch: Batch, positions: Positions, step: Step, charges: Mapping[str, Charge], told: _Told
    ) -> set[str]:
        """Transfer what is owed; the agreements that still wait for something."""
        owing: list[tuple[Agreement, AgreementState, int]] = []
        for agreement in self._in_order(charges.keys() | self._waiting):
            state = step.agreements.get(agreement.id) or positions.agreements.get(agreement.id) or AgreementState()
            due = Money.rounded(state.charged, agreement.currency).units - state.settled
            if due or agreement.id in charges:
                owing.append((agreement, state, max(-TRANSFER_UNITS_MAX, min(TRANSFER_UNITS_MAX, due))))
        requests = [
            self._request(agreement, state, due, charges.get(agreement.id), batch)
            for agreement, state, due in owing
            if due
        ]
        answers = iter(batch.post(requests))
        waiting = {held.agreement for held in told.held}
        rows = []
        for agreement, state, due in owing:
            priced = charges.get(agreement.id)
            transfer = self._answered(batch, agreement, state, next(answers), told) if due else None
            number = state.number + (priced is not None or transfer is not None)
            settled = state.settled + (due if transfer is not None else 0)
            step.agreements[agreement.id] = replace(state, number=number, settled=settled)
            if settled != Money.rounded(state.charged, agreement.currency).units:
                waiting.add(agreement.id)
            if priced is not None:
                rows.append(store.charge_row(batch.book, number, priced, transfer.transfer.id if transfer else None))
        batch.append(store.charge_table, rows)
        return waiting

    def _answered(
        self, batch: Batch, agreement: Agreement, state: AgreementState, outcome: Outcome, told: _Told
    ) -> Posted | None:
        if isinstance(outcome, Posted):
            told.posted += 1
            return outcome
        if isinstance(outcome, Refused) and outcome.reason is not Reason.CONFLICT:
            told.refused.append(outcome)
            if self._refused.get(agreement.id) is not outcome.reason:
                batch.record_refusal(outcome)
            told.held.append(Held(agreement.id, outcome.reason.value, outcome.text))
            return None
        raise InvariantBroken(
            f"charge {state.number + 1} of {agreement.id} was settled before; "
            "its cursor is behind the ledger: was an older copy of the settlement tables restored?"
        )

    def _request(
        self, agreement: Agreement, state: AgreementState, due: int, priced: Charge | None, batch: Batch
    ) -> TransferRequest:
        """The transfer of what is owed; its id names the agreement and the place in its charges, never the amount.

        Work of a period that was locked meanwhile is dated at the first moment that is open.
        """
        payer, payee = agreement.payer, agreement.payee
        if due < 0:  # a negative price: the payee pays
            payer, payee = payee, payer
        return TransferRequest(
            id=numbered_id(state.number + 1, "charge", self._book, agreement.id),
            debit=payer,
            credit=payee,
            amount=Money(abs(due), agreement.currency),
            effective_time=max(priced.to_time, batch.locked_until) if priced else batch.posted_time,
            text=self._used(priced) if priced else "what was owed",
            reference=f"{agreement.id}#{state.number + 1}",
            source=f"{SOURCE}{agreement.id}",
        )

    def _used(self, priced: Charge) -> str:
        parts = (
            f"{amount.normalize(EXACT):f} {self._meters[meter].unit} {meter}" for meter, amount in priced.usage.items()
        )
        return ", ".join(parts)[:TEXT_CHARACTERS_MAX]


def _held(agreement: Agreement, problem: Rejected | ArithmeticError) -> Held:
    if isinstance(problem, Rejected):
        return Held(agreement.id, problem.code, problem.text)
    return Held(agreement.id, "amount_too_large", f"what was read is too large to be priced: {problem!r}")


def _since(agreement: Agreement, state: AgreementState, positions: Positions, to_time: Instant) -> Instant:
    """When what is not priced yet began to be used: at the reading before, or earlier if some has waited since."""
    before = {meter: positions.meters[meter] for meter in agreement.meters if meter in positions.meters}
    began = state.time
    if all(meter.total == state.cursors.get(tag) for tag, meter in before.items()):
        began = max([began, *(meter.time for meter in before.values())])
    return to_time if began == EPOCH else min(began, to_time)
