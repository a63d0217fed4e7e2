"""Signing in through Xumm's OAuth2 provider, step by step: start, callback, code for session.

Nothing is kept of a sign-in that was started: its state travels with it, sealed. That each state and each code counts
once is kept, until their time is over.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final, Literal, Protocol
from urllib.parse import urlencode

import structlog
from yarl import URL

from processor.core.access.jwt import Proof, Unproven
from processor.core.access.oauth2 import (
    CODE_TTL,
    STATE_TTL,
    Begun,
    Client,
    Failure,
    Granted,
    answers,
    authorization,
    is_challenge,
    is_code,
    redemption,
    told,
)
from processor.core.access.ticket import NONCE_BYTES, Purpose, application_of, seal, unseal
from processor.core.errors import Denied, LookupFailed, Unavailable
from processor.core.payload.ids import user_reference
from processor.observability.loggers import sampled_log
from processor.web.client import Answer

Refusal = Literal["application_forbidden", "return_forbidden", "challenge_invalid", "state_invalid", "code_invalid"]
_TOKENS: Final = ("id_token", "access_token")
"""Either is a token of the same kind; OpenID Connect promises the nonce in the first."""

log = structlog.get_logger()


class SignInRefused(Exception):
    """There is nowhere to send the user to, or no session to give."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class Sessions(Protocol):
    """Where sessions are kept."""

    async def create(self, app: str, account: str, user: str | None, ttl: timedelta) -> str:
        """Begin a session; its token. Durable on return. Raises `StoreError`."""
        ...


class Identifies(Protocol):
    """Verifies tokens, as `processor.api.sign_in.identities.Identities` does."""

    async def verify(self, client: Client, token: str, *, nonce: str | None = None) -> Proof:
        """What a token proves. Raises `Unproven` or `Unavailable`."""
        ...


class Asks(Protocol):
    """Makes calls, as `processor.web.client.Connections` does."""

    async def ask(self, method: str, url: URL, *, form: Mapping[str, str]) -> Answer:
        """Call once, with a form. Raises `Unavailable`."""
        ...


class Spent(Protocol):
    """Remembers what has been used. Must be shared by all instances for a promise that holds across them."""

    async def first(self, used: str, until: datetime) -> bool:
        """Whether nobody used this before. It is remembered until then; in doubt the answer is no."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What the app gets for its code."""

    token: str = field(repr=False)
    app: str
    account: str
    ttl: timedelta


