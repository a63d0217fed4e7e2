"""The thread, the connection to PostgreSQL and the INSERT that the store and the databases of consumers share."""

import os
import socket
from asyncio import Future, get_running_loop
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Dialect, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")
Insert = sqlite.Insert | postgresql.Insert

_ADDRESS: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_INSIST: Final = 1.0
"""Seconds after which a call that goes on is interrupted once more: the next statement may last as long."""


class WorkerThread:
    """Calls functions one after the other. Leaner than an executor: each group of webhooks passes through it."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        # A daemon: an interpreter that exits must not wait for a database that does not answer.
        self._thread = Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin to call functions."""
        self._thread.start()

    def call(self, function: Callable[[], T]) -> "Future[T]":
        """Return a future of the running event loop, for the result or the exception of ``function``."""
        future: Future[T] = get_running_loop().create_future()
        self._calls.put((function, future))
        return future

    async def call_within(self, seconds: float, function: Callable[[], T], interrupt: Callable[[], None]) -> T:
        """As `call`, one at a time. Call ``interrupt`` after ``seconds``, and again each second that it lasts."""
        self._alarm = get_running_loop().call_later(seconds, self._ring, interrupt)
        try:
            return await self.call(function)
        finally:
            self._alarm.cancel()

    def stop(self) -> None:
        """End after the calls that were made."""
        self._calls.put(None)

    def _ring(self, interrupt: Callable[[], None]) -> None:
        interrupt()
        self._alarm = get_running_loop().call_later(_INSIST, self._ring, interrupt)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            function, future = call
            try:
                outcome = function()
            except Exception as error:  # noqa: BLE001  raised where the call came from
                outcome = error
            with suppress(RuntimeError):  # the loop is closed: no caller is left
                future.get_loop().call_soon_threadsafe(settle, future, outcome)
            del call, function, future, outcome  # a thread that waits holds on to nothing


def settle(future: "Future[Any]", outcome: Any) -> None:
    """Resolve ``future``, with an exception if ``outcome`` is one, unless it was cancelled."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


class Interrupter:
    """Cuts off a connection to PostgreSQL, from a thread other than the one that waits for the server.

    It holds the socket of the connection a second time, so the socket stays valid when the driver closes its own.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._changing = Lock()

    def attach(self, connection: Any) -> None:
        """Cut off ``connection``, of the driver, from now on, and no longer the one before."""
        with self._changing:
            self._drop()
            self._socket = socket.socket(fileno=os.dup(connection.fileno()))

    def interrupt(self) -> None:
        """Let a call that waits for the server fail, even if the server does not answer."""
        with self._changing, suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hold the socket no longer."""
        with self._changing:
            self._drop()

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def postgresql_engine(url: URL, interrupter: Interrupter, *, name: str, **options: Any) -> Engine:
    """An engine of one connection, which ``interrupter`` cuts off and the server shows as ``name``.

    Options in ``url`` take precedence. The driver begins no transactions. Behind a pooler, statements are not prepared:
    the next transaction may be another session's.
    """
    engine = create_engine(
        url.set(query={**_ADDRESS, "application_name": name, **url.query}),
        pool_size=1,
        pool_timeout=5.0,
        max_overflow=0,
        hide_parameters=True,
        **options,
    )

    @event.listens_for(engine, "connect", insert=True)
    def set_up(connection: Any, _record: object) -> None:
        interrupter.attach(connection)
        connection.autocommit = True
        (served_by,) = connection.execute("SELECT pg_backend_pid()").fetchone()
        if served_by != connection.info.backend_pid:  # a pooler invents the number that it tells when connecting
            connection.prepare_threshold = None

    return engine


def insert_into(dialect: Dialect, table: Table) -> Insert:
    """An INSERT that knows ON CONFLICT, which SQLAlchemy has for each database apart."""
    return postgresql.insert(table) if dialect.name == "postgresql" else sqlite.insert(table)
