"""Signing in through Xumm's OAuth2 provider, as decisions: what is sent out, what may come back, where it goes then.

The service is the provider's client, because only it may hold the API secret; the app is the service's, and proves
with a challenge of its own (PKCE) that whoever redeems the code is who asked to sign in. So neither another app
that claims the same deep link nor a code that was slipped to the app is of any use.

Source: https://www.rfc-editor.org/rfc/rfc6749, https://www.rfc-editor.org/rfc/rfc7636 (S256 alone),
https://www.rfc-editor.org/rfc/rfc8252 and https://www.rfc-editor.org/rfc/rfc9700
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Self

from processor.core.access.digest import digest_of
from processor.core.access.jwt import Expected
from schemas.base64url import encoded

STATE_TTL: Final = timedelta(minutes=10)
"""How long a user may take to sign in."""
CODE_TTL: Final = timedelta(seconds=60)
"""How long the app may take to redeem its code."""
MAX_CODE: Final = 1024
"""Characters of a code of the provider's."""

Failure = Literal["access_denied", "invalid_request", "server_error", "temporarily_unavailable"]
"""What the app is told in ``error``, as of RFC 6749, section 4.1.2.1."""

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)
_CODE: Final = re.compile(rf"[!-~]{{1,{MAX_CODE}}}", re.ASCII)
_TOLD: Final[dict[str, Failure]] = {
    "access_denied": "access_denied",
    "temporarily_unavailable": "temporarily_unavailable",
}
"""What of the provider's errors is the app's business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSecret:
    """An API secret as Xumm shows it; after ``not_after`` it is none any more."""

    text: str = field(repr=False)
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An application as Xumm's OAuth2 provider knows it, and what its operator allows."""

    app: str
    api_key: str
    secrets: tuple[ApiSecret, ...]
    """The current one first."""
    network: str
    provider: str
    """Where the provider is: also what its tokens name as their issuer."""
    deep_links: frozenset[str] = frozenset()
    """Where users may be sent back to, each as a whole. None: they cannot sign in this way."""
    xapp_tokens: bool = False

    @property
    def secret(self) -> str:
        """The current API secret."""
        return self.secrets[0].text

    @property
    def expected(self) -> Expected:
        """What a token must say."""
        return Expected(api_key=self.api_key, network=self.network, issuer=self.provider)

    def secrets_at(self, now: datetime) -> list[str]:
        """Those that are valid."""
        return [secret.text for secret in self.secrets if secret.not_after is None or now < secret.not_after]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A sign-in that is under way: sealed, it is the ``state`` of the request to the provider."""

    id: str
    return_url: str
    challenge: str
    """The app's."""
    verifier: str = field(repr=False)
    """Ours, for the provider."""
    nonce: str
    expires_at: int
    """Unix seconds."""

    def content(self) -> dict[str, Any]:
        """For the ticket."""
        return asdict(self)

    @classmethod
    def of(cls, content: Mapping[str, Any], client: Client, now: datetime) -> Self | None:
        """What a ticket of ours holds, if its time is not over and its way back is still allowed."""
        begun = cls(**content)
        return begun if now.timestamp() < begun.expires_at and begun.return_url in client.deep_links else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A sign-in that succeeded: sealed, it is the code that the app redeems."""

    id: str
    account: str
    user: str | None
    """The opaque reference, where the provider named a user token."""
    challenge: str
    expires_at: int
    """Unix seconds."""

    def content(self) -> dict[str, Any]:
        """For the ticket."""
        return asdict(self)

    @classmethod
    def of(cls, content: Mapping[str, Any], now: datetime) -> Self | None:
        """What a ticket of ours holds, if its time is not over."""
        granted = cls(**content)
        return granted if now.timestamp() < granted.expires_at else None


def is_challenge(text: str) -> bool:
    """Whether it can be one: the SHA-256 of something, in base64url."""
    return _CHALLENGE.fullmatch(text) is not None


def is_code(text: str) -> bool:
    """Whether the provider may have made it."""
    return _CODE.fullmatch(text) is not None


def challenge_of(verifier: str) -> str:
    """What is shown of a verifier until it is needed itself (S256)."""
    return encoded(digest_of(verifier))


def answers(verifier: str, challenge: str) -> bool:
    """Whether the challenge was made of this verifier."""
    return _VERIFIER.fullmatch(verifier) is not None and hmac.compare_digest(
        challenge_of(verifier).encode(), challenge.encode()
    )


def authorization(client: Client, begun: Begun, state: str, redirect_uri: str) -> dict[str, str]:
    """The query with which the user's browser goes to the provider."""
    return {
        "client_id": client.api_key,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": "openid",
        "state": state,
        "nonce": begun.nonce,
        "code_challenge": challenge_of(begun.verifier),
        "code_challenge_method": "S256",
    }


def redemption(client: Client, begun: Begun, code: str, redirect_uri: str) -> dict[str, str]:
    """The form with which the provider's code is exchanged."""
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "client_id": client.api_key,
        "client_secret": client.secret,
        "code_verifier": begun.verifier,
    }


def told(error: str) -> Failure:
    """What the app hears of an error that the provider reports."""
    return _TOLD.get(error, "server_error")
