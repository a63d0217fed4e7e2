"""Signed webhooks in quantity, as whole HTTP requests ready to be written to a socket.

Every body is one that Xumm could have sent: some 870 bytes, compact, not all ASCII. The token in it was
issued days ago, so that it announces no news of its own and one webhook stands for exactly one event.
"""

import hmac
import time
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Final

TOKEN_AGE: Final = timedelta(days=5)
TOKEN_VALIDITY: Final = timedelta(days=30)

_BODY: Final = (
    '{"meta":{"url":"https://shop.example/webhooks/shop","application_uuidv4":"%(application)s",'
    '"payload_uuidv4":"%(payload)s","opened_by_deeplink":true},'
    '"custom_meta":{"identifier":"order-%(number)d","blob":{"order":%(number)d,"customer":"c-48151623",'
    '"basket":[{"sku":"ESP-250","title":"Café Xochitl, 250 g","quantity":2},{"sku":"MUG-01","quantity":1}]},'
    '"instruction":"Hey ❤️ please sign for your order of coffee and one mug"},'
    '"payloadResponse":{"payload_uuidv4":"%(payload)s","reference_call_uuidv4":"%(reference)s","signed":true,'
    '"user_token":true,"return_url":{"app":"shop://orders/%(number)d","web":null},"txid":"%(txid)s"},'
    '"userToken":{"user_token":"%(reference)s","token_issued":%(issued)d,"token_expiration":%(expires)d}}'
)
_HEAD: Final = (
    "POST %(path)s HTTP/1.1\r\nhost: %(host)s\r\ncontent-type: application/json\r\n"
    "user-agent: xumm-webhook\r\nx-xumm-attempt: %(attempt)d\r\nx-xumm-payload: %(payload)s\r\n"
    "x-xumm-request-timestamp: %(timestamp)d\r\nx-xumm-request-signature: %(signature)s\r\n"
    "content-length: %(length)d\r\n\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where webhooks go and who signs them. ``tag``, eight hex digits, starts every payload uuid."""

    host: str
    path: str
    application: str
    secret: str
    tag: str


def payload_uuid(tag: str, number: int) -> str:
    """The uuid of the batch's payload ``number``: the same for the same arguments, else as if drawn by lot.

    Whoever counts arrivals can name what should have come; and unordered uuids are what indexes really meet.
    """
    digits = blake2b(f"{tag}/{number}".encode(), digest_size=12).hexdigest()
    return f"{tag}-{digits[:4]}-4{digits[5:8]}-8{digits[9:12]}-{digits[12:]}"


def numbers(count: int, duplicates: float) -> list[int]:
    """Payload numbers of ``count`` webhooks as sent; the share ``duplicates`` of them repeat an earlier one.

    A repetition follows the first copy by some 64 webhooks or more, as a retry would, and is spread evenly.
    """
    drawn: list[int] = []
    fresh = 0
    for position in range(count):
        owed = int((position + 1) * duplicates) - (position - fresh)
        if owed > 0 and fresh > 0:
            drawn.append(max(0, fresh - 64))
        else:
            drawn.append(fresh)
            fresh += 1
    return drawn


def request(to: Destination, number: int, *, attempt: int = 1, now: float | None = None) -> bytes:
    """The HTTP/1.1 request that delivers payload ``number``, signed for the moment ``now`` (Unix seconds)."""
    timestamp = int(time.time() if now is None else now)
    payload = payload_uuid(to.tag, number)
    body = _body(to, number, payload, timestamp).encode()
    key = to.secret.replace("-", "", 1).encode()
    fields = {
        "path": to.path,
        "host": to.host,
        "attempt": attempt,
        "payload": payload,
        "timestamp": timestamp,
        "signature": hmac.digest(key, b"%d%b" % (timestamp, body), "sha1").hex(),
        "length": len(body),
    }
    return (_HEAD % fields).encode() + body


def _body(to: Destination, number: int, payload: str, timestamp: int) -> str:
    issued = timestamp - int(TOKEN_AGE.total_seconds())
    fields = {
        "application": to.application,
        "payload": payload,
        "number": number,
        "reference": f"{payload[24:32]}-{payload[9:13]}-4abc-8def-{payload[24:]}",
        "txid": (payload.replace("-", "") * 2).upper(),
        "issued": issued,
        "expires": issued + int(TOKEN_VALIDITY.total_seconds()),
    }
    return _BODY % fields
