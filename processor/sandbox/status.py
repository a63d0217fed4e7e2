"""The status sockets of payloads, ``/sign/<uuid>``: messages on each change. No message is repeated later.

Source: https://docs.xumm.dev/concepts/payloads-sign-requests/status-updates/websocket
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from processor.sandbox.clock import Clock
from processor.sandbox.faults import FaultTable, SocketFault
from processor.sandbox.javascript import JsonObject, stringify
from processor.sandbox.payload import Payload, Situation
from processor.sandbox.payload_json import encode_resolution
from processor.sandbox.payload_table import PayloadTable, UnknownPayloadError

KEEPALIVE: Final = timedelta(seconds=15)
OPENED: Final[JsonObject] = {"opened": True}
"""Sent each time the wallet opens the payload."""
PRE_SIGNED: Final[JsonObject] = {"pre_signed": True}
DISPATCHED: Final[JsonObject] = {"dispatched": True}
FETCHED: Final[JsonObject] = {"devapp_fetched": True}
PONG: Final[JsonObject] = {"message": "Right back at you!"}
NO_PAYLOAD: Final[JsonObject] = {"message": "No such payload"}
"""Sent for an unknown payload before the socket is closed; Xumm's words may differ."""

SITUATION_MESSAGES: Final[Mapping[Situation, Callable[[Payload], JsonObject]]] = {
    "expired": lambda _: {"expired": True},
    "opened_expired": lambda _: {"expired": True},
    "signed": encode_resolution,
    "rejected": encode_resolution,
}
"""The message of a payload that changed its situation; there is none for a cancellation."""

_CAN_EXPIRE: Final = frozenset({"waiting", "opened"})
_MEGABYTE: Final = 2**20
_NO_TXID: Final = "0" * 64
_GARBAGE: Final = ('{"opened":', "[1]", "null", '"signed"', '{"opened":"yes"}', '{"expires_in_seconds":{}}', "\x00", "")

_FALSE_MESSAGES: Final[Mapping[SocketFault, Callable[[Payload], tuple[str, ...]]]] = {
    "lying": lambda payload: (stringify(encode_resolution(payload) | {"signed": True, "txid": _NO_TXID}),),
    "lying_rejected": lambda payload: (stringify(encode_resolution(payload) | {"signed": False, "txid": None}),),
    "lying_expired": lambda _: (stringify({"expired": True}),),
    "garbage": lambda _: _GARBAGE,
    "huge": lambda _: (stringify({"message": "x" * _MEGABYTE}),),
}
"""The messages that a fault adds on connecting."""


class StatusSocketServer:
    """The open status sockets of all payloads."""

    def __init__(
        self, payloads: PayloadTable, faults: FaultTable, *, clock: Clock, keepalive: timedelta = KEEPALIVE
    ) -> None:
        self._payloads = payloads
        self._faults = faults
        self._clock = clock
        self._keepalive = keepalive.total_seconds()
        self._queues: dict[str, set[asyncio.Queue[str]]] = {}
        self._sockets: set[web.WebSocketResponse] = set()

    def count(self, uuid: str) -> int:
        """The number of open sockets of the payload."""
        return len(self._queues.get(uuid, ()))

    def send(self, uuid: str, message: JsonObject) -> None:
        """Send ``message`` on every socket of the payload."""
        if message.get("txid") is not None and self._find_fault(uuid) == "lying_txid":
            message = {**message, "txid": _NO_TXID}
        for queue in self._queues.get(uuid, ()):
            queue.put_nowait(stringify(message))

    def announce(self, payload: Payload) -> None:
        """Send the message of a payload that changed its situation, if there is one."""
        encode = SITUATION_MESSAGES.get(payload.situation)
        if encode is not None:
            self.send(payload.uuid, encode(payload))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Accept the upgrade in ``request`` and serve the socket until either side closes it."""
        uuid = request.match_info["uuid"]
        fault = self._find_fault(uuid)
        if fault == "refused":
            return web.Response(status=503)
        socket = web.WebSocketResponse(compress=False, autoping=fault != "silent")
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            await self._serve(socket, uuid)
        finally:
            self._sockets.discard(socket)
            await socket.close()
        return socket

    async def close(self, _app: web.Application | None = None) -> None:
        """Close every socket, as a server does when it stops."""
        for socket in tuple(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def _serve(self, socket: web.WebSocketResponse, uuid: str) -> None:
        try:
            payload = self._payloads.get(uuid)
        except UnknownPayloadError:
            await socket.send_str(stringify(NO_PAYLOAD))
            return
        fault = self._find_fault(uuid)
        if fault == "flapping":
            return
        queue: asyncio.Queue[str] = asyncio.Queue()
        for text in (stringify({"message": f"Welcome {uuid}"}), self._encode_expiry(payload)):
            queue.put_nowait(text)
        if fault is not None and fault in _FALSE_MESSAGES:
            for text in _FALSE_MESSAGES[fault](payload):
                queue.put_nowait(text)
        queues = self._queues.setdefault(uuid, set())
        queues.add(queue)
        try:
            await self._exchange(socket, uuid, queue)
        finally:
            queues.discard(queue)

    async def _exchange(self, socket: web.WebSocketResponse, uuid: str, queue: asyncio.Queue[str]) -> None:
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._write(socket, uuid, queue))
            async for message in socket:
                if message.type is WSMsgType.TEXT and _is_ping(message.data):
                    queue.put_nowait(stringify(PONG))
            writing.cancel()

    async def _write(self, socket: web.WebSocketResponse, uuid: str, queue: asyncio.Queue[str]) -> None:
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + self._keepalive
        with suppress(ConnectionError):  # the client is gone
            while True:
                text = await self._receive(queue, min(beat_at, loop.time() + self._compute_expiry(uuid)))
                if text is None and loop.time() >= beat_at:
                    beat_at = loop.time() + self._keepalive
                    text = self._encode_expiry(self._payloads.get(uuid))
                if text is not None and self._find_fault(uuid) != "silent":
                    await socket.send_str(text)

    @staticmethod
    async def _receive(queue: asyncio.Queue[str], until: float) -> str | None:
        """The next message; None if there is none by ``until``, by the event loop's clock."""
        try:
            async with asyncio.timeout_at(until):
                return await queue.get()
        except TimeoutError:
            return None

    def _compute_expiry(self, uuid: str) -> float:
        """Seconds until the payload expires; infinite if it will not. A due expiry happens here."""
        payload = self._payloads.get(uuid)
        if payload.situation not in _CAN_EXPIRE:
            return float("inf")
        return (payload.expires_at - self._clock()).total_seconds()

    def _encode_expiry(self, payload: Payload) -> str:
        return stringify({"expires_in_seconds": int((payload.expires_at - self._clock()).total_seconds())})

    def _find_fault(self, uuid: str) -> SocketFault | None:
        try:
            key = self._payloads.get(uuid).application.key
        except UnknownPayloadError:
            key = None
        return self._faults.find(uuid, key).socket


def _is_ping(text: str) -> bool:
    try:
        message = json.loads(text)
    except ValueError:
        return False
    return isinstance(message, dict) and message.get("ping") is True