class SignIns:
    """All sign-ins through the provider. ``redirect_uri`` is where it sends users back to this service."""

    def __init__(  # noqa: PLR0913  its ports
        self,
        clients: Mapping[str, Client],
        *,
        redirect_uri: str,
        identities: Identifies,
        provider: Asks,
        sessions: Sessions,
        spent: Spent,
        clock: Callable[[], datetime],
        session_ttl: timedelta,
    ) -> None:
        self._clients = clients
        self._redirect_uri = redirect_uri
        self._identities = identities
        self._provider = provider
        self._sessions = sessions
        self._spent = spent
        self._clock = clock
        self._session_ttl = session_ttl

    def start(self, app: str, return_url: str, challenge: str) -> str:
        """Where the browser goes to sign in. Raises `SignInRefused`."""
        client = self._clients.get(app)
        if client is None:
            raise SignInRefused("application_forbidden")
        if return_url not in client.deep_links:
            raise SignInRefused("return_forbidden")
        if not is_challenge(challenge):
            raise SignInRefused("challenge_invalid")
        begun = Begun(
            id=secrets.token_urlsafe(16),
            return_url=return_url,
            challenge=challenge,
            verifier=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(16),
            expires_at=self._until(STATE_TTL),
        )
        query = authorization(client, begun, self._sealed(client, "state", begun), self._redirect_uri)
        return f"{client.provider}/auth?{urlencode(query)}"

    async def finish(self, state: str, *, code: str | None, error: str | None) -> str:
        """Where the browser goes back to, with a code or an error. Raises `SignInRefused` if that is nowhere."""
        client, begun = self._begun(state)
        if not await self._spent.first(f"state {begun.id}", _moment(begun.expires_at, self._clock())):
            raise SignInRefused("state_invalid")
        granted = await self._granted(client, begun, code, error)
        if isinstance(granted, Granted):
            log.info("sign_in.granted", app=client.app, account=granted.account)
            return _back_to(begun, code=self._sealed(client, "code", granted))
        sampled_log.warning("sign_in.failed", app=client.app, reason=granted)
        return _back_to(begun, error=granted)

    async def redeem(self, code: str, verifier: str) -> Session:
        """The session that a code is for. Raises `SignInRefused` or `StoreError`. Trying uses the code up."""
        client = self._client_of(code)
        content = client and unseal(code, client.app, "code", self._secrets(client))
        granted = Granted.of(content, self._clock()) if content else None
        if client is None or granted is None:
            raise SignInRefused("code_invalid")
        first = await self._spent.first(f"code {granted.id}", _moment(granted.expires_at, self._clock()))
        if not first or not answers(verifier, granted.challenge):
            raise SignInRefused("code_invalid")
        token = await self._sessions.create(client.app, granted.account, granted.user, self._session_ttl)
        return Session(token=token, app=client.app, account=granted.account, ttl=self._session_ttl)

    def _begun(self, state: str) -> tuple[Client, Begun]:
        client = self._client_of(state)
        content = client and unseal(state, client.app, "state", self._secrets(client))
        begun = Begun.of(content, client, self._clock()) if client and content else None
        if client is None or begun is None:
            raise SignInRefused("state_invalid")
        return client, begun

    async def _granted(self, client: Client, begun: Begun, code: str | None, error: str | None) -> Granted | Failure:
        if error is not None:
            return told(error)
        if code is None or not is_code(code):
            return "invalid_request"
        try:
            token = await self._token(client, redemption(client, begun, code, self._redirect_uri))
            proof = await self._identities.verify(client, token, nonce=begun.nonce)
        except Unproven as unproven:
            sampled_log.warning("identity.refused", app=client.app, reason=unproven.fault)
            return "access_denied"
        except LookupFailed as failed:
            sampled_log.warning("sign_in.token_refused", app=client.app, problem=str(failed))
            return "temporarily_unavailable" if isinstance(failed, Unavailable) else "access_denied"
        return Granted(
            id=secrets.token_urlsafe(16),
            account=proof.account,
            user=user_reference(client.api_key, proof.user_token) if proof.user_token else None,
            challenge=begun.challenge,
            expires_at=self._until(CODE_TTL),
        )

    async def _token(self, client: Client, form: Mapping[str, str]) -> str:
        """What the provider gives for its code. Raises `Unavailable` or `Denied`, and never asks twice."""
        answer = await self._provider.ask("POST", URL(f"{client.provider}/token"), form=form)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise Unavailable(f"{answer.host} answered {answer.status}")
        tokens = answer.json_object() or {} if answer.status == HTTPStatus.OK else {}
        token = next((tokens[name] for name in _TOKENS if isinstance(tokens.get(name), str)), None)
        if token is None:
            raise Denied(f"{answer.host} answered {answer.status} without a token")
        return str(token)

    def _client_of(self, ticket: str) -> Client | None:
        return self._clients.get(application_of(ticket) or "")

    def _secrets(self, client: Client) -> list[bytes]:
        return [secret.encode() for secret in client.secrets_at(self._clock())]

    def _sealed(self, client: Client, purpose: Purpose, content: Begun | Granted) -> str:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return seal(client.app, purpose, client.secret.encode(), content.content(), nonce)

    def _until(self, ttl: timedelta) -> int:
        return int((self._clock() + ttl).timestamp())


def _back_to(begun: Begun, **answer: str) -> str:
    """The app's deep link, which has no fragment, with the answer on it."""
    return f"{begun.return_url}{'&' if '?' in begun.return_url else '?'}{urlencode(answer)}"


def _moment(seconds: int, now: datetime) -> datetime:
    return datetime.fromtimestamp(seconds, now.tzinfo)
