"""The handlers of the sandbox page, ``/sandbox``, which exists in `processor dev` alone.

The app side of the page uses the service's own interface, as a native app would. These handlers serve the rest of the
page: the user's phone, which is the sandbox's wallet, the switches for faults, and the live events.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from processor.dev.broker import FragileBroker
from processor.dev.event_stream import EventStream
from processor.sandbox.origins import refuse_host, refuse_origin
from processor.sandbox.payload import IllegalActionError, Payload
from processor.sandbox.payload_json import encode_resolution
from processor.sandbox.payload_table import UnknownPayloadError
from processor.sandbox.server import Sandbox

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


class PageHandlers:
    """The handlers, which answer under the host names of this machine and ``hosts``."""

    def __init__(
        self, sandbox: Sandbox, broker: FragileBroker, stream: EventStream, hosts: Collection[str] = ()
    ) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._sandbox = sandbox
        self._broker = broker
        self._stream = stream
        self._act: Mapping[str, Callable[[str], Payload]] = {
            "open": lambda uuid: sandbox.open(uuid, by_deeplink=True),
            "scan": sandbox.open,
            "sign": sandbox.sign,
            "reject": sandbox.reject,
            "expire": sandbox.expire,
        }
        sandbox.on_change = lambda payload: stream.send("phone", show_payload(payload), keep=False)

    @property
    def routes(self) -> Mapping[str, Handler]:
        """The handler of each path."""
        methods: dict[str, Methods] = {
            f"{PATH}/events": {hdrs.METH_GET: self.show_events},
            f"{PATH}/phone": {hdrs.METH_GET: self.show_phone},
            f"{PATH}/phone/permission": {hdrs.METH_DELETE: self.revoke},
            f"{PATH}/phone/{{uuid}}/{{action:{'|'.join(self._act)}}}": {hdrs.METH_POST: self.act},
            f"{PATH}/faults": {hdrs.METH_GET: self.show_faults, hdrs.METH_PUT: self.set_faults},
        }
        pages = {
            f"{PATH}/{name}": {hdrs.METH_GET: _serve_file(body, kind)} for name, (body, kind) in _load_files().items()
        }
        pages[PATH] = pages.pop(f"{PATH}/index.html")
        return {path: _protect(each, self._hosts) for path, each in (methods | pages).items()}

    def add_to(self, service: Mapping[str, Handler]) -> Mapping[str, Handler]:
        """The routes of ``service``, which answer under the same host names, and those of the page."""
        return {**{path: _check_host(handler, self._hosts) for path, handler in service.items()}, **self.routes}

    async def show_events(self, request: web.Request) -> web.StreamResponse:
        """The live events, as server-sent events."""
        return await self._stream.serve(request, HEADERS)

    async def show_phone(self, _request: web.Request) -> web.StreamResponse:
        """The open payloads that were pushed to the phone."""
        waiting = [show_payload(payload) for payload in self._sandbox.payloads.list_open() if payload.pushed]
        return web.json_response(waiting)

    async def act(self, request: web.Request) -> web.StreamResponse:
        """Do what the user chose; 404 for an unknown payload, 409 with the reason if that is not possible."""
        try:
            payload = self._act[request.match_info["action"]](request.match_info["uuid"])
        except UnknownPayloadError:
            return _refuse(404, "The wallet does not know this request.")
        except IllegalActionError as error:
            return _refuse(409, f"Refused: {error}.".replace("_", ", "))
        return web.json_response(show_payload(payload))

    async def revoke(self, _request: web.Request) -> web.StreamResponse:
        """Revoke the user tokens of all applications."""
        for key in self._sandbox.applications:
            self._sandbox.tokens.revoke(key)
        return web.json_response({})

    async def show_faults(self, _request: web.Request) -> web.StreamResponse:
        """The switches for faults."""
        return web.json_response(self._read_switches())

    async def set_faults(self, request: web.Request) -> web.StreamResponse:
        """Set the switches in the body; the others stay."""
        wanted = await _parse_switches(request)
        if wanted is None:
            return _refuse(400, f"Say true or false of {', '.join(FAULTS)}.")
        switches = self._read_switches() | wanted
        faults = self._sandbox.faults
        changed = replace(
            faults.find(),
            webhook="lost" if switches["webhook"] else None,
            socket="refused" if switches["socket"] else None,
        )
        faults.set(changed)
        if switches["socket"]:
            await self._sandbox.statuses.close()
        if switches["broker"] and self._broker.connected:
            self._broker.cut()
        elif not switches["broker"]:
            self._broker.restore()
        self._stream.send("faults", switches, keep=False)
        return web.json_response(switches)

    def _read_switches(self) -> dict[str, bool]:
        faults = self._sandbox.faults.find()
        return {
            "webhook": faults.webhook == "lost",
            "socket": faults.socket == "refused",
            "broker": not self._broker.connected,
        }


def show_payload(payload: Payload) -> dict[str, Any]:
    """The payload as the phone shows it, and the URL to which the phone returns the user."""
    request = payload.request
    returns = payload.opened_by_deeplink and payload.situation in {"signed", "rejected"}
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
        "return_url": encode_resolution(payload)["return_url"]["app"] if returns else None,
    }


def _load_files() -> Mapping[str, tuple[str, str]]:
    """The files of the page: name to text and media type."""
    folder = files("processor.dev").joinpath("page")
    return {
        each.name: (each.read_text(encoding="utf-8"), kind)
        for each in folder.iterdir()
        for suffix, kind in TYPES.items()
        if each.name.endswith(suffix)
    }


def _serve_file(text: str, kind: str) -> Handler:
    async def serve(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type=kind, charset="utf-8")

    return serve


def _check_host(handle: Handler, hosts: Collection[str]) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return refuse_host(request, hosts) or await handle(request)

    return answer


def _protect(methods: Methods, hosts: Collection[str]) -> Handler:
    """A handler of ``methods`` for the page itself; requests of other pages in the same browser are refused."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = await _respond(request, methods, hosts)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    return handle


async def _respond(request: web.Request, methods: Methods, hosts: Collection[str]) -> web.StreamResponse:
    if refusal := refuse_host(request, hosts) or refuse_origin(request):
        return _refuse(refusal.status, str(refusal.text))
    handler = methods.get(request.method)
    return await handler(request) if handler is not None else _refuse(405, "Not that way.")


def _refuse(status: int, why: str) -> web.Response:
    return web.json_response({"why": why}, status=status)


async def _parse_switches(request: web.Request) -> dict[str, bool] | None:
    """The switches in the body; None if the body is not valid."""
    try:
        body = json.loads(await request.text())
    except ValueError:
        return None
    fits = isinstance(body, dict) and all(name in FAULTS and isinstance(on, bool) for name, on in body.items())
    return body if fits else None
