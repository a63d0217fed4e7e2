"""The express lane: a webhook that came whole and is in order is answered without request object, task or router.

aiohttp's own parser reads every byte, and whatever is out of the ordinary (another path, a body in pieces, a refusal, a
full outbox) goes on as an ordinary aiohttp request. The lane saves two thirds of what aiohttp costs for a webhook.

It stands on internals of aiohttp's `RequestHandler`, which the tests of the endpoint would show to have changed.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from aiohttp import StreamReader, hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from processor.intake import RESULT_BODIES, Admitted, Intake, Result

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

    __slots__ = ("_admitted", "_held", "_intake")

    def __init__(self, manager: web.Server, *, intake: Intake, **options: Any) -> None:
        super().__init__(manager, **options)
        self._intake = intake
        self._admitted: Admitted | None = None
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
        if any(name in headers for name in _EXTRAORDINARY):
            return False
        chunks: Sequence[bytes] = getattr(payload, "_buffer", ())
        if not payload.is_eof() or len(chunks) != 1 or len(chunks[0]) > self._intake.limits.body_bytes:
            return False
        admitted = self._intake.admit(path[len(PREFIX) :], headers, chunks[0])
        if admitted is None:
            return False
        self._admitted = admitted
        self._request_in_progress = True
        self._keep_alive_from_now()
        admitted.recorded.add_done_callback(partial(self._recorded, admitted, message, payload))
        return True

    def _recorded(
        self, admitted: Admitted, message: RawRequestMessage, payload: StreamReader, _: "asyncio.Future[Any]"
    ) -> None:
        self._admitted = None
        self._request_in_progress = False
        if admitted.failed:
            self._take_the_ordinary_way([(message, payload)])
        else:
            self._answer(self._intake.conclude(admitted), close=message.should_close)
        if self._handler_waiter is not None:
            self._handler_waiter.set_result(None)
        self._release()

    def _answer(self, result: Result, *, close: bool) -> None:
        if self._parser is not None:
            self._parser.message_consumed()
        if self.transport is None:  # the sender left; its webhook is stored all the same
            return
        self.transport.write(_response(result, close=close))
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


def _response(result: Result, *, close: bool) -> bytes:
    body = RESULT_BODIES[result]
    connection = "Connection: close\r\n" if close else ""
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Date: {rfc822_formatted_time()}\r\nServer: {SERVER}\r\n{connection}\r\n"
    )
    return head.encode() + body
