"""Signing in through Xumm's OAuth2 provider: start, callback, and the exchange of a code for a session.

A sign-in that was started is not stored: it is sealed into its ``state``. The store remembers which states and codes
were used, until they expire.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import structlog
from yarl import URL

from processor.api.sign_in.identity_tokens import IdentityVerifier, build_user_reference
from processor.core.access.jwt import Unproven
from processor.core.access.oauth2 import (
    CODE_TTL,
    STATE_TTL,
    Client,
    CompletedSignIn,
    Failure,
    PendingSignIn,
    authorization_query,
    failure_of,
    is_challenge,
    is_code,
    matches_challenge,
    redemption_form,
)
from processor.core.access.ticket import NONCE_BYTES, Purpose, application_of, seal, unseal
from processor.core.errors import Denied, LookupFailed, Unavailable
from processor.observability.loggers import sampled_log
from processor.store.ports import SessionStore, UsedOnce
from processor.web.client import Connections
from processor.web.problem import Problem, ProblemReason
from schemas.api import SessionRedeemed

_TOKENS: Final = ("id_token", "access_token")
"""Both are tokens of the same kind; OpenID Connect promises the nonce in the first."""
_INVALID: Final[Mapping[Purpose, ProblemReason]] = {"state": "state_invalid", "code": "code_invalid"}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2Flow:
    """The authorization code flow (RFC 6749, section 4.1) of all applications. Its methods raise `Problem`."""

    clients: Mapping[str, Client]
    """By the application's name."""
    redirect_uri: str
    """Where the provider sends browsers back to: a path of this service."""
    verifier: IdentityVerifier
    provider: Connections
    sessions: SessionStore
    spent: UsedOnce
    clock: Callable[[], datetime]
    session_ttl: timedelta

    def start(self, app: str, return_url: str, challenge: str) -> str:
        """Begin a sign-in. Returns the provider's URL for the browser."""
        client = self.clients.get(app)
        if client is None:
            raise Problem("application_forbidden")
        if return_url not in client.deep_links:
            raise Problem("return_forbidden")
        if not is_challenge(challenge):
            raise Problem("challenge_invalid")
        begun = PendingSignIn(
            id=secrets.token_urlsafe(16),
            return_url=return_url,
            challenge=challenge,
            verifier=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(16),
            expires_at=self._expire_in(STATE_TTL),
        )
        query = authorization_query(client, begun, self._seal(client, "state", begun), self.redirect_uri)
        return f"{client.provider}/auth?{urlencode(query)}"

    async def finish(self, state: str, *, code: str | None, error: str | None) -> str:
        """Take what the provider sent. Returns the app's link, with ``code`` or ``error`` in its query."""
        client, content = self._unseal(state, "state")
        begun = PendingSignIn.of(content, client, self.clock())
        if begun is None or not await self._use_up("state", begun):
            raise Problem("state_invalid")
        granted = await self._verify_grant(client, begun, code, error)
        if isinstance(granted, CompletedSignIn):
            log.info("sign_in.granted", app=client.app, account=granted.account)
            return _build_link(begun, code=self._seal(client, "code", granted))
        sampled_log.warning("sign_in.failed", app=client.app, reason=granted)
        return _build_link(begun, error=granted)

    async def redeem(self, code: str, verifier: str) -> SessionRedeemed:
        """Exchange a code for a session. An attempt uses the code up. Raises `StoreError` too."""
        client, content = self._unseal(code, "code")
        granted = CompletedSignIn.of(content, self.clock())
        if (
            granted is None
            or not await self._use_up("code", granted)
            or not matches_challenge(verifier, granted.challenge)
        ):
            raise Problem("code_invalid")
        token = await self.sessions.create(client.app, granted.account, granted.user, self.session_ttl)
        seconds = int(self.session_ttl.total_seconds())
        return SessionRedeemed(access_token=token, expires_in=seconds, app=client.app, account=granted.account)

    async def _verify_grant(
        self, client: Client, begun: PendingSignIn, code: str | None, error: str | None
    ) -> CompletedSignIn | Failure:
        if error is not None:
            return failure_of(error)
        if code is None or not is_code(code):
            return "invalid_request"
        try:
            token = await self._fetch_token(client, redemption_form(client, begun, code, self.redirect_uri))
            proof = await self.verifier.verify(client, token, nonce=begun.nonce)
        except Unproven as unproven:
            sampled_log.warning("identity.refused", app=client.app, reason=unproven.fault)
            return "access_denied"
        except LookupFailed as failed:
            sampled_log.warning("sign_in.token_refused", app=client.app, problem=str(failed))
            return "temporarily_unavailable" if isinstance(failed, Unavailable) else "access_denied"
        return CompletedSignIn(
            id=secrets.token_urlsafe(16),
            account=proof.account,
            user=build_user_reference(client, proof),
            challenge=begun.challenge,
            expires_at=self._expire_in(CODE_TTL),
        )

    async def _fetch_token(self, client: Client, form: Mapping[str, str]) -> str:
        """Exchange the provider's code for its token, with one call. Raises `Unavailable` or `Denied`."""
        answer = await self.provider.ask("POST", URL(f"{client.provider}/token"), form=form)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise Unavailable(f"{answer.host} answered {answer.status}")
        tokens = answer.json_object() or {} if answer.status == HTTPStatus.OK else {}
        token = next((tokens[name] for name in _TOKENS if isinstance(tokens.get(name), str)), None)
        if token is None:
            raise Denied(f"{answer.host} answered {answer.status} without a token")
        return str(token)

    def _unseal(self, ticket: str, purpose: Purpose) -> tuple[Client, Mapping[str, Any]]:
        client = self.clients.get(application_of(ticket) or "")
        keys = () if client is None else [secret.encode() for secret in client.secrets_at(self.clock())]
        content = client and unseal(ticket, client.app, purpose, keys)
        if client is None or not content:
            raise Problem(_INVALID[purpose])
        return client, content

    async def _use_up(self, purpose: Purpose, content: PendingSignIn | CompletedSignIn) -> bool:
        """Mark a ticket as used. Returns whether it was unused."""
        expires_at = datetime.fromtimestamp(content.expires_at, UTC)
        return await self.spent.use(f"{purpose} {content.id}", expires_at)

    def _seal(self, client: Client, purpose: Purpose, content: PendingSignIn | CompletedSignIn) -> str:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return seal(client.app, purpose, client.secret.encode(), asdict(content), nonce)

    def _expire_in(self, ttl: timedelta) -> int:
        return int((self.clock() + ttl).timestamp())


def _build_link(begun: PendingSignIn, **answer: str) -> str:
    """Add ``answer`` to the query of the app's deep link, which has no fragment."""
    return f"{begun.return_url}{'&' if '?' in begun.return_url else '?'}{urlencode(answer)}"
