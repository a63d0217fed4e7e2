"""``/v1/sign-in``: prove to hold an account by signing, and get a session for it.

The client that begins a sign-in gets an exchange secret. The session is given once, and only to the holder of that
secret: the link, the QR code and the id are of no use to anybody else.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web

from processor.api.callers import read_bearer
from processor.api.endpoint import json_response, parse_body
from processor.api.event_streams import EventStreams
from processor.api.rate_limits import RateLimits
from processor.api.sign_requests.creation import NewSignRequest, SignRequests
from processor.api.sign_requests.handlers import check_return_urls
from processor.api.sign_requests.responses import describe_created, describe_status
from processor.core.access.caller import Session
from processor.core.access.service_key import digest_of
from processor.core.payload.progress import progress, sign_in
from processor.core.payload.state import PayloadState
from processor.core.sign_request.order import Order
from processor.core.sign_request.request import StoredRequest
from processor.settings.applications import ApplicationSettings
from processor.store.ports import SessionStore, SignRequestStore
from processor.web.bodies import Bodies
from processor.web.problem import Problem
from schemas.api import SessionCreated, SignInCommand, SignInCreated
from schemas.text import is_uuid

OWNER: Final = "sign-in"
PREFIX: Final = "xwe_"
EXPIRE: Final = timedelta(minutes=15)
"""How long a sign-in can be opened; its user waits for it."""
_TEMPLATE: Final = {"TransactionType": "SignIn"}
_PATHS: Final = {"status_url": "getSignIn", "events_url": "followSignIn", "session_url": "takeSession"}
_SECRET_BYTES: Final = 32

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInHandlers:
    """The handlers."""

    requests: SignRequests
    store: SignRequestStore
    sessions: SessionStore
    streams: EventStreams
    limits: RateLimits
    applications: Mapping[str, ApplicationSettings]
    bodies: Bodies
    session_ttl: timedelta

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """201 with a SignIn payload and its exchange secret. Anybody may begin a sign-in."""
        self.limits.count_address(request)
        command = await parse_body(request, SignInCommand, self.bodies)
        application = self.applications.get(command.app)
        if application is None:
            raise Problem("application_forbidden")
        urls = check_return_urls(command.return_url, application.return_urls)
        self.limits.count_request(command.app, "stranger", self.limits.address_of(request))
        secret = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        order = Order(
            app=command.app,
            template=_TEMPLATE,
            submit=False,
            expire=EXPIRE,
            network=application.network,
            return_urls=urls,
        )
        new = NewSignRequest(order=order, owner=OWNER, kind="sign_in", exchange_digest=digest_of(secret))
        # The response that is stored has no exchange secret.
        body, _ = await self.requests.create(new, partial(describe_created, SignInCreated, _PATHS, exchange_secret=""))
        created = SignInCreated.model_validate_json(body).model_copy(update={"exchange_secret": secret})
        return json_response(created, HTTPStatus.CREATED)

    async def get_status(self, request: web.Request) -> web.StreamResponse:
        """200; 404 without the exchange secret."""
        stored, state = await self._load(request)
        return json_response(describe_status(stored, state))

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """200 with the payload's events, as they are committed."""
        stored = await self._find(request)
        return await self.streams.serve(request, stored, f"{OWNER}/{stored.payload}")

    async def take_session(self, request: web.Request) -> web.StreamResponse:
        """201 with the session's token, once the sign-in is signed and the signature is proven."""
        stored, state = await self._load(request)
        account = progress(state).account
        if sign_in(state) != "signed" or account is None or state is None:
            raise Problem("not_signed", errors=[("outcome", progress(state).outcome or "pending")])
        expires_at = self.requests.clock() + self.session_ttl
        session = Session(app=stored.app, account=account, user=state.user, expires_at=expires_at)
        token = await self.sessions.exchange(stored.payload or "", digest_of(read_bearer(request)), session)
        if token is None:
            raise Problem("session_taken")
        log.info("session.created", app=stored.app, payload=stored.payload)
        seconds = round(self.session_ttl.total_seconds())
        return json_response(
            SessionCreated(token=token, expires_in=seconds, app=stored.app, account=account), HTTPStatus.CREATED
        )

    async def _find(self, request: web.Request) -> StoredRequest:
        """Return the sign-in that the path names. Raises the same `Problem` for a wrong secret as for none."""
        secret, uuid = read_bearer(request), request.match_info["id"]
        stored = await self.store.find_sign_in(uuid if is_uuid(uuid) else "", digest_of(secret))
        if stored is None or stored.kind != "sign_in":
            self.limits.count_address(request)
            raise Problem("not_found")
        self.limits.count_caller(f"{OWNER}/{stored.payload}")
        return stored

    async def _load(self, request: web.Request) -> tuple[StoredRequest, PayloadState | None]:
        stored = await self._find(request)
        (state,) = await self.store.load_states([(stored.app, stored.payload or "")])
        return stored, state
