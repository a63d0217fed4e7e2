"""Apple Push Notification service, with a provider token over HTTP/2.

Sources: https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns,
https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns and
https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns.
"""

import asyncio
import hashlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import httpx

from consumers.push.channels.channel import RETRYABLE, Unregistered, parse_object, parse_wait, read_start
from consumers.push.channels.signing_key import SigningKey
from consumers.push.notification import Notification, Urgency
from consumers.push.registry.devices import Device
from consumers.push.settings import PushSettings
from consumers.runtime.errors import ConsumerError, Fatal, Retry

TOKEN_LIFETIME: Final = timedelta(minutes=40)
"""APNs accepts a provider token for 60 minutes, and refuses new ones more often than every 20 minutes."""
TOO_MANY_TOKENS_WAIT: Final = timedelta(minutes=20)
MAX_COLLAPSE_ID: Final = 64
"""Bytes."""
PRIORITIES: Final[Mapping[Urgency, str]] = {"high": "10", "normal": "5", "low": "1"}

DEAD: Final = frozenset({"BadDeviceToken", "DeviceTokenNotForTopic", "ExpiredToken", "Unregistered"})
"""Certain only with 410 and a timestamp; with a wrong topic or address APNs gives the others for every token."""
EXPIRED: Final = "ExpiredProviderToken"
TOO_MANY_TOKENS: Final = "TooManyProviderTokenUpdates"
CREDENTIALS: Final = "check CONSUMERS_APNS_KEY, CONSUMERS_APNS_KEY_ID, CONSUMERS_APNS_TEAM_ID and CONSUMERS_APNS_URL"
TOPIC: Final = "check CONSUMERS_APNS_TOPIC and what the key may push to"
ADVICE: Final[Mapping[str, str]] = {
    "BadEnvironmentKeyIdInToken": CREDENTIALS,
    "BadEnvironmentKeyInToken": CREDENTIALS,
    "BadTopic": TOPIC,
    "Forbidden": CREDENTIALS,
    "InvalidProviderToken": CREDENTIALS,
    "MissingProviderToken": CREDENTIALS,
    "MissingTopic": TOPIC,
    "TopicDisallowed": TOPIC,
    "UnrelatedKeyIdInToken": CREDENTIALS,
}
"""What an operator should check, by APNs' reason."""

_OK: Final = 200
_GONE: Final = 410
_NEEDED: Final = ("apns_key", "apns_key_id", "apns_team_id", "apns_topic")


class ProviderTokens:
    """Provider tokens. One is used for many requests, and replaced before it expires."""

    def __init__(self, key: SigningKey, *, key_id: str, team_id: str, now: Callable[[], float] = time.time) -> None:
        self._key = key
        self._key_id = key_id
        self._team_id = team_id
        self._now = now
        self._token = ""
        self._issued_at = 0.0

    def current(self) -> str:
        """A token that APNs accepts for 20 more minutes."""
        age = self._now() - self._issued_at
        if not self._token or not 0 <= age < TOKEN_LIFETIME.total_seconds():
            self._issued_at = self._now()
            claims = {"iss": self._team_id, "iat": int(self._issued_at)}
            self._token = self._key.sign(claims, kid=self._key_id)
        return self._token

    def discard(self, token: str) -> None:
        """Forget the refused ``token``, unless a newer one has replaced it."""
        if self._token == token:
            self._token = ""


class ApnsChannel:
    """Pushes through APNs. An expired provider token is replaced and the request repeated once."""

    def __init__(self, client: httpx.AsyncClient, tokens: ProviderTokens, *, topic: str, timeout: timedelta) -> None:
        self._client = client
        self._tokens = tokens
        self._topic = topic
        self._timeout = timeout

    async def push(self, device: Device, notification: Notification) -> None:
        """Send ``notification`` to APNs; return or raise by its answer."""
        answer, body = await self._send(device, notification)
        if _reason(body) == EXPIRED:
            answer, body = await self._send(device, notification)
        _check(answer, body)

    async def _send(self, device: Device, notification: Notification) -> tuple[httpx.Response, Mapping[str, Any]]:
        token = self._tokens.current()
        headers = {"authorization": f"bearer {token}", "apns-topic": self._topic, **build_headers(notification)}
        path = f"/3/device/{quote(device.token, safe='')}"
        try:
            async with (
                asyncio.timeout(self._timeout.total_seconds()),
                self._client.stream("POST", path, json=build_body(notification), headers=headers) as answer,
            ):
                body = parse_object(await read_start(answer.aiter_raw()))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            problem = type(error).__name__
        else:
            if _reason(body) == EXPIRED:
                self._tokens.discard(token)
            return answer, body
        raise Retry(f"APNs cannot be reached: {problem}")  # unchained: httpx keeps the address, and so the token


