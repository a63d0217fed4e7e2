"""A provider that signs whatever a test wants, and what may be expected of its tokens."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key

from processor.core.access.jwt import Expected
from tests.core.payloads import APPLICATION, SECRET
from tests.support.wallets import ALICE

ISSUER = "https://oauth2.xumm.app"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
USER_TOKEN = "8f5b1d3a-0000-4000-8000-0000000000bb"
EXPECTED = Expected(api_key=APPLICATION, network="MAINNET", issuer=ISSUER)


@cache
def private_key(name: str = "provider", bits: int = 2048) -> RSAPrivateKey:
    """The key of this name; another one in each run."""
    return generate_private_key(65537, bits)


def public_key(name: str = "provider") -> RSAPublicKey:
    return private_key(name).public_key()


def claims(*, now: datetime = NOW, **changes: Any) -> dict[str, Any]:
    """What Xumm says; a change to None leaves the claim out."""
    said = {
        "iss": ISSUER,
        "aud": APPLICATION,
        "client_id": APPLICATION,
        "app_uuidv4": APPLICATION,
        "sub": ALICE.address,
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(hours=24)).timestamp()),
        "payload_uuidv4": "8f5b1d3a-0000-4000-8000-0000000000aa",
        "usertoken_uuidv4": USER_TOKEN,
        "network_type": "MAINNET",
        "network_id": 0,
        "network_endpoint": "wss://xrplcluster.com",
    }
    return {name: value for name, value in (said | changes).items() if value is not None}


def identity(*, key: str = "provider", headers: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token as the provider's, without ``kid``."""
    return jwt.encode(claims(**changes), private_key(key), algorithm="RS256", headers=headers)


def xapp(*, secret: str = SECRET, **changes: Any) -> str:
    """A token as an xApp's."""
    return jwt.encode(claims(**changes), secret, algorithm="HS256")


def forged(header: dict[str, Any], said: dict[str, Any], secret: bytes | None = None) -> str:
    """A token made by hand, since the library makes no such; signed HS256 if there is a ``secret``."""
    signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, said))
    signature = b"" if secret is None else hmac.digest(secret, signed.encode(), hashlib.sha256)
    return f"{signed}.{encoded(signature)}"


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def jwk(key: RSAPublicKey | None = None, **changes: Any) -> dict[str, Any]:
    """A public key as providers publish it, without ``kid``; a change to None leaves the member out."""
    numbers = (key or public_key()).public_numbers()
    member = {
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "n": encoded(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)),
        "e": encoded(numbers.e.to_bytes(3)),
    }
    return {name: value for name, value in (member | changes).items() if value is not None}
