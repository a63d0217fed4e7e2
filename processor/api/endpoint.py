"""The part that all endpoints share: methods, problems, bodies in JSON, and which web pages may call."""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Final, TypeVar

from aiohttp import hdrs, web
from pydantic import BaseModel, ValidationError

from processor.core.errors import StoreError, StoreFull
from processor.observability.loggers import sampled_log
from processor.web.bodies import Bodies
from processor.web.problem import COMMON_HEADERS, Problem, problem_response
from processor.web.server import Handler
from schemas.validation import problems_in

PRIVATE_HEADERS: Final = COMMON_HEADERS | {
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
"""Headers of every response of the interface, since its address or its text may hold a secret."""
_JSON: Final = "application/json"
_MAX_BYTES: Final = 16 * 1024
_MAX_ERRORS: Final = 10
_MAX_FIELD: Final = 100
_ALLOWED_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
_EXPOSED_HEADERS: Final = "Idempotency-Replayed, Retry-After, WWW-Authenticate"
"""Headers of a response that the script of a page may read."""
_PREFLIGHT_SECONDS: Final = "600"
_SAFE: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_OWN_SITE: Final = frozenset({"same-origin", "none"})
"""Values of ``Sec-Fetch-Site`` for a page of this host, and for what the user does in the browser itself."""
_BodyModel = TypeVar("_BodyModel", bound=BaseModel)


def build_endpoint(path: str, methods: Mapping[str, Handler], origins: Collection[str]) -> Handler:
    """Build the handler of a path. It calls that of the method, and answers with a problem where that raises one.

    Pages of ``origins`` may call. No request is logged; a refusal is, by ``path``.
    """
    allowed = ", ".join(methods)

    async def refuse(_request: web.Request) -> web.StreamResponse:
        raise Problem("method_not_allowed", headers={hdrs.ALLOW: allowed})

    async def handle(request: web.Request) -> web.StreamResponse:
        sharing = sharing_headers(request, origins)
        if request.method == hdrs.METH_OPTIONS and request.headers.get(hdrs.ORIGIN) in origins:
            return web.Response(status=204, headers=sharing | _preflight_headers(allowed))
        response = await _respond(path, methods.get(request.method, refuse), request, origins)
        if not response.prepared:
            response.headers.update(PRIVATE_HEADERS | sharing)
        return response

    return handle


async def _respond(path: str, handler: Handler, request: web.Request, origins: Collection[str]) -> web.StreamResponse:
    try:
        _check_origin(request, origins)
        return await handler(request)
    except Problem as problem:
        sampled_log.warning("request.refused", path=path, status=problem.status.value, reason=problem.reason)
        return problem_response(problem)
    except StoreFull:
        return problem_response(Problem("outbox_full"))
    except StoreError as error:
        sampled_log.error("request.store_failed", path=path, error=str(error))
        return problem_response(Problem("store_unavailable"))


def _check_origin(request: web.Request, origins: Collection[str]) -> None:
    """Refuse a change that a page of another site asks for. Raises `Problem`.

    The browser says in ``Sec-Fetch-Site`` whose page asks. An older one does not send it; then the host of ``Origin``
    must be this one.

    Source: https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
    """
    origin, site = request.headers.get(hdrs.ORIGIN), request.headers.get("Sec-Fetch-Site")
    if request.method in _SAFE or origin in origins:
        return
    same_host = origin is None or origin.partition("://")[2] == request.headers.get(hdrs.HOST)
    if not (same_host if site is None else site in _OWN_SITE):
        raise Problem("origin_forbidden")


def sharing_headers(request: web.Request, origins: Collection[str]) -> dict[str, str]:
    """Build the headers that let the page of an allowed origin read the response."""
    if not origins:
        return {}
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None or origin not in origins:
        return {hdrs.VARY: hdrs.ORIGIN}
    return {
        hdrs.VARY: hdrs.ORIGIN,
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
        hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: _EXPOSED_HEADERS,
    }


def _preflight_headers(allowed: str) -> dict[str, str]:
    return {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: allowed,
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _ALLOWED_HEADERS,
        hdrs.ACCESS_CONTROL_MAX_AGE: _PREFLIGHT_SECONDS,
    }


async def parse_body(request: web.Request, model: type[_BodyModel], bodies: Bodies) -> _BodyModel:
    """Read the body as ``model``. Raises `Problem`."""
    if request.content_type != _JSON:  # any page may send other types without a preflight request
        raise Problem("media_type_not_supported")
    body = await bodies.read(request, _MAX_BYTES)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise Problem("body_invalid", errors=_field_errors(error)) from None


def _field_errors(error: ValidationError) -> list[tuple[str, str]]:
    """List fields and faults, without values. A field's name may be the caller's own text: it is cut and cleaned."""
    return [(_printable(place), kind) for place, kind in problems_in(error)[:_MAX_ERRORS]]


def _printable(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name[:_MAX_FIELD])


def json_response(model: BaseModel, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Build a response with the model as JSON."""
    return web.Response(body=model.model_dump_json().encode(), status=status, content_type=_JSON)
