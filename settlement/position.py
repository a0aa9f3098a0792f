"""Where every meter and agreement stands: read from the database at start, kept in memory, saved with each batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeVar

from core.clock import SECOND
from core.errors import Rejected
from core.money import Money, currency
from core.sample import TagId
from ledger.batch import Batch
from settlement import store
from settlement.agreement import Agreement, AgreementState
from settlement.meter import Condition, Finding, Meter, MeterState
from settlement.store import StoredAgreement, StoredMeter

TIME_SAVED_EVERY = 60 * SECOND
"""Microseconds that a standing meter's time may be behind in the database."""

_Key = TypeVar("_Key")
_State = TypeVar("_State", MeterState, AgreementState)
_Stored = TypeVar("_Stored", StoredMeter, StoredAgreement)


@dataclass(slots=True)
class Step:
    """What one call of absorb changes."""

    meters: dict[TagId, MeterState] = field(default_factory=dict)
    agreements: dict[str, AgreementState] = field(default_factory=dict)

    def total(self, meter: TagId, positions: Positions) -> Decimal:
        """What the meter has counted after this step."""
        state = self.meters.get(meter)
        return positions.total(meter) if state is None else state.total


@dataclass(slots=True)
class Positions:
    """Where everything stands, and what of it the database holds: bare time passes unsaved."""

    gateway: str
    meters: dict[TagId, MeterState]
    agreements: dict[str, AgreementState]
    saved_meters: dict[TagId, MeterState]
    saved_agreements: dict[str, AgreementState]

    def total(self, meter: TagId) -> Decimal:
        """What the meter has counted; nothing before it was first read."""
        state = self.meters.get(meter)
        return Decimal(0) if state is None else state.total

    def save(
        self, batch: Batch, step: Step, meters: Mapping[TagId, Meter], agreements: Mapping[str, Agreement]
    ) -> Saved:
        """Write with the batch what must survive a restart; memory follows when the batch is durable."""
        new_meters = _worth_saving(self.saved_meters, step.meters)
        new_agreements = _worth_saving(self.saved_agreements, step.agreements)
        meter_rows = [(meters[tag], state) for tag, state in new_meters.items()]
        agreement_rows = [(id, agreements[id].terms, state) for id, state in new_agreements.items()]
        batch.also(lambda connection: store.save_meters(connection, batch.book, self.gateway, meter_rows))
        batch.also(lambda connection: store.save_agreements(connection, batch.book, self.gateway, agreement_rows))

        def adopt() -> None:
            self.meters.update(step.meters)
            self.agreements.update(step.agreements)
            self.saved_meters.update(new_meters)
            self.saved_agreements.update(new_agreements)

        batch.when_committed(adopt)
        return Saved(new_meters, new_agreements, adopt)


@dataclass(frozen=True, slots=True)
class Saved:
    """What a batch writes of positions, and how memory follows."""

    meters: Mapping[TagId, MeterState]
    agreements: Mapping[str, AgreementState]
    adopt: Callable[[], None]

    def is_in(self, batch: Batch) -> bool:
        """Whether the database holds it: the batch was kept. What wrote nothing may be asked again."""
        if not self.meters and not self.agreements:
            return False
        meters = store.load_meters(batch.connection, batch.book)
        agreements = store.load_agreements(batch.connection, batch.book)
        return all(tag in meters and meters[tag].state == state for tag, state in self.meters.items()) and all(
            id in agreements and agreements[id].state == state for id, state in self.agreements.items()
        )


