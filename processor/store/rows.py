"""Many rows in few statements.

A group of webhooks is written by a thread that shares the interpreter lock with the event loop. The driver lets go of
that lock at each statement, and may wait for it, so rows go many at a time. The SQL is rendered once for each power of
two, and rows pass as plain tuples.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Column, Connection, Dialect, Executable, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

Insert = sqlite.Insert | postgresql.Insert
_LARGEST: Final = 64


class Insertion:
    """Inserts rows that hold a value for each of ``columns``, in their order."""

    def __init__(
        self,
        dialect: Dialect,
        columns: Sequence[Column[Any]],
        on_conflict: Callable[[Insert], Insert] = lambda insert: insert,
    ) -> None:
        self._dialect = dialect
        self._columns = tuple(columns)
        self._on_conflict = on_conflict
        self._sql = lru_cache(maxsize=None)(self._render)

    def __call__(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert ``rows``. No two may conflict with each other."""
        for chunk in _chunks(rows):
            connection.exec_driver_sql(self._sql(len(chunk)), tuple(value for row in chunk for value in row))

    def _render(self, count: int) -> str:
        table: Table = self._columns[0].table
        row = {column.name: None for column in self._columns}
        insert = insert_into(self._dialect, table).values([row] * count)
        return rendered(self._dialect, self._on_conflict(insert), count * len(self._columns))


def rendered(dialect: Dialect, statement: Executable, parameters: int) -> str:
    """SQL for `Connection.exec_driver_sql`, whose parameters go by position in the order of the text."""
    plain = type(dialect)(paramstyle="format") if dialect.name == "postgresql" else dialect  # type: ignore[call-arg]
    compiled = statement.compile(dialect=plain)  # type: ignore[attr-defined]  # every statement has it
    assert isinstance(compiled, SQLCompiler)  # noqa: S101  what a statement compiles to
    assert len(compiled.positiontup or ()) == parameters  # noqa: S101  a literal would have become a parameter
    return str(compiled)


def insert_into(dialect: Dialect, table: Table) -> Insert:
    """An INSERT that knows ON CONFLICT, which SQLAlchemy has for each database apart."""
    return postgresql.insert(table) if dialect.name == "postgresql" else sqlite.insert(table)


def _chunks(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Runs of 64, 32, 16, ... 1 rows."""
    start = 0
    while start < len(rows):
        size = min(_LARGEST, 1 << (len(rows) - start).bit_length() - 1)
        yield rows[start : start + size]
        start += size
