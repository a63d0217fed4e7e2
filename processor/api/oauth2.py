"""Signing in through Xumm's OAuth2 provider, for apps that leave it to this service.

1. The app opens ``GET /v1/oauth2/start?app=&return=&code_challenge=`` in the system's browser.
2. The provider sends the browser to ``GET /v1/oauth2/callback``, and that sends it back to the app: with ``code``, or
   with ``error``.
3. The app swaps code and verifier for a session: ``POST /v1/oauth2/token``.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
from aiohttp import hdrs, web

from processor.api.request import said
from processor.api.way_back import PRIVATE, sent_to, way_back
from processor.core.errors import StoreError, StoreFull
from processor.core.ticket import MAX_TICKET
from processor.intake import Limits
from processor.problem import Problem, problem_response
from processor.sign_ins import SignInRefused, SignIns
from schemas.commands import RedeemCommand

START_PATH: Final = "/v1/oauth2/start"
CALLBACK_PATH: Final = "/v1/oauth2/callback"
REDEEM_PATH: Final = "/v1/oauth2/token"
_MAX_PARAMETER: Final = MAX_TICKET

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger()


def oauth2_handlers(sign_ins: SignIns, limits: Limits) -> Mapping[str, Handler]:
    """The three handlers by path."""

    async def start(request: web.Request) -> web.StreamResponse:
        app, back, challenge = (_needed(request, name) for name in ("app", "return", "code_challenge"))
        if _optional(request, "code_challenge_method") not in {None, "S256"}:
            raise Problem("challenge_invalid")
        return sent_to(sign_ins.start(app, back, challenge))

    async def callback(request: web.Request) -> web.StreamResponse:
        state, code, error = _needed(request, "state"), _optional(request, "code"), _optional(request, "error")
        link = await sign_ins.finish(state, code=code, error=error)
        return way_back(link, signed_in="error=" not in link)

    async def redeem(request: web.Request) -> web.StreamResponse:
        command = await said(request, RedeemCommand, limits)
        session = await sign_ins.redeem(command.code, command.code_verifier)
        answer = {
            "access_token": session.token,
            "token_type": "Bearer",
            "expires_in": int(session.ttl.total_seconds()),
            "app": session.app,
            "account": session.account,
        }
        return web.json_response(answer, headers=PRIVATE)

    return {
        START_PATH: _guarded(START_PATH, hdrs.METH_GET, start),
        CALLBACK_PATH: _guarded(CALLBACK_PATH, hdrs.METH_GET, callback),
        REDEEM_PATH: _guarded(REDEEM_PATH, hdrs.METH_POST, redeem),
    }


def _guarded(path: str, method: str, handle: Handler) -> Handler:
    """``handle`` for one method, with every refusal as a problem. Nothing of the request is logged."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            if request.method != method:
                raise Problem("method_not_allowed", headers={hdrs.ALLOW: method})  # noqa: TRY301  all refusals leave by one door
            return await _translated(handle, request)
        except Problem as problem:
            log.warning("request.refused", path=path, status=problem.status.value, reason=problem.reason)
            response = problem_response(problem)
            response.headers.update(PRIVATE)
            return response

    return guarded


async def _translated(handle: Handler, request: web.Request) -> web.StreamResponse:
    try:
        return await handle(request)
    except SignInRefused as refused:
        raise Problem(refused.refusal) from None
    except StoreFull:
        raise Problem("outbox_full") from None
    except StoreError:
        raise Problem("store_unavailable") from None


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
