"""The provider over HTTP, with what goes wrong there.

``GET /auth`` is a page with a button for each wallet, in the place of the sign request that Xumm shows. A button sends
``POST /auth`` with the same query and ``{"account": ...}`` or ``{"deny": true}`` in JSON; the answer tells where the
browser goes, and what Xumm's kit is told by a message.

Source: https://github.com/XRPL-Labs/XUMM-OAuth2-OpenID-Provider
"""

import asyncio
import html
import json
from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from processor.sandbox.cors import open_to_pages
from processor.sandbox.gate import Handler, require_own_page
from processor.sandbox.javascript import stringify
from processor.sandbox.oauth2 import REJECTED, Asked, OAuth2Error, Provider, discovery
from processor.sandbox.wallet import ALICE, BOB

ACCOUNTS: Final = {ALICE.address: "Alice", BOB.address: "Bob"}
_HALF: Final = '{"keys":[{"kty'
_REFUSED: Final = 400
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sandbox</title>
<link rel="icon" href="data:,"><h1>Sign in to {name}</h1><p>{buttons}</p><p role="alert"></p><script>
for (const button of document.querySelectorAll("button")) button.onclick = async () => {{
  const headers = {{ "Content-Type": "application/json" }}
  const answer = await fetch(location.href, {{ method: "POST", headers, body: button.value }})
  if (!answer.ok) return document.querySelector("[role=alert]").textContent = await answer.text()
  const {{ to, message }} = await answer.json()
  if (message === null || !window.opener) return location.assign(to)
  window.opener.postMessage(JSON.stringify(message), message.options.redirect_uri)
  window.close()
}}
</script></html>"""
_ERROR_PAGE: Final = '<!doctype html><html lang="en"><title>Sandbox</title><h1>{error}</h1><p>{description}</p></html>'
_UNFRAMED: Final = {"Content-Security-Policy": "frame-ancestors 'none'"}
_fields: Final[TypeAdapter[dict[str, str | bool]]] = TypeAdapter(dict[str, str | bool])


class House(Protocol):
    """Where the provider is."""

    @property
    def base_url(self) -> str:
        """Its address."""
        ...

    @property
    def issuer(self) -> str:
        """What its tokens name as their issuer."""
        ...

    @property
    def provider(self) -> Provider:
        """What it decides."""
        ...


def provider_routes(house: House) -> list[web.RouteDef]:
    """Everything that Xumm has on a host of its own."""
    return [*_consent_routes(house), *open_to_pages(_token_routes(house))]


def _consent_routes(house: House) -> list[web.RouteDef]:
    async def show(request: web.Request) -> web.StreamResponse:
        page = sign_in_page(house.provider.asked(request.query))
        return web.Response(text=page, content_type="text/html", headers=_UNFRAMED)

    async def press(request: web.Request) -> web.StreamResponse:
        asked, said = house.provider.asked(request.query), await _json(request)
        if said.get("deny"):
            return web.json_response(describe_outcome(asked, house.provider.deny(asked)), dumps=stringify)
        account = str(said.get("account", (*asked.signers, ALICE.address)[0]))
        to = house.provider.approve(asked, account, issuer=house.issuer)
        return web.json_response(describe_outcome(asked, to), dumps=stringify)

    return [web.get("/auth", _paged(show)), web.post("/auth", require_own_page(_paged(press)))]


def _token_routes(house: House) -> list[web.RouteDef]:
    async def token(request: web.Request) -> web.StreamResponse:
        form = await _form(request)
        tokens = house.provider.redeem(form, request.headers.get("Authorization"), issuer=house.issuer)
        return web.json_response(tokens, headers={"Cache-Control": "no-store"})

    async def userinfo(request: web.Request) -> web.StreamResponse:
        authorization = request.headers.get("Authorization")
        if authorization is None:
            return _refusal(_UNAUTHORIZED, "invalid_jwt", "No JWT token (auth) specified")
        claims = house.provider.identity.read(authorization.split(" ")[-1])
        if claims is None:
            return _refusal(_FORBIDDEN, "jwt_auth_error", "invalid token")
        return web.json_response(house.provider.describe_user(claims))

    async def certs(_request: web.Request) -> web.StreamResponse:
        return web.json_response(house.provider.identity.published())

    async def configuration(_request: web.Request) -> web.StreamResponse:
        return web.json_response(discovery(house.base_url, house.issuer))

    return [
        web.post("/token", _spoilt(house, _telling(token))),
        web.get("/userinfo", userinfo),
        web.get("/certs", _spoilt(house, certs)),
        web.get("/.well-known/openid-configuration", configuration),
    ]


def sign_in_page(asked: Asked) -> str:
    """The page whose buttons approve or decline."""
    accounts = {account: ACCOUNTS.get(account, account) for account in asked.signers or ACCOUNTS}
    values = {json.dumps({"account": account}): f"Sign in as {name}" for account, name in accounts.items()}
    buttons = " ".join(
        f'<button value="{html.escape(value)}">{html.escape(text)}</button>'
        for value, text in (values | {'{"deny": true}': "Decline"}).items()
    )
    return _PAGE.format(name=html.escape(asked.application.name), buttons=buttons)


def describe_outcome(asked: Asked, to: str) -> dict[str, Any]:
    """Where the browser goes, and what the window hears that opened the page, if Xumm's kit did so."""
    if not asked.by_kit:
        return {"to": to, "message": None}
    answer = dict(parse_qsl(urlsplit(to).query, keep_blank_values=True))
    rejected = answer.get("error") == REJECTED["error"]
    options = {"redirect_uri": asked.redirect_uri, "full_redirect_uri": to, **answer}
    source = "xumm_sign_request_rejected" if rejected else "xumm_sign_request_resolved"
    return {"to": to, "message": {"source": source, "options": options}}


def _paged(handle: Handler) -> Handler:
    """``handle``, with a page for whatever it refuses."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handle(request)
        except OAuth2Error as refused:
            page = _ERROR_PAGE.format(error=refused.error, description=html.escape(refused.description))
            return web.Response(text=page, content_type="text/html", status=_REFUSED)

    return answer


def _telling(handle: Handler) -> Handler:
    """``handle``, with an answer in JSON for whatever it refuses."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handle(request)
        except OAuth2Error as refused:
            return _refusal(_REFUSED, refused.error, refused.description)

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


async def _form(request: web.Request) -> Mapping[str, str]:
    """The fields of a form or of a JSON object. Raises `OAuth2Error`."""
    if request.content_type == "application/json":
        return {name: value for name, value in (await _json(request)).items() if isinstance(value, str)}
    return {name: str(value) for name, value in (await request.post()).items()}


async def _json(request: web.Request) -> Mapping[str, str | bool]:
    """Raises `OAuth2Error`."""
    try:
        return _fields.validate_json(await request.read())
    except ValidationError:
        raise OAuth2Error("invalid_request", "Required parameters are missing in the request.") from None


def _refusal(status: int, error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=status)
