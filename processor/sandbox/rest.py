"""Xumm's API for applications, over HTTP: ``/api/v1/platform/``.

Errors read ``{"error":{"reference":"<uuid>","code":<int>}}``. Which status goes with codes 813 and 602 is
documented nowhere; 403 and 400 stand here, and a client should go by the code.

Source: https://docs.xumm.dev/js-ts-sdk/sdk-syntax/xumm.payload
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal, Protocol, assert_never

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from processor.sandbox.clock import Clock, NewId
from processor.sandbox.faults import ApiFault, FaultTable
from processor.sandbox.javascript import stringify
from processor.sandbox.limits import Allowance, Limits, RateLimit
from processor.sandbox.payload import Application, Payload, SignRequest
from processor.sandbox.request import parse_request
from processor.sandbox.state import (
    Cancellation,
    DuplicateIdentifierError,
    Payloads,
    UnknownPayloadError,
)
from processor.sandbox.tokens import UserTokens
from processor.sandbox.views import Json, cancelled, created, fetched, validity

PREFIX: Final = "/api/v1/platform"
UNPERMISSIONED: Final = 403
NOT_FOUND: Final = 404
TOO_MANY: Final = 429
BROKEN: Final = 500
BAD_PAYLOAD: Final = 602
BAD_CREDENTIALS: Final = 813
_STATUS: Final = {BAD_PAYLOAD: 400, BAD_CREDENTIALS: 403}
"""Where the status is not the code itself."""
_tokens: Final[TypeAdapter[dict[Literal["tokens"], list[str]]]] = TypeAdapter(dict[Literal["tokens"], list[str]])
_HALF: Final = '{"meta":{"exists":true,"uuid'

Answer = Callable[[web.Request, Application], Awaitable[Json]]


class ApiError(Exception):
    """An error to be told to the caller by its code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"error code {code}")
        self.code = code


class Desk(Protocol):
    """What the API asks of the sandbox behind it."""

    @property
    def base_url(self) -> str:
        """Where links into the sandbox begin."""
        ...

    @property
    def payloads(self) -> Payloads:
        """All payloads."""
        ...

    @property
    def tokens(self) -> UserTokens:
        """The user tokens of all applications."""
        ...

    def create(self, request: SignRequest, *, application: Application) -> Payload:
        """Make a payload of ``request``. Raises `DuplicateIdentifierError`."""
        ...

    def cancel(self, uuid: str) -> Cancellation:
        """Cancel the payload, or say why not."""
        ...


