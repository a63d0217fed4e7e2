"""The QR codes of payloads, as pictures and as rows of modules: ``/sign/<uuid>_q.png`` and ``/sign/<uuid>_q.json``.
``/sign/<uuid>/qr``, where ``next.no_push_msg_received`` leads, is a page with one.

The letter is the level of error correction: ``m``, ``q`` or ``h``.

Source: https://xumm.readme.io/docs/payload-response-resources
"""

from io import BytesIO
from typing import Final, Protocol

import segno
from aiohttp import web

from processor.sandbox.state import Payloads, UnknownPayloadError

_SCALE: Final = 8
_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sandbox</title>
<a href="{link}"><img src="{link}_q.png" alt="{link}"></a></html>"""


class PayloadLinks(Protocol):
    """What the codes lead to."""

    @property
    def base_url(self) -> str:
        """Where links into the sandbox begin."""
        ...

    @property
    def payloads(self) -> Payloads:
        """All payloads."""
        ...


def qr_routes(links: PayloadLinks) -> list[web.RouteDef]:
    """The codes of all payloads, and the page on which whoever got no push message finds one."""

    async def show(request: web.Request) -> web.Response:
        link = _link(links, request)
        code = segno.make(link, error=request.match_info["level"], micro=False, boost_error=False)
        if request.match_info["form"] == "json":
            return web.json_response([[bool(module) for module in row] for row in code.matrix])
        picture = BytesIO()
        code.save(picture, kind="png", scale=_SCALE)
        return web.Response(body=picture.getvalue(), content_type="image/png")

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=_PAGE.format(link=_link(links, request)), content_type="text/html")

    return [
        web.get(r"/sign/{uuid:[^/]{36}}_{level:[mqh]}.{form:png|json}", show),
        web.get("/sign/{uuid}/qr", page),
    ]


def _link(links: PayloadLinks, request: web.Request) -> str:
    """Where the payload is signed. Raises ``HTTPNotFound``."""
    try:
        payload = links.payloads.get(request.match_info["uuid"])
    except UnknownPayloadError:
        raise web.HTTPNotFound(text="no such payload") from None
    return f"{links.base_url}/sign/{payload.uuid}"
