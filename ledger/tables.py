"""The ledger's tables: integers and text only, and CHECKs that repeat the rules of posting."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, LargeBinary, PrimaryKeyConstraint, Table, Text, UniqueConstraint

from core.money import TRANSFER_UNITS_MAX, UNITS_MAX
from ledger.database import WHOLE_NUMBER, metadata


def _integer(name: str, **options: Any) -> Column[int]:
    return Column(name, WHOLE_NUMBER, nullable=False, **options)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


book_table = Table(
    "book",
    metadata,
    _integer("book_id"),
    _text("name"),
    _integer("seq"),
    Column("head_hash", LargeBinary, nullable=False),
    _integer("transfers"),
    PrimaryKeyConstraint("book_id"),
    UniqueConstraint("name"),
    CheckConstraint("seq >= 0", name="seq_counts_up"),
    sqlite_strict=True,
)

party_table = Table(
    "party",
    metadata,
    _integer("book_id"),
    _text("party_id"),
    _text("name"),
    _text("organisation"),
    PrimaryKeyConstraint("book_id", "party_id"),
    sqlite_strict=True,
)

account_table = Table(
    "account",
    metadata,
    _integer("book_id"),
    _integer("account_no"),
    _text("account_id"),
    _text("name"),
    _text("owner"),
    _text("kind"),
    _text("currency"),
    _integer("floor"),
    _integer("total_in"),
    _integer("total_out"),
    _integer("last_seq"),
    _integer("last_position"),
    PrimaryKeyConstraint("book_id", "account_no"),
    UniqueConstraint("book_id", "account_id"),
    CheckConstraint(f"total_in BETWEEN 0 AND {UNITS_MAX}", name="total_in_in_range"),
    CheckConstraint(f"total_out BETWEEN 0 AND {UNITS_MAX}", name="total_out_in_range"),
    CheckConstraint("floor <= 0", name="floor_is_not_above_zero"),
    sqlite_strict=True,
)

account_event_table = Table(
    "account_event",
    metadata,
    _integer("book_id"),
    _integer("seq"),
    _integer("position"),
    _integer("account_no"),
    _text("event"),
    _text("content"),
    PrimaryKeyConstraint("book_id", "seq", "position"),
    sqlite_strict=True,
)

transfer_table = Table(
    "transfer",
    metadata,
    _integer("book_id"),
    _integer("seq"),
    _integer("position"),
    Column("transfer_id", LargeBinary, nullable=False),
    _integer("debit"),
    _integer("credit"),
    _integer("amount"),
    _integer("effective_time"),
    _text("text"),
    _text("reference"),
    _text("source"),
    PrimaryKeyConstraint("book_id", "seq", "position"),
    UniqueConstraint("book_id", "transfer_id"),
    CheckConstraint(f"amount BETWEEN 1 AND {TRANSFER_UNITS_MAX}", name="amount_in_range"),
    CheckConstraint("debit <> credit", name="two_accounts"),
    CheckConstraint("length(transfer_id) = 16", name="transfer_id_has_16_bytes"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

posting_table = Table(
    "posting",
    metadata,
    _integer("book_id"),
    _integer("account_no"),
    _integer("seq"),
    _integer("total_in"),
    _integer("total_out"),
    PrimaryKeyConstraint("book_id", "account_no", "seq"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
    comment="one row per account per batch: the account's totals after it",
)

link_table = Table(
    "link",
    metadata,
    _integer("book_id"),
    _integer("debit"),
    _integer("credit"),
    _integer("transfers"),
    _integer("amount"),
    PrimaryKeyConstraint("book_id", "debit", "credit"),
    CheckConstraint(f"amount BETWEEN 0 AND {UNITS_MAX}", name="amount_in_range"),
    sqlite_strict=True,
    comment="running totals from one account to another",
)

seal_table = Table(
    "seal",
    metadata,
    _integer("book_id"),
    _integer("seq"),
    _integer("posted_time"),
    _integer("transfers"),
    _integer("events"),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("book_id", "seq"),
    CheckConstraint("length(hash) = 32", name="hash_has_32_bytes"),
    sqlite_strict=True,
)

Index(None, seal_table.c.book_id, seal_table.c.posted_time)
