"""Web Push: encrypted messages to browsers, signed with the application server's key.

Sources: RFC 8030 (protocol), RFC 8291 (encryption), RFC 8292 (VAPID). For answers of push services beyond them:
https://developer.apple.com/documentation/usernotifications/sending-web-push-notifications-in-web-apps-and-browsers,
https://autopush.readthedocs.io/en/latest/http.html and
https://learn.microsoft.com/windows/apps/design/shell/tiles-and-notifications/push-request-response-headers (406).
"""

import asyncio
import base64
import hashlib
import json
import ssl
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver

from consumers.push.channels.channel import RETRYABLE, Unregistered, parse_object, parse_wait, read_start
from consumers.push.channels.encryption import CODING, encrypt
from consumers.push.channels.resolver import NotPublic, PublicResolver
from consumers.push.channels.signing_key import SigningKey
from consumers.push.notification import Notification
from consumers.push.registry.devices import Device
from consumers.push.registry.subscription import allows, parse_endpoint
from consumers.push.settings import PushSettings
from consumers.runtime.errors import ConsumerError, Fatal, Retry
from schemas.base64url import decode, encode

TOKEN_LIFETIME: Final = timedelta(hours=12)
"""RFC 8292 section 2 allows 24 hours."""
AUDIENCES: Final = 64
"""Push services whose tokens are kept: with subdomains allowed, users decide how many hosts there are."""
TOPIC_BYTES: Final = 24
"""Of a hash: 32 characters of base64url, RFC 8030 section 5.4."""
CONNECTIONS: Final = 32

_TAKEN: Final = range(200, 300)
_DEAD: Final = frozenset({404, 410})
_TOO_LARGE: Final = 413
_DENIED: Final = frozenset({401, 403})
"""For all subscriptions if the key or the contact is wrong; for those made with another key otherwise."""
_OTHER_KEY: Final = "VapidPkHashMismatch"
"""Apple's reason, with 400, for a subscription made with another key:
https://github.com/vjt/grappa-irc/issues/1323 has the answer."""
_THROTTLED: Final = 406
"""Windows' status for too many requests."""
_CREDENTIALS: Final = "check CONSUMERS_WEBPUSH_KEY, which browsers subscribed to, and CONSUMERS_WEBPUSH_CONTACT"


class Vapid:
    """Identifies the operator to push services, with an address for questions (RFC 8292)."""

    def __init__(self, key: SigningKey, *, contact: str, now: Callable[[], float] = time.time) -> None:
        self._key = key
        self._contact = contact
        self._now = now
        self._tokens: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def authorization(self, audience: str) -> str:
        """The header for the push service at the origin ``audience``, valid for hours."""
        token, expires_at = self._tokens.get(audience, ("", 0.0))
        if expires_at - self._now() < TOKEN_LIFETIME.total_seconds() / 2:
            expires_at = self._now() + TOKEN_LIFETIME.total_seconds()
            token = self._key.sign({"aud": audience, "exp": int(expires_at), "sub": self._contact})
            self._tokens[audience] = (token, expires_at)
        self._tokens.move_to_end(audience)
        if len(self._tokens) > AUDIENCES:
            self._tokens.popitem(last=False)
        return f"vapid t={token}, k={encode(self._key.public_point)}"


class WebPushChannel:
    """Pushes to browsers, through whichever service each chose among ``services``."""

    def __init__(
        self, session: aiohttp.ClientSession, vapid: Vapid, *, services: Iterable[str], timeout: timedelta
    ) -> None:
        self._session = session
        self._vapid = vapid
        self._services = tuple(services)
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())

    async def push(self, device: Device, notification: Notification) -> None:
        """Encrypt and send ``notification``; return or raise by the answer of the push service."""
        endpoint = parse_endpoint(device.token)
        host = endpoint.host or ""
        if device.keys is None or not allows(self._services, host):
            raise Unregistered(f"{host} is no push service that CONSUMERS_WEBPUSH_SERVICES names", certain=False)
        keys = device.keys
        body = encrypt(build_body(notification), p256dh=decode(keys.p256dh), auth=decode(keys.auth))
        headers = {**build_headers(notification), "Authorization": self._vapid.authorization(str(endpoint.origin()))}
        try:
            async with self._session.post(
                endpoint, data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as answer:
                status, received = answer.status, answer.headers
                reason = parse_object(await read_start(answer.content.iter_any())).get("reason")
        except (aiohttp.ClientError, TimeoutError) as error:
            problem = "its address is not public" if isinstance(error.__cause__, NotPublic) else type(error).__name__
        else:
            return _check(host, status, received, reason)
        raise Retry(f"{host} cannot be reached: {problem}")  # unchained: aiohttp keeps the address, which is secret


@asynccontextmanager
async def open_webpush(
    settings: PushSettings, resolver: AbstractResolver | None = None
) -> AsyncIterator[WebPushChannel]:
    """Open the channel. Raises `ConsumerError` if ``settings`` lack something or name a bad key file."""
    if settings.webpush_key is None:
        raise ConsumerError("CONSUMERS_WEBPUSH_KEY: name the file of the private key that webpush needs")
    if settings.webpush_contact is None:
        raise ConsumerError("CONSUMERS_WEBPUSH_CONTACT: webpush needs an address that push services can write to")
    key = await asyncio.to_thread(SigningKey.read, settings.webpush_key, setting="CONSUMERS_WEBPUSH_KEY")
    connector = aiohttp.TCPConnector(
        resolver=resolver or PublicResolver(aiohttp.ThreadedResolver()),
        ssl=ssl.create_default_context(),
        limit=CONNECTIONS,
    )
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield WebPushChannel(
            session,
            Vapid(key, contact=settings.webpush_contact),
            services=settings.push_services,
            timeout=settings.push_timeout,
        )


def build_headers(notification: Notification) -> Mapping[str, str]:
    """The headers: lifetime, urgency, and the topic of messages that this one replaces."""
    return {
        "Content-Encoding": CODING,
        "Content-Type": "application/octet-stream",
        "TTL": str(int(notification.lifetime.total_seconds())),
        "Topic": build_topic(notification.id),
        "Urgency": notification.urgency,
    }


def build_body(notification: Notification) -> bytes:
    """JSON for the page's service worker: the arguments of ``showNotification``."""
    content = {
        "title": notification.title,
        "body": notification.body,
        "tag": notification.id,
        "data": dict(notification.data),
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def build_topic(name: str) -> str:
    """32 characters from the hash of ``name``. A message replaces an undelivered one of the same topic."""
    return base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest()[:TOPIC_BYTES]).decode()


def _check(host: str, status: int, headers: Mapping[str, str], reason: object) -> None:
    """Return if the service accepted the message; else raise the error that the protocol gives for the answer.

    ``reason`` is the one that Apple's service gives for a refusal.
    """
    if status in _TAKEN:
        return
    problem = f"{host} answered {status}"
    if status in _DEAD:
        raise Unregistered(problem)
    if status in RETRYABLE or status == _THROTTLED:
        raise Retry(problem, after=parse_wait(headers))
    if status in _DENIED or reason == _OTHER_KEY:
        raise Unregistered(f"{problem}: {_CREDENTIALS}", certain=False)
    raise Fatal(f"{problem}: the message is too large" if status == _TOO_LARGE else problem)
