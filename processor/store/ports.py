"""What the flows and the API ask of the store: one port for each family of tables.

Unless a method says otherwise, what it writes is durable when it returns, and an error means that nothing was written.
Every method raises `StoreError`; after `StoreUnavailable` the write may have been committed all the same, so every
call may be repeated. Calls of one process take effect in the order in which they were made.
"""

from asyncio import Future
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from processor.core.access.caller import Session
from processor.core.errors import StoreError
from processor.core.payload.due_task import ClaimedTasks, DueTask, Lane
from processor.core.payload.entry import Quarantined, Recorded, Refused, Reported
from processor.core.payload.lifecycle import TaskKind
from processor.core.payload.state import PayloadState
from processor.core.payload.status_socket import Watch, WatchKey
from processor.core.publishing.message import OutboxMessage
from processor.core.sign_request.request import Draft, Reservation, StoredRequest
from processor.core.sign_request.user_token import KeptToken

Settle = Callable[[Recorded | StoreError], None]
"""Receives the result of one entry, once, on the event loop."""


class Recorder(Protocol):
    """Stores reports with the events and tasks that follow from them, quarantined bodies, and the delivery log.

    Entries are applied in the order of the calls, each on top of those before it. A report that was recorded before
    changes nothing.
    """

    def record(self, entry: Reported | Quarantined) -> "Future[Recorded]":
        """Resolves after the commit. Raises `StoreError`, at once or through the future."""

    def submit(self, entry: Reported | Quarantined, settle: Settle) -> None:
        """The same with a callback, which receives the error if nothing was stored.

        Raises at once, and then never calls ``settle``: `StoreFull` for a delivery while too many events wait in the
        outbox (lookups go on), and `StoreUnavailable` while too many entries wait for their commit.
        """

    def log(self, entry: Refused) -> None:
        """Add a line to the delivery log, later and not durably: never waits, never raises. A flood drops lines."""


class Outbox(Protocol):
    """The committed events that the broker does not hold yet, in the order of their positions."""

    @property
    def shared(self) -> bool:
        """Whether other processes commit events too."""

    async def read(self, *, after: int, limit: int) -> Sequence[OutboxMessage]:
        """The first ``limit`` events with a position over ``after``, in order."""

    async def read_positions(self, *, after: int, limit: int) -> Sequence[int]:
        """The first ``limit`` positions over ``after``, in order."""

    async def read_at(self, positions: Sequence[int]) -> Sequence[OutboxMessage]:
        """Those of the events at ``positions`` that are still in the outbox, in order."""

    async def mark_published(self, positions: Sequence[int]) -> None:
        """Take events out of the outbox: the broker holds them. Idempotent."""

    async def lead(self) -> bool:
        """Take or extend the lease to publish: whether this process holds it now. Always true if nothing is shared."""


class TaskStore(Protocol):
    """Due work. A task is leased to one process at a time, for longer than one attempt can take."""

    async def claim(self, rooms: Mapping[Lane, int]) -> ClaimedTasks:
        """Lease due tasks to this process: of each lane as many as it has room for, the longest due first."""

    async def release(self, kinds: Collection[TaskKind], but: Collection[int]) -> None:
        """Release this process's tasks of these kinds, except those with the ids ``but``. Idempotent."""

    async def count_orphans(self, apps: Collection[str]) -> Mapping[str, int]:
        """How many tasks wait for each application other than ``apps``."""

    async def finish(self, task: DueTask) -> None:
        """Remove a task, unless its lease ran out and another process claimed it. Idempotent."""

    async def reschedule(self, task: DueTask, delay: timedelta) -> None:
        """Release a task until ``delay`` has passed, unless another process claimed it meanwhile. Idempotent."""


