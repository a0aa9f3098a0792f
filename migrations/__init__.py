"""The database's versions: brings a database to the one this program was written for."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from core.errors import Misconfigured, Problem, Unavailable
from ledger.database import without_hurry

MIGRATION_LOCK = 7_310_579_611
"""Of PostgreSQL's advisory locks, the one that is held while the tables are made or changed."""


def upgrade(engine: Engine) -> None:
    """Create or upgrade the tables. Misconfigured when the database was written by a newer program, Unavailable when
    it cannot be read or written."""
    try:
        _upgrade(engine)
    except DBAPIError as error:
        raise Unavailable(f"the database {engine.url} cannot be used: {error.orig}") from error


def _upgrade(engine: Engine) -> None:
    config = _config()
    script = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        without_hurry(connection)
        if engine.dialect.name == "postgresql":  # two gateways may start at once
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        present = MigrationContext.configure(connection).get_current_revision()
        known = {revision.revision for revision in script.walk_revisions()}
        if present is not None and present not in known:
            raise Misconfigured(
                [
                    Problem(
                        f"the database is at version {present}, this program knows versions up to "
                        f"{script.get_current_head()}; start the newer program, or restore a backup made before it",
                        path="ledger.url",
                    )
                ]
            )
        if present == script.get_current_head():
            return
        config.attributes["connection"] = connection.execution_options(write=True)
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config
