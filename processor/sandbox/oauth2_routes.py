"""The OAuth2 provider over HTTP: ``/auth``, ``/token``, ``/userinfo``, ``/certs``, and the faults of the provider.

``GET /auth`` is a page with a button for each wallet, in the place of the sign request that Xumm shows. A button sends
``POST /auth`` with the same query and ``{"account": ...}`` or ``{"deny": true}`` in JSON. The answer holds the URL
for the browser, and the message for Xumm's kit.

Source: https://github.com/XRPL-Labs/XUMM-OAuth2-OpenID-Provider
"""

import asyncio
import html
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import TypeAdapter, ValidationError

from processor.sandbox.javascript import JsonObject, stringify
from processor.sandbox.oauth2 import REJECTED, AuthorizationRequest, OAuth2Error
from processor.sandbox.origins import UNFRAMED, open_to_pages, require_own_page
from processor.sandbox.simulation import Simulation
from processor.sandbox.wallet import ALICE, BOB

ACCOUNTS: Final = {ALICE.address: "Alice", BOB.address: "Bob"}
_AVATAR: Final = "https://xumm.app/avatar/{account}.png"
_HALF: Final = '{"keys":[{"kty'
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
_fields: Final[TypeAdapter[dict[str, str | bool]]] = TypeAdapter(dict[str, str | bool])


def provider_routes(simulation: Simulation) -> list[web.RouteDef]:
    """The routes that Xumm has on a host of their own."""
    return [*_consent_routes(simulation), *open_to_pages(_token_routes(simulation))]


def _consent_routes(simulation: Simulation) -> list[web.RouteDef]:
    provider = simulation.provider

    async def show(request: web.Request) -> web.StreamResponse:
        page = _render_page(provider.parse(request.query))
        return web.Response(text=page, content_type="text/html", headers=UNFRAMED)

    async def answer(request: web.Request) -> web.StreamResponse:
        asked, choice = provider.parse(request.query), await _read_json(request)
        if choice.get("deny"):
            return web.json_response(_describe_outcome(asked, provider.deny(asked)), dumps=stringify)
        account = str(choice.get("account", (*asked.signers, ALICE.address)[0]))
        to = provider.approve(asked, account, issuer=simulation.issuer)
        return web.json_response(_describe_outcome(asked, to), dumps=stringify)

    return [
        web.get("/auth", _catch_errors(show, _render_error)),
        web.post("/auth", require_own_page(_catch_errors(answer, _render_error))),
    ]


def _token_routes(simulation: Simulation) -> list[web.RouteDef]:
    async def token(request: web.Request) -> web.StreamResponse:
        form, authorization = await _read_form(request), request.headers.get("Authorization")
        tokens = simulation.provider.redeem(form, authorization, issuer=simulation.issuer)
        return web.json_response(tokens, headers={"Cache-Control": "no-store"})

    async def userinfo(request: web.Request) -> web.StreamResponse:
        authorization = request.headers.get("Authorization")
        if authorization is None:
            return _refuse(HTTPStatus.UNAUTHORIZED, "invalid_jwt", "No JWT token (auth) specified")
        claims = simulation.identity.verify(authorization.split(" ")[-1])
        if claims is None:
            return _refuse(HTTPStatus.FORBIDDEN, "jwt_auth_error", "invalid token")
        return web.json_response(_describe_user(claims))

    async def certs(_request: web.Request) -> web.StreamResponse:
        return web.json_response(simulation.identity.encode_keys())

    async def configuration(_request: web.Request) -> web.StreamResponse:
        return web.json_response(_describe_provider(simulation))

    return [
        web.post("/token", _apply_fault(simulation, _catch_errors(token, _encode_error))),
        web.get("/userinfo", userinfo),
        web.get("/certs", _apply_fault(simulation, certs)),
        web.get("/.well-known/openid-configuration", configuration),
    ]


