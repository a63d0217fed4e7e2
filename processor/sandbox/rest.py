"""Xumm's API over HTTP: ``/api/v1/platform/`` for applications, ``/api/v1/jwt/`` for users, by their token.

Source: https://github.com/XRPL-Labs/XUMM-SDK/blob/main/src/Meta.ts, which names the paths and who may call them
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import TypeAdapter

from processor.sandbox import reference_data
from processor.sandbox.access import (
    BAD_PAYLOAD,
    ApiCaller,
    ApiCallers,
    ApiError,
    ApiHandler,
    accept_anybody,
)
from processor.sandbox.javascript import JsonObject
from processor.sandbox.origins import open_to_pages
from processor.sandbox.payload import Payload
from processor.sandbox.payload_json import encode_cancellation, encode_creation, encode_payload, encode_user_token
from processor.sandbox.payload_table import UnknownPayloadError
from processor.sandbox.request import parse_request
from processor.sandbox.simulation import Simulation
from processor.sandbox.status import FETCHED
from processor.sandbox.storage import AppStorage, UserStorage

PREFIX: Final = "/api/v1/platform"
JWT_PREFIXES: Final = ("/api/v1/jwt", "/api/v1/xapp-jwt")
"""The second one is the former name of the first."""
_tokens: Final[TypeAdapter[dict[Literal["tokens"], list[str]]]] = TypeAdapter(dict[Literal["tokens"], list[str]])
_object: Final[TypeAdapter[JsonObject]] = TypeAdapter(dict[str, Any])


class RestApi:
    """The routes of the API and their handlers."""

    def __init__(self, simulation: Simulation) -> None:
        self._xumm = simulation
        self._callers = ApiCallers(simulation.applications, simulation.identity)
        self._app_storage = AppStorage()
        self._user_storage = UserStorage()

    def routes(self) -> list[web.RouteDef]:
        """All routes; a path that Xumm does not have is answered with its error too."""
        return [
            *open_to_pages(route for prefix in JWT_PREFIXES for route in self._user_routes(prefix)),
            *open_to_pages(self._public_routes()),
            *self._application_routes(),
        ]

    def _application_routes(self) -> list[web.RouteDef]:
        guarded = partial(self._xumm.access, self._callers.find_by_secret)
        return [
            web.get(_build_path("ping"), guarded(self._ping)),
            *self._payload_routes(PREFIX, guarded),
            *self._reference_routes(PREFIX, guarded),
            web.post(_build_path("user-tokens"), guarded(self._check_tokens)),
            web.get(_build_path("user-token/{token}"), guarded(self._check_token)),
            web.post(_build_path("kyc-status"), guarded(self._get_user_kyc)),
            web.get(_build_path("xapp/ott/{ott}"), guarded(self._redeem_one_time_token)),
            web.post(_build_path("xapp/push"), guarded(self._push)),
            web.post(_build_path("xapp/event"), guarded(self._push_event)),
            web.get(_build_path("app-storage"), guarded(self._app_storage.get)),
            web.post(_build_path("app-storage"), guarded(self._app_storage.set)),
            web.delete(_build_path("app-storage"), guarded(self._app_storage.delete)),
            web.route("*", f"{PREFIX}/{{rest:.*}}", guarded(self._refuse)),
        ]

    def _user_routes(self, prefix: str) -> list[web.RouteDef]:
        guarded = partial(self._xumm.access, self._callers.find_by_token, refusal=HTTPStatus.UNAUTHORIZED)
        return [
            web.get(_build_path("authorize", prefix), self._xumm.access(self._callers.find_by_key, self._authorize)),
            web.get(_build_path("ping", prefix), guarded(self._ping_user)),
            *self._payload_routes(prefix, guarded),
            *self._reference_routes(prefix, guarded),
            web.get(_build_path("rails", prefix), guarded(_look_up(lambda _: reference_data.list_rails()))),
            web.get(_build_path("nftoken-detail/{key}", prefix), guarded(_look_up(reference_data.get_nftoken))),
            web.get(_build_path("userdata", prefix), guarded(self._user_storage.list)),
            web.get(_build_path("userdata/{key}", prefix), guarded(self._user_storage.get)),
            web.post(_build_path("userdata/{key}", prefix), guarded(self._user_storage.set)),
            web.delete(_build_path("userdata/{key}", prefix), guarded(self._user_storage.delete)),
            web.route("*", f"{prefix}/{{rest:.*}}", guarded(self._refuse)),
        ]

    def _public_routes(self) -> list[web.RouteDef]:
        guarded = partial(self._xumm.access, accept_anybody)
        return [
            web.get(_build_path("rails"), guarded(_look_up(lambda _: reference_data.list_rails()))),
            web.get(_build_path("kyc-status/{key}"), guarded(_look_up(reference_data.get_account_kyc))),
            web.get(_build_path("account-meta/{key}"), guarded(_look_up(reference_data.get_account_meta))),
        ]

    def _payload_routes(self, prefix: str, guarded: Callable[..., Handler]) -> list[web.RouteDef]:
        return [
            web.post(_build_path("payload", prefix), guarded(self._create, creates=True)),
            web.get(_build_path("payload/ci/{identifier}", prefix), guarded(self._get_by_identifier)),
            web.get(_build_path("payload/{uuid}", prefix), guarded(self._get)),
            web.delete(_build_path("payload/{uuid}", prefix), guarded(self._cancel)),
        ]

    def _reference_routes(self, prefix: str, guarded: Callable[..., Handler]) -> list[web.RouteDef]:
        return [
            web.get(
                _build_path("curated-assets", prefix), guarded(_look_up(lambda _: reference_data.list_curated_assets()))
            ),
            web.get(_build_path("rates/{key}", prefix), guarded(_look_up(reference_data.get_rates))),
            web.get(_build_path("hookhash", prefix), guarded(_look_up(lambda _: reference_data.HOOKS))),
            web.get(_build_path("hookhash/{key}", prefix), guarded(_look_up(reference_data.get_hook))),
            web.get(_build_path("xrpl-tx/{key}", prefix), guarded(_look_up(self._get_transaction))),
        ]

    async def _ping(self, _request: web.Request, caller: ApiCaller) -> JsonObject:
        application = caller.application
        return {
            "pong": True,
            "auth": {
                "quota": {},
                "application": {
                    "uuidv4": application.key,
                    "name": application.name,
                    "webhookurl": application.webhook_url,
                    "redirecturis": list(application.redirect_uris),
                    "disabled": 0,
                },
                "call": {"uuidv4": self._xumm.new_id()},
            },
        }

    async def _ping_user(self, _request: web.Request, caller: ApiCaller) -> JsonObject:
        return {"pong": True, **caller.claims}

    async def _authorize(self, request: web.Request, caller: ApiCaller) -> JsonObject:
        token = request.headers.get("x-api-ott", "")
        return self._xumm.xapps.authorize(caller.application, token, issuer=self._xumm.issuer)

    async def _create(self, request: web.Request, caller: ApiCaller) -> JsonObject:
        parsed = parse_request(await request.read())
        if parsed.user_token is None and caller.claims:
            parsed = replace(parsed, user_token=str(caller.claims["usertoken_uuidv4"]))
        payload = self._xumm.create(parsed, application=caller.application)
        return encode_creation(payload, base_url=self._xumm.base_url)

    async def _get(self, request: web.Request, caller: ApiCaller) -> JsonObject:
        return self._fetch(self._get_own(request, caller))

    async def _get_by_identifier(self, request: web.Request, caller: ApiCaller) -> JsonObject:
        return self._fetch(self._xumm.payloads.by_identifier(caller.application, request.match_info["identifier"]))

    def _fetch(self, payload: Payload) -> JsonObject:
        """The payload for its application; the status sockets say that it was fetched."""
        self._xumm.statuses.send(payload.uuid, FETCHED)
        answer, signature = encode_payload(payload, now=self._xumm.clock()), payload.signature
        if signature and not self._xumm.tokens.is_latest(signature.user_token, payload.uuid):
            answer["application"]["issued_user_token"] = None
        return answer

    async def _cancel(self, request: web.Request, caller: ApiCaller) -> JsonObject:
        return encode_cancellation(self._xumm.cancel(self._get_own(request, caller).uuid))

    async def _check_tokens(self, request: web.Request, caller: ApiCaller) -> JsonObject:
        tokens = _tokens.validate_json(await request.read()).get("tokens")
        if tokens is None:
            raise ApiError(BAD_PAYLOAD)
        return {"tokens": [self._check(caller, token) for token in tokens]}

    async def _check_token(self, request: web.Request, caller: ApiCaller) -> JsonObject:
        return {"tokens": [self._check(caller, request.match_info["token"])]}

    def _check(self, caller: ApiCaller, token: str) -> JsonObject:
        known = self._xumm.tokens.get(caller.application.key, token)
        return encode_user_token(token, known, now=self._xumm.clock())

    async def _get_user_kyc(self, request: web.Request, caller: ApiCaller) -> JsonObject:
        token = str(_object.validate_json(await request.read()).get("user_token"))
        return reference_data.get_user_kyc(self._xumm.tokens.get(caller.application.key, token))

    def _get_transaction(self, txid: str) -> JsonObject:
        return reference_data.get_transaction(txid, self._xumm.ledger)

    async def _redeem_one_time_token(self, request: web.Request, caller: ApiCaller) -> JsonObject:
        return self._xumm.xapps.redeem(caller.application, request.match_info["ott"])

    async def _push(self, request: web.Request, caller: ApiCaller) -> JsonObject:
        token = str(_object.validate_json(await request.read()).get("user_token"))
        return {"pushed": self._xumm.tokens.is_active(caller.application.key, token)}

    async def _push_event(self, request: web.Request, caller: ApiCaller) -> JsonObject:
        return {**await self._push(request, caller), "uuid": self._xumm.new_id()}

    async def _refuse(self, _request: web.Request, _caller: ApiCaller) -> JsonObject:
        raise ApiError(HTTPStatus.NOT_FOUND)

    def _get_own(self, request: web.Request, caller: ApiCaller) -> Payload:
        """The caller's payload in the path. Raises `UnknownPayloadError`, for another application's payload too."""
        payload = self._xumm.payloads.get(request.match_info["uuid"])
        if payload.application.key != caller.application.key:
            raise UnknownPayloadError("another application's")
        return payload


def _build_path(path: str, prefix: str = PREFIX) -> str:
    """The pattern of ``path``, with or without a slash at the end: one of the official kits sends one."""
    return f"{prefix}/{path}{{slash:/?}}"


def _look_up(find: Callable[[str], JsonObject]) -> ApiHandler:
    """A handler that passes the path's ``key`` alone to ``find``."""

    async def handle(request: web.Request, _caller: ApiCaller) -> JsonObject:
        return find(request.match_info.get("key", ""))

    return handle
