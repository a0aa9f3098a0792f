"""The database's versions: brings a database to the one this program was written for."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from core.errors import Misconfigured, Problem
from ledger.database import unusable, without_hurry

MIGRATION_LOCK = 7_310_579_611
"""Of PostgreSQL's advisory locks, the one that is held while the tables are made or changed."""


def upgrade(engine: Engine) -> None:
    """Create or upgrade the tables. Misconfigured when the database was written by a newer program, Unavailable when
    it cannot be read or written."""
    try:
        _upgrade(engine)
    except DBAPIError as error:
        raise unusable(engine, "used", error) from error


def check(engine: Engine) -> None:
    """Misconfigured when what is to be read has no tables yet, or those of another version; Unavailable when it cannot
    be read."""
    script = ScriptDirectory.from_config(_config())
    try:
        with engine.connect() as connection:
            present = _present(connection, script)
    except DBAPIError as error:
        raise unusable(engine, "read", error) from error
    if present != script.get_current_head():
        found = "the database holds no ledger yet" if present is None else f"the database is at version {present}"
        text = (
            f"{found}, expected one at version {script.get_current_head()}; run the plant first, which brings it there"
        )
        raise Misconfigured([Problem(text, path="ledger.url")])


def _present(connection: Connection, script: ScriptDirectory) -> str | None:
    """The version that the tables have; Misconfigured when this program does not know it."""
    present = MigrationContext.configure(connection).get_current_revision()
    known = {revision.revision for revision in script.walk_revisions()}
    if present is not None and present not in known:
        text = (
            f"the database is at version {present}, this program knows versions up to {script.get_current_head()}; "
            "start the newer program, or restore a backup made before it"
        )
        raise Misconfigured([Problem(text, path="ledger.url")])
    return present


def _upgrade(engine: Engine) -> None:
    config = _config()
    script = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        without_hurry(connection)
        if engine.dialect.name == "postgresql":  # two gateways may start at once
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        present = _present(connection, script)
        if present == script.get_current_head():
            return
        config.attributes["connection"] = connection.execution_options(write=True)
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config