def _render_page(request: AuthorizationRequest) -> str:
    """The page whose buttons approve or decline."""
    accounts = {account: ACCOUNTS.get(account, account) for account in request.signers or ACCOUNTS}
    values = {json.dumps({"account": account}): f"Sign in as {name}" for account, name in accounts.items()}
    buttons = " ".join(
        f'<button value="{html.escape(value)}">{html.escape(text)}</button>'
        for value, text in (values | {'{"deny": true}': "Decline"}).items()
    )
    return _PAGE.format(name=html.escape(request.application.name), buttons=buttons)


def _describe_outcome(request: AuthorizationRequest, to: str) -> JsonObject:
    """The URL for the browser, and the message to the window that opened the page; null unless Xumm's kit asked."""
    if not request.by_kit:
        return {"to": to, "message": None}
    answer = dict(parse_qsl(urlsplit(to).query, keep_blank_values=True))
    rejected = answer.get("error") == REJECTED["error"]
    options = {"redirect_uri": request.redirect_uri, "full_redirect_uri": to, **answer}
    source = "xumm_sign_request_rejected" if rejected else "xumm_sign_request_resolved"
    return {"to": to, "message": {"source": source, "options": options}}


def _describe_user(claims: Mapping[str, Any]) -> JsonObject:
    """The answer of ``/userinfo`` for the user of a token with ``claims``."""
    account = claims["sub"]
    return {
        "sub": account,
        "email": claims["email"],
        "picture": _AVATAR.format(account=account),
        "account": account,
        "name": None,
        "domain": None,
        "blocked": False,
        "source": "",
        "force_dtag": False,
        "kycApproved": False,
        "proSubscription": False,
        "networkType": claims["network_type"],
        "networkId": claims["network_id"],
        "networkEndpoint": claims["network_endpoint"],
    }


def _describe_provider(simulation: Simulation) -> JsonObject:
    """The answer of ``/.well-known/openid-configuration``."""
    base_url = simulation.base_url
    return {
        "issuer": simulation.issuer,
        "authorization_endpoint": f"{base_url}/auth",
        "token_endpoint": f"{base_url}/token",
        "userinfo_endpoint": f"{base_url}/userinfo",
        "jwks_uri": f"{base_url}/certs",
        "response_types_supported": ["code", "token"],
        "grant_types_supported": ["authorization_code", "implicit"],
        "code_challenge_methods_supported": ["S256"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
    }


def _catch_errors(handle: Handler, respond: Callable[[OAuth2Error], web.Response]) -> Handler:
    """``handle``, with an answer for each `OAuth2Error`."""

    async def catch(request: web.Request) -> web.StreamResponse:
        try:
            return await handle(request)
        except OAuth2Error as error:
            return respond(error)

    return catch


def _render_error(error: OAuth2Error) -> web.Response:
    page = _ERROR_PAGE.format(error=error.error, description=html.escape(error.description))
    return web.Response(text=page, content_type="text/html", status=HTTPStatus.BAD_REQUEST)


def _encode_error(error: OAuth2Error) -> web.Response:
    return _refuse(HTTPStatus.BAD_REQUEST, error.error, error.description)


def _apply_fault(simulation: Simulation, handle: Handler) -> Handler:
    """``handle``, unless a fault of the provider is set for all."""

    async def respond(request: web.Request) -> web.StreamResponse:
        match simulation.faults.find().oauth2:
            case "failing":
                return web.Response(status=503, text="no")
            case "garbage":
                return web.Response(text=_HALF, content_type="application/json")
            case "hanging":
                await asyncio.Event().wait()
        return await handle(request)

    return respond


async def _read_form(request: web.Request) -> Mapping[str, str]:
    """The fields of a form or of a JSON object. Raises `OAuth2Error`."""
    if request.content_type == "application/json":
        return {name: value for name, value in (await _read_json(request)).items() if isinstance(value, str)}
    return {name: str(value) for name, value in (await request.post()).items()}


async def _read_json(request: web.Request) -> Mapping[str, str | bool]:
    """The members of a JSON object. Raises `OAuth2Error`."""
    try:
        return _fields.validate_json(await request.read())
    except ValidationError:
        raise OAuth2Error("invalid_request", "Required parameters are missing in the request.") from None


def _refuse(status: int, error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=status)
