"""JSON Web Tokens that prove who a user of Xumm is: one kind of Xumm's OAuth2 provider, one of Xumm's xApps.

The kind decides the algorithm and the key, never the token: its header may say what it likes. A key in the header, or
an address of one, is not looked at.

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

from processor.core.proof.codec import is_address
from processor.core.proof.networks import network_names
from schemas.text import nothing_is_none

MAX_TOKEN: Final = 4096
"""Characters; Xumm's have about 1,000. A longer one is not even taken apart."""
LEEWAY: Final = timedelta(seconds=30)
"""By which clocks may differ."""

Fault = Literal[
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
"""The library knows the time and asks nobody for it; claims are checked here, against the time that is given."""
_RENAMED: Final = ("https://oauth2.xumm.app", "https://oauth2.xaman.app")
"""One provider under two names: its tokens bear either, wherever it was asked."""
_UNVERIFIED: Final = Options(**_UNCHECKED, verify_signature=False)


class Unproven(Exception):
    """A token that proves nothing. Neither the message nor a cause quotes it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a token must say to be believed."""

    api_key: str
    """The application that it was issued to."""
    network: str
    issuer: str
    """The provider. An xApp's token has one only perhaps, and the key says as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a token proves."""

    account: str
    expires_at: datetime
    user_token: str | None = field(default=None, repr=False)


Claims = Mapping[str, Any]


def claimed_application(token: str) -> str | None:
    """Whose token this says it is, an API key. Nothing is proven yet: it only tells against whom to verify."""
    try:
        claims = _parsed(token)["payload"]
    except Unproven:
        return None
    claimed = claims.get("client_id", claims.get("aud"))
    return claimed if isinstance(claimed, str) else None


def algorithm_of(token: str) -> str | None:
    """What the token says it is signed with; None if it is none."""
    try:
        algorithm = _parsed(token)["header"].get("alg")
    except Unproven:
        return None
    return algorithm if isinstance(algorithm, str) else None


def verify_identity(
    token: str, keys: Sequence[RSAPublicKey], expected: Expected, now: datetime, *, nonce: str | None = None
) -> Proof:
    """What a token of the OAuth2 provider proves, signed RS256 with one of ``keys``. Raises `Unproven`.

    Xumm names no key in its tokens (``kid``), so each of the few is tried. A ``nonce`` that is given must be in it.
    """
    claims = _signed(token, "RS256", keys)
    if claims.get("iss") not in _names_of(expected.issuer):
        raise Unproven("issuer")
    if claims.get("aud") != expected.api_key or any(
        claims.get(name, expected.api_key) != expected.api_key for name in _CLIENTS
    ):
        raise Unproven("audience")
    if nonce is not None and claims.get("nonce") != nonce:
        raise Unproven("nonce")
    return _proof(claims, now, _networks(claims) == [expected.network])


def verify_xapp(token: str, secrets: Sequence[str], expected: Expected, now: datetime) -> Proof:
    """What an xApp's token proves, signed HS256 with one of the application's API secrets. Raises `Unproven`."""
    claims = _signed(token, "HS256", [secret.encode() for secret in secrets])
    others = (claims.get(name, expected.api_key) for name in ("aud", "app_uuidv4"))
    if claims.get("client_id") != expected.api_key or any(other != expected.api_key for other in others):
        raise Unproven("audience")
    return _proof(claims, now, _networks(claims) in ([], [expected.network]))


def _proof(claims: Claims, now: datetime, on_network: bool) -> Proof:  # noqa: FBT001  the answer to one question
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
    return Proof(account=account, expires_at=expires_at, user_token=user_token if isinstance(user_token, str) else None)


def _names_of(issuer: str) -> tuple[str, ...]:
    return _RENAMED if issuer in _RENAMED else (issuer,)


def _parsed(token: str) -> Mapping[str, Any]:
    """Header and payload, with nothing verified. Raises `Unproven`."""
    if len(token) > MAX_TOKEN or not _SHAPE.fullmatch(token):
        raise Unproven("malformed")
    try:
        return jwt.decode_complete(token, options=_UNVERIFIED)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise Unproven("malformed") from None


def _signed(token: str, algorithm: Literal["RS256", "HS256"], keys: Sequence[Any]) -> Claims:
    """The claims, signed with one of ``keys``."""
    if _parsed(token)["header"].get("alg") != algorithm:
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
    """None if the claim is not there. Raises `Unproven`."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_INSTANT:
        raise Unproven("malformed")
    return datetime.fromtimestamp(value, UTC)


def _networks(claims: Claims) -> list[str]:
    """All networks that are named or numbered; a number may come as text, and so may none."""
    name, number = (nothing_is_none(claims.get(claim)) for claim in ("network_type", "network_id"))
    if not isinstance(name, str | None) or isinstance(number, bool) or not isinstance(number, int | str | None):
        raise Unproven("network")
    if isinstance(number, str):
        if not (number.isascii() and number.isdigit() and len(number) <= len(str(2**32))):
            raise Unproven("network")
        number = int(number)
    return network_names([name], [number])
