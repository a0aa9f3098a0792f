"""The journal's second form: events and transfers share one order, every entry has its leaf; holds, reversals, totals
per hour, limits above and below, and ids in a table of their own. The journal's first form is not carried over."""

from __future__ import annotations

from importlib import import_module

import sqlalchemy as sa
from alembic import op

from core.errors import Misconfigured, Problem

revision = "0002"
down_revision = "0001"

WHOLE_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

first = import_module("migrations.versions.0001_ledger_and_settlement")


def upgrade() -> None:
    _must_be_empty("an earlier form of the journal, from before its first release, which this program cannot read")
    first.downgrade()
    _create()
    if op.get_bind().dialect.name == "postgresql":
        # Hashes do not compress; the trial costs more than the space.
        op.execute("ALTER TABLE seal ALTER COLUMN leaves SET STORAGE EXTERNAL")


def downgrade() -> None:
    _must_be_empty("a book, and the form before it cannot hold one")
    _drop()
    first.upgrade()


def _must_be_empty(holds: str) -> None:
    if op.get_bind().execute(sa.text("SELECT count(*) FROM book")).scalar_one():
        text = f"the database holds {holds}; keep it as it is, and name another for this version"
        raise Misconfigured([Problem(text, path="ledger.url")])


def _create() -> None:
    op.create_table(
        "account",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("account_no", WHOLE_NUMBER, nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("cost_centre", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("floor", WHOLE_NUMBER, nullable=False),
        sa.Column("ceiling", WHOLE_NUMBER, nullable=False),
        sa.Column("event_seq", WHOLE_NUMBER, nullable=False),
        sa.Column("total_in", WHOLE_NUMBER, nullable=False),
        sa.Column("total_out", WHOLE_NUMBER, nullable=False),
        sa.Column("held", WHOLE_NUMBER, nullable=False),
        sa.Column("touched_seq", WHOLE_NUMBER, nullable=False),
        sa.Column("last_seq", WHOLE_NUMBER, nullable=False),
        sa.Column("last_position", WHOLE_NUMBER, nullable=False),
        sa.Column("posting_seq", WHOLE_NUMBER, nullable=False),
        sa.CheckConstraint("state IN ('open', 'frozen', 'closed')", name=op.f("ck_account_state_is_known")),
        sa.CheckConstraint(
            "ceiling BETWEEN 0 AND 4611686018427387903", name=op.f("ck_account_ceiling_is_not_below_zero")
        ),
        sa.CheckConstraint("floor BETWEEN -4611686018427387903 AND 0", name=op.f("ck_account_floor_is_not_above_zero")),
        sa.CheckConstraint("held BETWEEN 0 AND 4611686018427387903", name=op.f("ck_account_held_in_range")),
        sa.CheckConstraint("total_in BETWEEN 0 AND 4611686018427387903", name=op.f("ck_account_total_in_in_range")),
        sa.CheckConstraint("total_out BETWEEN 0 AND 4611686018427387903", name=op.f("ck_account_total_out_in_range")),
        sa.PrimaryKeyConstraint("book_id", "account_no", name=op.f("pk_account")),
        sa.UniqueConstraint("book_id", "account_id", name=op.f("uq_account_book_id")),
        comment="batches: event_seq last changed its terms, touched_seq did anything to it, last_seq moved money, "
        "posting_seq moved or reserved money",
        postgresql_with={"fillfactor": "40"},
        sqlite_strict=True,
    )
    op.create_table(
        "agreement",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("agreement_id", sa.Text(), nullable=False),
        sa.Column("payer", sa.Text(), nullable=False),
        sa.Column("payee", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("number", WHOLE_NUMBER, nullable=False),
        sa.Column("cursors", sa.Text(), nullable=False),
        sa.Column("charged", sa.Text(), nullable=False),
        sa.Column("settled", WHOLE_NUMBER, nullable=False),
        sa.Column("time", WHOLE_NUMBER, nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("book_id", "agreement_id", name=op.f("pk_agreement")),
        sqlite_strict=True,
    )
    op.create_table(
        "book",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seq", WHOLE_NUMBER, nullable=False),
        sa.Column("head_hash", sa.LargeBinary(), nullable=False),
        sa.Column("posted_time", WHOLE_NUMBER, nullable=False),
        sa.Column("transfers", WHOLE_NUMBER, nullable=False),
        sa.Column("locked_until", WHOLE_NUMBER, nullable=False),
        sa.Column("next_expiry", WHOLE_NUMBER, nullable=False),
        sa.Column("totalled_seq", WHOLE_NUMBER, nullable=False),
        sa.CheckConstraint("seq >= 0", name=op.f("ck_book_seq_counts_up")),
        sa.CheckConstraint("totalled_seq BETWEEN 0 AND seq", name=op.f("ck_book_totals_follow")),
        sa.PrimaryKeyConstraint("book_id", name=op.f("pk_book")),
        sa.UniqueConstraint("name", name=op.f("uq_book_name")),
        comment="totalled_seq: the batch up to which link and link_hour are added up",
        sqlite_strict=True,
    )
    op.create_table(
        "charge",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("agreement_id", sa.Text(), nullable=False),
        sa.Column("number", WHOLE_NUMBER, nullable=False),
        sa.Column("transfer_id", sa.LargeBinary(), nullable=True),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("from_time", WHOLE_NUMBER, nullable=False),
        sa.Column("to_time", WHOLE_NUMBER, nullable=False),
        sa.Column("working", sa.Text(), nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("ck_charge_number_counts_up")),
        sa.PrimaryKeyConstraint("book_id", "agreement_id", "number", name=op.f("pk_charge")),
        comment="transfer_id is null while the amount is owed; the next transfer of the agreement settles it",
        sqlite_strict=True,
    )
    op.create_table(
        "event",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("seq", WHOLE_NUMBER, nullable=False),
        sa.Column("position", WHOLE_NUMBER, nullable=False),
        sa.Column("account_no", WHOLE_NUMBER, nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("book_id", "seq", "position", name=op.f("pk_event")),
        comment="what happened beside transfers; content is canonical JSON; account_no 0 where it concerns no account",
        sqlite_strict=True,
    )
    op.create_index("ix_event_account", "event", ["book_id", "account_no", "event", "seq"], unique=False)
    op.create_table(
        "hold",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("hold_id", sa.LargeBinary(), nullable=False),
        sa.Column("debit", WHOLE_NUMBER, nullable=False),
        sa.Column("credit", WHOLE_NUMBER, nullable=False),
        sa.Column("amount", WHOLE_NUMBER, nullable=False),
        sa.Column("captured", WHOLE_NUMBER, nullable=False),
        sa.Column("expires", WHOLE_NUMBER, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("effective_time", WHOLE_NUMBER, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('open', 'captured', 'released', 'expired')", name=op.f("ck_hold_state_is_known")),
        sa.CheckConstraint("amount BETWEEN 1 AND 9007199254740992", name=op.f("ck_hold_amount_in_range")),
        sa.CheckConstraint("captured BETWEEN 0 AND amount", name=op.f("ck_hold_captured_in_range")),
        sa.PrimaryKeyConstraint("book_id", "hold_id", name=op.f("pk_hold")),
        sqlite_strict=True,
    )
    op.create_index("ix_hold_expiry", "hold", ["book_id", "state", "expires"], unique=False)
    op.create_table(
        "inbox",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("from_book", sa.Text(), nullable=False),
        sa.Column("seq", WHOLE_NUMBER, nullable=False),
        sa.Column("position", WHOLE_NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("book_id", "from_book", name=op.f("pk_inbox")),
        comment="how far this book has taken in what another sent",
        sqlite_strict=True,
    )
    op.create_table(
        "link",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("debit", WHOLE_NUMBER, nullable=False),
        sa.Column("credit", WHOLE_NUMBER, nullable=False),
        sa.Column("transfers", WHOLE_NUMBER, nullable=False),
        sa.Column("amount", WHOLE_NUMBER, nullable=False),
        sa.CheckConstraint("amount BETWEEN 0 AND 4611686018427387903", name=op.f("ck_link_amount_in_range")),
        sa.PrimaryKeyConstraint("book_id", "debit", "credit", name=op.f("pk_link")),
        comment="running totals from one account to another, up to book.totalled_seq",
        sqlite_strict=True,
    )
    op.create_table(
        "link_hour",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("hour", WHOLE_NUMBER, nullable=False),
        sa.Column("debit", WHOLE_NUMBER, nullable=False),
        sa.Column("credit", WHOLE_NUMBER, nullable=False),
        sa.Column("transfers", WHOLE_NUMBER, nullable=False),
        sa.Column("amount", WHOLE_NUMBER, nullable=False),
        sa.CheckConstraint("amount BETWEEN 0 AND 4611686018427387903", name=op.f("ck_link_hour_amount_in_range")),
        sa.PrimaryKeyConstraint("book_id", "hour", "debit", "credit", name=op.f("pk_link_hour")),
        comment="the same per hour of the effective time, counted since 1970 in UTC",
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "meter",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("meter_id", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("segment", WHOLE_NUMBER, nullable=False),
        sa.Column("total", sa.Text(), nullable=False),
        sa.Column("last", sa.Text(), nullable=False),
        sa.Column("time", WHOLE_NUMBER, nullable=False),
        sa.Column("suspects", sa.Text(), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("book_id", "meter_id", name=op.f("pk_meter")),
        comment="exact decimals as text, in the meter's unit",
        sqlite_strict=True,
    )
    op.create_table(
        "outbox",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("seq", WHOLE_NUMBER, nullable=False),
        sa.Column("position", WHOLE_NUMBER, nullable=False),
        sa.Column("to_book", sa.Text(), nullable=False),
        sa.Column("to_account", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("book_id", "seq", "position", name=op.f("pk_outbox")),
        comment="entries that go on to another book: payments to its to_account, and refusals, without one, back to it",
        sqlite_strict=True,
    )
    op.create_index("ix_outbox_to_book", "outbox", ["book_id", "to_book", "seq", "position"], unique=False)
    op.create_table(
        "party",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("party_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("book_id", "party_id", name=op.f("pk_party")),
        sqlite_strict=True,
    )
    op.create_table(
        "posting",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("seq", WHOLE_NUMBER, nullable=False),
        sa.Column("account_no", WHOLE_NUMBER, nullable=False),
        sa.Column("previous_seq", WHOLE_NUMBER, nullable=False),
        sa.Column("total_in", WHOLE_NUMBER, nullable=False),
        sa.Column("total_out", WHOLE_NUMBER, nullable=False),
        sa.Column("held", WHOLE_NUMBER, nullable=False),
        sa.Column("positions", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("previous_seq < seq", name=op.f("ck_posting_leads_back")),
        sa.PrimaryKeyConstraint("book_id", "seq", "account_no", name=op.f("pk_posting")),
        comment="one row per account per batch: its totals after it, where its transfers stand in it (uint16 each), "
        "and the batch of the account's posting before; only the first of an account in 64 batches is indexed",
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    first_of_stretch = sa.text("previous_seq / 64 < seq / 64")
    op.create_index(
        "ix_posting_account",
        "posting",
        ["book_id", "account_no", "seq"],
        unique=False,
        sqlite_where=first_of_stretch,
        postgresql_where=first_of_stretch,
    )
    op.create_table(
        "reversal",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("reversed_by", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("book_id", "transfer_id", name=op.f("pk_reversal")),
        comment="a transfer is reversed once at most",
        sqlite_strict=True,
    )
    op.create_table(
        "seal",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("seq", WHOLE_NUMBER, nullable=False),
        sa.Column("posted_time", WHOLE_NUMBER, nullable=False),
        sa.Column("transfers", WHOLE_NUMBER, nullable=False),
        sa.Column("events", WHOLE_NUMBER, nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("leaves", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("length(hash) = 32", name=op.f("ck_seal_hash_has_32_bytes")),
        sa.PrimaryKeyConstraint("book_id", "seq", name=op.f("pk_seal")),
        comment="leaves: the hash of each entry, in the order of their positions",
        sqlite_strict=True,
    )
    op.create_index("ix_seal_posted_time", "seal", ["book_id", "posted_time", "seq"], unique=False)
    op.create_table(
        "transfer",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("seq", WHOLE_NUMBER, nullable=False),
        sa.Column("position", WHOLE_NUMBER, nullable=False),
        sa.Column("month", WHOLE_NUMBER, nullable=False),
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("debit", WHOLE_NUMBER, nullable=False),
        sa.Column("credit", WHOLE_NUMBER, nullable=False),
        sa.Column("amount", WHOLE_NUMBER, nullable=False),
        sa.Column("effective_time", WHOLE_NUMBER, nullable=False),
        sa.Column("kind", WHOLE_NUMBER, nullable=False),
        sa.Column("cause", sa.LargeBinary(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.CheckConstraint("amount BETWEEN 1 AND 9007199254740992", name=op.f("ck_transfer_amount_in_range")),
        sa.CheckConstraint("debit <> credit", name=op.f("ck_transfer_two_accounts")),
        sa.CheckConstraint("length(transfer_id) = 16", name=op.f("ck_transfer_transfer_id_has_16_bytes")),
        sa.PrimaryKeyConstraint("book_id", "seq", "position", "month", name=op.f("pk_transfer")),
        comment="month: of the posting time in UTC, as 202611",
        postgresql_partition_by="RANGE (month)",
        sqlite_strict=True,
    )
    op.create_table(
        "transfer_key",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("seq", WHOLE_NUMBER, nullable=False),
        sa.Column("position", WHOLE_NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("book_id", "transfer_id", name=op.f("pk_transfer_key")),
        comment="each id that was ever posted, and where; it stays when old months are archived",
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _drop() -> None:
    op.drop_table("transfer_key")
    op.drop_table("transfer")
    op.drop_index("ix_seal_posted_time", table_name="seal")
    op.drop_table("seal")
    op.drop_table("reversal")
    op.drop_index("ix_posting_account", table_name="posting")
    op.drop_table("posting")
    op.drop_table("party")
    op.drop_index("ix_outbox_to_book", table_name="outbox")
    op.drop_table("outbox")
    op.drop_table("meter")
    op.drop_table("link_hour")
    op.drop_table("link")
    op.drop_table("inbox")
    op.drop_index("ix_hold_expiry", table_name="hold")
    op.drop_table("hold")
    op.drop_index("ix_event_account", table_name="event")
    op.drop_table("event")
    op.drop_table("charge")
    op.drop_table("book")
    op.drop_table("agreement")
    op.drop_table("account")
