"""The settlement's rows: where each meter and agreement stands, and every charge with its working."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    and_,
    select,
)

from core.clock import Instant
from core.ids import TransferId
from core.sample import TagId
from ledger.account import AccountId
from ledger.database import WHOLE_NUMBER, metadata
from ledger.statements import upsert_rows
from settlement.agreement import AgreementState, Terms
from settlement.charge import Charge
from settlement.meter import Meter, MeterState

meter_table = Table(
    "meter",
    metadata,
    Column("book_id", WHOLE_NUMBER, nullable=False),
    Column("meter_id", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("segment", WHOLE_NUMBER, nullable=False),
    Column("total", Text, nullable=False),
    Column("last", Text, nullable=False),
    Column("time", WHOLE_NUMBER, nullable=False),
    Column("suspects", Text, nullable=False),
    Column("gateway", Text, nullable=False),
    PrimaryKeyConstraint("book_id", "meter_id"),
    sqlite_strict=True,
    comment="exact decimals as text, in the meter's unit",
)

agreement_table = Table(
    "agreement",
    metadata,
    Column("book_id", WHOLE_NUMBER, nullable=False),
    Column("agreement_id", Text, nullable=False),
    Column("payer", Text, nullable=False),
    Column("payee", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("number", WHOLE_NUMBER, nullable=False),
    Column("cursors", Text, nullable=False),
    Column("charged", Text, nullable=False),
    Column("settled", WHOLE_NUMBER, nullable=False),
    Column("time", WHOLE_NUMBER, nullable=False),
    Column("gateway", Text, nullable=False),
    PrimaryKeyConstraint("book_id", "agreement_id"),
    sqlite_strict=True,
)

charge_table = Table(
    "charge",
    metadata,
    Column("book_id", WHOLE_NUMBER, nullable=False),
    Column("agreement_id", Text, nullable=False),
    Column("number", WHOLE_NUMBER, nullable=False),
    Column("transfer_id", LargeBinary),
    Column("amount", Text, nullable=False),
    Column("from_time", WHOLE_NUMBER, nullable=False),
    Column("to_time", WHOLE_NUMBER, nullable=False),
    Column("working", Text, nullable=False),
    PrimaryKeyConstraint("book_id", "agreement_id", "number"),
    CheckConstraint("number > 0", name="number_counts_up"),
    sqlite_strict=True,
    comment="transfer_id is null while the amount is owed; the next transfer of the agreement settles it",
)


@dataclass(frozen=True, slots=True)
class StoredMeter:
    """A meter as it was saved, and what its totals meant then."""

    definition: str
    state: MeterState
    gateway: str


@dataclass(frozen=True, slots=True)
class StoredAgreement:
    """An agreement as it was saved, and between whom it was."""

    terms: Terms
    state: AgreementState
    gateway: str


def load_meters(connection: Connection, book: int) -> dict[TagId, StoredMeter]:
    rows = connection.execute(select(meter_table).where(meter_table.c.book_id == book))
    return {
        TagId(row.meter_id): StoredMeter(
            row.definition,
            MeterState(
                total=Decimal(row.total),
                last=Decimal(row.last) if row.last else None,
                time=Instant(row.time),
                segment=row.segment,
                suspects=tuple((Decimal(value), Instant(at)) for value, at in json.loads(row.suspects)),
            ),
            row.gateway,
        )
        for row in rows
    }


def load_agreements(connection: Connection, book: int) -> dict[str, StoredAgreement]:
    rows = connection.execute(select(agreement_table).where(agreement_table.c.book_id == book))
    return {
        row.agreement_id: StoredAgreement(
            Terms(AccountId(row.payer), AccountId(row.payee), row.currency),
            AgreementState(
                number=row.number,
                cursors={TagId(meter): Decimal(total) for meter, total in json.loads(row.cursors).items()},
                charged=Decimal(row.charged),
                settled=row.settled,
                time=Instant(row.time),
            ),
            row.gateway,
        )
        for row in rows
    }


def save_meters(connection: Connection, book: int, gateway: str, meters: Iterable[tuple[Meter, MeterState]]) -> None:
    rows = [
        (
            book,
            meter.tag,
            meter.definition,
            state.segment,
            str(state.total),
            "" if state.last is None else str(state.last),
            state.time,
            json.dumps([(str(value), at) for value, at in state.suspects]),
            gateway,
        )
        for meter, state in meters
    ]
    upsert_rows(connection, meter_table, rows)


def save_agreements(
    connection: Connection, book: int, gateway: str, states: Iterable[tuple[str, Terms, AgreementState]]
) -> None:
    rows = [
        (
            book,
            agreement,
            terms.payer,
            terms.payee,
            terms.currency,
            state.number,
            json.dumps({meter: str(total) for meter, total in state.cursors.items()}),
            str(state.charged),
            state.settled,
            state.time,
            gateway,
        )
        for agreement, terms, state in states
    ]
    upsert_rows(connection, agreement_table, rows)


def charge_row(book: int, number: int, charge: Charge, transfer: TransferId | None) -> tuple[object, ...]:
    """A charge as a row of `charge_table`; without a transfer while it is owed."""
    working = json.dumps(charge.working, ensure_ascii=False, separators=(",", ":"))
    return (
        book,
        charge.agreement,
        number,
        transfer,
        str(charge.amount),
        charge.from_time,
        charge.to_time,
        working,
    )


def load_charges(connection: Connection, book: int, agreement: str, limit: int) -> list[tuple[int, str, str]]:
    """The newest charges of an agreement: number, amount in whole currency, working as JSON."""
    rows = connection.execute(
        select(charge_table.c.number, charge_table.c.amount, charge_table.c.working)
        .where(and_(charge_table.c.book_id == book, charge_table.c.agreement_id == agreement))
        .order_by(charge_table.c.number.desc())
        .limit(limit)
    )
    return [(row.number, row.amount, row.working) for row in rows]
