"""The publisher's adapter for RabbitMQ: keeps one connection open, on one broker after the other."""

import asyncio
import random
import ssl
from asyncio import Future
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import cycle
from typing import Final, Self, assert_never

import structlog

from processor.broker.address import Address, parse_addresses
from processor.broker.connection import Connection, Loss
from processor.broker.options import RabbitOptions
from processor.broker.port import Disconnected
from processor.core.publishing.message import Message

_CLOSE_SECONDS: Final = 2.0
_log = structlog.get_logger()


class RabbitPublisher:
    """Persistent, mandatory, confirmed publishes to one exchange, many in flight, on a connection of its own.

    A message can also be handed to one of the queues past the exchange; the user needs write permission on
    ``amq.default`` for it.
    What is in flight when the connection breaks fails with `Disconnected`, and so does what is published
    while there is none. While the broker has blocked its publishers, messages wait.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        options: RabbitOptions | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``urls`` are tried in turn. Raises `ValueError` if one cannot be read."""
        self._addresses: Final = parse_addresses(urls)
        self._options: Final = options or RabbitOptions()
        self._tls = tls
        self._chance = chance
        self._ready = asyncio.Event()
        self._connection: Connection | None = None
        self._unavailable_reason = "not connected yet"
        self._connecting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start connecting; `ready` tells when it is done."""
        if self._tls is None and any(address.tls for address in self._addresses):
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        self._connecting = asyncio.create_task(self._keep_connected(), name="publisher")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection. What is still in flight fails with `Disconnected`."""
        self._ready.clear()
        self._unavailable_reason = "the publisher was closed"
        try:
            if self._connection is not None:
                self._connection.close()
                await asyncio.wait([self._connection.lost], timeout=_CLOSE_SECONDS)
        finally:
            if self._connecting is not None:
                self._connecting.cancel()
                await asyncio.wait([self._connecting])

    def publish(self, message: Message, queue: str | None = None) -> "Future[None]":
        """Hand ``message`` over; see `Publisher.publish`."""
        future: Future[None] = asyncio.get_running_loop().create_future()
        if self._connection is None:
            future.set_exception(Disconnected(self._unavailable_reason))
        else:
            self._connection.publish(message, future, queue)
        return future

    async def ready(self) -> None:
        """Return once connected and not blocked."""
        await self._ready.wait()

    async def _keep_connected(self) -> None:
        failures = 0
        for address in cycle(self._addresses):
            lived = await self._serve(address)
            failures = 1 if lived >= self._options.healthy_after else failures + 1
            await asyncio.sleep(self._options.backoff.delay(failures, self._chance()).total_seconds())

    async def _serve(self, address: Address) -> timedelta:
        """Connect, and stay until the connection is lost. Returns how long it was open."""
        connection = Connection(address, self._options, on_blocked=self._on_blocked)
        try:
            loss = await self._open(connection, address) or await self._wait_until_lost(connection, address)
        except Exception as exc:  # noqa: BLE001 - whatever a connection can die of, the next one is tried
            loss = Loss(kind="failed", reason=str(exc) or type(exc).__name__)
        finally:
            self._connection = None
            self._ready.clear()
            connection.drop("the publisher was closed")
        self._unavailable_reason = loss.reason
        self._report(loss, address, opened=connection.age > timedelta())
        return connection.age

    async def _open(self, connection: Connection, address: Address) -> Loss | None:
        limit = self._options.connect_timeout.total_seconds()
        try:
            async with asyncio.timeout(limit):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, address.host, address.port, ssl=self._tls if address.tls else None
                )
                opened = await connection.opened
        except TimeoutError:
            return Loss(kind="failed", reason=f"not open after {limit} seconds")
        return None if opened else await connection.lost

    async def _wait_until_lost(self, connection: Connection, address: Address) -> Loss:
        self._connection = connection
        if not connection.blocked:
            self._ready.set()
        _log.info("publisher.connected", broker=str(address), exchange=self._options.exchange)
        return await connection.lost

    def _on_blocked(self, reason: str | None) -> None:
        if reason is not None:
            self._ready.clear()
            _log.warning("publisher.blocked", reason=reason)
            return
        _log.info("publisher.unblocked")
        if self._connection is not None:
            self._ready.set()

    def _report(self, loss: Loss, address: Address, *, opened: bool) -> None:
        match loss.kind:
            case "closed":
                _log.info("publisher.closed", broker=str(address))
            case "failed" if opened:
                _log.warning("publisher.disconnected", broker=str(address), reason=loss.reason)
            case "failed":
                _log.warning("publisher.connection_failed", broker=str(address), reason=loss.reason)
            case "exchange_missing":
                _log.error(
                    "publisher.exchange_missing",
                    broker=str(address),
                    exchange=self._options.exchange,
                    remedy="run `processor topology apply`",
                )
            case _:
                assert_never(loss.kind)
