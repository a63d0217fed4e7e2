"""PostgreSQL: connecting, beginning a transaction, and the meaning of error codes.

Nothing outlasts a transaction, since a pooler such as PgBouncer in transaction mode gives the next one to another
session: no session options, no prepared statements, no ``LISTEN``, and no locks but those of a transaction. The
time-outs are sent with its ``BEGIN``, in one round trip.
"""

from typing import Any, Final

from processor.core.errors import StoreFault
from processor.database import Interrupter

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


class PostgresqlBackend(Interrupter):
    """The connection to the server."""

    def __init__(self, *, writes: bool) -> None:
        super().__init__()
        self._begin = _BEGIN.format(mode="" if writes else " READ ONLY")

    def begin(self, connection: Any) -> None:
        """Begin a transaction on ``connection``."""
        connection.execute(self._begin)

    begin_at_once = begin

    @staticmethod
    def is_broken(connection: Any) -> bool:
        """Whether a connection of the driver is closed."""
        return bool(connection is None or connection.closed)

    @staticmethod
    def fault_of(error: object) -> StoreFault:
        """The fault of the database that an error of the driver shows."""
        state = getattr(error, "sqlstate", None)
        if state is None or state.startswith(_UNREACHABLE):
            return "unreachable"
        return _FAULTS.get(state, "failed")
