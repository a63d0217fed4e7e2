"""Signing in through Xumm's OAuth2 provider, for apps that leave it to this service.

1. The app opens ``GET /v1/oauth2/start?app=&return=&code_challenge=`` in the system's browser.
2. The provider sends the browser to ``GET /v1/oauth2/callback``, and that sends it back to the app: with ``code``, or
   with ``error``.
3. The app swaps code and verifier for a session: ``POST /v1/oauth2/token``.
"""

from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs, web

from processor.api.endpoint import Gate, Handler, answered
from processor.api.request import said
from processor.api.sign_in.oauth2 import SignInRefused, SignIns
from processor.api.way_back import nowhere, sent_to, way_back
from processor.core.access.ticket import MAX_TICKET
from processor.web.bodies import Bodies
from processor.web.problem import Problem
from schemas.api import SessionRedeemed
from schemas.commands import RedeemCommand

START_PATH: Final = "/v1/oauth2/start"
CALLBACK_PATH: Final = "/v1/oauth2/callback"
REDEEM_PATH: Final = "/v1/oauth2/token"
_MAX_PARAMETER: Final = MAX_TICKET


class OAuth2Desk:
    """The handlers. Whoever calls has yet to prove who they are, so all are counted by their address."""

    def __init__(self, sign_ins: SignIns, gate: Gate, bodies: Bodies) -> None:
        self._sign_ins = sign_ins
        self._gate = gate
        self._bodies = bodies

    @property
    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """The methods of each path."""
        return {
            START_PATH: {hdrs.METH_GET: self.start},
            CALLBACK_PATH: {hdrs.METH_GET: self.callback},
            REDEEM_PATH: {hdrs.METH_POST: self.redeem},
        }

    async def start(self, request: web.Request) -> web.StreamResponse:
        """303 to the provider."""
        self._gate.admit_address(request)
        app, back, challenge = (_needed(request, name) for name in ("app", "return", "code_challenge"))
        if _optional(request, "code_challenge_method") not in {None, "S256"}:
            raise Problem("challenge_invalid")
        try:
            return sent_to(self._sign_ins.start(app, back, challenge))
        except SignInRefused as refused:
            raise Problem(refused.refusal) from None

    async def callback(self, request: web.Request) -> web.StreamResponse:
        """303 to the app, or a page that leads there.

        Xumm's provider does not give the state back with an error: then nothing tells which app the user came from.
        """
        self._gate.admit_address(request)
        state, code, error = (_optional(request, name) for name in ("state", "code", "error"))
        if not state and error:
            return nowhere()
        if not state:
            raise Problem("parameter_invalid")
        try:
            link = await self._sign_ins.finish(state, code=code, error=error)
        except SignInRefused as refused:
            raise Problem(refused.refusal) from None
        return way_back(link, signed_in="error=" not in link)

    async def redeem(self, request: web.Request) -> web.StreamResponse:
        """200 with the session's token."""
        self._gate.admit_address(request)
        command = await said(request, RedeemCommand, self._bodies)
        try:
            session = await self._sign_ins.redeem(command.code, command.code_verifier)
        except SignInRefused as refused:
            raise Problem(refused.refusal) from None
        seconds = int(session.ttl.total_seconds())
        return answered(
            SessionRedeemed(access_token=session.token, expires_in=seconds, app=session.app, account=session.account)
        )


def _needed(request: web.Request, name: str) -> str:
    value = _optional(request, name)
    if not value:
        raise Problem("parameter_invalid")
    return value


def _optional(request: web.Request, name: str) -> str | None:
    """The parameter, which may stand there once, in printable ASCII."""
    values = request.query.getall(name, [])
    if not values:
        return None
    value = values[0]
    if len(values) > 1 or len(value) > _MAX_PARAMETER or not (value.isascii() and value.isprintable()):
        raise Problem("parameter_invalid")
    return value
