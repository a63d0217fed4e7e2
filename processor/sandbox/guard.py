"""What holds for every call of Xumm's API: credentials, limits, the shape of errors, and what goes wrong on demand.

Errors read ``{"error":{"reference":"<uuid>","code":<int>}}``. Which status goes with codes 813 and 602 is
documented nowhere; 403 (401 for a token) and 400 stand here, and a client should go by the code.

Source: https://github.com/XRPL-Labs/XUMM-SDK/blob/main/src/utils.ts and
https://docs.xaman.dev/concepts/limitations/rate-limits
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, assert_never

from aiohttp import web

from processor.sandbox.caller import ApiCaller, Identify
from processor.sandbox.clock import Clock, NewId
from processor.sandbox.faults import ApiFault, FaultTable
from processor.sandbox.gate import Handler
from processor.sandbox.javascript import stringify
from processor.sandbox.limits import Allowance, Limits, RateLimit
from processor.sandbox.request import OversizedError
from processor.sandbox.state import DuplicateIdentifierError
from processor.sandbox.views import Json

NOT_FOUND: Final = 404
TAKEN: Final = 409
OVERSIZED: Final = 413
TOO_MANY: Final = 429
BROKEN: Final = 500
BAD_PAYLOAD: Final = 602
BAD_CREDENTIALS: Final = 813
FORBIDDEN: Final = 403
UNAUTHORIZED: Final = 401
_STATUS: Final = {BAD_PAYLOAD: 400}
"""Where the status is not the code itself."""
_HALF: Final = '{"meta":{"exists":true,"uuid'

Answer = Callable[[web.Request, ApiCaller], Awaitable[Json]]


class ApiError(Exception):
    """An error to be told to the caller by its code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"error code {code}")
        self.code = code


class ApiGuard:
    """Lets calls through to their answers. ``counters`` are those of each application, its creations apart."""

    def __init__(self, *, limits: Limits, faults: FaultTable, clock: Clock, new_id: NewId) -> None:
        self._limits = limits
        self._faults = faults
        self._clock = clock
        self._new_id = new_id
        self.counters: dict[tuple[str, bool], RateLimit] = {}

    def __call__(
        self, identify: Identify, answer: Answer, *, creates: bool = False, refusal: int = FORBIDDEN
    ) -> Handler:
        """``answer`` for whom ``identify`` tells; for others status ``refusal``. ``creates`` is counted apart.

        In an answer a ``LookupError`` says that there is none, a ``ValueError`` that the question makes no sense.
        """

        async def handle(request: web.Request) -> web.Response:
            caller = identify(request)
            allowance = self._take(caller, creates=creates)
            if caller is None:
                return self._error(BAD_CREDENTIALS, allowance, status=refusal)
            try:
                return _respond(await self._answered(request, caller, allowance, answer), allowance)
            except ApiError as error:
                return self._error(error.code, allowance, status=_STATUS.get(error.code, error.code))

        return handle

    async def _answered(self, request: web.Request, caller: ApiCaller, allowance: Allowance, answer: Answer) -> str:
        """The text of the answer. Raises `ApiError`."""
        if not allowance.granted:
            raise ApiError(TOO_MANY)
        fault = self._faults.of(request.match_info.get("uuid"), caller.application.key).api
        if fault is not None:
            return await _spoilt(fault)
        try:
            return stringify(await answer(request, caller))
        except LookupError as error:
            raise ApiError(NOT_FOUND) from error
        except OversizedError as error:
            raise ApiError(OVERSIZED) from error
        except DuplicateIdentifierError as error:
            raise ApiError(TAKEN) from error
        except ValueError as error:
            raise ApiError(BAD_PAYLOAD) from error

    def _error(self, code: int, allowance: Allowance, *, status: int) -> web.Response:
        body = {"error": {"reference": self._new_id(), "code": code}}
        return _respond(stringify(body), allowance, status=status)

    def _take(self, caller: ApiCaller | None, *, creates: bool) -> Allowance:
        limit = self._limits.creations if creates else self._limits.calls
        owner = caller.application.key if caller else ""
        counter = self.counters.setdefault((owner, creates), RateLimit(limit=limit))
        return counter.take(self._clock())


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
