"""``/v1/sign-in``: prove to hold an account by signing, and get a session for it.

Whoever begins a sign-in gets an exchange secret with it. Only with that can the session be had, and only once: who sees
the link or the code, or guesses the id, gets nothing by it.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Final, Protocol

import structlog
from aiohttp import hdrs, web
from pydantic import BaseModel

from processor.api.callers import bearer_of
from processor.api.endpoint import Gate, Handler, answered
from processor.api.events import Streams
from processor.api.request import said
from processor.api.sign_requests.handlers import registered, shown, status_of
from processor.api.sign_requests.service import SignRequests, Standing, Wish
from processor.core.access.caller import Session
from processor.core.access.service_key import digest_of
from processor.core.application import Application
from processor.core.payload.progress import progress, sign_in
from processor.core.payload.state import PayloadState
from processor.core.sign_request.order import Order
from processor.core.sign_request.request import StoredRequest
from processor.web.bodies import Bodies
from processor.web.problem import Problem
from schemas.api import SessionCreated, SignInCommand, SignInCreated
from schemas.text import is_uuid

PATH: Final = "/v1/sign-in"
OWNER: Final = "sign-in"
PREFIX: Final = "xwe_"
EXPIRE: Final = timedelta(minutes=15)
"""How long a sign-in can be opened: somebody sits before it."""
_TEMPLATE: Final = {"TransactionType": "SignIn"}
_ENTROPY: Final = 32

log = structlog.get_logger()


class RequestStore(Protocol):
    """Where sign-ins are kept. All of it raises `StoreError`."""

    async def holds_exchange(self, payload: str, digest: bytes) -> StoredRequest | None:
        """The sign-in, if the secret with this digest was given to whoever began it."""
        ...

    async def states(self, payloads: Sequence[tuple[str, str]]) -> Sequence[PayloadState | None]:
        """What is known of payloads, each named by application and uuid."""
        ...


class SessionStore(Protocol):
    """Where sessions are kept."""

    async def exchange(self, payload: str, digest: bytes, session: Session) -> str | None:
        """Begin the session of a sign-in, which its exchange secret does once; None if it did before."""
        ...


class SignInDesk:
    """The handlers."""

    def __init__(  # noqa: PLR0913  its neighbours
        self,
        requests: SignRequests,
        store: RequestStore,
        sessions: SessionStore,
        streams: Streams,
        gate: Gate,
        *,
        applications: Mapping[str, Application],
        return_urls: Mapping[str, Sequence[str]],
        bodies: Bodies,
        session_ttl: timedelta,
    ) -> None:
        self._requests = requests
        self._store = store
        self._sessions = sessions
        self._streams = streams
        self._gate = gate
        self._applications = applications
        self._return_urls = return_urls
        self._bodies = bodies
        self._session_ttl = session_ttl

    @property
    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """The methods of each path."""
        return {
            PATH: {hdrs.METH_POST: self.begin},
            PATH + "/{id}": {hdrs.METH_GET: self.status},
            PATH + "/{id}/events": {hdrs.METH_GET: self.events},
            PATH + "/{id}/session": {hdrs.METH_POST: self.session},
        }

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """201 with a SignIn payload and its exchange secret. Anybody may begin one; nothing is gained by that alone."""
        self._gate.admit_address(request)
        command = await said(request, SignInCommand, self._bodies)
        application = self._applications.get(command.app)
        if application is None:
            raise Problem("application_forbidden")
        urls = registered(command.return_url, self._return_urls.get(command.app, ()))
        self._gate.admit_request(command.app, "stranger", self._gate.address_of(request))
        secret = PREFIX + secrets.token_urlsafe(_ENTROPY)
        order = Order(
            app=command.app,
            template=_TEMPLATE,
            submit=False,
            expire=EXPIRE,
            network=application.policy.network,
            return_urls=urls,
        )
        wish = Wish(order=order, owner=OWNER, kind="sign_in", exchange_digest=digest_of(secret))
        told, _ = await self._requests.create(wish, self._told)
        full = SignInCreated.model_validate_json(told).model_copy(update={"exchange_secret": secret})
        return answered(full, HTTPStatus.CREATED)

    async def status(self, request: web.Request) -> web.StreamResponse:
        """How far it is."""
        found = await self._own(request)
        (state,) = await self._store.states([(found.app, found.payload or "")])
        return answered(status_of(found, state))

    async def events(self, request: web.Request) -> web.StreamResponse:
        """What happens to it, as it happens."""
        found = await self._own(request)
        return await self._streams.serve(request, found, f"{OWNER}/{found.payload}")

    async def session(self, request: web.Request) -> web.StreamResponse:
        """201 with the session's token, once it is signed and that is proven."""
        found = await self._own(request)
        (state,) = await self._store.states([(found.app, found.payload or "")])
        account = progress(state).account
        if sign_in(state) != "signed" or account is None or state is None:
            raise Problem("not_signed", errors=[("outcome", progress(state).outcome or "pending")])
        expires_at = self._requests.now + self._session_ttl
        session = Session(app=found.app, account=account, user=state.user, expires_at=expires_at)
        token = await self._sessions.exchange(found.payload or "", digest_of(bearer_of(request)), session)
        if token is None:
            raise Problem("session_taken")
        log.info("session.created", app=found.app, payload=found.payload)
        seconds = round(self._session_ttl.total_seconds())
        return answered(
            SessionCreated(token=token, expires_in=seconds, app=found.app, account=account), HTTPStatus.CREATED
        )

    async def _own(self, request: web.Request) -> StoredRequest:
        """The sign-in in the path, for whoever began it. Raises `Problem`, the same for a wrong secret and for none."""
        secret, named = bearer_of(request), request.match_info["id"]
        found = await self._store.holds_exchange(named if is_uuid(named) else "", digest_of(secret))
        if found is None or found.kind != "sign_in":
            self._gate.admit_address(request)
            raise Problem("not_found")
        self._gate.admit(f"{OWNER}/{found.payload}")
        return found

    def _told(self, standing: Standing) -> BaseModel:
        """Kept in the store, so without the secret."""
        path = f"{PATH}/{standing.created.uuid}"
        return SignInCreated.model_validate(
            shown(standing, keeps_tokens=self._requests.keeps_tokens)
            | {
                "status_url": path,
                "events_url": f"{path}/events",
                "session_url": f"{path}/session",
                "exchange_secret": "",
            }
        )
