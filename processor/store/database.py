"""The database behind the store: one connection, transactions, and what its failures mean to the caller."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from processor.core.errors import StoreError, StoreLocked, StoreUnavailable
from processor.store.rows import driver

_REJECTIONS: Final = ("DataError", "IntegrityError", "NotSupportedError", "ProgrammingError")
"""What was sent is at fault, not the database."""
_SQLITE: Final = {
    "isolation_level": None,  # transactions are begun below, not guessed by the driver
    "check_same_thread": False,
    "cached_statements": 256,
    "timeout": 5.0,
}
_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",  # a commit is on the disk before it is acknowledged
    "wal_autocheckpoint = 4000",  # 16 MiB: a page that changes often is copied into the file less often
    "cache_size = -16000",  # 16 MiB
)
_POSTGRESQL: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "application_name": "xumm-webhook-processor",
    "options": "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s",
}


class Database:
    """One connection to one database, which is made again when it broke. For one thread at a time.

    ``exclusive`` tells whether this process is the only one that writes to it: an SQLite file, held by a lock.
    """

    def __init__(self, engine: Engine, *, exclusive: bool, lock: ExitStack | None = None) -> None:
        self.exclusive = exclusive
        self.dialect = engine.dialect
        self._engine = engine
        self._driver: Any = engine.dialect.loaded_dbapi
        self._rejections = tuple(getattr(self._driver, name) for name in _REJECTIONS)
        self._lock = lock or ExitStack()
        self._idle: Connection | None = None
        self._current: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction, or the one that is already open. Commits at the end, or rolls back.

        Raises `StoreUnavailable` where the database is not up to it (of a lost connection it may be unknown whether
        the commit went through), and the bare `StoreError` where it refused what it was sent.
        """
        if self._current is not None:
            with self._translated():
                yield self._current
            return
        connection = self.begin()
        try:
            with self._translated():
                yield connection
        except BaseException:
            self.rollback()
            raise
        self.commit()

    def begin(self) -> Connection:
        """Begin a transaction, which `commit` or `rollback` ends: perhaps in another thread."""
        with self._translated():
            connection, self._idle = self._idle or self._engine.connect(), None
            try:
                connection.begin()
            except BaseException:
                connection.close()
                raise
        self._current = connection
        return connection

    def commit(self) -> None:
        """Commit, and return when it is on the disk."""
        with self._translated(), self._ending() as connection:
            connection.commit()
            self._idle = connection

    def rollback(self) -> None:
        """Undo what was done since `begin`. A connection that is broken is dropped."""
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
                connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors of SQLAlchemy, and those of the driver where a statement went past it, are the store's."""
        try:
            yield
        except (DBAPIError, self._driver.Error) as raised:
            error = raised.orig if isinstance(raised, DBAPIError) else raised
            if isinstance(error, self._rejections):  # the cause would quote what was refused
                raise StoreError(f"the database refused it: {type(error).__name__}") from None
            raise StoreUnavailable(_first_line(error)) from raised
        except PoolTimeoutError as error:
            raise StoreUnavailable("the connection is in use") from error

    def close(self) -> None:
        """Close the connection, then let others have the database."""
        with self._lock:
            if self._idle is not None:
                self._idle.close()
            self._engine.dispose()


def open_database(url: str) -> Database:
    """Open for reading and writing. Raises `StoreLocked` if another process has the SQLite file."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "postgresql":
        return Database(_postgresql(parsed), exclusive=False)
    with ExitStack() as lock:
        path = _path(parsed)
        _make_private(path)
        lock.enter_context(_locked(path.with_name(f"{path.name}.lock")))
        engine = _sqlite(f"file:{_quoted(path)}?mode=rwc", "BEGIN IMMEDIATE")
        return Database(engine, exclusive=True, lock=lock.pop_all())
    raise AssertionError  # ExitStack swallows nothing here, which the type checker cannot know


def open_read_only(url: str) -> Database:
    """Open for looking at it while the service runs."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "postgresql":
        engine = _postgresql(parsed, " -c default_transaction_read_only=on")
        return Database(engine, exclusive=False)
    path = _path(parsed)
    if not path.exists():
        raise StoreUnavailable(f"there is no database at {path}")
    return Database(_sqlite(f"file:{_quoted(path)}?mode=ro", "BEGIN"), exclusive=False)


def _parsed(url: str) -> URL:
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


def _postgresql(url: URL, options: str = "") -> Engine:
    defaults = _POSTGRESQL | {"options": _POSTGRESQL["options"] + options}
    return create_engine(
        url.set(query={**defaults, **url.query}),
        isolation_level="READ COMMITTED",  # after a wait for a row lock, the newest row is read
        pool_size=1,
        max_overflow=0,
        hide_parameters=True,
    )


def _sqlite(address: str, begin: str) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=address, query={"uri": "true"}),
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args=_SQLITE,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        if begin == "BEGIN":
            connection.execute("PRAGMA query_only = ON")
            return
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        driver(connection).execute(begin)

    return engine


def _path(url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise StoreError("an SQLite store needs a file: sqlite:////path/to/file.db")
    return Path(url.database).absolute()


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _make_private(path: Path) -> None:
    """The directory and the file, readable by nobody else: SQLite gives its other files the same mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"cannot open {path}: {error.strerror}") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock, which ends with the process whatever ends it."""
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


def _first_line(error: object) -> str:
    with suppress(IndexError):
        return str(error).splitlines()[0]
    return type(error).__name__
