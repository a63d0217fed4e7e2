"""The tokens with which the sandbox's provider and its xApps say who a user is.

Source: https://docs.xumm.dev/environments/identity-oauth2
"""

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.types import Options

from processor.sandbox.clock import Clock, NewId
from processor.sandbox.network import Network
from processor.sandbox.payload import Application
from processor.sandbox.tokens import UserTokens

VALID_FOR: Final = timedelta(hours=24)
_BITS: Final = 2048

Claims = Mapping[str, Any]


class Identity:
    """The provider's key, made at the start and again when asked for, and what is signed with it."""

    def __init__(self, tokens: UserTokens, *, clock: Clock, new_id: NewId) -> None:
        self._tokens = tokens
        self._clock = clock
        self._new_id = new_id
        self._key: RSAPrivateKey | None = None

    @property
    def key(self) -> RSAPrivateKey:
        """The private key. Made when it is first needed: that takes a while."""
        return self._key or self.rotate()

    def rotate(self) -> RSAPrivateKey:
        """Take a new key; what was signed before fits no published key any more."""
        self._key = generate_private_key(65537, _BITS)
        return self._key

    def published(self) -> dict[str, Any]:
        """The JWKS. Xumm's key has no ``kid``."""
        numbers = self.key.public_key().public_numbers()
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "n": _number(numbers.n), "e": _number(numbers.e)}
        return {"keys": [key]}

    def claims(
        self, application: Application, account: str, network: Network, *, issuer: str, nonce: str | None = None
    ) -> dict[str, Any]:
        """What Xumm says of a user who signed in just now."""
        now = self._clock()
        claims = {
            "iss": issuer,
            "aud": application.key,
            "client_id": application.key,
            "app_uuidv4": application.key,
            "app_name": application.name,
            "sub": account,
            "scope": "openid",
            "iat": _seconds(now),
            "exp": _seconds(now + VALID_FOR),
            "payload_uuidv4": self._new_id(),
            "usertoken_uuidv4": self._tokens.signed(application.key, account).token,
            "network_type": network.name,
            "network_id": network.id,
            "network_endpoint": network.node,
        }
        return claims if nonce is None else {**claims, "nonce": nonce}

    def signed(self, claims: Claims) -> str:
        """A token of the provider: RS256, without ``kid``."""
        return jwt.encode(dict(claims), self.key, algorithm="RS256")

    def read(self, token: str) -> dict[str, Any] | None:
        """The claims of a token of the provider's own, None if it is none or its time is over."""
        unchecked = Options(verify_exp=False, verify_iat=False, verify_aud=False)
        try:
            claims: dict[str, Any] = jwt.decode(token, self.key.public_key(), algorithms=["RS256"], options=unchecked)
        except jwt.PyJWTError:
            return None
        return claims if _seconds(self._clock()) < claims["exp"] else None


def xapp_token(application: Application, claims: Claims) -> str:
    """A token of an xApp of ``application``: HS256 with the API secret as it stands."""
    return jwt.encode(dict(claims), application.secret, algorithm="HS256")


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _number(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()
