"""The express lane: a webhook that came whole and is in order is answered without request object, task or router.

aiohttp's own parser reads every byte, and whatever is out of the ordinary (another path, a body in pieces, a refusal, a
full outbox) goes on as an ordinary aiohttp request. The lane saves two thirds of what aiohttp costs for a webhook.

It stands on internals of aiohttp's `RequestHandler`, which the tests of the endpoint would show to have changed.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from aiohttp import StreamReader, hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from processor.core.errors import StoreError
from processor.intake import RESULT_BODIES, Admitted, Intake, Result
from processor.store.entry import Recorded

PREFIX: Final = "/webhooks/"
SERVER: Final = "xumm-webhook-processor"
_START: Final = b"POST " + PREFIX.encode()
_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_EXTRAORDINARY: Final = (hdrs.CONTENT_ENCODING, hdrs.EXPECT, hdrs.TRANSFER_ENCODING)
_UPGRADE: Final = b"pgrade:"


class ExpressRunner(web.AppRunner):
    """Runs an aiohttp application whose connections have the lane."""

    def __init__(self, app: web.Application, *, intake: Intake, **options: Any) -> None:
        super().__init__(app, **options)
        self._intake = intake

    async def _make_server(self) -> web.Server:
        ordinary = await super()._make_server()
        return _ExpressServer(ordinary, self._intake)


class _ExpressServer(web.Server):
    def __init__(self, ordinary: web.Server, intake: Intake) -> None:
        super().__init__(
            ordinary.request_handler,
            request_factory=ordinary.request_factory,
            loop=ordinary._loop,  # noqa: SLF001  handed on to the server of the same class
            **ordinary._kwargs,  # noqa: SLF001  likewise
        )
        self._intake = intake

    def __call__(self) -> RequestHandler:
        return ExpressConnection(self, intake=self._intake, loop=self._loop, **self._kwargs)


class ExpressConnection(RequestHandler):
    """One connection. While a webhook of the lane is under way, what comes after it waits."""

    __slots__ = ("_admitted", "_held", "_intake", "_request")

    def __init__(self, manager: web.Server, *, intake: Intake, **options: Any) -> None:
        super().__init__(manager, **options)
        self._intake = intake
        self._admitted: Admitted | None = None
        self._request: tuple[RawRequestMessage, StreamReader]
        self._held: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        """Take the lane if the connection is at rest and ``data`` looks like a whole webhook."""
        if self._admitted is not None:
            self._held.append(data)
            self.transport.pause_reading()  # type: ignore[union-attr]  # there is one while data comes
        elif self._at_rest() and _is_whole(data):
            self._receive(data)
        else:
            super().data_received(data)

    def _at_rest(self) -> bool:
        waiter = self._waiter
        return waiter is not None and not waiter.done() and not self._messages and not self._close

    def _receive(self, data: bytes) -> None:
        try:
            messages: Any = self._parser.feed_data(data)[0]  # type: ignore[union-attr]  # there is one while open
        except HttpProcessingError:
            self.transport.write(_BAD_REQUEST)  # type: ignore[union-attr]  # likewise
            self.force_close()
            return
        if len(messages) != 1 or not self._admit(*messages[0]):
            self._take_the_ordinary_way(messages)

    def _admit(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        headers, path = message.headers, message.path
        if message.method != hdrs.METH_POST or not path.startswith(PREFIX):
            return False
        for name in _EXTRAORDINARY:
            if name in headers:
                return False
        chunks: Sequence[bytes] = getattr(payload, "_buffer", ())
        if not payload.is_eof() or len(chunks) != 1 or len(chunks[0]) > self._intake.limits.body_bytes:
            return False
        self._admitted = self._intake.admit(path[len(PREFIX) :], headers, chunks[0], self._recorded)
        if self._admitted is None:
            return False
        self._request = (message, payload)
        self._request_in_progress = True
        self._keep_alive_from_now()
        return True

    def _recorded(self, outcome: Recorded | StoreError) -> None:
        admitted, self._admitted = self._admitted, None
        self._request_in_progress = False
        if admitted is None or isinstance(outcome, StoreError):
            self._take_the_ordinary_way([self._request])
        else:
            self._answer(self._intake.conclude(admitted, outcome), close=self._request[0].should_close)
        if self._handler_waiter is not None:
            self._handler_waiter.set_result(None)
        self._release()

    def _answer(self, result: Result, *, close: bool) -> None:
        if self._parser is not None:
            self._parser.message_consumed()
        if self.transport is None:  # the sender left; its webhook is stored all the same
            return
        self.transport.write(_response(result, rfc822_formatted_time(), close=close))
        self._keep_alive_from_now()
        if close:
            self.force_close()

    def _release(self) -> None:
        """Go on with what came meanwhile."""
        if not self._held or self.transport is None:
            return
        held, self._held = b"".join(self._held), []
        self.transport.resume_reading()
        self.data_received(held)

    def _take_the_ordinary_way(self, messages: Any) -> None:
        if not messages or self._waiter is None or self._waiter.done():
            return
        self._request_count += len(messages)
        self._messages.extend(messages)
        self._waiter.set_result(None)
        # The parser stops where the queue is full, and goes on when a paused queue has drained.
        if not self._buffer_paused and len(self._messages) >= self._max_msg_queue_size:
            self._pause_reading_for_buffer()

    def _keep_alive_from_now(self) -> None:
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout


def _is_whole(data: bytes) -> bool:
    """Whether ``data`` holds the end of a head, and begins as a webhook does. The parser has the last word."""
    return data.startswith(_START) and b"\r\n\r\n" in data and _UPGRADE not in data


@lru_cache(maxsize=8)
def _response(result: Result, date: str, *, close: bool) -> bytes:
    body = RESULT_BODIES[result]
    connection = "Connection: close\r\n" if close else ""
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Date: {date}\r\nServer: {SERVER}\r\n{connection}\r\n"
    )
    return head.encode() + body
