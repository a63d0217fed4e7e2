"""One webhook, good or bad, sent to a running service as Xumm would send it, to try the service out."""

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import aiohttp

from processor.sandbox.clock import Clock, random_uuid, utc_now
from processor.sandbox.javascript import stringify
from processor.sandbox.payload_json import encode_issued_token
from processor.sandbox.user_tokens import VALID_FOR, UserToken
from processor.sandbox.webhook_attempt import (
    ANSWER_WITHIN,
    AttemptOutcome,
    OutgoingWebhook,
    TimedOut,
    build_headers,
    describe,
    open_session,
    post,
)
from processor.sandbox.webhook_kinds import WebhookKind

STALE_BY: Final = timedelta(days=1)
"""How far the timestamp of a ``stale`` webhook is in the past, and that of a ``future`` one in the future."""
OVERSIZE: Final = 2**18
"""The least size of an ``oversized`` body in bytes, more than a service should accept."""
SHOWN: Final = 4096
"""Characters of a body that the terminal shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTarget:
    """The URL of the service, and the credentials of the application."""

    url: str
    application: str
    """``application_uuidv4``, the API key."""
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRequest:
    """One request as it is sent."""

    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerResult:
    """The requests that were sent, each with its outcome."""

    kind: WebhookKind
    url: str
    payload: str
    exchanges: tuple[tuple[WebhookRequest, AttemptOutcome], ...]


async def trigger(
    kind: WebhookKind,
    target: WebhookTarget,
    *,
    payload: str | None = None,
    identifier: str | None = None,
    txid: str | None = None,
    clock: Clock = utc_now,
) -> TriggerResult:
    """Send one webhook of ``kind``, or the same one twice for ``duplicate``.

    Never raises for an error of the service, which is an outcome.
    """
    uuid = payload or random_uuid()
    body = _build_body(kind, target, uuid=uuid, identifier=identifier, txid=txid, now=clock())
    request = _build_request(kind, target, uuid=uuid, body=body, now=clock())
    requests = (request, request) if kind == "duplicate" else (request,)
    async with open_session() as session:
        exchanges = [(each, await _send(session, target.url, each)) for each in requests]
    return TriggerResult(kind=kind, url=target.url, payload=uuid, exchanges=tuple(exchanges))


def render(result: TriggerResult) -> str:
    """The result for the terminal: headers and body of each request, and the answer."""
    lines = [f"{result.kind}: payload {result.payload}"]
    for request, outcome in result.exchanges:
        lines.append(f"> POST {result.url}")
        lines += [f"> {name}: {value}" for name, value in request.headers.items()]
        lines.append(f"> {_shorten(request.body)}")
        lines.append(f"< {describe(outcome)}")
    return "\n".join(lines)


async def _send(session: aiohttp.ClientSession, url: str, request: WebhookRequest) -> AttemptOutcome:
    """Send the request once. Gives up an answer that never ends, which Xumm's sender would wait for."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
            return await post(session, url, request.headers, request.body)
    except TimeoutError:
        return TimedOut(after=ANSWER_WITHIN)


def _shorten(body: bytes) -> str:
    text = body.decode(errors="replace")
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(body)} bytes)"


def _build_body(
    kind: WebhookKind,
    target: WebhookTarget,
    *,
    uuid: str,
    identifier: str | None,
    txid: str | None,
    now: datetime,
) -> bytes:
    signed = kind != "rejected"
    token = UserToken(token=random_uuid(), issued_at=now, expires_at=now + VALID_FOR)
    attached = "x" * OVERSIZE if kind == "oversized" else None
    body: dict[str, Any] = {
        "meta": {
            "url": target.url,
            "application_uuidv4": random_uuid() if kind == "unknown-app" else target.application,
            "payload_uuidv4": uuid,
            "opened_by_deeplink": True,
        },
        "custom_meta": {"identifier": identifier, "blob": attached, "instruction": "Hey ❤️ ..."},
        "payloadResponse": {
            "payload_uuidv4": random_uuid() if kind == "contradictory" else uuid,
            "reference_call_uuidv4": random_uuid(),
            "signed": signed,
            "user_token": signed,
            "return_url": {"app": None, "web": None},
            "txid": txid,
        },
        "userToken": encode_issued_token(token) if signed else None,
    }
    text = stringify(body).encode()
    return text[: len(text) // 2] if kind == "malformed" else text


def _build_request(
    kind: WebhookKind, target: WebhookTarget, *, uuid: str, body: bytes, now: datetime
) -> WebhookRequest:
    """A signed request with ``body``, changed after it was signed where ``kind`` demands it."""
    secret = random_uuid() if kind == "unknown-app" else target.secret  # another application has another secret
    webhook = OutgoingWebhook(url=target.url, secret=secret, payload=uuid, body=body)
    at = now + _OFF_BY.get(kind, timedelta())
    request = WebhookRequest(headers=build_headers(webhook, number=1, at=at), body=body)
    change = _CHANGES.get(kind)
    return change(request) if change else request


def _break_signature(request: WebhookRequest) -> WebhookRequest:
    name = "x-xumm-request-signature"
    first = "1" if request.headers[name].startswith("0") else "0"
    return replace(request, headers={**request.headers, name: first + request.headers[name][1:]})


def _tamper(request: WebhookRequest) -> WebhookRequest:
    return replace(request, body=request.body.replace(b'"signed":true', b'"signed":false'))


def _compress(request: WebhookRequest) -> WebhookRequest:
    return replace(
        request, headers={**request.headers, "content-encoding": "gzip"}, body=gzip.compress(request.body, mtime=0)
    )


_OFF_BY: Final[dict[WebhookKind, timedelta]] = {"stale": -STALE_BY, "future": STALE_BY}
_CHANGES: Final[dict[WebhookKind, Callable[[WebhookRequest], WebhookRequest]]] = {
    "badsig": _break_signature,
    "tampered": _tamper,
    "compressed": _compress,
}
