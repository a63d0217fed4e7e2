"""JSON Web Tokens that prove the identity of a user of Xumm: those of Xumm's OAuth2 provider, and those of xApps.

The kind of token decides the algorithm and the key, never the header of the token. A key in the header, or an address
of one, is ignored.

Source: https://www.rfc-editor.org/rfc/rfc8725#section-3 and https://docs.xumm.dev/environments/identity-oauth2
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.types import Options

from processor.core.errors import ProcessorError
from processor.core.proof.codec import is_address
from processor.core.proof.networks import network_names
from schemas.text import nothing_is_none

MAX_TOKEN: Final = 4096
"""Characters; Xumm's tokens have about 1,000. A longer token is not parsed."""
LEEWAY: Final = timedelta(seconds=30)
"""The tolerance for the difference of two clocks."""

TokenFault = Literal[
    "malformed",
    "algorithm",
    "signature",
    "issuer",
    "audience",
    "expired",
    "not_yet_valid",
    "subject",
    "network",
    "nonce",
]

_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_MAX_INSTANT: Final = 2**33
_CLIENTS: Final = ("client_id", "app_uuidv4")
_UNCHECKED: Final = Options(
    verify_exp=False,
    verify_nbf=False,
    verify_iat=False,
    verify_aud=False,
    verify_iss=False,
    verify_sub=False,
    verify_jti=False,
)
"""The library would read the clock itself; claims are checked here, against the time that is given."""
_RENAMED: Final = ("https://oauth2.xumm.app", "https://oauth2.xaman.app")
"""One provider under two names: its tokens name either of them as the issuer."""
_UNVERIFIED: Final = Options(**_UNCHECKED, verify_signature=False)


class Unproven(ProcessorError):
    """A token proves nothing. Neither the message nor a cause quotes the token."""

    def __init__(self, fault: TokenFault) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The claims that a token must have."""

    api_key: str
    """The application that the token was issued to."""
    network: str
    issuer: str
    """The provider. Not checked for an xApp's token, which may have none: its key proves the issuer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenIdentity:
    """The identity that a token proves."""

    account: str
    expires_at: datetime
    user_token: str | None = field(default=None, repr=False)


Claims = Mapping[str, Any]


def claimed_application(token: str) -> str | None:
    """The API key that a token claims. It is not verified: it only selects the application to verify against."""
    try:
        claims = _parse(token)["payload"]
    except Unproven:
        return None
    claimed = claims.get("client_id", claims.get("aud"))
    return claimed if isinstance(claimed, str) else None


def algorithm_of(token: str) -> str | None:
    """The algorithm that a token names; None if ``token`` is none."""
    try:
        algorithm = _parse(token)["header"].get("alg")
    except Unproven:
        return None
    return algorithm if isinstance(algorithm, str) else None


def verify_identity(
    token: str, keys: Sequence[RSAPublicKey], expected: Expected, now: datetime, *, nonce: str | None = None
) -> ProvenIdentity:
    """The identity in a token of the OAuth2 provider, signed RS256 with one of ``keys``. Raises `Unproven`.

    Xumm's tokens name no key (``kid``), so each key is tried. A ``nonce`` that is given must be in the token.
    """
    claims = _verify_signature(token, "RS256", keys)
    if claims.get("iss") not in (_RENAMED if expected.issuer in _RENAMED else (expected.issuer,)):
        raise Unproven("issuer")
    if claims.get("aud") != expected.api_key or any(
        claims.get(name, expected.api_key) != expected.api_key for name in _CLIENTS
    ):
        raise Unproven("audience")
    if nonce is not None and claims.get("nonce") != nonce:
        raise Unproven("nonce")
    return _verify_claims(claims, now, on_network=_networks(claims) == [expected.network])


def verify_xapp(token: str, secrets: Sequence[str], expected: Expected, now: datetime) -> ProvenIdentity:
    """The identity in an xApp's token, signed HS256 with one of the application's API secrets. Raises `Unproven`."""
    claims = _verify_signature(token, "HS256", [secret.encode() for secret in secrets])
    others = (claims.get(name, expected.api_key) for name in ("aud", "app_uuidv4"))
    if claims.get("client_id") != expected.api_key or any(other != expected.api_key for other in others):
        raise Unproven("audience")
    return _verify_claims(claims, now, on_network=_networks(claims) in ([], [expected.network]))


def _verify_claims(claims: Claims, now: datetime, *, on_network: bool) -> ProvenIdentity:
    expires_at, not_before = _instant(claims, "exp"), _instant(claims, "nbf")
    if expires_at is None or expires_at + LEEWAY <= now:
        raise Unproven("expired")
    if any(moment is not None and moment - LEEWAY > now for moment in (not_before, _instant(claims, "iat"))):
        raise Unproven("not_yet_valid")
    account, user_token = claims.get("sub"), claims.get("usertoken_uuidv4")
    if not isinstance(account, str) or not is_address(account):
        raise Unproven("subject")
    if not on_network:
        raise Unproven("network")
    return ProvenIdentity(
        account=account, expires_at=expires_at, user_token=user_token if isinstance(user_token, str) else None
    )


def _parse(token: str) -> Mapping[str, Any]:
    """The header and the payload, not verified. Raises `Unproven`."""
    if len(token) > MAX_TOKEN or not _SHAPE.fullmatch(token):
        raise Unproven("malformed")
    try:
        return jwt.decode_complete(token, options=_UNVERIFIED)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise Unproven("malformed") from None


def _verify_signature(token: str, algorithm: Literal["RS256", "HS256"], keys: Sequence[Any]) -> Claims:
    """The claims of a token that is signed with one of ``keys``. Raises `Unproven`."""
    if _parse(token)["header"].get("alg") != algorithm:
        raise Unproven("algorithm")
    for key in keys:
        try:
            return jwt.decode(token, key, algorithms=[algorithm], options=_UNCHECKED)
        except jwt.InvalidSignatureError:
            continue
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise Unproven("malformed") from None
    raise Unproven("signature")


def _instant(claims: Claims, name: str) -> datetime | None:
    """The instant in a claim; None if the claim is absent. Raises `Unproven`."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_INSTANT:
        raise Unproven("malformed")
    return datetime.fromtimestamp(value, UTC)


def _networks(claims: Claims) -> list[str]:
    """The networks in the claims, by name or number. A number, or its absence, may be written as text."""
    name, number = (nothing_is_none(claims.get(claim)) for claim in ("network_type", "network_id"))
    if not isinstance(name, str | None) or isinstance(number, bool) or not isinstance(number, int | str | None):
        raise Unproven("network")
    if isinstance(number, str):
        if not (number.isascii() and number.isdigit() and len(number) <= len(str(2**32))):
            raise Unproven("network")
        number = int(number)
    return network_names([name], [number])
