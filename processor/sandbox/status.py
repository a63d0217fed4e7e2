"""The status socket of a payload, ``/sign/<uuid>``: what Xumm says of it while it happens. Nothing is replayed.

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
from processor.sandbox.javascript import stringify
from processor.sandbox.payload import Payload, Situation
from processor.sandbox.state import Payloads, UnknownPayloadError
from processor.sandbox.views import Json, resolved

KEEPALIVE: Final = timedelta(seconds=15)
OPENED: Final[Json] = {"opened": True}
"""Said with each look of the wallet at the payload."""
PRE_SIGNED: Final[Json] = {"pre_signed": True}
DISPATCHED: Final[Json] = {"dispatched": True}
FETCHED: Final[Json] = {"devapp_fetched": True}
PONG: Final[Json] = {"message": "Right back at you!"}
NO_PAYLOAD: Final[Json] = {"message": "No such payload"}
"""What is said of an unknown payload, in some words or other, before the socket is closed."""

SAID_ON: Final[Mapping[Situation, Callable[[Payload], Json]]] = {
    "expired": lambda _: {"expired": True},
    "opened_expired": lambda _: {"expired": True},
    "signed": resolved,
    "rejected": resolved,
}
"""What is said when a payload comes into a situation; nothing of one that was cancelled."""

_CAN_EXPIRE: Final = frozenset({"waiting", "opened"})
_MEGABYTE: Final = 2**20
_NO_TXID: Final = "0" * 64
_GARBAGE: Final = ('{"opened":', "[1]", "null", '"signed"', '{"opened":"yes"}', '{"expires_in_seconds":{}}', "\x00", "")

_SPOILT: Final[Mapping[SocketFault, Callable[[Payload], tuple[str, ...]]]] = {
    "lying": lambda payload: (stringify(resolved(payload) | {"signed": True, "txid": _NO_TXID}),),
    "lying_rejected": lambda payload: (stringify(resolved(payload) | {"signed": False, "txid": None}),),
    "lying_expired": lambda _: (stringify({"expired": True}),),
    "garbage": lambda _: _GARBAGE,
    "huge": lambda _: (stringify({"message": "x" * _MEGABYTE}),),
}
"""What is said besides, on connecting."""


class StatusSockets:
    """All open status sockets."""

    def __init__(
        self, payloads: Payloads, faults: FaultTable, *, clock: Clock, keepalive: timedelta = KEEPALIVE
    ) -> None:
        self._payloads = payloads
        self._faults = faults
        self._clock = clock
        self._keepalive = keepalive.total_seconds()
        self._lines: dict[str, set[asyncio.Queue[str]]] = {}
        self._sockets: set[web.WebSocketResponse] = set()

    def watching(self, uuid: str) -> int:
        """How many sockets hear of the payload."""
        return len(self._lines.get(uuid, ()))

    def tell(self, uuid: str, message: Json) -> None:
        """Say ``message`` on every socket of the payload."""
        if message.get("txid") is not None and self._fault(uuid) == "lying_txid":
            message = {**message, "txid": _NO_TXID}
        for line in self._lines.get(uuid, ()):
            line.put_nowait(stringify(message))

    def moved(self, payload: Payload) -> None:
        """Say what there is to say of a payload that came into another situation."""
        says = SAID_ON.get(payload.situation)
        if says is not None:
            self.tell(payload.uuid, says(payload))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Take the upgrade in ``request`` and talk until either side closes."""
        uuid = request.match_info["uuid"]
        fault = self._fault(uuid)
        if fault == "refused":
            return web.Response(status=503)
        socket = web.WebSocketResponse(compress=False, autoping=fault != "silent")
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            await self._talk(socket, uuid)
        finally:
            self._sockets.discard(socket)
            await socket.close()
        return socket

    async def close(self, _app: web.Application | None = None) -> None:
        """Close every socket, as a server does that goes away."""
        for socket in tuple(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def _talk(self, socket: web.WebSocketResponse, uuid: str) -> None:
        try:
            payload = self._payloads.get(uuid)
        except UnknownPayloadError:
            await socket.send_str(stringify(NO_PAYLOAD))
            return
        fault = self._fault(uuid)
        if fault == "flapping":
            return
        line: asyncio.Queue[str] = asyncio.Queue()
        for text in (stringify({"message": f"Welcome {uuid}"}), self._expires_in(payload)):
            line.put_nowait(text)
        if fault is not None and fault in _SPOILT:
            for text in _SPOILT[fault](payload):
                line.put_nowait(text)
        lines = self._lines.setdefault(uuid, set())
        lines.add(line)
        try:
            await self._converse(socket, uuid, line)
        finally:
            lines.discard(line)

    async def _converse(self, socket: web.WebSocketResponse, uuid: str, line: asyncio.Queue[str]) -> None:
        async with asyncio.TaskGroup() as group:
            speaking = group.create_task(self._speak(socket, uuid, line))
            async for message in socket:
                if message.type is WSMsgType.TEXT and _is_ping(message.data):
                    line.put_nowait(stringify(PONG))
            speaking.cancel()

    async def _speak(self, socket: web.WebSocketResponse, uuid: str, line: asyncio.Queue[str]) -> None:
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + self._keepalive
        with suppress(ConnectionError):  # the other side is gone, which ends the conversation
            while True:
                text = await self._next(line, min(beat_at, loop.time() + self._expiry(uuid)))
                if text is None and loop.time() >= beat_at:
                    beat_at = loop.time() + self._keepalive
                    text = self._expires_in(self._payloads.get(uuid))
                if text is not None and self._fault(uuid) != "silent":
                    await socket.send_str(text)

    @staticmethod
    async def _next(line: asyncio.Queue[str], until: float) -> str | None:
        """The next thing to say, or None when it is time to look at the clock."""
        try:
            async with asyncio.timeout_at(until):
                return await line.get()
        except TimeoutError:
            return None

    def _expiry(self, uuid: str) -> float:
        """Seconds until the payload expires, which is noticed here; infinite if it will not."""
        payload = self._payloads.get(uuid)
        if payload.situation not in _CAN_EXPIRE:
            return float("inf")
        return (payload.expires_at - self._clock()).total_seconds()

    def _expires_in(self, payload: Payload) -> str:
        return stringify({"expires_in_seconds": int((payload.expires_at - self._clock()).total_seconds())})

    def _fault(self, uuid: str) -> SocketFault | None:
        try:
            key = self._payloads.get(uuid).application.key
        except UnknownPayloadError:
            key = None
        return self._faults.of(uuid, key).socket


def _is_ping(text: str) -> bool:
    try:
        said = json.loads(text)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("ping") is True
