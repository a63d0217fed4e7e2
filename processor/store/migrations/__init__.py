"""The steps from an empty database to the tables of this version. They run when the service starts."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from processor.core.errors import StoreError

_UPGRADING: Final = 7_405_123
"""An advisory lock of PostgreSQL, for the transaction: instances that start together upgrade one by one."""
_UNHURRIED: Final = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'"
"""A step may rewrite a large table, and other instances that start meanwhile wait for it."""


def upgrade(connection: Connection) -> None:
    """Bring the database to the newest revision, within the connection's transaction.

    Raises `StoreError` if a newer version of the service made the tables.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_UNHURRIED)
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADING})
    refuse_newer(connection)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def refuse_newer(connection: Connection) -> None:
    """Raise `StoreError` if a newer version of the service made the tables."""
    steps = ScriptDirectory.from_config(_config())
    known = {step.revision for step in steps.walk_revisions()}
    found = MigrationContext.configure(connection).get_current_heads()
    if unknown := sorted(set(found) - known):
        raise StoreError(
            f"a newer version of the service made the database: its tables are of revision {', '.join(unknown)}, and "
            f"this version knows none after {steps.get_current_head()}. Run that version or a newer one; or, to go "
            "back, restore the backup that was made before the upgrade"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config
