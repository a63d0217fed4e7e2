"""The database of a consumer behind one worker thread and one connection. Concurrent writes share a commit."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Self, TypeVar

import structlog
from sqlalchemy import Connection, Engine, MetaData, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from consumers.runtime.engine import open_engine
from consumers.runtime.errors import DatabaseUnavailable
from consumers.runtime.schema import ensure
from processor.database import Interrupter, WorkerThread, settle
from processor.observability.redaction import clean_line

T = TypeVar("T")
Job = Callable[[Connection], Any]

GROUP_LIMIT: Final = 64
"""Jobs in one commit: as many as the default prefetch."""
JOB_FAULTS: Final = frozenset({"57014"})
"""SQLSTATE of a statement that took too long. Drivers raise an operational error, but the job is at fault."""
SQLITE_UNAVAILABLE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
    }
)
LONGEST_SECONDS: Final = 35.0
"""After which the connection to a silent database is cut off: longer than a statement may take."""
CLOSING_SECONDS: Final = 5.0
"""How long closing waits for the running group, and then for the database."""

log = structlog.get_logger()


class ConsumerDatabase:
    """Runs plain functions over a transaction, one group at a time, off the event loop.

    A function must do nothing but database work on the connection it gets: the functions of a group that fails as a
    whole are run again, one by one.
    """

    def __init__(self, url: str) -> None:
        self._interrupter = Interrupter()
        self._engine = open_engine(make_url(url), self._interrupter)
        self._worker = WorkerThread("consumer-database")
        self._worker.start()
        self._pending: deque[tuple[Job, asyncio.Future[Any]]] = deque()
        self._flusher: asyncio.Task[None] | None = None

    async def create(self, tables: MetaData, *, name: str, version: int) -> None:
        """Create missing ``tables`` and store ``version``. Raises `SchemaTooNew`, `DatabaseUnavailable`."""
        try:
            await self._off_loop(lambda: ensure(self._engine, tables, name=name, version=version))
        except DBAPIError as error:
            raise _translate(error) from error

    async def write(self, job: Callable[[Connection], T]) -> T:
        """Return the result of ``job`` once it is committed. An exception undoes its changes and is raised."""
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._pending.append((job, outcome))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        return await outcome

    async def read(self, job: Callable[[Connection], T]) -> T:
        """Return the result of ``job``, which sees every write that was awaited before."""
        return await self.write(job)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Wait for the running group, then close. A database that does not answer then is abandoned."""
        if self._flusher is not None and not await _wait_for(self._flusher):
            self._interrupter.interrupt()
        if not await _wait_for(self._worker.call(self._engine.dispose)):
            log.error("database.abandoned")
        self._interrupter.close()
        self._worker.stop()

    async def _flush(self) -> None:
        while self._pending:
            group = [self._pending.popleft() for _ in range(min(len(self._pending), GROUP_LIMIT))]
            done = await self._off_loop(partial(_run_group, self._engine, [job for job, _ in group]))
            for (_, future), outcome in zip(group, done, strict=True):
                settle(future, outcome)

    async def _off_loop(self, function: Callable[[], T]) -> T:
        """Return the result of ``function``. The connection is cut off when that takes too long."""
        return await self._worker.call_within(LONGEST_SECONDS, function, self._interrupter.interrupt)


async def _wait_for(future: "asyncio.Future[Any]") -> bool:
    """Whether ``future`` is done in time."""
    done, _ = await asyncio.wait([future], timeout=CLOSING_SECONDS)
    return bool(done)


def _run_group(engine: Engine, jobs: Sequence[Job]) -> list[Any]:
    """The result or the exception of each job; never raises. A job that fails takes no other with it."""
    if len(jobs) == 1:
        return [_run_alone(engine, jobs[0])]
    try:
        with engine.begin() as transaction:
            return [_run_nested(transaction, job) for job in jobs]
    except Exception:  # noqa: BLE001  the jobs of a broken group are run one by one
        return [_run_alone(engine, job) for job in jobs]


def _run_alone(engine: Engine, job: Job) -> Any:
    try:
        with engine.begin() as transaction:
            return _call_job(job, transaction)
    except DBAPIError as error:
        return _translate(error)
    except Exception as error:  # noqa: BLE001  raised by `write`
        return error


def _run_nested(transaction: Connection, job: Job) -> Any:
    """The result or the exception of one job of a group. An error that breaks the whole group is raised."""
    try:
        with transaction.begin_nested():
            return _call_job(job, transaction)
    except Exception as error:
        is_unavailable = isinstance(error, DBAPIError) and isinstance(_translate(error), DatabaseUnavailable)
        if is_unavailable or not transaction.in_transaction():
            raise
        return error


def _call_job(job: Job, transaction: Connection) -> Any:
    result = job(transaction)
    if not transaction.in_transaction():
        raise RuntimeError("a handler must neither commit nor roll back: others share its transaction")
    return result


def _translate(error: DBAPIError) -> Exception:
    """`DatabaseUnavailable` if the database or its load is at fault; ``error`` itself if the job is."""
    cause = error.orig
    unavailable = error.connection_invalidated or (
        isinstance(error, OperationalError)
        and getattr(cause, "sqlstate", None) not in JOB_FAULTS
        and (not isinstance(cause, sqlite3.Error) or cause.sqlite_errorcode & 0xFF in SQLITE_UNAVAILABLE)
    )
    if not unavailable:
        return error
    unavailability = DatabaseUnavailable(clean_line(str(cause)))
    unavailability.__cause__ = error
    return unavailability
