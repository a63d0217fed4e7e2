"""What only a sandbox lets anybody do over HTTP: make a payload without credentials, cancel it, set faults.

``POST /payloads`` takes the body of Xumm's ``POST payload``, and ``?application=<key>``; ``DELETE /payloads/<uuid>``
cancels. ``POST /xapps`` opens an application's xApp for ``{"account": ...}``, and tells its one-time token.
``PUT /faults`` sets what goes wrong for all, ``PUT /faults/<scope>`` for one payload's uuid or one application's key,
in JSON such as ``{"webhook": "lost", "api": "limited"}``; `processor.sandbox.faults.Faults` names the switches.
``DELETE`` takes the faults back, and ``GET /faults`` tells them all. Pages of other origins are refused
(`processor.sandbox.gate`).
"""

from collections.abc import Mapping
from typing import Final, Literal, Protocol

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from processor.sandbox.faults import FaultTable, parse_faults
from processor.sandbox.gate import Handler, require_own_page
from processor.sandbox.javascript import stringify
from processor.sandbox.payload import Application, Payload, SignRequest
from processor.sandbox.request import OversizedError, parse_request
from processor.sandbox.state import Cancellation, DuplicateIdentifierError
from processor.sandbox.views import Json, cancelled, created
from schemas.text import Account

_launch: Final[TypeAdapter[dict[Literal["account"], Account]]] = TypeAdapter(dict[Literal["account"], Account])


class Board(Protocol):
    """What the controls ask of the sandbox."""

    @property
    def base_url(self) -> str:
        """Where links into the sandbox begin."""
        ...

    @property
    def faults(self) -> FaultTable:
        """What goes wrong."""
        ...

    @property
    def applications(self) -> Mapping[str, Application]:
        """The applications by key."""
        ...

    def create(self, request: SignRequest, *, application: Application | None = None) -> Payload:
        """Make a payload of the application, of the first one unless named. Raises `DuplicateIdentifierError`."""
        ...

    def cancel(self, uuid: str) -> Cancellation:
        """Cancel the payload, or say why not. Raises `UnknownPayloadError`."""
        ...

    def launch(self, account: str, *, application: Application | None = None) -> str:
        """Open the xApp of the application; its one-time token."""
        ...


def control_routes(board: Board) -> list[web.RouteDef]:
    """The controls of ``board``."""

    async def create(request: web.Request) -> web.StreamResponse:
        payload = board.create(parse_request(await request.read()), application=_application(board, request))
        return _json(created(payload, base_url=board.base_url))

    async def launch(request: web.Request) -> web.StreamResponse:
        asked = _launch.validate_json(await request.read())
        return _json({"ott": board.launch(asked["account"], application=_application(board, request))})

    async def cancel(request: web.Request) -> web.StreamResponse:
        return _json(cancelled(board.cancel(request.match_info["uuid"])))

    async def show(_request: web.Request) -> web.StreamResponse:
        return _json(board.faults.as_json())

    async def put(request: web.Request) -> web.StreamResponse:
        board.faults.set(parse_faults(await request.read()), request.match_info.get("scope"))
        return _json(board.faults.as_json())

    async def clear(request: web.Request) -> web.StreamResponse:
        board.faults.clear(request.match_info.get("scope"))
        return _json(board.faults.as_json())

    return [
        web.post("/payloads", require_own_page(_forgiving(create))),
        web.post("/xapps", require_own_page(_forgiving(launch))),
        web.delete("/payloads/{uuid}", require_own_page(_forgiving(cancel))),
        web.get("/faults", show),
        *(web.put(path, require_own_page(_forgiving(put))) for path in ("/faults", "/faults/{scope}")),
        *(web.delete(path, require_own_page(clear)) for path in ("/faults", "/faults/{scope}")),
    ]


def _application(board: Board, request: web.Request) -> Application | None:
    """The application that the query names, if it names one. Raises ``LookupError``."""
    key = request.query.get("application")
    if key is not None and key not in board.applications:
        raise LookupError("no such application")
    return None if key is None else board.applications[key]


def _forgiving(handle: Handler) -> Handler:
    """``handle``, with an answer for whatever it refuses."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handle(request)
        except LookupError as error:
            return web.Response(status=404, text=str(error))
        except DuplicateIdentifierError as error:
            return web.Response(status=409, text=str(error))
        except OversizedError as error:
            return web.Response(status=413, text=str(error))
        except ValidationError as error:
            return web.Response(status=400, text=_problems(error))

    return answer


def _problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors())


def _json(value: Json) -> web.Response:
    return web.json_response(value, dumps=stringify)
