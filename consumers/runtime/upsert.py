"""``INSERT … ON CONFLICT``, which SQLite and PostgreSQL share and SQLAlchemy keeps in two places."""

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert with ``on_conflict_do_nothing`` and ``on_conflict_do_update``, for the database at hand."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
