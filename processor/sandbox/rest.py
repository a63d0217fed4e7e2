"""Xumm's API over HTTP: ``/api/v1/platform/`` for applications, ``/api/v1/jwt/`` for their users, who bear a token.

Source: https://github.com/XRPL-Labs/XUMM-SDK/blob/main/src/Meta.ts, which names the paths and who may call them
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final, Literal, Protocol

from aiohttp import web
from pydantic import TypeAdapter

from processor.sandbox import facts
from processor.sandbox.caller import ApiCaller, ApiCallers, anybody
from processor.sandbox.clock import Clock, NewId
from processor.sandbox.cors import open_to_pages
from processor.sandbox.gate import Handler
from processor.sandbox.guard import BAD_PAYLOAD, NOT_FOUND, UNAUTHORIZED, Answer, ApiError, ApiGuard
from processor.sandbox.ledger import Ledger
from processor.sandbox.payload import Application, Payload, SignRequest
from processor.sandbox.request import parse_request
from processor.sandbox.state import Cancellation, Payloads, UnknownPayloadError
from processor.sandbox.stores import AppStorage, UserData
from processor.sandbox.tokens import UserTokens
from processor.sandbox.views import Json, cancelled, created, fetched, validity
from processor.sandbox.xapps import XApps

PREFIX: Final = "/api/v1/platform"
JWT_PREFIXES: Final = ("/api/v1/jwt", "/api/v1/xapp-jwt")
"""The second is the name that the first once had."""
_tokens: Final[TypeAdapter[dict[Literal["tokens"], list[str]]]] = TypeAdapter(dict[Literal["tokens"], list[str]])
_object: Final[TypeAdapter[dict[str, Any]]] = TypeAdapter(dict[str, Any])


class Desk(Protocol):
    """What the API asks of the sandbox behind it."""

    @property
    def base_url(self) -> str:
        """Where links into the sandbox begin."""
        ...

    @property
    def issuer(self) -> str:
        """What tokens name as their issuer."""
        ...

    @property
    def payloads(self) -> Payloads:
        """All payloads."""
        ...

    @property
    def tokens(self) -> UserTokens:
        """The user tokens of all applications."""
        ...

    @property
    def ledger(self) -> Ledger:
        """The ledger that transactions are looked up in."""
        ...

    @property
    def xapps(self) -> XApps:
        """The one-time tokens of xApps."""
        ...

    def create(self, request: SignRequest, *, application: Application) -> Payload:
        """Make a payload of ``request``. Raises `DuplicateIdentifierError`."""
        ...

    def cancel(self, uuid: str) -> Cancellation:
        """Cancel the payload, or say why not."""
        ...


class RestApi:
    """The routes and their answers. ``on_fetched`` is told which payload was read."""

    def __init__(
        self,
        desk: Desk,
        callers: ApiCallers,
        guard: ApiGuard,
        *,
        clock: Clock,
        new_id: NewId,
        on_fetched: Callable[[str], None],
    ) -> None:
        self._desk = desk
        self._callers = callers
        self._guard = guard
        self._clock = clock
        self._new_id = new_id
        self._on_fetched = on_fetched
        self._storage = AppStorage()
        self._userdata = UserData()

    def routes(self) -> list[web.RouteDef]:
        """All routes; one that Xumm does not have is answered in its way too."""
        return [
            *open_to_pages(route for prefix in JWT_PREFIXES for route in self._for_users(prefix)),
            *open_to_pages(self._for_anybody()),
            *self._for_applications(),
        ]

    def _for_applications(self) -> list[web.RouteDef]:
        guarded = partial(self._guard, self._callers.by_secret)
        return [
            web.get(_path("ping"), guarded(self._ping)),
            *self._payload_routes(PREFIX, guarded),
            *self._fact_routes(PREFIX, guarded),
            web.post(_path("user-tokens"), guarded(self._check_tokens)),
            web.get(_path("user-token/{token}"), guarded(self._check_token)),
            web.post(_path("kyc-status"), guarded(self._kyc_of_user)),
            web.get(_path("xapp/ott/{ott}"), guarded(self._one_time_token)),
            web.post(_path("xapp/push"), guarded(self._push)),
            web.post(_path("xapp/event"), guarded(self._push_event)),
            web.get(_path("app-storage"), guarded(self._get_storage)),
            web.post(_path("app-storage"), guarded(self._set_storage)),
            web.delete(_path("app-storage"), guarded(self._delete_storage)),
            web.route("*", f"{PREFIX}/{{rest:.*}}", guarded(self._unknown)),
        ]

    def _for_users(self, prefix: str) -> list[web.RouteDef]:
        guarded = partial(self._guard, self._callers.by_token, refusal=UNAUTHORIZED)
        return [
            web.get(_path("authorize", prefix), self._guard(self._callers.by_key, self._authorize)),
            web.get(_path("ping", prefix), guarded(self._ping_user)),
            *self._payload_routes(prefix, guarded),
            *self._fact_routes(prefix, guarded),
            web.get(_path("rails", prefix), guarded(_answer(lambda _: facts.rails()))),
            web.get(_path("nftoken-detail/{key}", prefix), guarded(_answer(facts.nftoken))),
            web.get(_path("userdata", prefix), guarded(self._list_userdata)),
            web.get(_path("userdata/{key}", prefix), guarded(self._get_userdata)),
            web.post(_path("userdata/{key}", prefix), guarded(self._set_userdata)),
            web.delete(_path("userdata/{key}", prefix), guarded(self._delete_userdata)),
            web.route("*", f"{prefix}/{{rest:.*}}", guarded(self._unknown)),
        ]

    def _for_anybody(self) -> list[web.RouteDef]:
        guarded = partial(self._guard, anybody)
        return [
            web.get(_path("rails"), guarded(_answer(lambda _: facts.rails()))),
            web.get(_path("kyc-status/{key}"), guarded(_answer(facts.kyc_of_account))),
            web.get(_path("account-meta/{key}"), guarded(_answer(facts.account_meta))),
        ]

    def _payload_routes(self, prefix: str, guarded: Callable[..., Handler]) -> list[web.RouteDef]:
        return [
            web.post(_path("payload", prefix), guarded(self._create, creates=True)),
            web.get(_path("payload/ci/{identifier}", prefix), guarded(self._by_identifier)),
            web.get(_path("payload/{uuid}", prefix), guarded(self._get)),
            web.delete(_path("payload/{uuid}", prefix), guarded(self._cancel)),
        ]

    def _fact_routes(self, prefix: str, guarded: Callable[..., Handler]) -> list[web.RouteDef]:
        return [
            web.get(_path("curated-assets", prefix), guarded(_answer(lambda _: facts.curated_assets()))),
            web.get(_path("rates/{key}", prefix), guarded(_answer(facts.rates))),
            web.get(_path("hookhash", prefix), guarded(_answer(lambda _: facts.HOOKS))),
            web.get(_path("hookhash/{key}", prefix), guarded(_answer(facts.hook))),
            web.get(_path("xrpl-tx/{key}", prefix), guarded(_answer(self._transaction))),
        ]

    async def _ping(self, _request: web.Request, caller: ApiCaller) -> Json:
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
                "call": {"uuidv4": self._new_id()},
            },
        }

    async def _ping_user(self, _request: web.Request, caller: ApiCaller) -> Json:
        return {"pong": True, **caller.claims}

    async def _authorize(self, request: web.Request, caller: ApiCaller) -> Json:
        token = request.headers.get("x-api-ott", "")
        return self._desk.xapps.authorize(caller.application, token, issuer=self._desk.issuer)

    async def _create(self, request: web.Request, caller: ApiCaller) -> Json:
        asked = parse_request(await request.read())
        if asked.user_token is None and caller.claims:
            asked = replace(asked, user_token=str(caller.claims["usertoken_uuidv4"]))
        return created(self._desk.create(asked, application=caller.application), base_url=self._desk.base_url)

    async def _get(self, request: web.Request, caller: ApiCaller) -> Json:
        return self._told(self._own(request, caller))

    async def _by_identifier(self, request: web.Request, caller: ApiCaller) -> Json:
        return self._told(self._desk.payloads.by_identifier(caller.application, request.match_info["identifier"]))

    def _told(self, payload: Payload) -> Json:
        self._on_fetched(payload.uuid)
        told, signature = fetched(payload, now=self._clock()), payload.signature
        if signature and not self._desk.tokens.follows(signature.user_token, payload.uuid):
            told["application"]["issued_user_token"] = None
        return told

    async def _cancel(self, request: web.Request, caller: ApiCaller) -> Json:
        return cancelled(self._desk.cancel(self._own(request, caller).uuid))

    async def _check_tokens(self, request: web.Request, caller: ApiCaller) -> Json:
        asked = _tokens.validate_json(await request.read()).get("tokens")
        if asked is None:
            raise ApiError(BAD_PAYLOAD)
        return {"tokens": [self._validity(caller, token) for token in asked]}

    async def _check_token(self, request: web.Request, caller: ApiCaller) -> Json:
        return {"tokens": [self._validity(caller, request.match_info["token"])]}

    def _validity(self, caller: ApiCaller, token: str) -> Json:
        return validity(token, self._desk.tokens.get(caller.application.key, token), now=self._clock())

    async def _kyc_of_user(self, request: web.Request, caller: ApiCaller) -> Json:
        token = str(_object.validate_json(await request.read()).get("user_token"))
        return facts.kyc_of_user(self._desk.tokens.get(caller.application.key, token))

    def _transaction(self, txid: str) -> Json:
        return facts.transaction(txid, self._desk.ledger)

    async def _one_time_token(self, request: web.Request, caller: ApiCaller) -> Json:
        return self._desk.xapps.fetch(caller.application, request.match_info["ott"])

    async def _push(self, request: web.Request, caller: ApiCaller) -> Json:
        token = str(_object.validate_json(await request.read()).get("user_token"))
        return {"pushed": self._desk.tokens.active(caller.application.key, token)}

    async def _push_event(self, request: web.Request, caller: ApiCaller) -> Json:
        return {**await self._push(request, caller), "uuid": self._new_id()}

    async def _get_storage(self, _request: web.Request, caller: ApiCaller) -> Json:
        return self._storage.get(caller.application)

    async def _set_storage(self, request: web.Request, caller: ApiCaller) -> Json:
        return self._storage.set(caller.application, _object.validate_json(await request.read()))

    async def _delete_storage(self, _request: web.Request, caller: ApiCaller) -> Json:
        return self._storage.delete(caller.application)

    async def _list_userdata(self, _request: web.Request, caller: ApiCaller) -> Json:
        return self._userdata.list(caller.application, caller.account)

    async def _get_userdata(self, request: web.Request, caller: ApiCaller) -> Json:
        return self._userdata.get(caller.application, caller.account, request.match_info["key"])

    async def _set_userdata(self, request: web.Request, caller: ApiCaller) -> Json:
        data = _object.validate_json(await request.read())
        return self._userdata.set(caller.application, caller.account, request.match_info["key"], data)

    async def _delete_userdata(self, request: web.Request, caller: ApiCaller) -> Json:
        return self._userdata.delete(caller.application, caller.account, request.match_info["key"])

    async def _unknown(self, _request: web.Request, _caller: ApiCaller) -> Json:
        raise ApiError(NOT_FOUND)

    def _own(self, request: web.Request, caller: ApiCaller) -> Payload:
        """The payload in the path; another application's is as unknown as none. Raises `UnknownPayloadError`."""
        payload = self._desk.payloads.get(request.match_info["uuid"])
        if payload.application.key != caller.application.key:
            raise UnknownPayloadError("another application's")
        return payload


def _path(path: str, prefix: str = PREFIX) -> str:
    """A route to ``path``, which may end in a slash: one of the official kits writes it so."""
    return f"{prefix}/{path}{{slash:/?}}"


def _answer(look: Callable[[str], Json]) -> Answer:
    """The answer that depends on nothing but the end of the path."""

    async def answer(request: web.Request, _caller: ApiCaller) -> Json:
        return look(request.match_info.get("key", ""))

    return answer
