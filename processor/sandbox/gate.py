"""Who may ask: programs, and pages of the sandbox's own.

A page of another site reaches what runs on a developer's machine in two ways. Its own name comes to lead here (DNS
rebinding): so nothing is answered but under names of this machine, and those that the operator gave. Or it lets the
browser send what a browser sends for any page without asking, a form or plain text: so what changes something comes in
JSON, and from a page of the same origin.

Source: https://fetch.spec.whatwg.org/#cors-safelisted-request-header and
https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
"""

from collections.abc import Awaitable, Callable, Collection
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SAFE: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_WITHOUT_BODY: Final = frozenset({hdrs.METH_DELETE})
_MISDIRECTED: Final = 421
_FORBIDDEN: Final = 403
_UNSUPPORTED: Final = 415


def check_names(*names: str) -> Middleware:
    """Answers nothing but under names of this machine and ``names``."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        return refuse_misdirected(request, names) or await handler(request)

    return check


def require_own_page(handle: Handler) -> Handler:
    """``handle``, for programs and for pages of the sandbox itself."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return refuse_foreign(request) or await handle(request)

    return answer


def refuse_misdirected(request: web.Request, names: Collection[str] = ()) -> web.Response | None:
    """The refusal of what was asked under a foreign name; None if the name is one of this machine or of ``names``."""
    name = _name(request.headers.get(hdrs.HOST, ""))
    if name is not None and (_is_local(name) or name in names):
        return None
    return web.Response(status=_MISDIRECTED, text="this answers under names of its own machine")


def refuse_foreign(request: web.Request) -> web.Response | None:
    """The refusal of what a page of another origin may have caused; None if it can't have, or changes nothing."""
    if request.method in _SAFE:
        return None
    origin, site = request.headers.get(hdrs.ORIGIN), request.headers.get("Sec-Fetch-Site", "same-origin")
    host = request.headers.get(hdrs.HOST, "")
    if site != "same-origin" or origin not in {None, f"http://{host}", f"https://{host}"}:
        return web.Response(status=_FORBIDDEN, text="another page asks")
    if request.method not in _WITHOUT_BODY and request.content_type != "application/json":
        return web.Response(status=_UNSUPPORTED, text="only JSON is taken")
    return None


def _name(host: str) -> str | None:
    """The name in a ``Host`` header, without the port; None if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        plain = parts.netloc == host and "@" not in host and parts.port != 0
    except ValueError:
        return None
    return parts.hostname if plain else None


def _is_local(name: str) -> bool:
    """Whether it never leaves the machine.

    Source: https://www.rfc-editor.org/rfc/rfc6761#section-6.3
    """
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
