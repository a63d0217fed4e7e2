"""Statements for many rows, which are plain tuples: SQLAlchemy renders each statement once, not for each row.

Values go by position: with names, each of a webhook's five or six rows would cost twice as much, 10 % of its CPU.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import Column, Connection, Dialect, Executable, Table, TextClause, text
from sqlalchemy.sql.compiler import SQLCompiler

from processor.database import Insert, insert_into


def driver_cursor(connection: Connection) -> Any:
    """A cursor of the driver, in the connection's transaction, for the statements of each group of entries.

    It is here for speed: SQLAlchemy's execution takes longer than such a statement. Raises the driver's errors, which
    `Database` translates.
    """
    return connection.connection.cursor()


def first_of_each(
    connection: Connection, part: str, lanes: Sequence[Mapping[str, Any]], **common: Any
) -> Iterator[Any]:
    """The rows that ``part``, a SELECT, finds for each of ``lanes``, locked where others write too.

    In ``part``, ``:name_{number}`` is a value of the lane, ``:name`` one of ``common``, and ``{lock}`` the place of
    the lock.
    """
    lock = _LOCKS.get(connection.dialect.name, "")
    for start in range(0, len(lanes), _LANES_AT_ONCE):
        some = lanes[start : start + _LANES_AT_ONCE]
        own = {f"{name}_{number}": value for number, lane in enumerate(some) for name, value in lane.items()}
        yield from connection.execute(_union(part, len(some), lock), {**common, **own})


@cache
def _union(part: str, count: int, lock: str) -> TextClause:
    lanes = (f"({part.format(number=number, lock=lock)}) AS lane_{number}" for number in range(count))
    return text(" UNION ALL ".join(f"SELECT * FROM {lane}" for lane in lanes))  # noqa: S608  of constants and numbers


class Insertion:
    """Inserts rows that hold a value for each of ``columns``, in their order: many with one step of the database.

    A row of several takes half of the time of a row alone. In SQLite a row that fails leaves those before it, which
    spares a copy of each page: the transaction is rolled back anyway.
    """

    def __init__(self, dialect: Dialect, columns: Sequence[Column[Any]]) -> None:
        insert = _insert(dialect, columns).prefix_with("OR FAIL", dialect="sqlite")
        self._one = render(dialect, insert, len(columns))
        self._statements: dict[int, str] = {}

    def __call__(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert ``rows``."""
        if not rows:
            return
        cursor, start = driver_cursor(connection), 0
        while start < len(rows):
            count = min(1 << (len(rows) - start).bit_length() - 1, _MOST_ROWS)
            cursor.execute(self._statement(count), [value for row in rows[start : start + count] for value in row])
            start += count

    def _statement(self, count: int) -> str:
        """For ``count`` rows: powers of two only, so that few statements are prepared."""
        if count not in self._statements:
            self._statements[count] = _ROW.sub(lambda row: "VALUES " + ", ".join([row[1]] * count), self._one)
        return self._statements[count]


class Upsert:
    """Inserts rows, with ``on_conflict`` for those that exist. No two rows may conflict with each other.

    One by one: SQLite takes twice the time for several at once.
    """

    def __init__(
        self, dialect: Dialect, columns: Sequence[Column[Any]], on_conflict: Callable[[Insert], Insert]
    ) -> None:
        self._sql = render(dialect, on_conflict(_insert(dialect, columns)), len(columns))

    def __call__(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert ``rows``."""
        if rows:
            driver_cursor(connection).executemany(self._sql, rows)


_LANES_AT_ONCE: Final = 100
"""SQLite takes no more than 500 parts of a compound query."""
_LOCKS: Final = {"postgresql": "FOR UPDATE SKIP LOCKED"}
_MOST_ROWS: Final = 64
_ROW: Final = re.compile(r"VALUES (\([^()]*\))")


def _insert(dialect: Dialect, columns: Sequence[Column[Any]]) -> Insert:
    table: Table = columns[0].table
    return insert_into(dialect, table).values({column.name: None for column in columns})


def render(dialect: Dialect, statement: Executable, parameters: int) -> str:
    """SQL for a cursor of the driver, with positional parameters."""
    plain = type(dialect)(paramstyle="format") if dialect.name == "postgresql" else dialect  # type: ignore[call-arg]  # all take it
    compiled = statement.compile(dialect=plain)  # type: ignore[attr-defined]  # every statement has it
    assert isinstance(compiled, SQLCompiler)  # noqa: S101  what a statement compiles to
    assert len(compiled.positiontup or ()) == parameters  # noqa: S101  a literal would have become a parameter
    return str(compiled)
