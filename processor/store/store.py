"""A store that is open: one connection, the functions of this package in transactions on it, and recording."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import Connection

from processor.core.payload.entry import Entry, Recorded
from processor.core.sign_request.sealing import Keyring
from processor.store import leases
from processor.store.database import Database, open_database, open_read_only
from processor.store.migrations import refuse_newer, upgrade
from processor.store.recording import Recording

T = TypeVar("T")
P = ParamSpec("P")


class Store:
    """One connection to the database, for one thread at a time. Every method raises `StoreError`.

    What a method wrote is durable when it returns, and nothing was written when it raises; except that a commit to
    PostgreSQL whose connection was lost may have gone through. Everything may be repeated safely.
    """

    def __init__(self, database: Database, keyring: Keyring | None = None) -> None:
        self.database = database
        self._recording = Recording(database.dialect, exclusive=database.exclusive, keyring=keyring)

    @classmethod
    def open(cls, url: str, keyring: Keyring | None = None) -> Self:
        """Open ``sqlite:////path`` or ``postgresql://...`` and bring it to the newest revision.

        The only process of an SQLite file ends the leases of the one before it. Without a ``keyring`` no user tokens
        are kept. Raises `StoreLocked` if another process has the SQLite file.
        """
        store = cls(open_database(url), keyring)
        store._prepare(upgrade)
        return store

    @classmethod
    def open_read_only(cls, url: str) -> Self:
        """Open a database that exists for reading, also while the service runs."""
        store = cls(open_read_only(url))
        store._prepare(refuse_newer)
        return store

    def _prepare(self, step: Callable[[Connection], None]) -> None:
        try:
            with self.database.transaction() as connection:
                step(connection)
                if self.database.exclusive:
                    leases.end_all(connection)
        except BaseException:
            self.close()
            raise

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function of a connection, in a transaction: in the open one, if there is one."""
        with self.database.transaction() as connection:
            return function(connection, *args, **kwargs)

    def record(self, entries: Sequence[Entry], now: datetime) -> list[Recorded]:
        """Store ``entries``, all of them or none, each on top of those before it. At most `GROUP_LIMIT`."""
        return self.run(self._recording.record, entries, now)

    def close(self) -> None:
        """Close the connection and release the database."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