@asynccontextmanager
async def open_apns(settings: PushSettings) -> AsyncIterator[ApnsChannel]:
    """Open the channel. Raises `ConsumerError` if ``settings`` lack something or name a bad key file."""
    missing = [name for name in _NEEDED if getattr(settings, name) is None]
    if missing or settings.apns_key is None:
        raise ConsumerError(f"CONSUMERS_{missing[0].upper()}: apns needs it")
    key = await asyncio.to_thread(SigningKey.read, settings.apns_key, setting="CONSUMERS_APNS_KEY")
    tokens = ProviderTokens(key, key_id=str(settings.apns_key_id), team_id=str(settings.apns_team_id))
    async with httpx.AsyncClient(
        base_url=str(settings.apns_url),
        http1=False,
        http2=True,
        verify=ssl.create_default_context(),
        trust_env=False,
        timeout=settings.push_timeout.total_seconds(),
    ) as client:
        yield ApnsChannel(client, tokens, topic=str(settings.apns_topic), timeout=settings.push_timeout)


def build_headers(notification: Notification) -> Mapping[str, str]:
    """The headers: lifetime, urgency, and the id of notifications that this one replaces."""
    return {
        "apns-push-type": "alert",
        "apns-priority": PRIORITIES[notification.urgency],
        "apns-expiration": str(int(time.time() + notification.lifetime.total_seconds())),
        "apns-collapse-id": build_collapse_id(notification.id),
    }


def build_body(notification: Notification) -> Mapping[str, Any]:
    """The JSON for the device. Notifications of one sign request are grouped."""
    alert = {"title": notification.title, "body": notification.body}
    thread = notification.data.get("payload", notification.id)
    return {**notification.data, "aps": {"alert": alert, "sound": "default", "thread-id": thread}}


def build_collapse_id(name: str) -> str:
    """``name`` if it is short enough for APNs, else its SHA-256: different names get different ids."""
    encoded = name.encode()
    return name if len(encoded) <= MAX_COLLAPSE_ID else hashlib.sha256(encoded).hexdigest()


def _check(answer: httpx.Response, body: Mapping[str, Any]) -> None:
    """Return if APNs accepted the notification; else raise the error that its documentation gives for the answer."""
    status, reason = answer.status_code, _reason(body)
    if status == _OK:
        return
    problem = f"APNs answered {status}{f' {reason}' if reason else ''}"
    if status == _GONE or reason in DEAD:
        since = _moment(body.get("timestamp"))
        raise Unregistered(problem, since=since, certain=status == _GONE and since is not None)
    if reason == EXPIRED:
        raise Retry(f"{problem} to a new token: compare this machine's clock")
    if reason == TOO_MANY_TOKENS:
        raise Retry(problem, after=TOO_MANY_TOKENS_WAIT)
    if status in RETRYABLE:
        raise Retry(problem, after=parse_wait(answer.headers))
    advice = ADVICE.get(reason)
    raise Fatal(f"{problem}: {advice}" if advice else problem)


def _reason(body: Mapping[str, Any]) -> str:
    """The reason that APNs gives; empty if there is none."""
    reason = body.get("reason")
    return reason if isinstance(reason, str) else ""


def _moment(milliseconds: object) -> datetime | None:
    """The time since when the token is invalid, by APNs' clock; None if ``milliseconds`` is no plausible time."""
    if type(milliseconds) is not int or not 0 < milliseconds < time.time() * 2000:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
