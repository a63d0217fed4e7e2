"""One webhook, good or bad, fired at a running service as Xumm would fire it; a way to try a service out."""

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

import aiohttp

from processor.sandbox.attempt import (
    ANSWER_WITHIN,
    Outcome,
    Outgoing,
    TimedOut,
    headers_of,
    open_session,
    post,
    tell,
)
from processor.sandbox.clock import Clock, random_uuid, utc_now
from processor.sandbox.javascript import stringify
from processor.sandbox.tokens import VALID_FOR

Kind = Literal[
    "signed",
    "rejected",
    "duplicate",
    "badsig",
    "stale",
    "future",
    "tampered",
    "malformed",
    "contradictory",
    "unknown-app",
    "oversized",
    "compressed",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
STALE_BY: Final = timedelta(days=1)
"""How old a ``stale`` webhook claims to be, and how new a ``future`` one: beyond what any retry explains."""
OVERSIZE: Final = 2**18
"""Bytes that an ``oversized`` body has at least: more than any service should take."""

SHOWN: Final = 4096
"""Characters of a body that a terminal is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The service, and the application to speak for."""

    url: str
    application: str
    """``application_uuidv4``, the API key."""
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One request as sent."""

    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggered:
    """What was sent and what the service said to it, request by request."""

    kind: Kind
    url: str
    payload: str
    exchanges: tuple[tuple[Shot, Outcome], ...]


async def trigger(
    kind: Kind,
    target: Target,
    *,
    payload: str | None = None,
    identifier: str | None = None,
    txid: str | None = None,
    clock: Clock = utc_now,
) -> Triggered:
    """Fire one webhook of ``kind``, or the same one twice for ``duplicate``.

    Never raises for what the service does: the outcome tells.
    """
    uuid = payload or random_uuid()
    body = _body(kind, target, uuid=uuid, identifier=identifier, txid=txid, now=clock())
    shot = _shot(kind, target, uuid=uuid, body=body, now=clock())
    shots = (shot, shot) if kind == "duplicate" else (shot,)
    async with open_session() as session:
        exchanges = [(each, await _fire(session, target.url, each)) for each in shots]
    return Triggered(kind=kind, url=target.url, payload=uuid, exchanges=tuple(exchanges))


def render(triggered: Triggered) -> str:
    """``triggered`` for a terminal: each request's headers and body, and the answer."""
    lines = [f"{triggered.kind}: payload {triggered.payload}"]
    for shot, outcome in triggered.exchanges:
        lines.append(f"> POST {triggered.url}")
        lines += [f"> {name}: {value}" for name, value in shot.headers.items()]
        lines.append(f"> {_shown(shot.body)}")
        lines.append(f"< {tell(outcome)}")
    return "\n".join(lines)


async def _fire(session: aiohttp.ClientSession, url: str, shot: Shot) -> Outcome:
    """Send it once. An answer that never ends is given up too, unlike Xumm's: somebody waits at a terminal."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
            return await post(session, url, shot.headers, shot.body)
    except TimeoutError:
        return TimedOut(after=ANSWER_WITHIN)


def _shown(body: bytes) -> str:
    text = body.decode(errors="replace")
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(body)} bytes)"


def _body(
    kind: Kind,
    target: Target,
    *,
    uuid: str,
    identifier: str | None,
    txid: str | None,
    now: datetime,
) -> bytes:
    signed = kind != "rejected"
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
        "userToken": _user_token(now) if signed else None,
    }
    text = stringify(body).encode()
    return text[: len(text) // 2] if kind == "malformed" else text


def _user_token(now: datetime) -> dict[str, Any]:
    return {
        "user_token": random_uuid(),
        "token_issued": int(now.timestamp()),
        "token_expiration": int((now + VALID_FOR).timestamp()),
    }


def _shot(kind: Kind, target: Target, *, uuid: str, body: bytes, now: datetime) -> Shot:
    """``body`` signed, and then spoilt after the signature where ``kind`` says so."""
    secret = random_uuid() if kind == "unknown-app" else target.secret  # another application has another secret
    webhook = Outgoing(url=target.url, secret=secret, payload=uuid, body=body)
    at = now + _OFF_BY.get(kind, timedelta())
    shot = Shot(headers=headers_of(webhook, number=1, at=at), body=body)
    spoil = _SPOILERS.get(kind)
    return spoil(shot) if spoil else shot


def _bad_signature(shot: Shot) -> Shot:
    name = "x-xumm-request-signature"
    first = "1" if shot.headers[name].startswith("0") else "0"
    return Shot(headers={**shot.headers, name: first + shot.headers[name][1:]}, body=shot.body)


def _tampered(shot: Shot) -> Shot:
    return Shot(headers=shot.headers, body=shot.body.replace(b'"signed":true', b'"signed":false'))


def _compressed(shot: Shot) -> Shot:
    return Shot(headers={**shot.headers, "content-encoding": "gzip"}, body=gzip.compress(shot.body, mtime=0))


_OFF_BY: Final[dict[Kind, timedelta]] = {"stale": -STALE_BY, "future": STALE_BY}
_SPOILERS: Final[dict[Kind, Callable[[Shot], Shot]]] = {
    "badsig": _bad_signature,
    "tampered": _tampered,
    "compressed": _compressed,
}
