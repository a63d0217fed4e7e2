"""The ports over one writer; `processor.store.ports` says what each method promises."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from processor.core.access.caller import Session
from processor.core.errors import SealingError, StoreError
from processor.core.payload.due_task import ClaimedTasks, DueTask, Lane
from processor.core.payload.lifecycle import TaskKind
from processor.core.payload.state import PayloadState
from processor.core.payload.status_socket import Watch, WatchKey
from processor.core.publishing.message import OutboxMessage
from processor.core.sign_request.request import Draft, Reservation, StoredRequest
from processor.core.sign_request.sealing import Keyring
from processor.core.sign_request.user_token import KeptToken
from processor.store import (
    leases,
    outbox,
    payloads,
    ports,
    sessions,
    sign_requests,
    tasks,
    used_once,
    user_tokens,
    watches,
)
from processor.store.writer import Writer

WATCH_LEASE: Final = timedelta(minutes=3)
"""After which the watches of an instance that died are taken over."""
RELAY_LEASE: Final = "relay"
RELAY_LEASE_TTL: Final = timedelta(seconds=15)
TASK_LEASE: Final = timedelta(minutes=2)
"""Longer than a lookup can take, waiting for the budget included."""

log = structlog.get_logger()


class _Adapter:
    def __init__(self, writer: Writer, *, clock: Callable[[], datetime]) -> None:
        self._writer = writer
        self._clock = clock

    @property
    def shared(self) -> bool:
        return not self._writer.exclusive


class _LeasingAdapter(_Adapter):
    """``instance`` names this process among those that share the store."""

    def __init__(self, writer: Writer, *, instance: str, clock: Callable[[], datetime]) -> None:
        super().__init__(writer, clock=clock)
        self._instance = instance


class StoredOutbox(_LeasingAdapter, ports.Outbox):
    """Events for the broker."""

    async def read(self, *, after: int, limit: int) -> Sequence[OutboxMessage]:
        return await self._writer.run(outbox.read, limit, after)

    async def read_positions(self, *, after: int, limit: int) -> Sequence[int]:
        return await self._writer.run(outbox.read_positions, limit, after)

    async def read_at(self, positions: Sequence[int]) -> Sequence[OutboxMessage]:
        return await self._writer.run(outbox.read_at, positions)

    async def mark_published(self, positions: Sequence[int]) -> None:
        await self._writer.run(outbox.mark_published, positions)

    async def lead(self) -> bool:
        if not self.shared:
            return True
        return await self._writer.run(leases.acquire, RELAY_LEASE, self._instance, RELAY_LEASE_TTL, self._clock())

    async def resign(self) -> None:
        """Give the lease back at shutdown, so that another instance publishes at once. A failure is ignored."""
        if not self.shared:
            return
        try:
            await self._writer.run(leases.release, RELAY_LEASE, self._instance)
        except StoreError:
            return


class StoredTasks(_LeasingAdapter, ports.TaskStore):
    """Due work."""

    async def claim(self, rooms: Mapping[Lane, int]) -> ClaimedTasks:
        return await self._writer.run(tasks.claim, self._clock(), rooms, self._instance, TASK_LEASE)

    async def release(self, kinds: Collection[TaskKind], but: Collection[int]) -> None:
        await self._writer.run(tasks.release, self._instance, kinds, but)

    async def count_orphans(self, apps: Collection[str]) -> Mapping[str, int]:
        return await self._writer.run(tasks.count_orphans, apps)

    async def finish(self, task: DueTask) -> None:
        await self._writer.run(tasks.finish, task)

    async def reschedule(self, task: DueTask, delay: timedelta) -> None:
        await self._writer.run(tasks.reschedule, task, self._clock() + delay)


class StoredWatches(_LeasingAdapter, ports.WatchStore):
    """Watched payloads."""

    async def claim(self, rooms: Mapping[str, int]) -> Sequence[Watch]:
        return await self._writer.run(watches.claim, self._clock(), rooms, self._instance, WATCH_LEASE)

    async def renew(self, keys: Sequence[WatchKey]) -> Sequence[Watch]:
        return await self._writer.run(watches.renew, keys, self._clock(), self._instance, WATCH_LEASE)

    async def end(self, keys: Sequence[WatchKey]) -> None:
        await self._writer.run(watches.end, keys, self._instance)

    async def release(self, but: Collection[WatchKey] = ()) -> None:
        await self._writer.run(watches.release, self._clock(), self._instance, but)


class StoredSignRequests(_Adapter, ports.SignRequestStore):
    """Sign requests and the events of their payloads."""

    async def reserve(self, draft: Draft, hold: timedelta) -> Reservation:
        return await self._writer.run(sign_requests.reserve, draft, self._clock(), hold)

    async def renew_state(self, request: StoredRequest, digest: bytes | None) -> None:
        await self._writer.run(sign_requests.renew_state, request.id, digest)

    async def complete(self, request: StoredRequest, payload: str, answer: bytes, *, late: bool) -> None:
        await self._writer.run(sign_requests.complete, request, payload, answer, late=late)

    async def release(self, request: StoredRequest, hold: timedelta | None) -> None:
        until = None if hold is None else self._clock() + hold
        await self._writer.run(sign_requests.release, request.id, until)

    async def find(self, payload: str) -> StoredRequest | None:
        return await self._writer.run(sign_requests.find, payload)

    async def find_sign_in(self, payload: str, digest: bytes) -> StoredRequest | None:
        return await self._writer.run(sign_requests.find_sign_in, payload, digest)

    async def list_newest(
        self, apps: Collection[str] | None, owner: str | None, before: int | None, limit: int
    ) -> Sequence[StoredRequest]:
        return await self._writer.run(sign_requests.list_newest, apps, owner, before, limit)

    async def load_states(self, keys: Sequence[tuple[str, str]]) -> Sequence[PayloadState | None]:
        return await self._writer.run(payloads.load, keys)

    async def load_events(self, app: str, payload: str, after: int, limit: int) -> Sequence[OutboxMessage]:
        return await self._writer.run(sign_requests.load_events, app, payload, after, limit)

    async def take_state(self, digest: bytes) -> StoredRequest | None:
        return await self._writer.run(sign_requests.take_state, digest, self._clock())


class StoredSessions(_Adapter, ports.SessionStore):
    """Sessions of users."""

    async def create(self, app: str, account: str, user: str | None, ttl: timedelta) -> str:
        now = self._clock()
        session = Session(app=app, account=account, user=user, expires_at=now + ttl)
        return await self._writer.run(sessions.create, session, now)

    async def exchange(self, payload: str, digest: bytes, session: Session) -> str | None:
        return await self._writer.run(sessions.exchange, payload, digest, session, self._clock())

    async def find(self, token: str) -> Session | None:
        return await self._writer.run(sessions.find, token, self._clock())

    async def end(self, token: str) -> bool:
        return await self._writer.run(sessions.end, token)


class StoredUsedOnce(ports.UsedOnce):
    """Values that count once."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def use(self, value: str, until: datetime) -> bool:
        return await self._writer.run(used_once.use, value, until)


class StoredUserTokens(_Adapter, ports.UserTokenStore):
    """User tokens, opened with ``keyring``. Without one, none is found."""

    def __init__(self, writer: Writer, keyring: Keyring | None, *, clock: Callable[[], datetime]) -> None:
        super().__init__(writer, clock=clock)
        self._keyring = keyring

    async def find(self, app: str, account: str) -> KeptToken | None:
        if self._keyring is None:
            return None
        found = await self._writer.run(user_tokens.find, app, account, self._clock())
        if found is None:
            return None
        try:
            return KeptToken(found.facts, found.open(self._keyring))
        except SealingError as error:
            log.error(
                "token.unseal_failed", error=str(error), hint="a sealing key is missing, or somebody changed the table"
            )
            return None

    async def note_check(self, token: KeptToken, *, active: bool) -> None:
        await self._writer.run(user_tokens.note_check, token.facts, self._clock(), active=active)

    async def mark_suspect(self, token: KeptToken) -> None:
        await self._writer.run(user_tokens.mark_suspect, token.facts)
