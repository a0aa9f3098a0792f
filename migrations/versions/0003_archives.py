"""Months may leave the database for a file: which batches did, and what the file was when it was written."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.errors import Misconfigured, Problem

revision = "0003"
down_revision = "0002"

WHOLE_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "archive",
        sa.Column("book_id", WHOLE_NUMBER, nullable=False),
        sa.Column("first_seq", WHOLE_NUMBER, nullable=False),
        sa.Column("last_seq", WHOLE_NUMBER, nullable=False),
        sa.Column("first_month", WHOLE_NUMBER, nullable=False),
        sa.Column("last_month", WHOLE_NUMBER, nullable=False),
        sa.Column("transfers", WHOLE_NUMBER, nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("first_seq BETWEEN 1 AND last_seq", name=op.f("ck_archive_batches_in_order")),
        sa.CheckConstraint("first_month <= last_month", name=op.f("ck_archive_months_in_order")),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("ck_archive_sha256_has_32_bytes")),
        sa.PrimaryKeyConstraint("book_id", "first_seq", name=op.f("pk_archive")),
        comment="batches whose transfers and leaves stand in a file; of their leaves the root is left in their seals",
        sqlite_strict=True,
    )


def downgrade() -> None:
    if op.get_bind().execute(sa.text("SELECT count(*) FROM archive")).scalar_one():
        text = "months of a book were archived, and the form before this one does not know where; keep this version"
        raise Misconfigured([Problem(text, path="ledger.url")])
    op.drop_table("archive")
