"""The steps from an empty database to the tables of this version. They run when the service starts."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text

from processor.core.errors import StoreError

_UPGRADING = 7_405_123
"""PostgreSQL advisory lock: instances that start together upgrade one after the other."""


def upgrade(connection: Connection) -> None:
    """Bring the database to the newest revision, within the connection's transaction.

    Raises `StoreError` if a newer version of the service has been there.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADING})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(f"the database cannot be brought to this version's tables: {error}") from error
