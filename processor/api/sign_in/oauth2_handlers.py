"""Signing in through Xumm's OAuth2 provider, for apps that leave it to this service.

1. The app opens ``GET /v1/oauth2/start?app=&return=&code_challenge=`` in the system's browser.
2. The provider sends the browser to ``GET /v1/oauth2/callback``, which sends it on to the app with ``code`` or
   ``error``.
3. The app exchanges code and verifier for a session: ``POST /v1/oauth2/token``.
"""

import html
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from processor.api.endpoint import json_response, parse_body
from processor.api.rate_limits import RateLimits
from processor.api.sign_in.oauth2_flow import OAuth2Flow
from processor.core.access.ticket import MAX_TICKET
from processor.web.bodies import Bodies
from processor.web.problem import Problem
from schemas.commands import RedeemCommand

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Back to the app</title>
<h1>{title}</h1>
{link}<p>{otherwise} open the app yourself and sign in there once more.</p>
</html>
"""
_LINK: Final = '<p><a href="{link}">Return to the app</a></p>\n'
_FAILED: Final = "Signing in did not succeed"


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2Handlers:
    """The handlers. The callers are not identified yet, so all calls are counted by address."""

    flow: OAuth2Flow
    limits: RateLimits
    bodies: Bodies

    async def start(self, request: web.Request) -> web.StreamResponse:
        """303 to the provider."""
        self.limits.count_address(request)
        app, link, challenge = (_require(request, name) for name in ("app", "return", "code_challenge"))
        if _parse_parameter(request, "code_challenge_method") not in {None, "S256"}:
            raise Problem("challenge_invalid")
        return _redirect(self.flow.start(app, link, challenge))

    async def finish(self, request: web.Request) -> web.StreamResponse:
        """303 to the app, or a page that leads there.

        Xumm's provider sends no state with an error: then it is unknown which app the user came from.
        """
        self.limits.count_address(request)
        state, code, error = (_parse_parameter(request, name) for name in ("state", "code", "error"))
        if not state and error:
            return _html_response(_PAGE.format(title=_FAILED, link="", otherwise="Please"))
        if not state:
            raise Problem("parameter_invalid")
        link = await self.flow.finish(state, code=code, error=error)
        return return_to_app(link, signed_in="error=" not in link)

    async def redeem(self, request: web.Request) -> web.StreamResponse:
        """200 with the session's token."""
        self.limits.count_address(request)
        command = await parse_body(request, RedeemCommand, self.bodies)
        return json_response(await self.flow.redeem(command.code, command.code_verifier))


def return_to_app(link: str, *, signed_in: bool) -> web.Response:
    """Send the browser to ``link``, a deep link that the app's operator allows.

    Browsers follow a redirect to ``https``. Some do not follow one to an app's own scheme, and show nothing: so the
    response is a page that opens the link at once, and has it to press. The page needs no script.
    """
    if link.startswith(("https://", "http://")):
        return _redirect(link)
    title = "You are signed in" if signed_in else _FAILED
    page = _PAGE.format(title=title, link=_LINK.format(link=html.escape(link)), otherwise="If nothing happens,")
    return _html_response(page, {"Refresh": f"0; url={link}"})


def _redirect(url: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={hdrs.LOCATION: url})


def _html_response(page: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(text=page, content_type="text/html", charset="utf-8", headers=headers)


def _require(request: web.Request, name: str) -> str:
    value = _parse_parameter(request, name)
    if not value:
        raise Problem("parameter_invalid")
    return value


def _parse_parameter(request: web.Request, name: str) -> str | None:
    """Return a parameter of the query, None if it is missing. Raises `Problem` if repeated or not printable ASCII."""
    values = request.query.getall(name, [])
    if not values:
        return None
    value = values[0]
    if len(values) > 1 or len(value) > MAX_TICKET or not (value.isascii() and value.isprintable()):
        raise Problem("parameter_invalid")
    return value
