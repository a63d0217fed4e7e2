"""The sandbox's own HTTP interface: create and cancel payloads without credentials, open xApps, and set faults.

``POST /payloads`` takes the body of Xumm's ``POST payload``, and ``?application=<key>``; ``DELETE /payloads/<uuid>``
cancels. ``POST /xapps`` opens an application's xApp for ``{"account": ...}`` and returns its one-time token.
``PUT /faults`` sets the faults of all, ``PUT /faults/<scope>`` those of one payload (its uuid) or one application (its
key), in JSON such as ``{"webhook": "lost", "api": "limited"}``; `processor.sandbox.faults.Faults` names the switches.
``DELETE`` clears faults, and ``GET /faults`` lists them all. Pages of other origins are refused
(`processor.sandbox.origins`).
"""

from typing import Final, Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import TypeAdapter, ValidationError

from processor.sandbox.faults import parse_faults
from processor.sandbox.javascript import JsonObject, stringify
from processor.sandbox.origins import require_own_page
from processor.sandbox.payload import Application
from processor.sandbox.payload_json import encode_cancellation, encode_creation
from processor.sandbox.payload_table import DuplicateIdentifierError
from processor.sandbox.request import OversizedError, parse_request
from processor.sandbox.simulation import Simulation
from schemas.text import Account

_launch: Final[TypeAdapter[dict[Literal["account"], Account]]] = TypeAdapter(dict[Literal["account"], Account])


def control_routes(simulation: Simulation) -> list[web.RouteDef]:
    """The routes that control ``simulation``."""

    async def create(request: web.Request) -> web.StreamResponse:
        parsed, application = parse_request(await request.read()), _find_application(simulation, request)
        payload = simulation.create(parsed, application=application)
        return _respond(encode_creation(payload, base_url=simulation.base_url))

    async def launch(request: web.Request) -> web.StreamResponse:
        account = _launch.validate_json(await request.read())["account"]
        return _respond({"ott": simulation.launch(account, application=_find_application(simulation, request))})

    async def cancel(request: web.Request) -> web.StreamResponse:
        return _respond(encode_cancellation(simulation.cancel(request.match_info["uuid"])))

    async def show(_request: web.Request) -> web.StreamResponse:
        return _respond(simulation.faults.as_json())

    async def put(request: web.Request) -> web.StreamResponse:
        simulation.faults.set(parse_faults(await request.read()), request.match_info.get("scope"))
        return _respond(simulation.faults.as_json())

    async def clear(request: web.Request) -> web.StreamResponse:
        simulation.faults.clear(request.match_info.get("scope"))
        return _respond(simulation.faults.as_json())

    return [
        web.post("/payloads", require_own_page(_report_errors(create))),
        web.post("/xapps", require_own_page(_report_errors(launch))),
        web.delete("/payloads/{uuid}", require_own_page(_report_errors(cancel))),
        web.get("/faults", show),
        *(web.put(path, require_own_page(_report_errors(put))) for path in ("/faults", "/faults/{scope}")),
        *(web.delete(path, require_own_page(clear)) for path in ("/faults", "/faults/{scope}")),
    ]


def _find_application(simulation: Simulation, request: web.Request) -> Application | None:
    """The application that the query names, None if it names none. Raises ``LookupError`` for an unknown one."""
    key = request.query.get("application")
    if key is not None and key not in simulation.applications:
        raise LookupError("no such application")
    return None if key is None else simulation.applications[key]


def _report_errors(handle: Handler) -> Handler:
    """``handle``, with the errors that it raises as answers."""

    async def respond(request: web.Request) -> web.StreamResponse:
        try:
            return await handle(request)
        except LookupError as error:
            return web.Response(status=404, text=str(error))
        except DuplicateIdentifierError as error:
            return web.Response(status=409, text=str(error))
        except OversizedError as error:
            return web.Response(status=413, text=str(error))
        except ValidationError as error:
            return web.Response(status=400, text=_describe_problems(error))

    return respond


def _describe_problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors())


def _respond(value: JsonObject) -> web.Response:
    return web.json_response(value, dumps=stringify)
