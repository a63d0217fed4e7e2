"""The publisher's adapter for RabbitMQ: keeps one connection open, on one broker after the other."""

import asyncio
import random
import ssl
from asyncio import Future
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from typing import Final, Self, assert_never

import structlog

from processor.broker.address import Address, parse_addresses
from processor.broker.connection import Connection, ConnectionLimits, Loss
from processor.broker.handshake import Handshake
from processor.broker.port import Disconnected
from processor.core.publishing.message import Message
from processor.core.retry import CONNECT, Backoff
from schemas.topology import EXCHANGE

_CLOSE_SECONDS: Final = 2.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitOptions:
    """How a `RabbitPublisher` behaves. The defaults suit production."""

    exchange: str = EXCHANGE
    name: str = "publisher"
    """Shown as the connection's name in RabbitMQ's management."""
    connect_timeout: timedelta = timedelta(seconds=10)
    """For TCP, TLS and the whole handshake, each."""
    confirm_timeout: timedelta = timedelta(seconds=30)
    """A broker that confirms nothing, and does not say for so long that it still reads, counts as hung."""
    patience: timedelta = timedelta(seconds=3)
    """How long a queue may take to answer for a message while the broker itself is well."""
    heartbeat: timedelta = timedelta(seconds=15)
    """Whole seconds; after two of them without a byte the connection counts as dead."""
    backoff: Backoff = CONNECT
    """How long to pause after each failure in a row."""
    healthy_after: timedelta = timedelta(seconds=30)
    """A connection that lived this long makes earlier failures forgotten."""
    unsent_bytes: int = 64 * 1024 * 1024
    """Most bytes that wait for a broker that reads slowly or blocks; beyond, publishes fail."""

    def __post_init__(self) -> None:
        """Raises `ValueError` for a heartbeat that AMQP cannot express."""
        if not timedelta(seconds=1) <= self.heartbeat < timedelta(seconds=65_536):
            raise ValueError(f"heartbeat is {self.heartbeat.total_seconds()} seconds; AMQP takes 1 to 65535")


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
        connection = self._new_connection(address)
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

    def _new_connection(self, address: Address) -> Connection:
        return Connection(
            handshake=Handshake(
                address=address,
                exchange=self._options.exchange,
                heartbeat_seconds=int(self._options.heartbeat.total_seconds()),
                name=self._options.name,
            ),
            limits=ConnectionLimits(
                confirm_timeout_seconds=self._options.confirm_timeout.total_seconds(),
                patience_seconds=self._options.patience.total_seconds(),
                unsent_bytes=self._options.unsent_bytes,
            ),
            on_blocked=self._blocked,
        )

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

    def _blocked(self, reason: str | None) -> None:
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
