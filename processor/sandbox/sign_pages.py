"""The pages and QR codes under ``/sign/<uuid>``, by which a person signs a payload of the sandbox.

``GET /sign/<uuid>``, where ``next.always`` leads, is a page with a button for each action. A button sends
``POST /sign/<uuid>/<action>``, with a JSON body of `SigningOptions` such as ``{"result": "tecPATH_DRY"}``, and is
answered with the payload. The status socket has the page's address.

``/sign/<uuid>_q.png`` and ``/sign/<uuid>_q.json`` are the QR code as picture and as rows of modules; the letter is the
level of error correction: ``m``, ``q`` or ``h``. ``/sign/<uuid>/qr``, where ``next.no_push_msg_received`` leads, is a
page that shows it.

Source: https://xumm.readme.io/docs/payload-response-resources
"""

import html
from io import BytesIO
from typing import Final

import segno
from aiohttp import web
from pydantic import ValidationError

from processor.sandbox.javascript import stringify
from processor.sandbox.origins import UNFRAMED, require_own_page
from processor.sandbox.payload import IllegalActionError, Payload
from processor.sandbox.payload_json import encode_payload
from processor.sandbox.payload_table import UnknownPayloadError
from processor.sandbox.signing import SigningOptions
from processor.sandbox.simulation import Simulation

_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sandbox</title>
<h1>{title}</h1><p>{instruction}</p><p>This payload is <b>{situation}</b>.</p>
<p>{buttons}</p><p role="alert"></p><script>
for (const button of document.querySelectorAll("button")) button.onclick = async () => {{
  const headers = {{ "Content-Type": "application/json" }}
  const answer = await fetch(button.value, {{ method: "POST", headers, body: "{{}}" }})
  if (answer.ok) location.reload()
  else document.querySelector("[role=alert]").textContent = await answer.text()
}}
</script></html>"""
_BUTTON: Final = '<button value="/sign/{uuid}/{action}">{action}</button> '
_ACTIONS: Final = ("open", "sign", "reject", "expire")
_QR_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sandbox</title>
<a href="{link}"><img src="{link}_q.png" alt="{link}"></a></html>"""
_QR_SCALE: Final = 8


def sign_page_routes(simulation: Simulation) -> list[web.RouteDef]:
    """The routes under ``/sign``. A WebSocket upgrade on the page's address is a status socket."""

    async def show(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await simulation.statuses.serve(request)
        page = _render_page(_find_payload(simulation, request))
        return web.Response(text=page, content_type="text/html", headers=UNFRAMED)

    async def act(request: web.Request) -> web.StreamResponse:
        _find_payload(simulation, request)
        uuid, action = request.match_info["uuid"], request.match_info["action"]
        try:
            payload = _act(simulation, uuid, action, await request.read())
        except IllegalActionError as error:
            return web.Response(status=409, text=str(error))
        except ValidationError as error:
            return web.Response(status=400, text=f"{error.error_count()} unfit field(s)")
        return web.json_response(encode_payload(payload, now=simulation.clock()), dumps=stringify)

    return [
        *_qr_routes(simulation),
        web.get("/sign/{uuid}", show),
        web.post(f"/sign/{{uuid}}/{{action:{'|'.join(_ACTIONS)}}}", require_own_page(act)),
    ]


def _qr_routes(simulation: Simulation) -> list[web.RouteDef]:
    def link_to(payload: Payload) -> str:
        return f"{simulation.base_url}/sign/{payload.uuid}"

    async def draw(request: web.Request) -> web.Response:
        link = link_to(_find_payload(simulation, request))
        code = segno.make(link, error=request.match_info["level"], micro=False, boost_error=False)
        if request.match_info["form"] == "json":
            return web.json_response([[bool(module) for module in row] for row in code.matrix])
        picture = BytesIO()
        code.save(picture, kind="png", scale=_QR_SCALE)
        return web.Response(body=picture.getvalue(), content_type="image/png")

    async def show(request: web.Request) -> web.Response:
        page = _QR_PAGE.format(link=link_to(_find_payload(simulation, request)))
        return web.Response(text=page, content_type="text/html")

    return [
        web.get(r"/sign/{uuid:[^/]{36}}_{level:[mqh]}.{form:png|json}", draw),
        web.get("/sign/{uuid}/qr", show),
    ]


def _find_payload(simulation: Simulation, request: web.Request) -> Payload:
    """The payload that the path names. Raises ``HTTPNotFound``."""
    try:
        return simulation.payloads.get(request.match_info["uuid"])
    except UnknownPayloadError:
        raise web.HTTPNotFound(text="no such payload") from None


def _act(simulation: Simulation, uuid: str, action: str, body: bytes) -> Payload:
    match action:
        case "open":
            return simulation.open(uuid, by_deeplink=True)
        case "sign":
            return simulation.sign(uuid, **SigningOptions.model_validate_json(body or b"{}").model_dump())
        case "reject":
            return simulation.reject(uuid)
        case _:
            return simulation.expire(uuid)


def _render_page(payload: Payload) -> str:
    return _PAGE.format(
        title=html.escape(payload.request.tx_type or "Transaction"),
        instruction=html.escape(payload.request.custom_meta.instruction or ""),
        situation=payload.situation.replace("_", ", "),
        buttons="".join(_BUTTON.format(uuid=payload.uuid, action=action) for action in _ACTIONS),
    )
