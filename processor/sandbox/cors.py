"""Which answers a page of any origin may read: what Xumm's kits ask of it from a browser.

Source: https://docs.xaman.dev/environments/browser-web3/cors-browser
"""

from collections.abc import Iterable
from typing import Final

from aiohttp import hdrs, web

from processor.sandbox.gate import Handler

_ANY: Final = {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*"}
_PREFLIGHT: Final = {
    **_ANY,
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET,HEAD,PUT,PATCH,POST,DELETE",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "authorization,content-type,x-api-key,x-api-ott",
}


def open_to_pages(routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
    """``routes`` for pages of any origin, with the preflight of each path."""
    opened = [web.route(route.method, route.path, _allow_reading(route.handler)) for route in routes]
    paths = dict.fromkeys(route.path for route in opened if route.method != hdrs.METH_ANY)
    return [web.options(path, _preflight) for path in paths] + opened


def _allow_reading(handle: Handler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await handle(request)
        response.headers.update(_ANY)
        return response

    return answer


async def _preflight(_request: web.Request) -> web.Response:
    return web.Response(status=204, headers=_PREFLIGHT)
