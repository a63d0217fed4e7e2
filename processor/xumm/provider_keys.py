"""The public keys of an OAuth2 provider, fetched when they are needed and kept.

Who sends wrong tokens must not make this service call the provider for each of them. So one fetch is under way at a
time, whoever waits for it, and none starts within a minute of the last, whatever became of that.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol, Self

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from yarl import URL

from processor.core.access.jwks import parse_jwks
from processor.core.errors import NormalizeError, Unavailable
from processor.web.client import Answer

MIN_INTERVAL: Final = 60.0
"""Seconds."""
MAX_BYTES: Final = 64 * 1024
"""Of a set of keys."""
_OK: Final = 200

log = structlog.get_logger()


class Asks(Protocol):
    """Makes calls, as `processor.web.client.Connections` does."""

    async def ask(self, method: str, url: URL, /) -> Answer:
        """Call once. Raises `Unavailable`."""
        ...


class KeySet:
    """An async context manager: the keys that an address publishes, kept for ``ttl``.

    When the provider is down or talks nonsense, the keys that are known stay in force.
    """

    def __init__(self, url: URL, connections: Asks, *, ttl: timedelta, time: Callable[[], float]) -> None:
        """``time`` is in seconds, from any beginning, and only goes forward."""
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
        return self._keys if fresh else await self.renewed()

    async def renewed(self) -> tuple[RSAPublicKey, ...]:
        """The keys, fetched anew unless that was tried within the last minute. Raises `Unavailable` as `keys` does."""
        if self._fetching is None and self._may_fetch():
            self._tried_at = self._time()
            self._fetching = asyncio.create_task(self._fetch(), name="jwks")
        if self._fetching is not None:
            await asyncio.wait([self._fetching])
        if not self._keys:
            raise Unavailable(f"{self._url.host} has not told its keys yet")
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
        raise NormalizeError(f"keys: answered {answer.status} with {len(answer.body)} bytes that are no set of keys")
    return document
