"""What all endpoints for apps have in common: methods, refusals, limits, and which web pages may call."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from math import ceil
from typing import Final

from aiohttp import hdrs, web
from pydantic import BaseModel

from processor.api.way_back import PRIVATE
from processor.core.access.client_address import Network, client_of
from processor.core.access.limits import Allowances, Rank, Shares
from processor.core.errors import StoreError, StoreFull
from processor.observability.loggers import sampled_log
from processor.web.problem import Problem, problem_response

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_ALLOWED_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
_EXPOSED_HEADERS: Final = "Idempotency-Replayed, Retry-After, WWW-Authenticate"
"""What a page may read of an answer, beside its body."""
_PREFLIGHT_SECONDS: Final = "600"
_SAFE: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_OWN_SITE: Final = frozenset({"same-origin", "none"})
"""What browsers say of their user's own doing, and of a page of this host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The bounds that hold for all endpoints of one service."""

    callers: Allowances
    services: Allowances
    requests: Shares
    """Of each application."""
    time: Callable[[], float]
    """Monotonic, in seconds."""
    origins: Collection[str] = field(default_factory=frozenset)
    proxies: Collection[Network] = ()
    """Who is believed for whom they ask."""

    def admit(self, caller: str) -> None:
        """Let a caller ask once. Raises `Problem`."""
        _heed(self.callers.take(caller, self.time()))

    def admit_service(self, key: str) -> None:
        """Let ask once who holds the service key of this name. Raises `Problem`."""
        _heed(self.services.take(key, self.time()))

    def admit_address(self, request: web.Request) -> None:
        """Let ask once who has not proven who they are, by address. Raises `Problem`."""
        self.admit(f"address/{self.address_of(request)}")

    def address_of(self, request: web.Request) -> str:
        """Under which address to count whoever has not proven who they are."""
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", []))
        return client_of(request.remote, forwarded, self.proxies)

    def stream_headers(self, request: web.Request) -> dict[str, str]:
        """For an answer that is begun before it is known how it ends."""
        return PRIVATE | _sharing(request.headers.get(hdrs.ORIGIN), self.origins)

    def admit_request(self, app: str, rank: Rank, caller: str) -> None:
        """Let a caller make or withdraw one more sign request of an application. Raises `Problem`."""
        _heed(self.requests.take(app, rank, caller, self.time()))


def endpoint(gate: Gate, path: str, methods: Mapping[str, Handler]) -> Handler:
    """Answers with the handler of the method, and whatever goes wrong as a problem. No request is logged."""
    allowed = ", ".join(methods)

    async def refuse(_request: web.Request) -> web.StreamResponse:
        raise Problem("method_not_allowed", headers={hdrs.ALLOW: allowed})

    async def handle(request: web.Request) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        if request.method == hdrs.METH_OPTIONS and origin in gate.origins:
            return web.Response(status=204, headers=_sharing(origin, gate.origins) | _preflight(allowed))
        response = await _attempted(gate, path, methods.get(request.method, refuse), request)
        if not response.prepared:
            response.headers.update(PRIVATE | _sharing(origin, gate.origins))
        return response

    return handle


async def _attempted(gate: Gate, path: str, handler: Handler, request: web.Request) -> web.StreamResponse:
    """What the handler answers, or why not."""
    try:
        _admit_origin(gate, request)
        return await handler(request)
    except Problem as problem:
        sampled_log.warning("request.refused", path=path, status=problem.status.value, reason=problem.reason)
        return problem_response(problem)
    except StoreFull:
        return problem_response(Problem("outbox_full"))
    except StoreError as error:
        sampled_log.error("request.store_failed", path=path, error=str(error))
        return problem_response(Problem("store_unavailable"))


def _admit_origin(gate: Gate, request: web.Request) -> None:
    """Let change nothing what a browser sends for a page of another site. Raises `Problem`.

    What the browser says of the site counts; an older one says nothing, and then the host must be that of the page.

    Source: https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
    """
    origin, site = request.headers.get(hdrs.ORIGIN), request.headers.get("Sec-Fetch-Site")
    if request.method in _SAFE or origin in gate.origins:
        return
    same_host = origin is None or origin.partition("://")[2] == request.headers.get(hdrs.HOST)
    if not (same_host if site is None else site in _OWN_SITE):
        raise Problem("origin_forbidden")


def answered(model: BaseModel, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """The answer, as JSON."""
    return web.Response(body=model.model_dump_json().encode(), status=status, content_type="application/json")


async def nowhere(_request: web.Request) -> web.StreamResponse:
    """Where no path leads. Raises `Problem`."""
    raise Problem("not_found")


def _heed(wait: float) -> None:
    if wait:
        raise Problem("rate_limited", headers={hdrs.RETRY_AFTER: str(ceil(wait))})


def _sharing(origin: str | None, origins: Collection[str]) -> dict[str, str]:
    if not origins:
        return {}
    if origin is None or origin not in origins:
        return {hdrs.VARY: hdrs.ORIGIN}
    return {
        hdrs.VARY: hdrs.ORIGIN,
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
        hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: _EXPOSED_HEADERS,
    }


def _preflight(allowed: str) -> dict[str, str]:
    return {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: allowed,
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _ALLOWED_HEADERS,
        hdrs.ACCESS_CONTROL_MAX_AGE: _PREFLIGHT_SECONDS,
    }
