"""One attempt to deliver a webhook: how it is signed and sent, its outcomes, and whether another attempt follows.

Xumm's sender is published; it sends with node-fetch 3. Unlike that sender, this one sends to private addresses.

Source: https://github.com/XRPL-Labs/XummAPI-Webhook-Proxy/blob/main/send.mjs
"""

import asyncio
import hashlib
import hmac
import json
import math
from collections.abc import Mapping
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
"""The wait after the first, second, third and fourth attempt."""
LAST_ATTEMPT: Final = len(RETRY_AFTER) + 1
ANSWER_WITHIN: Final = timedelta(seconds=15)
"""The time for the headers of an answer; the time for its text has no limit."""
LOGGED: Final = 4500
"""Characters of an answer that Xumm stores, headers and text together."""
_MAX_REDIRECTS: Final = 20
_SHOWN: Final = 512
_NODE_FETCH: Final = {"accept": "*/*", "accept-encoding": "gzip, deflate, br"}
"""The headers that node-fetch adds to every request.

Source: https://github.com/node-fetch/node-fetch/blob/v3.2.8/src/request.js
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingWebhook:
    """One webhook to deliver."""

    url: str
    secret: str = field(repr=False)
    payload: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The service answered, with any status."""

    status: int
    reason: str = ""
    """The reason in the answer, or the beginning of its text."""
    logged: str = field(default="", repr=False, compare=False)
    """The part of the answer that Xumm stores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """The headers of an answer came, and its text broke off: an error after the timer was stopped."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut:
    """The headers of an answer did not come in time."""

    after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFailed:
    """The connection was refused, reset, not resolved, not trusted, or redirected too often."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """The webhook was not sent, since its URL is suspended."""


AttemptOutcome = Answered | CutOff | TimedOut | ConnectionFailed | Withheld


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt and its outcome."""

    number: int
    at: datetime
    url: str
    payload: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    outcome: AttemptOutcome


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Hexadecimal HMAC-SHA1 of ``timestamp`` and ``body``; the key is ``secret`` without its first dash."""
    key = secret.replace("-", "", 1).encode()
    return hmac.new(key, timestamp.encode() + body, hashlib.sha1).hexdigest()


def build_headers(webhook: OutgoingWebhook, *, number: int, at: datetime) -> dict[str, str]:
    """The headers of attempt ``number``, made ``at`` a moment that is rounded to the second."""
    timestamp = str(math.floor(at.timestamp() + 0.5))
    return {
        "content-type": "application/json",
        "user-agent": "xumm-webhook",
        "x-xumm-attempt": str(number),
        "x-xumm-payload": webhook.payload,
        "x-xumm-request-timestamp": timestamp,
        "x-xumm-request-signature": sign(webhook.secret, timestamp, webhook.body),
    }


def wait_after(number: int, outcome: AttemptOutcome, *, took: timedelta = timedelta()) -> timedelta | None:
    """The wait between attempt ``number`` and the next one; None if no attempt follows.

    A timer starts the next attempt unless an answer begins in time. A connection that fails first, after it ``took``
    some time, does not stop the timer. A text that breaks off does so after the timer was stopped, and before the
    status is checked.
    """
    if number == LAST_ATTEMPT:
        return None
    match outcome:
        case Answered(status=status) if status in ACCEPTED:
            return None
        case Answered() | TimedOut():
            return RETRY_AFTER[number - 1]
        case ConnectionFailed():
            return max(ANSWER_WITHIN - took, timedelta()) + RETRY_AFTER[number - 1]
        case CutOff() | Withheld():
            return None
        case _:
            assert_never(outcome)


def open_session() -> aiohttp.ClientSession:
    """A client with the headers of node-fetch, which reuses no connection and has no timeout."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_NODE_FETCH,
        skip_auto_headers=("User-Agent",),
        timeout=aiohttp.ClientTimeout(total=None),
    )


async def post(
    session: aiohttp.ClientSession,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    answer_within: timedelta = ANSWER_WITHIN,
) -> AttemptOutcome:
    """Post ``body`` once, and follow redirects. Never returns if the text of the answer never ends."""
    try:
        async with asyncio.timeout(answer_within.total_seconds()):
            response = await session.post(url, data=body, headers=headers, max_redirects=_MAX_REDIRECTS)
    except TimeoutError:
        return TimedOut(after=answer_within)
    except (aiohttp.ClientError, OSError) as error:
        return ConnectionFailed(error=type(error).__name__)
    try:
        async with response:
            text = (await response.text(errors="replace")).strip()
    except (aiohttp.ClientError, OSError):
        return CutOff(status=response.status)
    return Answered(status=response.status, reason=_find_reason(text) or text[:_SHOWN], logged=_excerpt(response, text))


def describe(outcome: AttemptOutcome) -> str:
    """``outcome`` in a few words."""
    match outcome:
        case Answered(status=status, reason=reason):
            return f"{status} {reason}".rstrip()
        case CutOff(status=status):
            return f"{status}, and then the answer broke off"
        case TimedOut(after=after):
            return f"no answer in {after.total_seconds():g} s"
        case ConnectionFailed(error=error):
            return f"connection failed ({error})"
        case Withheld():
            return "not sent: the URL is suspended"
        case _:
            assert_never(outcome)


def _excerpt(response: aiohttp.ClientResponse, text: str) -> str:
    headers = "\n".join(f"{name.lower()}: {value}" for name, value in response.headers.items())
    return f"{headers}\nBody:\n{text}"[:LOGGED]


def _find_reason(text: str) -> str | None:
    """The ``reason`` or ``result`` of an answer in JSON; None if it has none."""
    try:
        answer = json.loads(text)
    except ValueError:
        return None
    reason = (answer.get("reason") or answer.get("result")) if isinstance(answer, dict) else None
    return reason if isinstance(reason, str) else None
