"""PostgreSQL: connecting, beginning a transaction, and the meaning of error codes.

Nothing outlasts a transaction, since a pooler such as PgBouncer in transaction mode gives the next one to another
session: no session options, no prepared statements, no ``LISTEN``, and no locks but those of a transaction. The
time-outs are sent with its ``BEGIN``, in one round trip.
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
"""The server ends a transaction that takes too long, which releases its locks; a server that hangs does not."""
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
"""Classes of SQLSTATE: the connection failed, the server shuts down or does not accept connections yet."""


class PostgresqlBackend:
    """The connection to the server. A duplicate of its socket lets another thread shut it down at any time."""

    def __init__(self, *, writes: bool) -> None:
        self._begin = _BEGIN.format(mode="" if writes else " READ ONLY")
        self._socket: socket.socket | None = None
        self._changing = Lock()

    def set_up(self, connection: Any) -> None:
        """Set up a new connection. Behind a pooler its statements are not prepared."""
        with self._changing:
            self._drop()
            self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        connection.autocommit = True  # transactions begin below, with their time-outs
        (served_by,) = connection.execute("SELECT pg_backend_pid()").fetchone()
        if served_by != connection.info.backend_pid:  # a pooler makes up the id that it tells on connecting
            connection.prepare_threshold = None

    def begin(self, connection: Any) -> None:
        """Begin a transaction on ``connection``."""
        connection.execute(self._begin)

    begin_at_once = begin

    def interrupt(self) -> None:
        """Make the wait of another thread for the server fail, whether the server hangs or is gone."""
        with self._changing, suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def is_broken(connection: Any) -> bool:
        """Whether a connection of the driver is closed."""
        return bool(connection is None or connection.closed)

    def close(self) -> None:
        """Release the socket."""
        with self._changing:
            self._drop()

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @staticmethod
    def fault_of(error: object) -> StoreFault:
        """The fault of the database that an error of the driver shows."""
        state = getattr(error, "sqlstate", None)
        if state is None or state.startswith(_UNREACHABLE):
            return "unreachable"
        return _FAULTS.get(state, "failed")


def postgresql_engine(url: URL, backend: PostgresqlBackend) -> Engine:
    """An engine of one connection to ``url``, whose own options take precedence."""
    engine = create_engine(
        url.set(query={**_ADDRESS, **url.query}), pool_size=1, pool_timeout=5.0, max_overflow=0, hide_parameters=True
    )
    event.listen(engine, "connect", lambda connection, _record: backend.set_up(connection), insert=True)
    return engine
