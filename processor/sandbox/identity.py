"""The tokens that name a user: signed by the provider, or with an application's secret for its xApps.

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
from processor.sandbox.network import LedgerNetwork
from processor.sandbox.payload import Application
from processor.sandbox.user_tokens import UserTokenTable

VALID_FOR: Final = timedelta(hours=24)
MAIL_DOMAIN: Final = "oauth2.local"
_BITS: Final = 2048
_UNCHECKED: Final = Options(verify_exp=False, verify_iat=False, verify_aud=False)


class Identity:
    """The provider's signing key, and the tokens signed with it."""

    def __init__(self, tokens: UserTokenTable, *, clock: Clock, new_id: NewId) -> None:
        self._tokens = tokens
        self._clock = clock
        self._new_id = new_id
        self._key: RSAPrivateKey | None = None

    @property
    def key(self) -> RSAPrivateKey:
        """The private key, generated when it is first needed, since that takes a while."""
        return self._key or self.rotate()

    def rotate(self) -> RSAPrivateKey:
        """Replace the key; no published key verifies the earlier tokens any more."""
        self._key = generate_private_key(65537, _BITS)
        return self._key

    def encode_keys(self) -> dict[str, Any]:
        """The JWKS, whose key has no ``kid``, as Xumm's."""
        numbers = self.key.public_key().public_numbers()
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "n": _encode(numbers.n), "e": _encode(numbers.e)}
        return {"keys": [key]}

    def build_claims(
        self, application: Application, account: str, network: LedgerNetwork, *, issuer: str
    ) -> dict[str, Any]:
        """The claims of a token for a user who signs in now."""
        now = self._clock()
        return {
            "iss": issuer,
            "aud": application.key,
            "client_id": application.key,
            "app_uuidv4": application.key,
            "app_name": application.name,
            "sub": account,
            "email": f"{application.key}+{account}@{MAIL_DOMAIN}",
            "iat": _encode_time(now),
            "exp": _encode_time(now + VALID_FOR),
            "payload_uuidv4": self._new_id(),
            "usertoken_uuidv4": self._tokens.renew(application.key, account).token,
            "network_type": network.name,
            "network_id": network.id,
            "network_endpoint": network.node,
        }

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A token of the provider with ``claims``: RS256, without ``kid``."""
        return jwt.encode(dict(claims), self.key, algorithm="RS256")

    def verify(self, token: str) -> dict[str, Any] | None:
        """The claims of a token of the provider; None if the token is not valid or expired."""
        return self._unless_expired(_verify(token, self.key.public_key(), "RS256"))

    def verify_xapp(self, token: str, applications: Mapping[str, Application]) -> dict[str, Any] | None:
        """The claims of a token of the applications' xApps; None if the token is not valid or expired."""
        try:
            unverified = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            return None
        application = applications.get(str(unverified.get("client_id")))
        return self._unless_expired(_verify(token, application.secret, "HS256")) if application else None

    def _unless_expired(self, claims: dict[str, Any] | None) -> dict[str, Any] | None:
        return claims if claims and _encode_time(self._clock()) < claims["exp"] else None


def sign_xapp(application: Application, claims: Mapping[str, Any]) -> str:
    """A token of an xApp of ``application`` with ``claims``: HS256 with the whole API secret."""
    return jwt.encode(dict(claims), application.secret, algorithm="HS256")


def _verify(token: str, key: Any, algorithm: str) -> dict[str, Any] | None:
    try:
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=[algorithm], options=_UNCHECKED)
    except jwt.PyJWTError:
        return None
    return claims


def _encode_time(moment: datetime) -> int:
    return int(moment.timestamp())


def _encode(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()
