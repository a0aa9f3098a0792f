"""The first schema: book, party, account, transfer, posting, link, seal; meter, agreement, charge."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("book_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("floor", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("total_in", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("total_out", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("last_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("last_position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint("floor <= 0", name=op.f("ck_account_floor_is_not_above_zero")),
        sa.CheckConstraint("total_in BETWEEN 0 AND 4611686018427387903", name=op.f("ck_account_total_in_in_range")),
        sa.CheckConstraint("total_out BETWEEN 0 AND 4611686018427387903", name=op.f("ck_account_total_out_in_range")),
        sa.PrimaryKeyConstraint("book_id", "account_no", name=op.f("pk_account")),
        sa.UniqueConstraint("book_id", "account_id", name=op.f("uq_account_book_id")),
        sqlite_strict=True,
    )
    op.create_table(
        "account_event",
        sa.Column("book_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("book_id", "seq", "position", name=op.f("pk_account_event")),
        sqlite_strict=True,
    )
    op.create_table(
        "agreement",
        sa.Column("book_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("agreement_id", sa.Text(), nullable=False),
        sa.Column("payer", sa.Text(), nullable=False),
        sa.Column("payee", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("cursors", sa.Text(), nullable=False),
        sa.Column("charged", sa.Text(), nullable=False),
        sa.Column("settled", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("time", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("book_id", "agreement_id", name=op.f("pk_agreement")),
        sqlite_strict=True,
    )
    op.create_table(
        "book",
        sa.Column("book_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("head_hash", sa.LargeBinary(), nullable=False),
        sa.Column("transfers", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint("seq >= 0", name=op.f("ck_book_seq_counts_up")),
        sa.PrimaryKeyConstraint("book_id", name=op.f("pk_book")),
        sa.UniqueConstraint("name", name=op.f("uq_book_name")),
        sqlite_strict=True,
    )
    op.create_table(
        "charge",
        sa.Column("book_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("agreement_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("transfer_id", sa.LargeBinary(), nullable=True),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("from_time", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("to_time", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("working", sa.Text(), nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("ck_charge_number_counts_up")),
        sa.PrimaryKeyConstraint("book_id", "agreement_id", "number", name=op.f("pk_charge")),
        comment="transfer_id is null while the amount is owed; the next transfer of the agreement settles it",
        sqlite_strict=True,
    )
    op.create_table(
        "link",
        sa.Column("book_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("debit", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("credit", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("transfers", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("amount", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.CheckConstraint("amount BETWEEN 0 AND 4611686018427387903", name=op.f("ck_link_amount_in_range")),
        sa.PrimaryKeyConstraint("book_id", "debit", "credit", name=op.f("pk_link")),
        comment="running totals from one account to another",
        sqlite_strict=True,
    )
    op.create_table(
        "meter",
        sa.Column("book_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("meter_id", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("segment", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("total", sa.Text(), nullable=False),
        sa.Column("last", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("suspects", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("book_id", "meter_id", name=op.f("pk_meter")),
        comment="exact decimals as text, in the meter's unit",
        sqlite_strict=True,
    )
    op.create_table(
        "party",
        sa.Column("book_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("party_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("book_id", "party_id", name=op.f("pk_party")),
        sqlite_strict=True,
    )
    op.create_table(
        "posting",
        sa.Column("book_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("total_in", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("total_out", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("book_id", "account_no", "seq", name=op.f("pk_posting")),
        comment="one row per account per batch: the account's totals after it",
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "seal",
        sa.Column("book_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("posted_time", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("transfers", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("events", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("length(hash) = 32", name=op.f("ck_seal_hash_has_32_bytes")),
        sa.PrimaryKeyConstraint("book_id", "seq", name=op.f("pk_seal")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_seal_book_id"), "seal", ["book_id", "posted_time"], unique=False)
    op.create_table(
        "transfer",
        sa.Column("book_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("debit", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("credit", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("amount", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("effective_time", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.CheckConstraint("amount BETWEEN 1 AND 9007199254740992", name=op.f("ck_transfer_amount_in_range")),
        sa.CheckConstraint("debit <> credit", name=op.f("ck_transfer_two_accounts")),
        sa.CheckConstraint("length(transfer_id) = 16", name=op.f("ck_transfer_transfer_id_has_16_bytes")),
        sa.PrimaryKeyConstraint("book_id", "seq", "position", name=op.f("pk_transfer")),
        sa.UniqueConstraint("book_id", "transfer_id", name=op.f("uq_transfer_book_id")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("transfer")
    op.drop_index(op.f("ix_seal_book_id"), table_name="seal")
    op.drop_table("seal")
    op.drop_table("posting")
    op.drop_table("party")
    op.drop_table("meter")
    op.drop_table("link")
    op.drop_table("charge")
    op.drop_table("book")
    op.drop_table("agreement")
    op.drop_table("account_event")
    op.drop_table("account")
