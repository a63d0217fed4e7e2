"""The user's phone, over HTTP: open, sign, reject or expire a payload of a sandbox that runs on its own.

``GET /sign/<uuid>``, where ``next.always`` leads, is a page with the buttons; ``POST /sign/<uuid>/<action>``
presses one, with a JSON body that says how to sign, such as ``{"result": "tecPATH_DRY"}``. It is answered with the
payload. The status socket has the page's address.
"""

import html
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from aiohttp import web
from pydantic import ValidationError

from processor.sandbox.clock import Clock
from processor.sandbox.gate import require_own_page
from processor.sandbox.javascript import stringify
from processor.sandbox.payload import IllegalActionError, Payload
from processor.sandbox.signing import ACCOUNT as ACCOUNT
from processor.sandbox.signing import Signing
from processor.sandbox.state import Payloads, UnknownPayloadError
from processor.sandbox.views import fetched

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
_UNFRAMED: Final = {"Content-Security-Policy": "frame-ancestors 'none'"}
_ACTIONS: Final = ("open", "sign", "reject", "expire")

Watch = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Owner(Protocol):
    """What the phone asks of the sandbox: actions that raise `UnknownPayloadError`, `IllegalActionError`."""

    @property
    def payloads(self) -> Payloads:
        """All payloads."""
        ...

    def open(self, uuid: str, *, by_deeplink: bool = False) -> Payload:
        """Have it on screen."""
        ...

    def sign(self, uuid: str, **how: Any) -> Payload:
        """Sign it; ``how`` holds fields of `Signing`."""
        ...

    def reject(self, uuid: str) -> Payload:
        """Decline it."""
        ...

    def expire(self, uuid: str) -> Payload:
        """Let its time be over."""
        ...


def phone_routes(owner: Owner, clock: Clock, watch: Watch) -> list[web.RouteDef]:
    """The page and its buttons. A request on the page's address to change over to WebSocket goes to ``watch``."""

    async def page(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await watch(request)
        try:
            payload = owner.payloads.get(request.match_info["uuid"])
        except UnknownPayloadError:
            return web.Response(status=404, text="no such payload")
        return web.Response(text=_page(payload), content_type="text/html", headers=_UNFRAMED)

    async def press(request: web.Request) -> web.StreamResponse:
        uuid, action = request.match_info["uuid"], request.match_info["action"]
        try:
            payload = _act(owner, uuid, action, await request.read())
        except UnknownPayloadError:
            return web.Response(status=404, text="no such payload")
        except IllegalActionError as error:
            return web.Response(status=409, text=str(error))
        except ValidationError as error:
            return web.Response(status=400, text=f"{error.error_count()} unfit field(s)")
        return web.json_response(fetched(payload, now=clock()), dumps=stringify)

    return [
        web.get("/sign/{uuid}", page),
        web.post(f"/sign/{{uuid}}/{{action:{'|'.join(_ACTIONS)}}}", require_own_page(press)),
    ]


def _act(owner: Owner, uuid: str, action: str, body: bytes) -> Payload:
    match action:
        case "open":
            return owner.open(uuid, by_deeplink=True)
        case "sign":
            return owner.sign(uuid, **Signing.model_validate_json(body or b"{}").model_dump())
        case "reject":
            return owner.reject(uuid)
        case _:
            return owner.expire(uuid)


def _page(payload: Payload) -> str:
    return _PAGE.format(
        title=html.escape(payload.request.tx_type or "Transaction"),
        instruction=html.escape(payload.request.custom_meta.instruction or ""),
        situation=payload.situation.replace("_", ", "),
        buttons="".join(_BUTTON.format(uuid=payload.uuid, action=action) for action in _ACTIONS),
    )
