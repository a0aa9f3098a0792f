"""The migrations make the schema that the code believes in."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import ledger.tables  # noqa: F401  adds its tables
import settlement.store  # noqa: F401  adds its tables
from core.errors import Misconfigured
from ledger.database import metadata, open_engine, transaction
from migrations import upgrade


def test_an_empty_database_becomes_what_the_metadata_says(database_url: str) -> None:
    engine = open_engine(database_url)
    upgrade(engine)
    upgrade(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_every_table_on_sqlite_is_strict(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'a.db'}")
    upgrade(engine)
    with engine.connect() as connection:
        strict = connection.exec_driver_sql("SELECT name FROM pragma_table_list WHERE schema = 'main' AND NOT strict")
        assert {row.name for row in strict} <= {"alembic_version", "sqlite_schema"}


def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    engine = open_engine(database_url)
    upgrade(engine)
    with engine.connect() as connection, transaction(connection):
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Misconfigured, match="start the newer program"):
        upgrade(engine)
