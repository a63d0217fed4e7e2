"""The QR codes of payloads, as pictures and as rows of modules: ``/sign/<uuid>_q.png`` and ``/sign/<uuid>_q.json``.

The letter is the level of error correction: ``m``, ``q`` or ``h``.

Source: https://xumm.readme.io/docs/payload-response-resources
"""

from io import BytesIO
from typing import Final, Protocol

import segno
from aiohttp import web

from processor.sandbox.state import Payloads, UnknownPayloadError

_SCALE: Final = 8


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
    """The codes of all payloads."""

    async def show(request: web.Request) -> web.Response:
        try:
            payload = links.payloads.get(request.match_info["uuid"])
        except UnknownPayloadError:
            return web.Response(status=404, text="no such payload")
        link = f"{links.base_url}/sign/{payload.uuid}"
        code = segno.make(link, error=request.match_info["level"], micro=False, boost_error=False)
        if request.match_info["form"] == "json":
            return web.json_response([[bool(module) for module in row] for row in code.matrix])
        picture = BytesIO()
        code.save(picture, kind="png", scale=_SCALE)
        return web.Response(body=picture.getvalue(), content_type="image/png")

    return [web.get(r"/sign/{uuid:[^/]{36}}_{level:[mqh]}.{form:png|json}", show)]
