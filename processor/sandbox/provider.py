"""The provider over HTTP, with what goes wrong there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from aiohttp import web

from processor.sandbox.oauth2 import OAuth2Error, Provider, discovery, sign_in_page
from processor.sandbox.wallet import ALICE, BOB

ACCOUNTS: Final = {"Alice": ALICE.address, "Bob": BOB.address}
_UNAUTHORIZED: Final = 401
_HALF: Final = '{"keys":[{"kty'

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class House(Protocol):
    """Where the provider is."""

    @property
    def base_url(self) -> str:
        """Its address, and the issuer of its tokens."""
        ...

    @property
    def provider(self) -> Provider:
        """What it decides."""
        ...


def provider_routes(house: House) -> list[web.RouteDef]:
    """Everything that Xumm has on a host of its own."""

    async def show(request: web.Request) -> web.StreamResponse:
        asked = house.provider.asked(request.query)
        return web.Response(text=sign_in_page(asked, request.query, ACCOUNTS), content_type="text/html")

    async def press(request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        asked = house.provider.asked(form)
        if "deny" in form:
            return _redirect(house.provider.deny(asked))
        return _redirect(house.provider.approve(asked, form.get("account", ALICE.address), issuer=house.base_url))

    async def token(request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        tokens = house.provider.redeem(form, request.headers.get("Authorization"), issuer=house.base_url)
        return web.json_response(tokens, headers={"Cache-Control": "no-store"})

    async def userinfo(request: web.Request) -> web.StreamResponse:
        user = house.provider.userinfo(request.headers.get("Authorization"))
        if user is None:
            return web.json_response({"error": "invalid_token"}, status=_UNAUTHORIZED)
        return web.json_response(user)

    async def certs(_request: web.Request) -> web.StreamResponse:
        return web.json_response(house.provider.identity.published())

    async def configuration(_request: web.Request) -> web.StreamResponse:
        return web.json_response(discovery(house.base_url))

    return [
        web.get("/auth", _telling(show)),
        web.post("/auth", _telling(press)),
        web.post("/token", _spoilt(house, _telling(token))),
        web.get("/userinfo", userinfo),
        web.get("/certs", _spoilt(house, certs)),
        web.get("/.well-known/openid-configuration", configuration),
    ]


def _telling(handle: Handler) -> Handler:
    """``handle``, with RFC 6749's answer for whatever it refuses."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handle(request)
        except OAuth2Error as refused:
            status = _UNAUTHORIZED if refused.error == "invalid_client" else 400
            return web.json_response({"error": refused.error}, status=status)

    return answer


def _spoilt(house: House, handle: Handler) -> Handler:
    """``handle``, unless the provider has a fault that is set for all."""

    async def answer(request: web.Request) -> web.StreamResponse:
        match house.provider.faults.of(None).oauth2:
            case "failing":
                return web.Response(status=503, text="no")
            case "garbage":
                return web.Response(text=_HALF, content_type="application/json")
            case "hanging":
                await asyncio.Event().wait()
        return await handle(request)

    return answer


def _redirect(url: str) -> web.Response:
    return web.Response(status=303, headers={"Location": url})