class RestApi:
    """The routes, their credentials, their limits and their faults. ``on_fetched`` is told which payload was read."""

    def __init__(  # noqa: PLR0913  everything that is the sandbox's own
        self,
        desk: Desk,
        applications: Mapping[str, Application],
        *,
        limits: Limits,
        faults: FaultTable,
        clock: Clock,
        new_id: NewId,
        on_fetched: Callable[[str], None],
    ) -> None:
        self._desk = desk
        self._faults = faults
        self._on_fetched = on_fetched
        self._applications = applications
        self._clock = clock
        self._new_id = new_id
        self._limits = limits
        self._counters: dict[tuple[str, bool], RateLimit] = {}

    def routes(self) -> list[web.RouteDef]:
        """All routes; one that Xumm does not have is answered in its way too."""
        return [
            web.get(_path("ping"), self._guarded(self._ping)),
            web.post(_path("payload"), self._guarded(self._create, creates=True)),
            web.get(_path("payload/ci/{identifier}"), self._guarded(self._by_identifier)),
            web.get(_path("payload/{uuid}"), self._guarded(self._get)),
            web.delete(_path("payload/{uuid}"), self._guarded(self._cancel)),
            web.post(_path("user-tokens"), self._guarded(self._check_tokens)),
            web.get(_path("user-token/{token}"), self._guarded(self._check_token)),
            web.post(_path("xapp/{call:push|event}"), self._guarded(self._unpermissioned)),
            web.route("*", f"{PREFIX}/{{rest:.*}}", self._guarded(self._unknown)),
        ]

    def _guarded(self, answer: Answer, *, creates: bool = False) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            application = self._application(request)
            allowance = self._take(application, creates=creates)
            try:
                if application is None:
                    raise ApiError(BAD_CREDENTIALS)  # noqa: TRY301 - all errors leave by one door
                if not allowance.granted:
                    raise ApiError(TOO_MANY)  # noqa: TRY301 - likewise
                fault = self._faults.of(request.match_info.get("uuid"), application.key).api
                if fault is not None:
                    return _respond(await _spoilt(fault), allowance)
                return _respond(stringify(await answer(request, application)), allowance)
            except ApiError as error:
                body = {"error": {"reference": self._new_id(), "code": error.code}}
                return _respond(stringify(body), allowance, status=_STATUS.get(error.code, error.code))

        return handle

    def _application(self, request: web.Request) -> Application | None:
        application = self._applications.get(request.headers.get("x-api-key", ""))
        offered = request.headers.get("x-api-secret", "")
        if application is None or not hmac.compare_digest(application.secret.encode(), offered.encode()):
            return None
        return application

    def _take(self, application: Application | None, *, creates: bool) -> Allowance:
        limit = self._limits.creations if creates else self._limits.calls
        owner = application.key if application else ""
        counter = self._counters.setdefault((owner, creates), RateLimit(limit=limit))
        return counter.take(self._clock())

    async def _ping(self, _request: web.Request, application: Application) -> Json:
        return {
            "pong": True,
            "auth": {
                "quota": {"ratelimit": None},
                "application": {
                    "uuidv4": application.key,
                    "name": application.name,
                    "webhookurl": application.webhook_url,
                    "disabled": 0,
                },
                "call": {"uuidv4": self._new_id()},
            },
        }

    async def _create(self, request: web.Request, application: Application) -> Json:
        try:
            payload = self._desk.create(parse_request(await request.read()), application=application)
        except (ValidationError, DuplicateIdentifierError) as error:
            raise ApiError(BAD_PAYLOAD) from error
        return created(payload, base_url=self._desk.base_url)

    async def _get(self, request: web.Request, application: Application) -> Json:
        return self._told(self._own(request, application))

    async def _by_identifier(self, request: web.Request, application: Application) -> Json:
        try:
            payload = self._desk.payloads.by_identifier(application, request.match_info["identifier"])
        except UnknownPayloadError as error:
            raise ApiError(NOT_FOUND) from error
        return self._told(payload)

    def _told(self, payload: Payload) -> Json:
        self._on_fetched(payload.uuid)
        return fetched(payload, now=self._clock())

    async def _cancel(self, request: web.Request, application: Application) -> Json:
        return cancelled(self._desk.cancel(self._own(request, application).uuid))

    async def _check_tokens(self, request: web.Request, application: Application) -> Json:
        try:
            asked = _tokens.validate_json(await request.read())["tokens"]
        except (ValidationError, KeyError) as error:
            raise ApiError(BAD_PAYLOAD) from error
        return {"tokens": [self._validity(application, token) for token in asked]}

    async def _check_token(self, request: web.Request, application: Application) -> Json:
        return {"tokens": [self._validity(application, request.match_info["token"])]}

    def _validity(self, application: Application, token: str) -> Json:
        return validity(token, self._desk.tokens.get(application.key, token), now=self._clock())

    async def _unpermissioned(self, _request: web.Request, _application: Application) -> Json:
        raise ApiError(UNPERMISSIONED)

    async def _unknown(self, _request: web.Request, _application: Application) -> Json:
        raise ApiError(NOT_FOUND)

    def _own(self, request: web.Request, application: Application) -> Payload:
        """The payload in the path; another application's is as unknown as none."""
        try:
            payload = self._desk.payloads.get(request.match_info["uuid"])
        except UnknownPayloadError as error:
            raise ApiError(NOT_FOUND) from error
        if payload.application.key != application.key:
            raise ApiError(NOT_FOUND)
        return payload


def _path(path: str) -> str:
    """A route to ``path``, which may end in a slash: one of the official kits writes it so."""
    return f"{PREFIX}/{path}{{slash:/?}}"


async def _spoilt(fault: ApiFault) -> str:
    """The text of an answer that has gone wrong. Raises `ApiError`; may never return."""
    match fault:
        case "limited":
            raise ApiError(TOO_MANY)
        case "failing":
            raise ApiError(BROKEN)
        case "hanging":
            await asyncio.Event().wait()
            return ""
        case "garbage":
            return _HALF
        case _:
            assert_never(fault)


def _respond(text: str, allowance: Allowance, *, status: int = 200) -> web.Response:
    headers = {
        "X-RateLimit-Limit": str(allowance.limit),
        "X-RateLimit-Remaining": str(allowance.remaining),
    }
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")
