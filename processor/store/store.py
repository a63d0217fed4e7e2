"""The store: what must survive, behind methods that each are one transaction."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import Connection, Dialect, select

from processor.core.payload.due_task import Claim, DueTask, Lane
from processor.core.payload.entry import DeliveryRecord, Entry, Recorded
from processor.core.payload.state import PayloadState
from processor.core.payload.watch import Watch, WatchKey
from processor.core.publishing.message import OutboxMessage
from processor.core.sign_request.sealing import Keyring
from processor.store import deliveries, leases, outbox, outcomes, retention, tasks, watches
from processor.store.database import Database, open_database, open_read_only
from processor.store.deliveries import QuarantinedBody
from processor.store.knowledge import STATE, UNKNOWN, state_of
from processor.store.migrations import refuse_newer, upgrade
from processor.store.outcomes import Outcomes
from processor.store.recording import Recording
from processor.store.retention import Retention
from processor.store.tables import payloads
from processor.store.vault import Vault

T = TypeVar("T")
P = ParamSpec("P")


class Store:
    """One connection to the database, for one thread. Every method raises `StoreError`.

    Guarantees: what a method did is durable when it returns, and nothing is done when it raises, except that of a
    lost connection to PostgreSQL a commit may have gone through; everything may be repeated safely.
    """

    def __init__(self, database: Database, keyring: Keyring | None = None) -> None:
        self._database = database
        self._recording = Recording(database.dialect, exclusive=database.exclusive, keyring=keyring)
        self.depth = 0
        """How many events wait to be published, as far as this process knows: see `outbox_depth`."""

    @classmethod
    def open(cls, url: str, keyring: Keyring | None = None) -> Self:
        """Open ``sqlite:////path`` or ``postgresql://...`` and bring it to the newest revision.

        The one process of an SQLite file takes back what the one before it had leased. Without a ``keyring`` no user
        tokens are kept. Raises `StoreLocked` if another process has the SQLite file.
        """
        store = cls(open_database(url), keyring)
        store._prepare(store._make_current)
        return store

    @classmethod
    def open_read_only(cls, url: str) -> Self:
        """Open a database that exists for looking at it, also while the service runs."""
        store = cls(open_read_only(url))
        store._prepare(refuse_newer)
        return store

    def _prepare(self, step: Callable[[Connection], None]) -> None:
        try:
            with self.transaction() as connection:
                step(connection)
            self.outbox_depth()
        except BaseException:
            self.close()
            raise

    def _make_current(self, connection: Connection) -> None:
        upgrade(connection)
        if self.exclusive:
            leases.take_back(connection)

    @property
    def exclusive(self) -> bool:
        """Whether this process is the only one that writes."""
        return self._database.exclusive

    @property
    def dialect(self) -> Dialect:
        """Of the database, for statements that each kind of it has in a form of its own."""
        return self._database.dialect

    @property
    def vault(self) -> Vault | None:
        """Where user tokens are kept, None if there is no key for them."""
        return self._recording.vault

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Let several calls be one transaction."""
        with self._database.transaction() as connection:
            yield connection

    def in_transaction(self, work: Callable[[], T]) -> T:
        """Do ``work`` in one transaction."""
        with self.transaction():
            return work()

    def do(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call one of the functions of this package, in a transaction."""
        with self.transaction() as connection:
            return function(connection, *args, **kwargs)

    def begin(self) -> None:
        """Begin a transaction that what follows is part of, until `commit` or `rollback`."""
        self._database.begin()

    def begin_at_once(self) -> bool:
        """`begin` where that takes no waiting, so that the event loop may try; False where it takes some."""
        return self._database.begin_at_once()

    def interrupt(self) -> None:
        """Let what another thread waits for fail with `StoreUnavailable`. A disk that hangs cannot be interrupted."""
        self._database.interrupt()

    def commit(self) -> None:
        """Make it durable. This is what waits for the disk, and may be done in another thread."""
        self._database.commit()

    def rollback(self) -> None:
        """Undo it."""
        self._database.rollback()

    def record(self, entries: Sequence[Entry], now: datetime) -> list[Recorded]:
        """Store what ``entries`` say, all of them or none, each on top of those before it. At most `GROUP_LIMIT`."""
        with self.transaction() as connection:
            recorded = self._recording.record(connection, entries, now)
        self.depth += sum(len(result.messages) for result in recorded)
        return recorded

    def state(self, app: str, payload: str) -> PayloadState | None:
        """What is known of a payload."""
        wanted = (payloads.c.payload == payload, payloads.c.app == app, payloads.c.knowledge != UNKNOWN)
        with self.transaction() as connection:
            row = connection.execute(select(*STATE).where(*wanted)).first()
        return None if row is None else state_of(row)

    def unpublished(self, limit: int, after: int = 0) -> list[OutboxMessage]:
        """The first ``limit`` events in the outbox with a position over ``after``, in order."""
        with self.transaction() as connection:
            return outbox.unpublished(connection, limit, after)

    def positions(self, limit: int, after: int = 0) -> list[int]:
        """The positions of the first ``limit`` unpublished messages over ``after``, in order."""
        with self.transaction() as connection:
            return outbox.positions(connection, limit, after)

    def waiting(self, positions: Sequence[int]) -> list[OutboxMessage]:
        """Those of the messages at ``positions`` that are unpublished, in order."""
        with self.transaction() as connection:
            return outbox.waiting(connection, positions)

    def mark_published(self, positions: Sequence[int]) -> None:
        """Take events out of the outbox; the events themselves are kept for `Retention.events`."""
        with self.transaction() as connection:
            marked = outbox.mark_published(connection, positions)
        self.depth -= marked

    def outbox_depth(self) -> int:
        """Count the events that wait to be published."""
        with self.transaction() as connection:
            self.depth = outbox.depth(connection)
        return self.depth

    def claim_tasks(self, now: datetime, rooms: Mapping[Lane, int], holder: str, lease: timedelta) -> Claim:
        """Lease due tasks to ``holder``, of each lane as many as it has room for, the longest due first."""
        with self.transaction() as connection:
            return tasks.claim(connection, now, rooms, holder, lease)

    def orphaned_tasks(self, apps: Collection[str]) -> Mapping[str, int]:
        """The applications other than ``apps`` that tasks wait for, and how many."""
        with self.transaction() as connection:
            return tasks.orphaned(connection, apps)

    def finish_task(self, task: DueTask) -> None:
        """Remove a task; if it was asked for again meanwhile, only release it."""
        with self.transaction() as connection:
            tasks.finish(connection, task)

    def reschedule_task(self, task: DueTask, due_at: datetime) -> None:
        """Release a task until ``due_at``; if it was asked for again meanwhile, until the time asked for."""
        with self.transaction() as connection:
            tasks.reschedule(connection, task, due_at)

    def claim_watches(self, now: datetime, rooms: Mapping[str, int], holder: str, lease: timedelta) -> list[Watch]:
        """Lease watches that nobody holds to ``holder``, of each application as many as it has room for.

        Those come first that have waited the longest.
        """
        with self.transaction() as connection:
            return watches.claim(connection, now, rooms, holder, lease)

    def renew_watches(self, keys: Sequence[WatchKey], now: datetime, holder: str, lease: timedelta) -> list[Watch]:
        """Extend ``holder``'s leases on ``keys``; those of them that it still holds, as they are now."""
        with self.transaction() as connection:
            return watches.renew(connection, keys, now, holder, lease)

    def end_watches(self, keys: Sequence[WatchKey], holder: str) -> None:
        """Watch these no more, where ``holder`` does."""
        with self.transaction() as connection:
            watches.end(connection, keys, holder)

    def release_watches(self, now: datetime, holder: str, but: Collection[WatchKey] = ()) -> None:
        """Let others have ``holder``'s watches, but for those with the keys ``but``."""
        with self.transaction() as connection:
            watches.release(connection, now, holder, but)

    def watches(self, limit: int = 100) -> list[Watch]:
        """The watches that have lasted the longest."""
        with self.transaction() as connection:
            return watches.listed(connection, limit)

    def outcomes(self, since: datetime, now: datetime, limit: int = 1_000_000) -> Outcomes:
        """How the outcomes that were published since were learned: the last ``limit`` of them."""
        with self.transaction() as connection:
            return outcomes.summary(connection, since, now, limit)

    def deliveries(
        self, *, payload: str | None = None, app: str | None = None, verdict: str | None = None, limit: int = 100
    ) -> list[DeliveryRecord]:
        """The newest lines of the delivery log that match, newest first."""
        with self.transaction() as connection:
            return deliveries.latest(connection, payload=payload, app=app, verdict=verdict, limit=limit)

    def quarantined(self, limit: int = 100) -> list[QuarantinedBody]:
        """The oldest bodies in quarantine."""
        with self.transaction() as connection:
            return deliveries.quarantined(connection, limit)

    def quarantined_body(self, number: int) -> bytes | None:
        """The raw body, or None if there is no such."""
        with self.transaction() as connection:
            return deliveries.quarantined_body(connection, number)

    def release(self, number: int, now: datetime) -> bool:
        """Let a body out of quarantine: somebody dealt with it. False if there is no such in it."""
        with self.transaction() as connection:
            return deliveries.release(connection, number, now)

    def acquire_lease(self, name: str, holder: str, ttl: timedelta, now: datetime) -> bool:
        """Take or extend a lease, unless another holds it. Instances' clocks must agree to much less than ``ttl``."""
        with self.transaction() as connection:
            return leases.acquire(connection, name, holder, ttl, now)

    def release_lease(self, name: str, holder: str) -> None:
        """Give a lease back, if it is ``holder``'s."""
        with self.transaction() as connection:
            leases.release(connection, name, holder)

    def prune(self, keep: Retention, now: datetime, limit: int = 500) -> int:
        """Remove some of what has outlived its time; call again until 0. How many rows went."""
        with self.transaction() as connection:
            return retention.prune(connection, keep, now, limit)

    def close(self) -> None:
        """Close the connection and let others have the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
