"""Many rows with one statement, as plain tuples: what SQLAlchemy does for a value is done once, not for each row."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Dialect, Executable, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

Insert = sqlite.Insert | postgresql.Insert


def driver(connection: Connection) -> Any:
    """A cursor of the driver's own, in the connection's transaction, for what is asked of each group of entries.

    What SQLAlchemy does round a statement takes longer than such a statement. Raises the driver's errors, which
    `Database` translates as it does SQLAlchemy's.
    """
    return connection.connection.cursor()


class Insertion:
    """Inserts rows that hold a value for each of ``columns``, in their order."""

    def __init__(
        self,
        dialect: Dialect,
        columns: Sequence[Column[Any]],
        on_conflict: Callable[[Insert], Insert] = lambda insert: insert,
    ) -> None:
        table: Table = columns[0].table
        insert = insert_into(dialect, table).values({column.name: None for column in columns})
        self._sql = rendered(dialect, on_conflict(insert), len(columns))

    def __call__(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert ``rows``. No two may conflict with each other."""
        if rows:
            driver(connection).executemany(self._sql, rows)


def rendered(dialect: Dialect, statement: Executable, parameters: int) -> str:
    """SQL for a cursor of the driver, whose parameters go by position in the order of the text."""
    plain = type(dialect)(paramstyle="format") if dialect.name == "postgresql" else dialect  # type: ignore[call-arg]  # all take it
    compiled = statement.compile(dialect=plain)  # type: ignore[attr-defined]  # every statement has it
    assert isinstance(compiled, SQLCompiler)  # noqa: S101  what a statement compiles to
    assert len(compiled.positiontup or ()) == parameters  # noqa: S101  a literal would have become a parameter
    return str(compiled)


def insert_into(dialect: Dialect, table: Table) -> Insert:
    """An INSERT that knows ON CONFLICT, which SQLAlchemy has for each database apart."""
    return postgresql.insert(table) if dialect.name == "postgresql" else sqlite.insert(table)
