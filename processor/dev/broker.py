"""The embedded broker behind a connection that can be cut and restored."""

import asyncio
from asyncio import Future
from functools import partial
from types import TracebackType
from typing import Self

from processor.broker.embedded import EmbeddedPublisher
from processor.broker.port import Disconnected
from processor.core.publishing.message import Message


class FragileBroker:
    """A `Publisher`. While it is cut, it fails messages in flight and new ones, as a lost connection does.

    A message that was in flight may have arrived all the same. It then comes a second time, under the same id.
    """

    def __init__(self, embedded: EmbeddedPublisher) -> None:
        self._embedded = embedded
        self._in_flight: set[Future[None]] = set()
        self._connected = asyncio.Event()
        self._connected.set()

    @property
    def connected(self) -> bool:
        """Whether it accepts messages."""
        return self._connected.is_set()

    def cut(self) -> None:
        """Cut the connection."""
        self._connected.clear()
        for future in tuple(self._in_flight):
            if not future.done():
                future.set_exception(Disconnected("the connection was cut"))

    def restore(self) -> None:
        """Restore the connection."""
        self._connected.set()

    def publish(self, message: Message, queue: str | None = None) -> "Future[None]":
        """As `Publisher.publish`."""
        answer: Future[None] = asyncio.get_running_loop().create_future()
        if not self.connected:
            answer.set_exception(Disconnected("the connection is cut"))
            return answer
        self._in_flight.add(answer)
        answer.add_done_callback(self._in_flight.discard)
        self._embedded.publish(message, queue).add_done_callback(partial(_copy_result, answer))
        return answer

    async def ready(self) -> None:
        """Return once connected."""
        await self._connected.wait()
        await self._embedded.ready()

    async def __aenter__(self) -> Self:
        await self._embedded.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._embedded.__aexit__(kind, error, trace)


def _copy_result(answer: "Future[None]", settled: "Future[None]") -> None:
    """Copy a result to ``answer`` unless the connection was cut meanwhile. Retrieves the error in any case."""
    error = Disconnected("the publisher was closed") if settled.cancelled() else settled.exception()
    if answer.done():
        return
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)
