"""A browser's push service of our own, and the browser: it verifies who sends, and reads what was encrypted for it.

Answers: RFC 8030 section 5 and 7.2 (201, 410, 413), RFC 8292 section 4.2 (403); what tests have it say beyond is of
https://developer.apple.com/documentation/usernotifications/sending-web-push-notifications-in-web-apps-and-browsers and
https://autopush.readthedocs.io/en/latest/http.html.
"""

import asyncio
import json
import os
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.base64url import decode, encode
from tests.consumers.push.channels.authority import Authority, key_file
from tests.consumers.push.channels.web_token import verified

HOST = "updates.push.services.mozilla.com"
CONTACT = "mailto:operator@shop.example"
DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What the service answers instead of taking a message."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    silent: bool = False


class Browser:
    """One subscription with its private keys."""

    def __init__(self, name: str, host: str = HOST) -> None:
        self.endpoint = f"https://{host}/wpush/v2/{name}"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._auth = os.urandom(16)

    @property
    def subscription(self) -> str:
        """As ``JSON.stringify`` gives it."""
        keys = {"p256dh": encode(self._public), "auth": encode(self._auth)}
        return json.dumps({"endpoint": self.endpoint, "expirationTime": None, "keys": keys})

    def read(self, body: bytes) -> dict[str, Any]:
        """What is in a message. Raises if it is not for this browser, or was changed on the way."""
        salt, (size, length) = body[:16], struct.unpack("!IB", body[16:21])
        sender, record = body[21 : 21 + length], body[21 + length :]
        shared = self._key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        secret = _expand(_mac(self._auth, shared), b"WebPush: info\0" + self._public + sender)
        pseudorandom = _mac(salt, secret)
        key = _expand(pseudorandom, b"Content-Encoding: aes128gcm\0")[:16]
        nonce = _expand(pseudorandom, b"Content-Encoding: nonce\0")[:12]
        plain = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0")
        assert len(record) <= size
        assert plain[-1:] == b"\x02"
        message: dict[str, Any] = json.loads(plain[:-1])
        return message

    @property
    def _public(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _mac(key: bytes, data: bytes) -> bytes:
    mac = HMAC(key, SHA256())
    mac.update(data)
    return mac.finalize()


def _expand(key: bytes, info: bytes) -> bytes:
    return _mac(key, info + b"\x01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A message that the service took."""

    endpoint: str
    headers: dict[str, str]
    message: dict[str, Any]


class PushService:
    """Takes messages for its browsers from whoever they subscribed to."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.port = 0
        self.browsers: dict[str, Browser] = {}
        self.taken: list[Taken] = []
        self.refusals: dict[str, list[Refusal]] = {}
        self.authorizations: list[str] = []
        self.stopping = asyncio.Event()

    @property
    def tokens_served(self) -> list[str]:
        """Endpoints of the messages taken, in order."""
        return [each.endpoint for each in self.taken]

    def subscribe(self, name: str, host: str = HOST) -> Browser:
        """A browser that waits for messages."""
        browser = Browser(name, host)
        self.browsers[browser.endpoint] = browser
        return browser

    def options(self, directory: Path) -> dict[str, Any]:
        """The settings of a consumer that pushes here."""
        return {"webpush_key": key_file(directory / "vapid.pem", self.key), "webpush_contact": CONTACT}

    async def take(self, request: web.Request) -> web.Response:
        """One message."""
        endpoint = f"https://{request.host}{request.path}"
        self.authorizations.append(request.headers.get("Authorization", ""))
        if not self._is_sender(self.authorizations[-1], f"https://{request.host}"):
            return web.Response(status=403, text="VAPID")
        waiting = self.refusals.get(endpoint)
        if waiting:
            refusal = waiting.pop(0)
            if refusal.silent:
                await self.stopping.wait()
            return web.Response(status=refusal.status, headers=refusal.headers, text=refusal.body)
        body = await request.read()
        if len(body) > 4096:
            return web.Response(status=413)
        if endpoint not in self.browsers:
            return web.Response(status=410)
        assert request.headers["Content-Encoding"] == "aes128gcm"
        message = self.browsers[endpoint].read(body)
        self.taken.append(Taken(endpoint=endpoint, headers=dict(request.headers), message=message))
        return web.Response(status=201)

    def _is_sender(self, authorization: str, origin: str) -> bool:
        scheme, _, parameters = authorization.partition(" ")
        values = dict(each.strip().split("=", 1) for each in parameters.split(",") if "=" in each)
        public = self.key.public_key()
        point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        if scheme != "vapid" or decode(values.get("k", "")) != point:
            return False
        found = verified(values.get("t", ""), public)
        if found is None:
            return False
        claims = found[1]
        is_in_time = 0 < claims["exp"] - time.time() <= DAY
        return is_in_time and (claims["aud"], claims["sub"]) == (origin, CONTACT)


class Directory(AbstractResolver):
    """Knows one server by every name."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self._port = port
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = ResolveResult(
            hostname=host, host=self._address, port=self._port, family=socket.AF_INET, proto=0, flags=0
        )
        return [found]

    async def close(self) -> None:
        return None


@asynccontextmanager
async def push_service(authority: Authority, *hosts: str) -> AsyncIterator[PushService]:
    """The service on a free port of 127.0.0.1, with certificates for the hosts that it plays."""
    service = PushService()
    app = web.Application()
    app.router.add_post("/{path:.*}", service.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=authority.server(HOST, *hosts)).start()
    service.port = runner.addresses[0][1]
    try:
        yield service
    finally:
        service.stopping.set()
        await runner.cleanup()
