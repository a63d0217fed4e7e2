"""The tokens with which the sandbox's provider and its xApps say who a user is.

Source: https://github.com/XRPL-Labs/XUMM-OAuth2-OpenID-Provider/blob/main/fn/getSignedJwt.js for the provider's,
https://docs.xaman.dev/environments/xapps-dapps/your-own-backend-auth for those of xApps
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
MAIL_DOMAIN: Final = "oauth2.local"
_BITS: Final = 2048
_UNCHECKED: Final = Options(verify_exp=False, verify_iat=False, verify_aud=False)

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

    def claims(self, application: Application, account: str, network: Network, *, issuer: str) -> dict[str, Any]:
        """What Xumm says of a user who signed in just now."""
        now = self._clock()
        return {
            "iss": issuer,
            "aud": application.key,
            "client_id": application.key,
            "app_uuidv4": application.key,
            "app_name": application.name,
            "sub": account,
            "email": f"{application.key}+{account}@{MAIL_DOMAIN}",
            "iat": _seconds(now),
            "exp": _seconds(now + VALID_FOR),
            "payload_uuidv4": self._new_id(),
            "usertoken_uuidv4": self._tokens.signed(application.key, account).token,
            "network_type": network.name,
            "network_id": network.id,
            "network_endpoint": network.node,
        }

    def signed(self, claims: Claims) -> str:
        """A token of the provider: RS256, without ``kid``."""
        return jwt.encode(dict(claims), self.key, algorithm="RS256")

    def read(self, token: str) -> dict[str, Any] | None:
        """The claims of a token of the provider's own, None if it is none or its time is over."""
        return self._in_time(_verified(token, self.key.public_key(), "RS256"))

    def read_xapp(self, token: str, applications: Mapping[str, Application]) -> dict[str, Any] | None:
        """The claims of a token of one of the applications' xApps, None if it is none or its time is over."""
        try:
            unproven = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            return None
        application = applications.get(str(unproven.get("client_id")))
        return self._in_time(_verified(token, application.secret, "HS256")) if application else None

    def _in_time(self, claims: dict[str, Any] | None) -> dict[str, Any] | None:
        return claims if claims and _seconds(self._clock()) < claims["exp"] else None


def xapp_token(application: Application, claims: Claims) -> str:
    """A token of an xApp of ``application``: HS256 with the API secret as it stands."""
    return jwt.encode(dict(claims), application.secret, algorithm="HS256")


def _verified(token: str, key: Any, algorithm: str) -> dict[str, Any] | None:
    try:
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=[algorithm], options=_UNCHECKED)
    except jwt.PyJWTError:
        return None
    return claims


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _number(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()