def load(
    batch: Batch, gateway: str, meters: Mapping[TagId, Meter], agreements: Mapping[str, Agreement]
) -> tuple[Positions, list[Finding], list[str]]:
    """Where everything stands; what changed about the meters; and the agreements that ended while something was owed.

    Rejected `agreement_is_fixed` when an agreement would change between whom it is: debts are not handed on.
    Rejected `meter_is_fixed` when a meter would count something else while usage of it waits to be priced.
    Rejected `settled_elsewhere` when another gateway settles a meter or an agreement: two would bill it twice.
    """
    stored_meters = _own(gateway, "meter", store.load_meters(batch.connection, batch.book), meters)
    stored = _own(gateway, "agreement", store.load_agreements(batch.connection, batch.book), agreements)
    for id, agreement in agreements.items():
        if id in stored and stored[id].terms != agreement.terms:
            raise Rejected(
                "agreement_is_fixed",
                f"in agreement {id!r} {stored[id].terms} since it began, and it cannot become one in which "
                f"{agreement.terms}; end it and make a new one under another name",
            )
    kept = _keep(batch, gateway, stored, agreements)
    findings: list[Finding] = []
    redefined: dict[TagId, MeterState] = {}
    for tag, meter in meters.items():
        before = stored_meters.get(tag)
        if before is not None and before.definition != meter.definition:
            redefined[tag] = _redefine(meter, before, kept)
            text = f"was a {before.definition}, is a {meter.definition}: a new segment starts at its next reading"
            findings.append(Finding(tag, Condition.REDEFINED, before.state.time, text))
    saved_meters = {tag: found.state for tag, found in stored_meters.items() if tag not in redefined}
    owing = _end(batch, gateway, {id: found for id, found in stored.items() if id not in agreements})
    saved_agreements = {id: found.state for id, found in kept.items()}
    positions = Positions(
        gateway, {**saved_meters, **redefined}, dict(saved_agreements), dict(saved_meters), dict(saved_agreements)
    )
    return positions, findings, owing


def _keep(
    batch: Batch, gateway: str, stored: Mapping[str, StoredAgreement], agreements: Mapping[str, Agreement]
) -> dict[str, StoredAgreement]:
    """The agreements that go on; a meter that a tariff no longer names is not billed from where it was left."""
    kept, rows = {}, []
    for id, found in stored.items():
        if id not in agreements:
            continue
        named = {meter: at for meter, at in found.state.cursors.items() if meter in agreements[id].meters}
        if named != found.state.cursors:
            found = replace(found, state=replace(found.state, cursors=named))
            rows.append((id, found.terms, found.state))
        kept[id] = found
    batch.also(lambda connection: store.save_agreements(connection, batch.book, gateway, rows))
    return kept


def _own(gateway: str, noun: str, stored: Mapping[_Key, _Stored], wanted: Collection[_Key]) -> dict[_Key, _Stored]:
    """What this gateway settles, of all that the book knows."""
    for key, found in stored.items():
        if found.gateway != gateway and key in wanted:
            raise Rejected(
                "settled_elsewhere",
                f"{noun} {key!r} is settled by gateway {found.gateway!r}, this is {gateway!r}; "
                "give it another name here, or run that gateway's plant under its own name",
            )
    return {key: found for key, found in stored.items() if found.gateway == gateway}


def _redefine(meter: Meter, before: StoredMeter, agreements: Mapping[str, StoredAgreement]) -> MeterState:
    for id, agreement in agreements.items():
        if agreement.state.cursors.get(meter.tag, before.state.total) != before.state.total:
            raise Rejected(
                "meter_is_fixed",
                f"{meter.tag} was a {before.definition} and would be a {meter.definition}, while agreement {id!r} "
                "has usage of it to price; start with the old definition until that is settled",
            )
    return MeterState(total=before.state.total, time=before.state.time, segment=before.state.segment + 1)


def _end(batch: Batch, gateway: str, gone: Mapping[str, StoredAgreement]) -> list[str]:
    """Agreements that the plant's file no longer names bill nothing of what is counted meanwhile."""
    rows = [
        (id, found.terms, AgreementState(found.state.number, {}, found.state.charged, found.state.settled))
        for id, found in gone.items()
        if found.state.is_counting
    ]
    batch.also(lambda connection: store.save_agreements(connection, batch.book, gateway, rows))
    return [id for id, found in gone.items() if _owed(found)]


def _owed(found: StoredAgreement) -> int:
    """In ledger units."""
    return Money.rounded(found.state.charged, currency(found.terms.currency)).units - found.state.settled


def _worth_saving(saved: Mapping[_Key, _State], states: Mapping[_Key, _State]) -> dict[_Key, _State]:
    return {key: state for key, state in states.items() if _is_worth_saving(saved.get(key), state)}


def _is_worth_saving(saved: _State | None, state: _State) -> bool:
    return saved is None or not state.same_position(saved) or state.time - saved.time >= TIME_SAVED_EVERY