class WatchStore(Protocol):
    """The payloads whose sockets are to be watched. A watch is leased to one process at a time."""

    async def claim(self, rooms: Mapping[str, int]) -> Sequence[Watch]:
        """Lease free watches to this process: of each application at most so many, the longest waiting first."""

    async def renew(self, keys: Sequence[WatchKey]) -> Sequence[Watch]:
        """Extend the leases on ``keys``: those that this process still holds, as they are now."""

    async def end(self, keys: Sequence[WatchKey]) -> None:
        """Remove this process's watches with these keys. Idempotent."""

    async def release(self, but: Collection[WatchKey] = ()) -> None:
        """Release this process's watches, except those with the keys ``but``. Idempotent."""


class SignRequestStore(Protocol):
    """Sign requests and sign-ins that were made through this service, and the events of their payloads."""

    @property
    def shared(self) -> bool:
        """Whether other processes commit events too."""

    async def reserve(self, draft: Draft, hold: timedelta) -> Reservation:
        """Reserve a sign request for ``hold``, or tell why not. Of several callers at the same time, one gets it."""

    async def renew_state(self, request: StoredRequest, digest: bytes | None) -> None:
        """Replace the state of the return URL by that with this digest: the payload is created anew."""

    async def complete(self, request: StoredRequest, payload: str, answer: bytes, *, late: bool) -> None:
        """Keep the payload and the caller's answer. ``late``: the payload may have events already; they are added."""

    async def release(self, request: StoredRequest, hold: timedelta | None) -> None:
        """Forget a reservation; or hold it for ``hold``, if Xumm may have created the payload. Idempotent."""

    async def find(self, payload: str) -> StoredRequest | None:
        """The sign request of a payload."""

    async def find_sign_in(self, payload: str, digest: bytes) -> StoredRequest | None:
        """The sign-in of a payload, if its exchange secret has this digest."""

    async def list_newest(
        self, apps: Collection[str] | None, owner: str | None, before: int | None, limit: int
    ) -> Sequence[StoredRequest]:
        """The newest sign requests of ``owner`` (None: of everybody) in ``apps`` (None: all) with an id below
        ``before``.
        """

    async def load_states(self, payloads: Sequence[tuple[str, str]]) -> Sequence[PayloadState | None]:
        """The states of payloads, each named by application and UUID, in the order asked for."""

    async def load_events(self, app: str, payload: str, after: int, limit: int) -> Sequence[OutboxMessage]:
        """The first ``limit`` events of a payload that was created here, with a position over ``after``, in order."""

    async def take_state(self, digest: bytes) -> StoredRequest | None:
        """Use up the state of a return URL: its sign request, None if there is none or the state was used before."""


class SessionStore(Protocol):
    """Sessions of users who proved to hold an account. Only a digest of the token is kept."""

    async def create(self, app: str, account: str, user: str | None, ttl: timedelta) -> str:
        """Begin a session; its token, which is returned once."""

    async def exchange(self, payload: str, digest: bytes, session: Session) -> str | None:
        """Begin the session of a sign-in; its token. None if the exchange secret is unknown or was used before."""

    async def find(self, token: str) -> Session | None:
        """The session of a token, None if there is none or it has expired."""

    async def end(self, token: str) -> bool:
        """End a session before its time. False if there is none."""


class UsedOnce(Protocol):
    """Values that count once, such as OAuth2 codes, whichever instance they come to."""

    async def use(self, value: str, until: datetime) -> bool:
        """Use up a value, which is remembered until then. False if it was used before; after an error it counts as
        used.
        """


class UserTokenStore(Protocol):
    """Xumm's user tokens, sealed at rest. They are stored along with the reports that bring them."""

    async def find(self, app: str, account: str) -> KeptToken | None:
        """The token of an account that was signed with last; None if none may be alive, or it cannot be opened."""

    async def note_check(self, token: KeptToken, *, active: bool) -> None:
        """Note Xumm's answer about a token; a revoked one is deleted. Idempotent."""

    async def mark_suspect(self, token: KeptToken) -> None:
        """Note that Xumm pushed nothing with a token. Idempotent."""
