"""The store as the API sees it: sign requests, sessions, user tokens and what is used up, over one writer."""

from asyncio import Future
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from processor.core.access.caller import Session
from processor.core.errors import SealingError
from processor.core.payload.entry import Recorded, Reported
from processor.core.payload.state import PayloadState
from processor.core.publishing.message import OutboxMessage
from processor.core.sign_request.request import Draft, Reservation, StoredRequest
from processor.core.sign_request.user_token import KeptToken
from processor.store import requests, sessions, spent, vault
from processor.store.store import Store
from processor.store.writer import Writer


class StoredRequests:
    """Sign requests and their events. Every method raises `StoreError`."""

    def __init__(self, writer: Writer, *, clock: Callable[[], datetime]) -> None:
        self._writer = writer
        self._clock = clock

    @property
    def shared(self) -> bool:
        """Whether other processes commit events too."""
        return not self._writer.exclusive

    async def reserve(self, draft: Draft, hold: timedelta) -> Reservation:
        """Reserve, or find out why not. Of several at the same time, one gets it."""
        now = self._clock()
        return await self._writer.run(lambda store: store.do(requests.reserve, store.dialect, draft, now, hold))

    async def renew_state(self, request: StoredRequest, digest: bytes | None) -> None:
        """The payload is made anew, and its return URL gets another state."""
        await self._writer.run(lambda store: store.do(requests.renew_state, request.id, digest))

    async def complete(self, request: StoredRequest, payload: str, answer: bytes, *, late: bool) -> None:
        """Xumm has it; ``late`` if it had events before."""

        def write(store: Store) -> None:
            with store.transaction() as connection:
                requests.complete(connection, request.id, payload, answer)
                if late:
                    requests.place_earlier(connection, store.dialect, request.app, payload)

        await self._writer.run(write)

    async def release(self, request: StoredRequest, hold: timedelta | None) -> None:
        """It was not made: forget it; or hold it for a while, since it may have been made after all."""
        until = None if hold is None else self._clock() + hold
        await self._writer.run(lambda store: store.do(requests.release, request.id, until))

    async def find(self, payload: str) -> StoredRequest | None:
        """The sign request that became this payload."""
        return await self._writer.run(lambda store: store.do(requests.find, payload))

    async def listed(
        self, apps: Collection[str] | None, owner: str | None, before: int | None, limit: int
    ) -> Sequence[StoredRequest]:
        """The newest sign requests of ``owner`` (None: of everybody) in ``apps`` (None: all) before a cursor."""
        return await self._writer.run(lambda store: store.do(requests.listed, apps, owner, before, limit))

    async def states(self, payloads: Sequence[tuple[str, str]]) -> Sequence[PayloadState | None]:
        """What is known of payloads, each named by application and uuid."""
        return await self._writer.run(lambda store: [store.state(app, payload) for app, payload in payloads])

    async def events_of(self, app: str, payload: str, after: int, limit: int) -> Sequence[OutboxMessage]:
        """The first events of a payload that was created here, with a position over ``after``."""
        return await self._writer.run(lambda store: store.do(requests.events_of, app, payload, after, limit))

    async def holds_exchange(self, payload: str, digest: bytes) -> StoredRequest | None:
        """The sign-in, if the secret with this digest was given to whoever began it."""
        return await self._writer.run(lambda store: store.do(requests.holds_exchange, payload, digest))

    async def take_state(self, digest: bytes) -> StoredRequest | None:
        """Use the state of a return URL, which works once."""
        now = self._clock()
        return await self._writer.run(lambda store: store.do(requests.take_state, digest, now))

    def record(self, entry: Reported) -> "Future[Recorded]":
        """Apply a report. Durable when it resolves."""
        return self._writer.record(entry)


class StoredSessions:
    """Who signed in. Every method raises `StoreError`."""

    def __init__(self, writer: Writer, *, clock: Callable[[], datetime]) -> None:
        self._writer = writer
        self._clock = clock

    async def create(self, app: str, account: str, user: str | None, ttl: timedelta) -> str:
        """Begin a session of a user who proved to hold ``account``; its token, which is shown once."""
        now = self._clock()
        session = Session(app=app, account=account, user=user, expires_at=now + ttl)
        return await self._writer.run(lambda store: store.do(sessions.create, session, now))

    async def exchange(self, payload: str, digest: bytes, session: Session) -> str | None:
        """Begin the session of a sign-in, which its exchange secret does once; None if it did before."""
        now = self._clock()

        def write(store: Store) -> str | None:
            with store.transaction() as connection:
                if not requests.take_exchange(connection, payload, digest, now):
                    return None
                return sessions.create(connection, session, now)

        return await self._writer.run(write)

    async def find(self, token: str) -> Session | None:
        """The session of a token, None if there is none or its time is over."""
        now = self._clock()
        return await self._writer.run(lambda store: store.do(sessions.find, token, now))

    async def end(self, token: str) -> bool:
        """End a session before its time. False if there is none."""
        return await self._writer.run(lambda store: store.do(sessions.end, token))


class StoredSpent:
    """What has been used up, by any instance. Raises `StoreError`."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def first(self, used: str, until: datetime) -> bool:
        """Whether nobody used this before. It is remembered until then; in doubt the answer is no."""
        return await self._writer.run(lambda store: store.do(spent.first, store.dialect, used, until))


class StoredTokens:
    """User tokens. Every method raises `StoreError`; a token that does not open counts as none."""

    def __init__(self, writer: Writer, *, clock: Callable[[], datetime], on_unopened: Callable[[str], None]) -> None:
        """``on_unopened`` is told why a token does not open."""
        self._writer = writer
        self._clock = clock
        self._on_unopened = on_unopened

    async def of_account(self, app: str, account: str) -> KeptToken | None:
        """The token of an account that was signed with last, None if none is known that may be alive."""
        now = self._clock()

        def read(store: Store) -> KeptToken | None:
            keeper = store.vault
            row = None if keeper is None else store.do(vault.of_account, app, account, now)
            if keeper is None or row is None:
                return None
            try:
                return KeptToken(vault.facts_of(row), keeper.open(row))
            except SealingError as error:
                self._on_unopened(str(error))
                return None

        return await self._writer.run(read)

    async def checked(self, token: KeptToken, *, active: bool) -> None:
        """Note what Xumm said of a token; one that is revoked is deleted."""
        now = self._clock()
        await self._writer.run(lambda store: store.do(vault.checked, token.facts, now, active=active))

    async def suspect(self, token: KeptToken) -> None:
        """Note that a push with it led nowhere."""
        await self._writer.run(lambda store: store.do(vault.suspect, token.facts))
