"""The database: one connection, transactions on it, and the translation of its errors."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from processor.core.errors import StoreError, StoreLocked, StoreUnavailable
from processor.database import postgresql_engine
from processor.store.postgresql import PostgresqlBackend
from processor.store.sqlite import SqliteBackend, make_private, path_of, sqlite_engine

_REJECTIONS: Final = ("DataError", "IntegrityError", "NotSupportedError", "ProgrammingError")
"""Errors of the driver for which the statement or its values are at fault, not the database."""
_SPOILING: Final = ("unreachable", "read_only")
"""After these faults another connection is made: it may lead to another server, which accepts writes."""


Backend = SqliteBackend | PostgresqlBackend
"""The part that differs between the kinds of database, on the driver's connection."""


class Database:
    """One connection to one database, made again after it broke. For one thread at a time.

    ``exclusive`` tells whether this process is the only one that writes to it: an SQLite file, held by a lock.
    """

    def __init__(self, engine: Engine, backend: Backend, *, exclusive: bool, lock: ExitStack | None = None) -> None:
        self.exclusive = exclusive
        self.dialect = engine.dialect
        self._engine = engine
        self._backend = backend
        self._driver: Any = engine.dialect.loaded_dbapi
        self._rejections = tuple(getattr(self._driver, name) for name in _REJECTIONS)
        self._lock = lock or ExitStack()
        self._idle: Connection | None = None
        self._current: Connection | None = None
        self._spoiled = False

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction, or the one that is already open. Commits at the end, or rolls back.

        Raises `StoreUnavailable` where the database fails (after a lost connection the commit may have gone through),
        and the bare `StoreError` where it rejects a statement or a value.
        """
        if self._current is not None:
            with self._translating():
                yield self._current
            return
        connection = self.begin()
        try:
            with self._translating():
                yield connection
        except BaseException:
            self.rollback()
            raise
        self.commit()

    def begin(self) -> Connection:
        """Begin a transaction, which `commit` or `rollback` ends, perhaps in another thread."""
        with self._translating():
            connection, self._idle = self._idle or self._engine.connect(), None
            try:
                self._backend.begin(_driver_connection(connection))
                connection.begin()
            except BaseException:
                self._give_up(connection)
                raise
        self._current, self._spoiled = connection, False
        return connection

    def begin_at_once(self) -> bool:
        """Begin a transaction if that takes no waiting, so the event loop may call this. False if it would wait."""
        if self._idle is None:
            return False
        with suppress(self._driver.Error):
            self._backend.begin_at_once(_driver_connection(self._idle))
            self._idle.begin()
            self._current, self._idle = self._idle, None
            return True
        return False

    def interrupt(self) -> None:
        """Make another thread's statement fail with `StoreUnavailable`; a disk that hangs cannot be interrupted."""
        self._backend.interrupt()

    def commit(self) -> None:
        """Commit; durable on return. May wait for the disk."""
        with self._translating(), self._ending() as connection:
            connection.commit()
            self._idle = connection

    def rollback(self) -> None:
        """Undo the transaction. A broken connection is dropped."""
        with suppress(SQLAlchemyError), self._ending() as connection:
            connection.rollback()

    @contextmanager
    def _ending(self) -> Iterator[Connection]:
        connection, self._current = self._current, None
        assert connection is not None  # noqa: S101  begun before it is ended
        try:
            yield connection
        finally:
            if self._idle is not connection:
                self._give_up(connection)

    def _give_up(self, connection: Connection) -> None:
        if not connection.invalidated and (self._spoiled or self._backend.is_broken(_driver_connection(connection))):
            connection.invalidate()
        connection.close()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """Raise the store's errors for those of SQLAlchemy and, where a statement bypassed it, of the driver."""
        try:
            yield
        except (DBAPIError, self._driver.Error) as raised:
            error = raised.orig if isinstance(raised, DBAPIError) else raised
            if isinstance(error, self._rejections):  # the cause would quote the rejected value
                raise StoreError(f"the database refused it: {type(error).__name__}") from None
            raise self._unavailable(error) from raised
        except PoolTimeoutError as error:
            raise StoreUnavailable("the connection is in use") from error

    def _unavailable(self, error: object) -> StoreUnavailable:
        fault = self._backend.fault_of(error)
        self._spoiled = fault in _SPOILING
        return StoreUnavailable(_first_line(error), fault)

    def close(self) -> None:
        """Close the connection, then release the database."""
        with self._lock:
            if self._idle is not None:
                self._idle.close()
            self._engine.dispose()
            self._backend.close()


def open_database(url: str) -> Database:
    """Open for reading and writing. Raises `StoreLocked` if another process has the SQLite file."""
    parsed = _parse_url(url)
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(parsed, writes=True)
    with ExitStack() as lock:
        path = path_of(parsed)
        make_private(path)
        lock.enter_context(_hold_lock(path.with_name(f"{path.name}.lock")))
        backend = SqliteBackend(writes=True)
        return Database(sqlite_engine(path, backend, mode="rwc"), backend, exclusive=True, lock=lock.pop_all())
    raise AssertionError  # ExitStack swallows nothing here, which the type checker cannot know


def open_read_only(url: str) -> Database:
    """Open an existing database for reading, also while the service runs."""
    parsed = _parse_url(url)
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(parsed, writes=False)
    path = path_of(parsed)
    if not path.exists():
        raise StoreUnavailable(f"there is no database at {path}")
    backend = SqliteBackend(writes=False)
    return Database(sqlite_engine(path, backend, mode="ro"), backend, exclusive=False)


def _parse_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError("the store's address is no URL, such as sqlite:////path/to/file.db") from None
    match parsed.get_backend_name():
        case "sqlite":
            return parsed
        case "postgresql":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise StoreError(f"the store runs on sqlite or postgresql, not on {other}")


def _postgresql(url: URL, *, writes: bool) -> Database:
    backend = PostgresqlBackend(writes=writes)
    return Database(postgresql_engine(url, backend, name="xumm-webhook-processor"), backend, exclusive=False)


@contextmanager
def _hold_lock(path: Path) -> Iterator[None]:
    """Hold an advisory lock, which ends with the process."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        raise StoreLocked(f"{path.with_suffix('')} is in use by process {holder}; only one may write to it") from None
    finally:
        os.close(descriptor)


def _driver_connection(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


def _first_line(error: object) -> str:
    with suppress(IndexError):
        return str(error).splitlines()[0]
    return type(error).__name__
