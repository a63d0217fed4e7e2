"""Xumm's OAuth2 and OpenID Connect provider: ``/auth``, ``/token``, ``/userinfo``, ``/certs`` and its discovery.

``GET /auth`` is a page with a button for each wallet; pressing one signs in and sends the browser back. What a
browser does, `Provider.approve` and `Provider.deny` do for a test. A code counts once, for a minute, and only for the
client, the redirect URI and the verifier that it was asked for with.

Source: https://www.rfc-editor.org/rfc/rfc6749, https://www.rfc-editor.org/rfc/rfc7636 and
https://docs.xumm.dev/environments/identity-oauth2
"""

import base64
import binascii
import hashlib
import hmac
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import unquote, urlencode

from processor.sandbox.clock import Clock, NewId
from processor.sandbox.faults import FaultTable
from processor.sandbox.identity import VALID_FOR, Identity, xapp_token
from processor.sandbox.network import Network
from processor.sandbox.payload import Application

CODE_VALID_FOR: Final = timedelta(minutes=1)
ResponseType = Literal["code", "token"]
Error = Literal[
    "access_denied", "invalid_client", "invalid_grant", "invalid_request", "unsupported_grant_type",
    "unsupported_response_type",
]  # fmt: skip

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)


class OAuth2Error(Exception):
    """What the provider refuses, by the name that RFC 6749 has for it."""

    def __init__(self, error: Error) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request to sign in, which is in order."""

    application: Application
    redirect_uri: str
    response_type: ResponseType
    state: str | None
    nonce: str | None
    challenge: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    asked: Asked
    account: str
    expires_at: datetime
    code: str = field(repr=False)


class Provider:
    """The provider of all applications. ``issuer`` is its address, without a slash at the end."""

    def __init__(
        self,
        applications: Mapping[str, Application],
        identity: Identity,
        *,
        network: Network,
        faults: FaultTable,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._applications = applications
        self.identity = identity
        self.faults = faults
        self._network = network
        self._clock = clock
        self._new_id = new_id
        self._grants: dict[str, _Grant] = {}

    def asked(self, query: Mapping[str, str]) -> Asked:
        """The request in a query. Raises `OAuth2Error` where nobody can be told but the user."""
        application = self._applications.get(query.get("client_id", ""))
        if application is None:
            raise OAuth2Error("invalid_client")
        redirect_uri = query.get("redirect_uri", "")
        if not redirect_uri or (application.redirect_uris and redirect_uri not in application.redirect_uris):
            raise OAuth2Error("invalid_request")
        response_type = query.get("response_type")
        if response_type not in {"code", "token"}:
            raise OAuth2Error("unsupported_response_type")
        challenge = query.get("code_challenge")
        method = query.get("code_challenge_method", "plain")
        if challenge is not None and (method != "S256" or not _CHALLENGE.fullmatch(challenge)):
            raise OAuth2Error("invalid_request")
        return Asked(
            application=application,
            redirect_uri=redirect_uri,
            response_type="code" if response_type == "code" else "token",
            state=query.get("state"),
            nonce=query.get("nonce"),
            challenge=challenge,
        )

    def approve(self, asked: Asked, account: str, *, issuer: str) -> str:
        """The user signs in with ``account``. Where the browser goes then: with a code, or with the token itself."""
        if asked.response_type == "token":
            token = self._token(asked, account, issuer)
            return _back(asked, access_token=token, token_type="Bearer", expires_in=_lifetime())  # noqa: S106  its type
        grant = _Grant(asked=asked, account=account, expires_at=self._clock() + CODE_VALID_FOR, code=self._new_id())
        self._grants[grant.code] = grant
        return _back(asked, code=grant.code)

    def deny(self, asked: Asked) -> str:
        """The user declines. Where the browser goes then."""
        return _back(asked, error="access_denied")

    def redeem(self, form: Mapping[str, str], authorization: str | None, *, issuer: str) -> dict[str, Any]:
        """The tokens for a code. Trying uses it up. Raises `OAuth2Error`."""
        application = self._client(form, authorization)
        if form.get("grant_type") != "authorization_code":
            raise OAuth2Error("unsupported_grant_type")
        grant = self._grants.pop(form.get("code", ""), None)
        if grant is None or self._clock() >= grant.expires_at or grant.asked.application.key != application.key:
            raise OAuth2Error("invalid_grant")
        if form.get("redirect_uri") != grant.asked.redirect_uri or not _fits(form, grant.asked.challenge):
            raise OAuth2Error("invalid_grant")
        token = self._token(grant.asked, grant.account, issuer)
        return {"access_token": token, "id_token": token, "token_type": "Bearer", "expires_in": int(_lifetime())}

    def userinfo(self, authorization: str | None) -> dict[str, Any] | None:
        """Who the bearer of a token is, None if it is none of the provider's."""
        claims = self.identity.read((authorization or "").removeprefix("Bearer "))
        return claims and {
            "sub": claims["sub"],
            "account": claims["sub"],
            "networkType": claims["network_type"],
            "networkId": claims["network_id"],
            "networkEndpoint": claims["network_endpoint"],
        }

    def xapp_token(self, account: str, application: Application, *, issuer: str) -> str:
        """What an xApp of ``application`` gets for a user who opened it."""
        return xapp_token(application, self.identity.claims(application, account, self._network, issuer=issuer))

    def _token(self, asked: Asked, account: str, issuer: str) -> str:
        fault = self.faults.of(asked.application.key).oauth2
        nonce = self._new_id() if fault == "nonce" else asked.nonce
        claims = self.identity.claims(asked.application, account, self._network, issuer=issuer, nonce=nonce)
        return self.identity.signed({**claims, "exp": claims["iat"] - 3600} if fault == "expired" else claims)

    def _client(self, form: Mapping[str, str], authorization: str | None) -> Application:
        key, secret = form.get("client_id", ""), form.get("client_secret", "")
        if authorization is not None:
            key, secret = _basic(authorization)
        application = self._applications.get(key)
        if application is None or not hmac.compare_digest(application.secret.encode(), secret.encode()):
            raise OAuth2Error("invalid_client")
        return application


