"""A consumer's PostgreSQL, perhaps behind a pooler: nothing outlasts a transaction, and nothing waits without end."""

import os
import socket
from contextlib import suppress
from threading import Lock
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext

from consumers.runtime.storable import storable_json

_ADDRESS: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "xumm-webhook-consumer",
}
_BEGIN: Final = (
    "BEGIN; SET LOCAL statement_timeout = '30s'; SET LOCAL lock_timeout = '10s';"
    "SET LOCAL idle_in_transaction_session_timeout = '60s'; SET LOCAL timezone = 'UTC'"
)
"""One round trip. What is set for the transaction is gone with it, so that a pooler can pass the session on."""

_READ_ONLY: Final = "25006"
"""SQLSTATE of a write on a server that takes none."""


class Interruption:
    """Cuts the connection of an engine off, for a thread other than the one that waits for the server."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._changing = Lock()

    def now(self) -> None:
        """Let whatever waits for the server fail."""
        with self._changing, suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)

    def take(self, connection: Any) -> None:
        """From now on it is about this connection of the driver. None: about no one."""
        with self._changing:
            if self._socket is not None:
                self._socket.close()
            self._socket = None if connection is None else socket.socket(fileno=os.dup(connection.fileno()))


def postgresql_engine(url: URL, interruption: Interruption) -> Engine:
    """An engine of one connection, which ``interruption`` cuts off."""
    engine = create_engine(
        url.set(query={**_ADDRESS, **url.query}),
        pool_size=1,
        pool_timeout=5.0,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,
        json_serializer=storable_json,
    )

    @event.listens_for(engine, "connect", insert=True)
    def set_up(connection: Any, _record: object) -> None:
        interruption.take(connection)
        connection.autocommit = True  # transactions are begun below, with their time-outs
        (served_by,) = connection.execute("SELECT pg_backend_pid()").fetchone()
        if served_by != connection.info.backend_pid:  # a pooler: the next transaction may be another session's
            connection.prepare_threshold = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(_BEGIN)

    @event.listens_for(engine, "handle_error")
    def leave_read_only(context: ExceptionContext) -> None:
        """Another server may be the one to write to by now."""
        if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
            context.is_disconnect = True

    return engine
