"""Which host names the sandbox answers to, and which web pages may call it.

A page of another site can reach a program on a developer's machine in two ways. The site's name can be made to resolve
to this machine (DNS rebinding): requests under any name but those of this machine and those that the operator gave are
refused. Or the page submits a form or plain text, which a browser sends without a preflight: a request that changes
something must be JSON, from a page of the same origin.

Xumm's API and provider answer browsers as well; their routes are open to pages of any origin.

Source: https://fetch.spec.whatwg.org/#cors-safelisted-request-header,
https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header and
https://docs.xaman.dev/environments/browser-web3/cors-browser
"""

from collections.abc import Collection, Iterable
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

UNFRAMED: Final = {"Content-Security-Policy": "frame-ancestors 'none'"}
"""Headers of a page that no other page may show in a frame."""
_SAFE: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_WITHOUT_BODY: Final = frozenset({hdrs.METH_DELETE})
_ANY_ORIGIN: Final = {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*"}
_PREFLIGHT: Final = {
    **_ANY_ORIGIN,
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET,HEAD,PUT,PATCH,POST,DELETE",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "authorization,content-type,x-api-key,x-api-ott",
}


def check_host(*names: str) -> Middleware:
    """Refuses requests under a host name that is neither one of this machine nor among ``names``."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        return refuse_host(request, names) or await handler(request)

    return check


def require_own_page(handle: Handler) -> Handler:
    """``handle`` for programs and for pages of the sandbox; other pages are refused."""

    async def respond(request: web.Request) -> web.StreamResponse:
        return refuse_origin(request) or await handle(request)

    return respond


def open_to_pages(routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
    """``routes`` for pages of any origin, with the preflight of each path."""
    opened = [web.route(route.method, route.path, _allow_origin(route.handler)) for route in routes]
    paths = dict.fromkeys(route.path for route in opened if route.method != hdrs.METH_ANY)
    return [web.options(path, _preflight) for path in paths] + opened


def refuse_host(request: web.Request, names: Collection[str] = ()) -> web.Response | None:
    """The refusal of a request under a foreign host name; None if the name is one of this machine or of ``names``."""
    name = _parse_host(request.headers.get(hdrs.HOST, ""))
    if name is not None and (_is_local(name) or name in names):
        return None
    return web.Response(status=HTTPStatus.MISDIRECTED_REQUEST, text="this answers under names of its own machine")


def refuse_origin(request: web.Request) -> web.Response | None:
    """The refusal of a request that a page of another origin may have caused; None for any other, and for reads."""
    if request.method in _SAFE:
        return None
    origin, site = request.headers.get(hdrs.ORIGIN), request.headers.get("Sec-Fetch-Site", "same-origin")
    host = request.headers.get(hdrs.HOST, "")
    if site != "same-origin" or origin not in {None, f"http://{host}", f"https://{host}"}:
        return web.Response(status=HTTPStatus.FORBIDDEN, text="another page asks")
    if request.method not in _WITHOUT_BODY and request.content_type != "application/json":
        return web.Response(status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text="only JSON is taken")
    return None


def _allow_origin(handle: Handler) -> Handler:
    async def respond(request: web.Request) -> web.StreamResponse:
        response = await handle(request)
        response.headers.update(_ANY_ORIGIN)
        return response

    return respond


async def _preflight(_request: web.Request) -> web.Response:
    return web.Response(status=204, headers=_PREFLIGHT)


def _parse_host(host: str) -> str | None:
    """The name in a ``Host`` header, without the port; None if the header is not well-formed."""
    try:
        parts = urlsplit(f"//{host}")
        plain = parts.netloc == host and "@" not in host and parts.port != 0
    except ValueError:
        return None
    return parts.hostname if plain else None


def _is_local(name: str) -> bool:
    """Whether requests to the name never leave this machine.

    Source: https://www.rfc-editor.org/rfc/rfc6761#section-6.3
    """
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
