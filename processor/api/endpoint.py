"""What all endpoints for apps have in common: methods, refusals, limits, and which web pages may call."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Final

import structlog
from aiohttp import hdrs, web

from processor.core.allowance import Allowances
from processor.core.errors import StoreError, StoreFull
from processor.problem import Problem, problem_response

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_ALLOWED_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
_PREFLIGHT_SECONDS: Final = "600"
_HARDENING: Final = {
    hdrs.CACHE_CONTROL: "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The bounds that hold for all endpoints of one service."""

    callers: Allowances
    applications: Allowances
    time: Callable[[], float]
    """Monotonic, in seconds."""
    origins: Collection[str] = field(default_factory=frozenset)

    def admit(self, caller: str) -> None:
        """Let a caller ask once. Raises `Problem`."""
        _admit(self.callers, caller, self.time())

    def stream_headers(self, request: web.Request) -> dict[str, str]:
        """For an answer that is begun before it is known how it ends."""
        return _HARDENING | _sharing(request.headers.get(hdrs.ORIGIN), self.origins)

    def admit_request(self, app: str) -> None:
        """Let an application have one more sign request. Raises `Problem`."""
        _admit(self.applications, app, self.time())


def endpoint(gate: Gate, path: str, methods: Mapping[str, Handler]) -> Handler:
    """Answers with the handler of the method, and whatever goes wrong as a problem."""
    allowed = ", ".join(methods)

    async def refuse(_request: web.Request) -> web.StreamResponse:
        raise Problem("method_not_allowed", headers={hdrs.ALLOW: allowed})

    async def handle(request: web.Request) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        shared = _sharing(origin, gate.origins)
        if request.method == hdrs.METH_OPTIONS and shared:
            return web.Response(status=204, headers=shared | _preflight(allowed))
        try:
            response = await methods.get(request.method, refuse)(request)
        except Problem as problem:
            log.warning("request.refused", path=path, status=problem.status.value, reason=problem.reason)
            response = problem_response(problem)
        except StoreFull:
            response = problem_response(Problem("outbox_full"))
        except StoreError as error:
            log.error("request.unstored", path=path, error=str(error))
            response = problem_response(Problem("store_unavailable"))
        if not response.prepared:
            response.headers.update(_HARDENING | shared)
        return response

    return handle


def _admit(allowances: Allowances, key: str, now: float) -> None:
    wait = allowances.take(key, now)
    if wait:
        raise Problem("rate_limited", headers={hdrs.RETRY_AFTER: str(ceil(wait))})


def _sharing(origin: str | None, origins: Collection[str]) -> dict[str, str]:
    if not origins:
        return {}
    vary = {hdrs.VARY: hdrs.ORIGIN}
    return vary | {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin} if origin is not None and origin in origins else {}


def _preflight(allowed: str) -> dict[str, str]:
    return {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: allowed,
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _ALLOWED_HEADERS,
        hdrs.ACCESS_CONTROL_MAX_AGE: _PREFLIGHT_SECONDS,
    }