def discovery(issuer: str) -> dict[str, Any]:
    """What ``/.well-known/openid-configuration`` says."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/auth",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/certs",
        "response_types_supported": ["code", "token"],
        "grant_types_supported": ["authorization_code", "implicit"],
        "code_challenge_methods_supported": ["S256"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }


def sign_in_page(asked: Asked, query: Mapping[str, str], accounts: Mapping[str, str]) -> str:
    """The page whose buttons approve or decline; ``accounts`` are addresses by the name of their wallet."""
    fields = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in query.items()
    )
    buttons = "".join(
        f'<button name="account" value="{address}">Sign in as {html.escape(name)}</button> '
        for name, address in accounts.items()
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Sandbox</title><link rel="icon" href="data:,">'
        f"<h1>Sign in to {html.escape(asked.application.name)}</h1>"
        f'<form method="post" action="/auth">{fields}{buttons}<button name="deny" value="1">Decline</button></form>'
    )


def _back(asked: Asked, **answer: str) -> str:
    """The redirect URI with the answer in its query, that of the implicit flow too."""
    state = {} if asked.state is None else {"state": asked.state}
    return f"{asked.redirect_uri}{'&' if '?' in asked.redirect_uri else '?'}{urlencode(answer | state)}"


def _fits(form: Mapping[str, str], challenge: str | None) -> bool:
    verifier = form.get("code_verifier")
    if challenge is None or verifier is None:
        return challenge is None and verifier is None
    digest = hashlib.sha256(verifier.encode()).digest()
    return bool(_VERIFIER.fullmatch(verifier)) and base64.urlsafe_b64encode(digest).rstrip(b"=") == challenge.encode()


def _basic(authorization: str) -> tuple[str, str]:
    """As of RFC 6749, section 2.3.1."""
    scheme, _, credentials = authorization.partition(" ")
    try:
        key, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise OAuth2Error("invalid_client") from None
    if scheme.lower() != "basic":
        raise OAuth2Error("invalid_client")
    return unquote(key), unquote(secret)


def _lifetime() -> str:
    return str(int(VALID_FOR.total_seconds()))
