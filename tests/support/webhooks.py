"""Webhooks as Xumm sends them, signed by the suite itself."""

import json
import time
from typing import Any
from uuid import uuid4

from processor.core.delivery.signature import HEADER_SIGNATURE, HEADER_TIMESTAMP, key_of, sign
from tests.core.payloads import APPLICATION, SECRET, TXID


def body_of(payload: str, *, signed: bool = True, application: str = APPLICATION, **changes: Any) -> bytes:
    """One webhook body, compact and not all ASCII, as JavaScript writes it."""
    body = {
        "meta": {
            "url": "https://shop.example/webhooks/shop",
            "application_uuidv4": application,
            "payload_uuidv4": payload,
        },
        "custom_meta": {"identifier": "order-1", "blob": {"order": 1}, "instruction": "Hey ❤️ ..."},
        "payloadResponse": {"payload_uuidv4": payload, "signed": signed, "txid": TXID if signed else None},
        "userToken": None,
    }
    return json.dumps(body | changes, ensure_ascii=False, separators=(",", ":")).encode()


def headers_of(body: bytes, *, secret: str = SECRET, at: float | None = None, **more: str) -> dict[str, str]:
    """The headers that make ``body`` authentic."""
    timestamp = str(int(time.time() if at is None else at))
    signature = sign(key_of(secret), timestamp, body)
    return {"content-type": "application/json", HEADER_TIMESTAMP: timestamp, HEADER_SIGNATURE: signature} | more


def new_payload() -> str:
    return str(uuid4())
