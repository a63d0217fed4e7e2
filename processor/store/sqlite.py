"""SQLite: opening a file, beginning a transaction, and the meaning of error codes."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from processor.core.errors import StoreError, StoreFault, StoreUnavailable

_BUSY_MS: Final = 5_000
"""Milliseconds that a transaction waits for another process that has the file locked."""
_OPTIONS: Final = {
    "isolation_level": None,  # transactions begin below, not in the driver
    "check_same_thread": False,
    "cached_statements": 256,
    "timeout": _BUSY_MS / 1000,
}
_FOR_READING: Final = ("query_only = ON",)
_FOR_WRITING: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",  # a commit is on the disk before it is acknowledged
    "wal_autocheckpoint = 4000",  # 16 MiB: a page that changes often is copied into the file less often
    "journal_size_limit = 33554432",  # a log that grew beside a long reader shrinks after it
    "cache_size = -16000",  # 16 MiB
    "cache_spill = 65536",  # pages: until then only a commit writes to the disk
    "busy_timeout = 0",  # the event loop begins transactions, and must not wait: see `SqliteBackend.begin`
)
_FAULTS: Final[dict[int, StoreFault]] = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_FULL: "disk_full",
    sqlite3.SQLITE_IOERR: "disk_failed",
    sqlite3.SQLITE_CANTOPEN: "disk_failed",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_INTERRUPT: "slow",
}


class SqliteBackend:
    """The connection of the driver; for reading only, unless it ``writes``."""

    def __init__(self, *, writes: bool) -> None:
        self._writes = writes
        self._connection: sqlite3.Connection | None = None

    def set_up(self, connection: Any) -> None:
        """Set up a new connection."""
        self._connection = connection
        for pragma in _FOR_WRITING if self._writes else _FOR_READING:
            connection.execute(f"PRAGMA {pragma}")

    def begin_at_once(self, connection: Any) -> None:
        """Begin a transaction; if that takes waiting for another process, raise the driver's error."""
        connection.execute("BEGIN IMMEDIATE")

    def begin(self, connection: Any) -> None:
        """Begin a transaction; one that writes waits `_BUSY_MS` if another process has the file locked."""
        if not self._writes:
            connection.execute("BEGIN")
            return
        with suppress(sqlite3.OperationalError):
            self.begin_at_once(connection)
            return
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        try:
            self.begin_at_once(connection)
        finally:
            connection.execute("PRAGMA busy_timeout = 0")

    def interrupt(self) -> None:
        """Make the statement that runs in another thread fail. A wait for the disk itself goes on."""
        if self._connection is not None:
            self._connection.interrupt()

    @staticmethod
    def is_broken(_connection: Any) -> bool:
        """Never: a connection to a file does not break."""
        return False

    def close(self) -> None:
        """Release the connection, which the engine closed."""
        self._connection = None

    @staticmethod
    def fault_of(error: object) -> StoreFault:
        """The fault of the database that an error of the driver shows."""
        return _FAULTS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "failed")


def sqlite_engine(path: Path, backend: SqliteBackend, *, mode: str) -> Engine:
    """An engine of one connection to the file at ``path``; ``mode`` is that of SQLite's URI: ``ro``, ``rwc``."""
    engine = create_engine(
        URL.create("sqlite", database=f"file:{_quote(path)}?mode={mode}", query={"uri": "true"}),
        poolclass=QueuePool,
        pool_size=1,
        pool_timeout=5.0,
        max_overflow=0,
        connect_args=_OPTIONS,
        hide_parameters=True,
    )
    event.listen(engine, "connect", lambda connection, _record: backend.set_up(connection))
    return engine


def path_of(url: URL) -> Path:
    """The path of the file. Raises `StoreError` if the URL names none."""
    if not url.database or url.database == ":memory:":
        raise StoreError("an SQLite store needs a file: sqlite:////path/to/file.db")
    return Path(url.database).absolute()


def make_private(path: Path) -> None:
    """Create the directory and the file, readable by nobody else; SQLite gives its other files the same mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"cannot open {path}: {error.strerror}", "disk_failed") from error


def _quote(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
