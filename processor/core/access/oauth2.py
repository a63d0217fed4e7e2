"""Sign-in through Xumm's OAuth2 provider: the requests to the provider, and the states and codes of a sign-in.

This service is the client of the provider, since only it may hold the API secret. The app is the client of this
service, and proves with a challenge of its own (PKCE) that the redeemer of the code is the app that began the sign-in.
So another app that claims the same deep link cannot use a code, nor can anybody slip a code to the app.

Source: https://www.rfc-editor.org/rfc/rfc6749, https://www.rfc-editor.org/rfc/rfc7636 (S256 alone),
https://www.rfc-editor.org/rfc/rfc8252 and https://www.rfc-editor.org/rfc/rfc9700
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Self

from processor.core.access.jwt import Expected
from processor.core.access.service_key import digest_of
from schemas.base64url import encode

STATE_TTL: Final = timedelta(minutes=10)
"""How long a user may take to sign in."""
CODE_TTL: Final = timedelta(seconds=60)
"""How long the app may take to redeem its code."""
MAX_CODE: Final = 1024
"""Characters of a code of the provider."""

Failure = Literal["access_denied", "invalid_request", "server_error", "temporarily_unavailable"]
"""The ``error`` that the app gets, as of RFC 6749, section 4.1.2.1."""

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)
_CODE: Final = re.compile(rf"[!-~]{{1,{MAX_CODE}}}", re.ASCII)
_PASSED_ON: Final[dict[str, Failure]] = {
    "access_denied": "access_denied",
    "temporarily_unavailable": "temporarily_unavailable",
}
"""The errors of the provider that are passed on to the app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecret:
    """An API secret as Xumm shows it, valid until ``not_after``."""

    text: str = field(repr=False)
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An application as a client of Xumm's OAuth2 provider, with what its operator allows."""

    app: str
    api_key: str
    secrets: tuple[ClientSecret, ...]
    """The current one first."""
    network: str
    provider: str
    """The URL of the provider, which is also the issuer in its tokens."""
    deep_links: frozenset[str] = frozenset()
    """The complete links that users may be sent back to. If empty, users cannot sign in this way."""
    xapp_tokens: bool = False

    @property
    def secret(self) -> str:
        """The current API secret."""
        return self.secrets[0].text

    @property
    def expected(self) -> Expected:
        """The claims that a token must have."""
        return Expected(api_key=self.api_key, network=self.network, issuer=self.provider)

    def secrets_at(self, now: datetime) -> list[str]:
        """The secrets that are valid at ``now``."""
        return [secret.text for secret in self.secrets if secret.not_after is None or now < secret.not_after]


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSignIn:
    """A sign-in that has begun. Sealed, it is the ``state`` of the request to the provider."""

    id: str
    return_url: str
    challenge: str
    """The challenge of the app."""
    verifier: str = field(repr=False)
    """The verifier of this service, for the provider."""
    nonce: str
    expires_at: int
    """Unix seconds."""

    @classmethod
    def of(cls, content: Mapping[str, Any], client: Client, now: datetime) -> Self | None:
        """The sign-in in a ticket, unless it has expired or its deep link is no longer allowed."""
        pending = cls(**content)
        return pending if now.timestamp() < pending.expires_at and pending.return_url in client.deep_links else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedSignIn:
    """A sign-in that succeeded. Sealed, it is the code that the app redeems."""

    id: str
    account: str
    user: str | None
    """The opaque reference, where the provider named a user token."""
    challenge: str
    expires_at: int
    """Unix seconds."""

    @classmethod
    def of(cls, content: Mapping[str, Any], now: datetime) -> Self | None:
        """The sign-in in a ticket, unless it has expired."""
        completed = cls(**content)
        return completed if now.timestamp() < completed.expires_at else None


def is_challenge(text: str) -> bool:
    """Whether ``text`` has the form of a challenge: a SHA-256 in base64url."""
    return _CHALLENGE.fullmatch(text) is not None


def is_code(text: str) -> bool:
    """Whether ``text`` has the form of a code of the provider."""
    return _CODE.fullmatch(text) is not None


def challenge_of(verifier: str) -> str:
    """The challenge of a verifier (S256)."""
    return encode(digest_of(verifier))


def matches_challenge(verifier: str, challenge: str) -> bool:
    """Whether ``challenge`` is the challenge of ``verifier``."""
    return _VERIFIER.fullmatch(verifier) is not None and hmac.compare_digest(
        challenge_of(verifier).encode(), challenge.encode()
    )


def authorization_query(client: Client, pending: PendingSignIn, state: str, redirect_uri: str) -> dict[str, str]:
    """The query with which the user's browser goes to the provider."""
    return {
        "client_id": client.api_key,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": "openid",
        "state": state,
        "nonce": pending.nonce,
        "code_challenge": challenge_of(pending.verifier),
        "code_challenge_method": "S256",
    }


def redemption_form(client: Client, pending: PendingSignIn, code: str, redirect_uri: str) -> dict[str, str]:
    """The form with which the provider's code is exchanged."""
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "client_id": client.api_key,
        "client_secret": client.secret,
        "code_verifier": pending.verifier,
    }


def failure_of(error: str) -> Failure:
    """The failure that the app is told for an ``error`` of the provider."""
    return _PASSED_ON.get(error, "server_error")
