"""The public keys of an OAuth2 provider, fetched when they are needed and kept.

A sender of wrong tokens must not make this service call the provider for each of them. So there is one fetch at a time,
shared by all that wait for it, and none starts within a minute of the last, successful or not.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Self

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from yarl import URL

from processor.core.access.jwks import parse_jwks
from processor.core.errors import NormalizeError, Unavailable
from processor.web.client import Answer, HttpClient

MIN_INTERVAL: Final = 60.0
"""Seconds."""
MAX_BYTES: Final = 64 * 1024
"""Largest document with keys."""
_OK: Final = 200

log = structlog.get_logger()


class KeyCache:
    """An async context manager: the keys that an address publishes, kept for ``ttl``.

    While the provider is down or answers with an invalid document, the known keys stay in force.
    """

    def __init__(self, url: URL, connections: HttpClient, *, ttl: timedelta, time: Callable[[], float]) -> None:
        """``time`` is monotonic, in seconds."""
        self._url = url
        self._connections = connections
        self._ttl = ttl.total_seconds()
        self._time = time
        self._keys: tuple[RSAPublicKey, ...] = ()
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def keys(self) -> tuple[RSAPublicKey, ...]:
        """The keys in force. Raises `Unavailable` if none could be fetched yet."""
        fresh = self._fetched_at is not None and self._time() < self._fetched_at + self._ttl
        return self._keys if fresh else await self.renew()

    async def renew(self) -> tuple[RSAPublicKey, ...]:
        """The keys, fetched again unless that was tried within the last minute. Raises `Unavailable` as `keys` does."""
        if self._fetching is None and self._may_fetch():
            self._tried_at = self._time()
            self._fetching = asyncio.create_task(self._fetch(), name="jwks")
        if self._fetching is not None:
            await asyncio.wait([self._fetching])
        if not self._keys:
            raise Unavailable(f"{self._url.host} has not published its keys yet")
        return self._keys

    def _may_fetch(self) -> bool:
        return self._tried_at is None or self._time() >= self._tried_at + MIN_INTERVAL

    async def _fetch(self) -> None:
        try:
            answer = await self._connections.ask("GET", self._url)
            self._keys = parse_jwks(_document(answer))
            self._fetched_at = self._time()
            log.info("identity_keys.fetched", host=self._url.host, count=len(self._keys))
        except (Unavailable, NormalizeError) as error:
            log.warning("identity_keys.unavailable", host=self._url.host, problem=str(error), known=len(self._keys))
        finally:
            self._fetching = None


def _document(answer: Answer) -> dict[str, object]:
    document = answer.json_object() if answer.status == _OK and len(answer.body) <= MAX_BYTES else None
    if document is None:
        raise NormalizeError(f"keys: answered {answer.status} with {len(answer.body)} bytes that are no key set")
    return document
