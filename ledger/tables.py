"""The ledger's tables: integers and text only, and CHECKs that repeat the rules of posting."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from core.money import TRANSFER_UNITS_MAX, UNITS_MAX
from ledger.database import WHOLE_NUMBER, metadata


def _integer(name: str, **options: Any) -> Column[int]:
    return Column(name, WHOLE_NUMBER, nullable=False, **options)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _bytes(name: str, nullable: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=nullable)


book_table = Table(
    "book",
    metadata,
    _integer("book_id"),
    _text("name"),
    _integer("seq"),
    _bytes("head_hash"),
    _integer("posted_time"),
    _integer("transfers"),
    _integer("locked_until"),
    _integer("next_expiry"),
    _integer("totalled_seq"),
    PrimaryKeyConstraint("book_id"),
    UniqueConstraint("name"),
    CheckConstraint("seq >= 0", name="seq_counts_up"),
    CheckConstraint("totalled_seq BETWEEN 0 AND seq", name="totals_follow"),
    sqlite_strict=True,
    comment="totalled_seq: the batch up to which link and link_hour are added up",
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
    _text("type"),
    _text("currency"),
    _text("cost_centre"),
    _text("labels"),
    _text("state"),
    _integer("floor"),
    _integer("ceiling"),
    _integer("event_seq"),
    _integer("total_in"),
    _integer("total_out"),
    _integer("held"),
    _integer("touched_seq"),
    _integer("last_seq"),
    _integer("last_position"),
    _integer("posting_seq"),
    PrimaryKeyConstraint("book_id", "account_no"),
    UniqueConstraint("book_id", "account_id"),
    CheckConstraint(f"total_in BETWEEN 0 AND {UNITS_MAX}", name="total_in_in_range"),
    CheckConstraint(f"total_out BETWEEN 0 AND {UNITS_MAX}", name="total_out_in_range"),
    CheckConstraint(f"held BETWEEN 0 AND {UNITS_MAX}", name="held_in_range"),
    CheckConstraint(f"floor BETWEEN {-UNITS_MAX} AND 0", name="floor_is_not_above_zero"),
    CheckConstraint(f"ceiling BETWEEN 0 AND {UNITS_MAX}", name="ceiling_is_not_below_zero"),
    CheckConstraint("state IN ('open', 'frozen', 'closed')", name="state_is_known"),
    sqlite_strict=True,
    postgresql_with={"fillfactor": "40"},
    comment="batches: event_seq last changed its terms, touched_seq did anything to it, last_seq moved money, "
    "posting_seq moved or reserved money",
)

event_table = Table(
    "event",
    metadata,
    _integer("book_id"),
    _integer("seq"),
    _integer("position"),
    _integer("account_no"),
    _text("event"),
    _text("content"),
    PrimaryKeyConstraint("book_id", "seq", "position"),
    Index("ix_event_account", "book_id", "account_no", "event", "seq"),
    sqlite_strict=True,
    comment="what happened beside transfers; content is canonical JSON; account_no 0 where it concerns no account",
)

transfer_table = Table(
    "transfer",
    metadata,
    _integer("book_id"),
    _integer("seq"),
    _integer("position"),
    _integer("month"),
    _bytes("transfer_id"),
    _integer("debit"),
    _integer("credit"),
    _integer("amount"),
    _integer("effective_time"),
    _integer("kind"),
    _bytes("cause", nullable=True),
    _text("text"),
    _text("reference"),
    _text("source"),
    PrimaryKeyConstraint("book_id", "seq", "position", "month"),
    CheckConstraint(f"amount BETWEEN 1 AND {TRANSFER_UNITS_MAX}", name="amount_in_range"),
    CheckConstraint("debit <> credit", name="two_accounts"),
    CheckConstraint("length(transfer_id) = 16", name="transfer_id_has_16_bytes"),
    sqlite_strict=True,
    postgresql_partition_by="RANGE (month)",
    comment="month: of the posting time in UTC, as 202611",
)

transfer_key_table = Table(
    "transfer_key",
    metadata,
    _integer("book_id"),
    _bytes("transfer_id"),
    _integer("seq"),
    _integer("position"),
    PrimaryKeyConstraint("book_id", "transfer_id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
    comment="each id that was ever posted, and where; it stays when old months are archived",
)

reversal_table = Table(
    "reversal",
    metadata,
    _integer("book_id"),
    _bytes("transfer_id"),
    _bytes("reversed_by"),
    PrimaryKeyConstraint("book_id", "transfer_id"),
    sqlite_strict=True,
    comment="a transfer is reversed once at most",
)

hold_table = Table(
    "hold",
    metadata,
    _integer("book_id"),
    _bytes("hold_id"),
    _integer("debit"),
    _integer("credit"),
    _integer("amount"),
    _integer("captured"),
    _integer("expires"),
    _text("state"),
    _integer("effective_time"),
    _text("text"),
    _text("reference"),
    _text("source"),
    PrimaryKeyConstraint("book_id", "hold_id"),
    Index("ix_hold_expiry", "book_id", "state", "expires"),
    CheckConstraint(f"amount BETWEEN 1 AND {TRANSFER_UNITS_MAX}", name="amount_in_range"),
    CheckConstraint("captured BETWEEN 0 AND amount", name="captured_in_range"),
    CheckConstraint("state IN ('open', 'captured', 'released', 'expired')", name="state_is_known"),
    sqlite_strict=True,
)

outbox_table = Table(
    "outbox",
    metadata,
    _integer("book_id"),
    _integer("seq"),
    _integer("position"),
    _text("to_book"),
    _text("to_account"),
    PrimaryKeyConstraint("book_id", "seq", "position"),
    Index("ix_outbox_to_book", "book_id", "to_book", "seq", "position"),
    sqlite_strict=True,
    comment="entries that go on to another book: payments to its to_account, and refusals, without one, back to it",
)

inbox_table = Table(
    "inbox",
    metadata,
    _integer("book_id"),
    _text("from_book"),
    _integer("seq"),
    _integer("position"),
    PrimaryKeyConstraint("book_id", "from_book"),
    sqlite_strict=True,
    comment="how far this book has taken in what another sent",
)

STRETCH = 64
"""Batches among which the postings of an account are found by going from one to the one before."""

FIRST_OF_STRETCH = f"previous_seq / {STRETCH} < seq / {STRETCH}"
"""Of a posting: it is its account's first in a stretch of batches. Indexing each would rewrite a page per account in
every batch."""

posting_table = Table(
    "posting",
    metadata,
    _integer("book_id"),
    _integer("seq"),
    _integer("account_no"),
    _integer("previous_seq"),
    _integer("total_in"),
    _integer("total_out"),
    _integer("held"),
    _bytes("positions"),
    PrimaryKeyConstraint("book_id", "seq", "account_no"),
    Index(
        "ix_posting_account",
        "book_id",
        "account_no",
        "seq",
        sqlite_where=text(FIRST_OF_STRETCH),
        postgresql_where=text(FIRST_OF_STRETCH),
    ),
    CheckConstraint("previous_seq < seq", name="leads_back"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
    comment="one row per account per batch: its totals after it, where its transfers stand in it (uint16 each), "
    "and the batch of the account's posting before; only the first of an account in 64 batches is indexed",
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
    comment="running totals from one account to another, up to book.totalled_seq",
)

link_hour_table = Table(
    "link_hour",
    metadata,
    _integer("book_id"),
    _integer("hour"),
    _integer("debit"),
    _integer("credit"),
    _integer("transfers"),
    _integer("amount"),
    PrimaryKeyConstraint("book_id", "hour", "debit", "credit"),
    CheckConstraint(f"amount BETWEEN 0 AND {UNITS_MAX}", name="amount_in_range"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
    comment="the same per hour of the effective time, counted since 1970 in UTC",
)

seal_table = Table(
    "seal",
    metadata,
    _integer("book_id"),
    _integer("seq"),
    _integer("posted_time"),
    _integer("transfers"),
    _integer("events"),
    _bytes("previous"),
    _bytes("hash"),
    _bytes("leaves"),
    PrimaryKeyConstraint("book_id", "seq"),
    Index("ix_seal_posted_time", "book_id", "posted_time", "seq"),
    CheckConstraint("length(hash) = 32", name="hash_has_32_bytes"),
    sqlite_strict=True,
    comment="leaves: the hash of each entry, in the order of their positions",
)

archive_table = Table(
    "archive",
    metadata,
    _integer("book_id"),
    _integer("first_seq"),
    _integer("last_seq"),
    _integer("first_month"),
    _integer("last_month"),
    _integer("transfers"),
    _text("file"),
    _bytes("sha256"),
    PrimaryKeyConstraint("book_id", "first_seq"),
    CheckConstraint("first_seq BETWEEN 1 AND last_seq", name="batches_in_order"),
    CheckConstraint("first_month <= last_month", name="months_in_order"),
    CheckConstraint("length(sha256) = 32", name="sha256_has_32_bytes"),
    sqlite_strict=True,
    comment="batches whose transfers and leaves stand in a file; of their leaves the root is left in their seals",
)
