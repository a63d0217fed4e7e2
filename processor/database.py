"""The connection to PostgreSQL and the INSERT that the store and the databases of consumers share."""

import os
import socket
from contextlib import suppress
from threading import Lock
from typing import Any, Final

from sqlalchemy import URL, Dialect, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite

Insert = sqlite.Insert | postgresql.Insert

_ADDRESS: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


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
