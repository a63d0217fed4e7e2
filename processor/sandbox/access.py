"""Access to Xumm's API: credentials, rate limits, the shape of errors, and the faults of the API.

An error reads ``{"error":{"reference":"<uuid>","code":<int>}}``. Xumm does not document which status goes with codes
813 and 602. The sandbox answers 403 (401 for a token) and 400; a client should go by the code.

Source: https://github.com/XRPL-Labs/XUMM-SDK/blob/main/src/Meta.ts and
https://github.com/XRPL-Labs/XUMM-SDK/blob/main/src/utils.ts for callers and errors,
https://docs.xaman.dev/concepts/limitations/rate-limits for the limits
"""

import asyncio
import hmac
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, assert_never

from aiohttp import web
from aiohttp.typedefs import Handler

from processor.sandbox.clock import Clock, NewId
from processor.sandbox.faults import ApiFault, FaultTable
from processor.sandbox.identity import Identity
from processor.sandbox.javascript import JsonObject, stringify
from processor.sandbox.payload import Application
from processor.sandbox.payload_table import DuplicateIdentifierError
from processor.sandbox.request import OversizedError

WINDOW: Final = timedelta(minutes=1)
BAD_PAYLOAD: Final = 602
BAD_CREDENTIALS: Final = 813
_STATUS: Final = {BAD_PAYLOAD: 400}
"""The status of each error code that is no HTTP status itself."""
_HALF: Final = '{"meta":{"exists":true,"uuid'


class ApiError(Exception):
    """An error that the caller gets as a code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"error code {code}")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCaller:
    """The application of a call, and the user if the call bears a user's token."""

    application: Application
    claims: Mapping[str, Any] = field(default_factory=dict)
    """The claims of the user's token."""

    @property
    def account(self) -> str:
        """The account of the user whose token the call bears."""
        return str(self.claims["sub"])


ANYBODY: Final = ApiCaller(application=Application(key="", secret=""))
ApiHandler = Callable[[web.Request, ApiCaller], Awaitable[JsonObject]]
CallerLookup = Callable[[web.Request], ApiCaller | None]


class ApiCallers:
    """Finds the caller of a request by its credentials; None where these are not valid."""

    def __init__(self, applications: Mapping[str, Application], identity: Identity) -> None:
        self._applications = applications
        self._identity = identity

    def find_by_secret(self, request: web.Request) -> ApiCaller | None:
        """The application whose key and secret are in the headers."""
        caller = self.find_by_key(request)
        offered = request.headers.get("x-api-secret", "")
        if caller is None or not hmac.compare_digest(caller.application.secret.encode(), offered.encode()):
            return None
        return caller

    def find_by_key(self, request: web.Request) -> ApiCaller | None:
        """The application whose key is in the headers, which is enough beside a one-time token."""
        application = self._applications.get(request.headers.get("x-api-key", ""))
        return ApiCaller(application=application) if application else None

    def find_by_token(self, request: web.Request) -> ApiCaller | None:
        """The user whose token is in the headers, whether the provider or an xApp issued the token."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        claims = self._identity.verify(token) or self._identity.verify_xapp(token, self._applications)
        application = self._applications.get(str(claims["client_id"])) if claims else None
        return ApiCaller(application=application, claims=claims or {}) if application else None


def accept_anybody(_request: web.Request) -> ApiCaller | None:
    """The caller of a call that needs no credentials."""
    return ANYBODY


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """Calls a minute of one application. Xumm's limits vary; the defaults are their low ends."""

    calls: int = 60
    creations: int = 30
    """``POST payload``, counted apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """Whether a call is within the limit, and the two numbers that every answer bears."""

    granted: bool
    limit: int
    remaining: int


@dataclass(slots=True, kw_only=True)
class CallCounter:
    """Counts the calls of the past minute, a sliding window."""

    limit: int
    _taken: deque[datetime] = field(default_factory=deque, init=False)

    def take(self, now: datetime) -> Allowance:
        """Count one call at ``now``. A call over the limit is neither granted nor counted."""
        while self._taken and now >= self._taken[0] + WINDOW:
            self._taken.popleft()
        if len(self._taken) >= self.limit:
            return Allowance(granted=False, limit=self.limit, remaining=0)
        self._taken.append(now)
        return Allowance(granted=True, limit=self.limit, remaining=self.limit - len(self._taken))


class ApiAccess:
    """Checks each call before it is handled. ``counters`` holds two of each application: all calls, and creations."""

    def __init__(self, *, limits: RateLimits, faults: FaultTable, clock: Clock, new_id: NewId) -> None:
        self._limits = limits
        self._faults = faults
        self._clock = clock
        self._new_id = new_id
        self.counters: dict[tuple[str, bool], CallCounter] = {}

    def __call__(
        self,
        find_caller: CallerLookup,
        handle: ApiHandler,
        *,
        creates: bool = False,
        refusal: int = HTTPStatus.FORBIDDEN,
    ) -> Handler:
        """``handle`` for callers that ``find_caller`` finds; other calls are answered with status ``refusal``.

        A call that ``creates`` counts towards the limit of creations. ``handle`` raises ``LookupError`` where there
        is no such thing, and ``ValueError`` where the request is not valid.
        """

        async def respond(request: web.Request) -> web.Response:
            caller = find_caller(request)
            allowance = self._take(caller, creates=creates)
            if caller is None:
                return self._respond_error(BAD_CREDENTIALS, allowance, status=refusal)
            try:
                return _respond(await self._call(request, caller, allowance, handle), allowance)
            except ApiError as error:
                return self._respond_error(error.code, allowance, status=_STATUS.get(error.code, error.code))

        return respond

    async def _call(self, request: web.Request, caller: ApiCaller, allowance: Allowance, handle: ApiHandler) -> str:
        """The text of the answer. Raises `ApiError`."""
        if not allowance.granted:
            raise ApiError(HTTPStatus.TOO_MANY_REQUESTS)
        fault = self._faults.find(request.match_info.get("uuid"), caller.application.key).api
        if fault is not None:
            return await _fail(fault)
        try:
            return stringify(await handle(request, caller))
        except LookupError as error:
            raise ApiError(HTTPStatus.NOT_FOUND) from error
        except OversizedError as error:
            raise ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE) from error
        except DuplicateIdentifierError as error:
            raise ApiError(HTTPStatus.CONFLICT) from error
        except ValueError as error:
            raise ApiError(BAD_PAYLOAD) from error

    def _respond_error(self, code: int, allowance: Allowance, *, status: int) -> web.Response:
        body = {"error": {"reference": self._new_id(), "code": code}}
        return _respond(stringify(body), allowance, status=status)

    def _take(self, caller: ApiCaller | None, *, creates: bool) -> Allowance:
        limit = self._limits.creations if creates else self._limits.calls
        key = caller.application.key if caller else ""
        return self.counters.setdefault((key, creates), CallCounter(limit=limit)).take(self._clock())


async def _fail(fault: ApiFault) -> str:
    """The text of the answer under ``fault``. Raises `ApiError`; never returns if calls hang."""
    match fault:
        case "limited":
            raise ApiError(HTTPStatus.TOO_MANY_REQUESTS)
        case "failing":
            raise ApiError(HTTPStatus.INTERNAL_SERVER_ERROR)
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
