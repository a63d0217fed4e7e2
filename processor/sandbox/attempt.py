"""One attempt to deliver a webhook: how it is signed and sent, what comes of it, whether to try again."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, assert_never

import aiohttp

ACCEPTED: Final = frozenset({200, 201, 204})
RETRY_AFTER: Final = (
    timedelta(seconds=10),
    timedelta(seconds=60),
    timedelta(seconds=600),
    timedelta(seconds=600),
)
"""How long to wait behind the first, second, third and fourth attempt."""
LAST_ATTEMPT: Final = len(RETRY_AFTER) + 1
ANSWER_WITHIN: Final = timedelta(seconds=15)
_REASON_BYTES: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One webhook to be delivered."""

    url: str
    secret: str = field(repr=False)
    payload: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The service answered, whatever it said."""

    status: int
    reason: str = ""
    """What the answer gave as its reason, or how its text begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut:
    """The service took too long."""

    after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFailed:
    """Refused, reset, not resolved, not trusted."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """Not sent: the URL is suspended."""


Outcome = Answered | TimedOut | ConnectionFailed | Withheld


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt and what came of it."""

    number: int
    at: datetime
    url: str
    payload: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    outcome: Outcome


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Hexadecimal HMAC-SHA1 of ``timestamp`` and ``body``, keyed with ``secret`` less its first dash only."""
    key = secret.replace("-", "", 1).encode()
    return hmac.new(key, timestamp.encode() + body, hashlib.sha1).hexdigest()


def headers_of(webhook: Outgoing, *, number: int, at: datetime) -> dict[str, str]:
    """The headers of attempt ``number`` made ``at``."""
    timestamp = str(int(at.timestamp()))
    return {
        "content-type": "application/json",
        "user-agent": "xumm-webhook",
        "x-xumm-attempt": str(number),
        "x-xumm-payload": webhook.payload,
        "x-xumm-request-timestamp": timestamp,
        "x-xumm-request-signature": sign(webhook.secret, timestamp, webhook.body),
    }


def wait_after(number: int, outcome: Outcome) -> timedelta | None:
    """How long to wait before the attempt behind ``number``, or None if there is to be none."""
    match outcome:
        case Answered(status=status) if status in ACCEPTED:
            return None
        case Answered() | TimedOut():
            return RETRY_AFTER[number - 1] if number < LAST_ATTEMPT else None
        case ConnectionFailed() | Withheld():
            return None
        case _:
            assert_never(outcome)


def open_session(answer_within: timedelta) -> aiohttp.ClientSession:
    """A client that adds no headers of its own, keeps no connections and gives up after ``answer_within``."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        timeout=aiohttp.ClientTimeout(total=answer_within.total_seconds()),
    )


async def post(session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
    """Post ``body`` once. The status decides; a text that breaks off behind it changes nothing."""
    try:
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            return Answered(status=response.status, reason=await _reason(response))
    except TimeoutError:
        return TimedOut(after=timedelta(seconds=session.timeout.total or 0))
    except (aiohttp.ClientError, OSError) as error:
        return ConnectionFailed(error=type(error).__name__)


def tell(outcome: Outcome) -> str:
    """``outcome`` in a few words."""
    match outcome:
        case Answered(status=status, reason=reason):
            return f"{status} {reason}".rstrip()
        case TimedOut(after=after):
            return f"no answer in {after.total_seconds():g} s"
        case ConnectionFailed(error=error):
            return f"connection failed ({error})"
        case Withheld():
            return "not sent: the URL is suspended"
        case _:
            assert_never(outcome)


async def _reason(response: aiohttp.ClientResponse) -> str:
    """The ``reason`` or ``result`` that the answer names if it is such JSON, or else the beginning of its text."""
    with suppress(aiohttp.ClientError):
        start = (await response.content.read(_REASON_BYTES)).decode(errors="replace").strip()
        return _named(start) or start
    return ""


def _named(text: str) -> str | None:
    try:
        answer = json.loads(text)
    except ValueError:
        return None
    named = (answer.get("reason") or answer.get("result")) if isinstance(answer, dict) else None
    return named if isinstance(named, str) else None
