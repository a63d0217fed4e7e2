"""A PostgreSQL server, perhaps behind a pooler: how it is reached, how a transaction begins, what its errors mean.

Nothing here outlasts a transaction, since a pooler such as PgBouncer in transaction mode gives the next one to another
session: there are no options of the session, no prepared statements, no ``LISTEN``, and no locks but those of a
transaction. The time-outs go out with its ``BEGIN``, in one round trip.
"""

import os
import socket
from contextlib import suppress
from threading import Lock
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event

from processor.core.errors import StoreFault

_ADDRESS: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "xumm-webhook-processor",
}
_BEGIN: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED{mode};"  # after a wait for a row lock, the newest row is read
    "SET LOCAL statement_timeout = '8s'; SET LOCAL lock_timeout = '5s';"
    "SET LOCAL idle_in_transaction_session_timeout = '20s'"
)
"""The server ends what takes too long by itself, so that its locks go; a server that stands still does not."""
_FAULTS: Final[dict[str, StoreFault]] = {
    "25006": "read_only",
    "53100": "disk_full",
    "55P03": "locked",
    "57014": "slow",
    "25P03": "slow",
    "58030": "disk_failed",
}
"""By SQLSTATE. Source: https://www.postgresql.org/docs/current/errcodes-appendix.html"""
_UNREACHABLE: Final = ("08", "57P")
"""Classes of SQLSTATE: the connection failed, the server shuts down or is not up yet."""


class PostgresqlBackend:
    """The connection to the server. Its socket is held twice, so that another thread can cut it off at any time."""

    def __init__(self, *, writes: bool) -> None:
        self._begin = _BEGIN.format(mode="" if writes else " READ ONLY")
        self._socket: socket.socket | None = None
        self._changing = Lock()

    def opened(self, connection: Any) -> None:
        """A connection was made. Behind a pooler its statements are not prepared."""
        with self._changing:
            self._drop()
            self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        connection.autocommit = True  # transactions are begun below, with their time-outs
        (served_by,) = connection.execute("SELECT pg_backend_pid()").fetchone()
        if served_by != connection.info.backend_pid:  # what a pooler told when it was connected to is its own invention
            connection.prepare_threshold = None

    def begin(self, connection: Any) -> None:
        """Begin a transaction on ``connection``."""
        connection.execute(self._begin)

    begin_at_once = begin

    def interrupt(self) -> None:
        """Let whatever waits for the server in another thread fail, be the server asleep or gone."""
        with self._changing, suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def is_broken(connection: Any) -> bool:
        """Whether a connection of the driver leads nowhere any more."""
        return bool(connection is None or connection.closed)

    def close(self) -> None:
        """Hold the socket no longer."""
        with self._changing:
            self._drop()

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @staticmethod
    def fault_of(error: object) -> StoreFault:
        """What an error of the driver tells of the database."""
        state = getattr(error, "sqlstate", None)
        if state is None or state.startswith(_UNREACHABLE):
            return "unreachable"
        return _FAULTS.get(state, "failed")


def postgresql_engine(url: URL, backend: PostgresqlBackend) -> Engine:
    """An engine of one connection to ``url``, whose own options count first."""
    engine = create_engine(
        url.set(query={**_ADDRESS, **url.query}), pool_size=1, pool_timeout=5.0, max_overflow=0, hide_parameters=True
    )
    event.listen(engine, "connect", lambda connection, _record: backend.opened(connection), insert=True)
    return engine
