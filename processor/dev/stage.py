"""``/sandbox``: the page to see everything by, and what it asks for. A part of `processor dev` alone.

The app side of the page uses the service's own interface, as a native app would. What stands here plays the rest: the
user's phone, which is the sandbox's wallet, what goes wrong, and what happens, live.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any, Final

from aiohttp import hdrs, web

from processor.dev.broker import FragileBroker
from processor.dev.live import Live
from processor.sandbox.gate import Handler, refuse_foreign, refuse_misdirected
from processor.sandbox.payload import IllegalActionError, Payload
from processor.sandbox.server import Sandbox
from processor.sandbox.state import UnknownPayloadError
from processor.sandbox.views import resolved

PATH: Final = "/sandbox"
HEADERS: Final = {
    hdrs.CACHE_CONTROL: "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FAULTS: Final = ("webhook", "socket", "broker")

Methods = Mapping[str, Handler]


class Stage:
    """The handlers, which answer to the names of this machine and to ``hosts``."""

    def __init__(self, sandbox: Sandbox, broker: FragileBroker, live: Live, hosts: Collection[str] = ()) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._sandbox = sandbox
        self._broker = broker
        self._live = live
        self._act: Mapping[str, Callable[[str], Payload]] = {
            "open": lambda uuid: sandbox.open(uuid, by_deeplink=True),
            "scan": sandbox.open,
            "sign": sandbox.sign,
            "reject": sandbox.reject,
            "expire": sandbox.expire,
        }
        sandbox.on_change = lambda payload: live.tell("phone", shown(payload), keep=False)

    @property
    def routes(self) -> Mapping[str, Handler]:
        """The handler of each path."""
        methods: dict[str, Methods] = {
            f"{PATH}/events": {hdrs.METH_GET: self.events},
            f"{PATH}/phone": {hdrs.METH_GET: self.phone},
            f"{PATH}/phone/permission": {hdrs.METH_DELETE: self.revoke},
            f"{PATH}/phone/{{uuid}}/{{action:{'|'.join(self._act)}}}": {hdrs.METH_POST: self.act},
            f"{PATH}/faults": {hdrs.METH_GET: self.faults, hdrs.METH_PUT: self.set_faults},
        }
        pages = {f"{PATH}/{name}": {hdrs.METH_GET: _file(body, kind)} for name, (body, kind) in _files().items()}
        pages[PATH] = pages.pop(f"{PATH}/index.html")
        return {path: _guarded(each, self._hosts) for path, each in (methods | pages).items()}

    def beside(self, service: Mapping[str, Handler]) -> Mapping[str, Handler]:
        """The routes of the service, which answer to the same names, and those of the page."""
        return {**{path: _local(handler, self._hosts) for path, handler in service.items()}, **self.routes}

    async def events(self, request: web.Request) -> web.StreamResponse:
        """What happens, as server-sent events."""
        return await self._live.serve(request, HEADERS)

    async def phone(self, _request: web.Request) -> web.StreamResponse:
        """The requests that the phone was told of, and that wait for its user."""
        waiting = [shown(payload) for payload in self._sandbox.payloads.waiting() if payload.pushed]
        return web.json_response(waiting)

    async def act(self, request: web.Request) -> web.StreamResponse:
        """The user does something; 409 with the reason if that cannot be done."""
        try:
            payload = self._act[request.match_info["action"]](request.match_info["uuid"])
        except UnknownPayloadError:
            return _refused(404, "The wallet does not know this request.")
        except IllegalActionError as error:
            return _refused(409, f"Refused: {error}.".replace("_", ", "))
        return web.json_response(shown(payload))

    async def revoke(self, _request: web.Request) -> web.StreamResponse:
        """The user takes back that applications may push to them."""
        for key in self._sandbox.applications:
            self._sandbox.tokens.revoke(key)
        return web.json_response({})

    async def faults(self, _request: web.Request) -> web.StreamResponse:
        """What goes wrong."""
        return web.json_response(self._wrong())

    async def set_faults(self, request: web.Request) -> web.StreamResponse:
        """Let the switches that are named be on or off."""
        wanted = await _switches(request)
        if wanted is None:
            return _refused(400, f"Say true or false of {', '.join(FAULTS)}.")
        wrong = self._wrong() | wanted
        faults = self._sandbox.faults
        now = replace(
            faults.of(None),
            webhook="lost" if wrong["webhook"] else None,
            socket="refused" if wrong["socket"] else None,
        )
        faults.set(now)
        if wrong["socket"]:
            await self._sandbox.statuses.close()
        if wrong["broker"] and self._broker.connected:
            self._broker.cut()
        elif not wrong["broker"]:
            self._broker.mend()
        self._live.tell("faults", wrong, keep=False)
        return web.json_response(wrong)

    def _wrong(self) -> dict[str, bool]:
        faults = self._sandbox.faults.of(None)
        return {
            "webhook": faults.webhook == "lost",
            "socket": faults.socket == "refused",
            "broker": not self._broker.connected,
        }


def shown(payload: Payload) -> dict[str, Any]:
    """What the phone has on its screen, and where it sends the user back to."""
    request = payload.request
    answered = payload.situation in {"signed", "rejected"}
    return {
        "uuid": payload.uuid,
        "situation": payload.situation,
        "pushed": payload.pushed,
        "app": payload.application.name,
        "tx_type": request.tx_type,
        "amount": request.txjson.get("Amount"),
        "destination": request.txjson.get("Destination"),
        "tag": request.txjson.get("DestinationTag"),
        "instruction": request.custom_meta.instruction,
        "expires_at": payload.expires_at.isoformat(),
        "return_url": resolved(payload)["return_url"]["app"] if answered and payload.opened_by_deeplink else None,
    }


def _files() -> Mapping[str, tuple[str, str]]:
    """Name to text and type of all that the page consists of."""
    folder = files("processor.dev").joinpath("page")
    return {
        each.name: (each.read_text(encoding="utf-8"), kind)
        for each in folder.iterdir()
        for suffix, kind in TYPES.items()
        if each.name.endswith(suffix)
    }


def _file(text: str, kind: str) -> Handler:
    async def serve(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type=kind, charset="utf-8")

    return serve


def _local(handle: Handler, hosts: Collection[str]) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return refuse_misdirected(request, hosts) or await handle(request)

    return answer


def _guarded(methods: Methods, hosts: Collection[str]) -> Handler:
    """For the page itself alone: another page in the same browser may not press a button here."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = await _answer(request, methods, hosts)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    return handle


async def _answer(request: web.Request, methods: Methods, hosts: Collection[str]) -> web.StreamResponse:
    if refusal := refuse_misdirected(request, hosts) or refuse_foreign(request):
        return _refused(refusal.status, str(refusal.text))
    handler = methods.get(request.method)
    return await handler(request) if handler is not None else _refused(405, "Not that way.")


def _refused(status: int, why: str) -> web.Response:
    return web.json_response({"why": why}, status=status)


async def _switches(request: web.Request) -> dict[str, bool] | None:
    """The switches in the body; None if it is not of that form."""
    try:
        said = json.loads(await request.text())
    except ValueError:
        return None
    fits = isinstance(said, dict) and all(name in FAULTS and isinstance(on, bool) for name, on in said.items())
    return said if fits else None
