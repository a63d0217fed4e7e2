"""Events as they come over the wire."""

from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from schemas.events import MODELS, CloudEvent, family_and_name, sequence_text
from schemas.topology import routing_key

APPLICATION = "11111111-2222-4333-8444-555555555555"
USER = "66666666-7777-4888-8999-aaaaaaaaaaaa"
ACCOUNT = "rwiETSee2wMz3SBnAG8hkMsCgvGy9LWbZ1"
SHOP = "rPEPPER7kfTD9w2To4CQk6UCfuHM9c6GDY"
TIME = "2026-03-01T12:00:00Z"
PROOF = {"api": {"fetched_at": TIME}}


def payload_uuid(number: int) -> str:
    """A payload uuid of one's own for each number."""
    return str(uuid5(NAMESPACE_URL, f"payload {number}"))


def txid(number: int) -> str:
    """A transaction hash of one's own for each number."""
    return f"{number:064X}"


def event(name: str, payload: int = 1, sequence: int = 1, **data: Any) -> CloudEvent:
    """The event ``family.name`` of a payload, as valid as can be with few words."""
    event_type = f"xumm.{name}"
    common = {"application": APPLICATION, "payload": payload_uuid(payload), "origin": "webhook", "user": USER}
    if name.startswith("resolve."):
        common["proof"] = PROOF
    if name in {"resolve.signed", "resolve.validated", "resolve.failed"}:
        common["account"] = ACCOUNT
    if name in {"resolve.validated", "resolve.failed"}:
        common |= {"txid": txid(payload), "network": "MAINNET"}
    if name == "resolve.failed":
        common["reason"] = "ledger_result"
    return MODELS[event_type].model_validate(
        {
            "id": str(uuid5(NAMESPACE_URL, f"{event_type} {payload} {sequence}")),
            "source": "/xumm/shop",
            "subject": payload_uuid(payload),
            "time": TIME,
            "sequence": sequence_text(sequence),
            "data": common | data,
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a publisher hands to a queue."""

    id: str
    type: str
    payload: str
    routing_key: str
    body: bytes


def message(published: CloudEvent) -> Message:
    """``published`` as a message."""
    return Message(
        id=published.id,
        type=published.type,
        payload=published.subject,
        routing_key=routing_key(published.app, *family_and_name(published.type)),
        body=published.model_dump_json().encode(),
    )


def raw_message(body: bytes, *, message_id: str = "raw", message_type: str = "xumm.sign.opened") -> Message:
    """Any bytes at all as a message."""
    return Message(id=message_id, type=message_type, payload=payload_uuid(1), routing_key="shop.sign.opened", body=body)
