"""Checks JSON Web Tokens by the letter of RFC 7515 and 7518, without the library that made them."""

import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from schemas.base64url import decode


def verified(token: str, key: EllipticCurvePublicKey) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Header and claims; None unless ``key`` signed them with ES256."""
    signed, _, signature = token.rpartition(".")
    raw = decode(signature)
    if len(raw) != 64:
        return None
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    try:
        key.verify(encode_dss_signature(r, s), signed.encode(), ECDSA(SHA256()))
    except InvalidSignature:
        return None
    header, claims = (json.loads(decode(part)) for part in signed.split("."))
    return (header, claims) if header["alg"] == "ES256" else None
