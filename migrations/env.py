"""Runs the migrations on the connection it is given."""

from __future__ import annotations

from alembic import context

import ledger.tables  # noqa: F401  adds its tables to the metadata
import settlement.store  # noqa: F401  adds its tables to the metadata
from ledger.database import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
connection.commit()
