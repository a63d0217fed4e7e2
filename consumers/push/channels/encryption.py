"""Web Push message encryption: a push service cannot read the messages that it carries.

Sources: RFC 8291 (keys), RFC 8188 (the coding ``aes128gcm``). One record only: push services carry 4096 bytes.
"""

import os
import struct
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CODING: Final = "aes128gcm"
RECORD: Final = 4096
"""Bytes of a record. Every push service accepts messages of this size (RFC 8030 section 7.2)."""
SALT: Final = 16
LAST_RECORD: Final = b"\x02"
OVERHEAD: Final = 103
"""Bytes of the header, the delimiter and the authentication tag."""
MAX_PLAINTEXT: Final = RECORD - OVERHEAD


def encrypt(
    plaintext: bytes, *, p256dh: bytes, auth: bytes, sender: EllipticCurvePrivateKey | None = None, salt: bytes = b""
) -> bytes:
    """Encrypt ``plaintext`` for the browser with these keys; by default with a new sender's key and a new salt.

    Neither may be used twice. Raises `ValueError` if ``plaintext`` is longer than `MAX_PLAINTEXT`, or ``p256dh`` is no
    point on the curve.
    """
    if len(plaintext) > MAX_PLAINTEXT:
        raise ValueError(f"a push message has {MAX_PLAINTEXT} bytes at most")
    sender, salt = sender or generate_private_key(SECP256R1()), salt or os.urandom(SALT)
    public = sender.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared = sender.exchange(ECDH(), EllipticCurvePublicKey.from_encoded_point(SECP256R1(), p256dh))
    secret = _derive(shared, salt=auth, info=b"WebPush: info\0" + p256dh + public, length=32)
    key = _derive(secret, salt=salt, info=b"Content-Encoding: aes128gcm\0", length=16)
    nonce = _derive(secret, salt=salt, info=b"Content-Encoding: nonce\0", length=12)
    header = salt + struct.pack("!IB", RECORD, len(public)) + public
    return header + AESGCM(key).encrypt(nonce, plaintext + LAST_RECORD, None)


def _derive(secret: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)
