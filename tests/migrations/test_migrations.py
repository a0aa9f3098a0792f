"""The migrations make the schema that the code believes in."""

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

import ledger.tables  # noqa: F401  adds its tables
import migrations
import settlement.store  # noqa: F401  adds its tables
from core.errors import Misconfigured
from ledger.database import Engine, metadata, open_engine, transaction
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


def test_a_database_goes_back_a_version_as_long_as_nothing_was_archived(database_url: str) -> None:
    engine = open_engine(database_url)
    upgrade(engine)
    row = f"INSERT INTO archive VALUES (1, 1, 2, 202601, 202603, 5, 'a.sqlite', {_blob(engine)})"
    with engine.connect() as connection, transaction(connection):
        connection.exec_driver_sql(row)
    with pytest.raises(Misconfigured, match="months of a book were archived"):
        _downgrade(engine)
    with engine.connect() as connection, transaction(connection):
        connection.exec_driver_sql("DELETE FROM archive")
    _downgrade(engine)
    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == "0002"
    upgrade(engine)


def _blob(engine: Engine) -> str:
    return "zeroblob(32)" if engine.dialect.name == "sqlite" else f"'\\x{'00' * 32}'::bytea"


def _downgrade(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.connect() as connection:
        config.attributes["connection"] = connection.execution_options(write=True)
        command.downgrade(config, "0002")
