"""Publishes with properties that no client library writes: their bytes are the test's own.

Layout: AMQP 0-9-1, sections 4.2.5 (field tables) and 4.2.6 (content header); the tags of field values are those of
https://www.rabbitmq.com/docs/specification#table-fields-and-types.
"""

import socket
import struct
from types import TracebackType
from typing import Any, Final, Self

import pamqp.frame
from pamqp import commands, header
from yarl import URL

PROPERTIES: Final = (
    "content_type", "content_encoding", "headers", "delivery_mode", "priority", "correlation_id", "reply_to",
    "expiration", "message_id", "timestamp", "type", "user_id", "app_id", "cluster_id",
)  # fmt: skip
"""In the order of their flags, from the highest bit."""
BODY_FRAME: Final = 100_000


def short(text: bytes) -> bytes:
    """A short string."""
    return bytes([len(text)]) + text


def long(data: bytes) -> bytes:
    """A long string, and what a table or an array is after its tag."""
    return struct.pack(">I", len(data)) + data


def field(name: bytes, tagged: bytes) -> bytes:
    """One entry of a table."""
    return short(name) + tagged


def nested(tag: bytes, depth: int) -> bytes:
    """A table or array in a table or array in …"""
    value = b"V"
    for _ in range(depth):
        inner = field(b"a", value) if tag == b"F" else value
        value = tag + long(inner)
    return value


class RawPublisher:
    """One connection and one confirming channel, blocking. Properties are given as the bytes after their flag."""

    def __init__(self, url: str) -> None:
        self._url = URL(url)
        self._received = b""

    def __enter__(self) -> Self:
        self._socket = socket.create_connection((str(self._url.host), self._url.port), timeout=20)
        self._socket.sendall(header.ProtocolHeader().marshal())
        self._expect("Connection.Start")
        response = f"\0{self._url.user}\0{self._url.password}"
        self._send(0, commands.Connection.StartOk({}, "PLAIN", response, "en_US"))
        tune = self._expect("Connection.Tune")
        self._send(0, commands.Connection.TuneOk(tune.channel_max, tune.frame_max, 0))
        self._send(0, commands.Connection.Open(self._url.path[1:] or "/"))
        self._expect("Connection.OpenOk")
        self._send(1, commands.Channel.Open())
        self._expect("Channel.OpenOk")
        self._send(1, commands.Confirm.Select())
        self._expect("Confirm.SelectOk")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def publish(self, routing_key: bytes, body: bytes, *, exchange: bytes = b"", **properties: bytes) -> None:
        """Return once the broker confirmed it."""
        flags = sum(1 << (15 - PROPERTIES.index(name)) for name in properties)
        values = b"".join(properties[name] for name in PROPERTIES if name in properties)
        self._frame(1, struct.pack(">HHH", 60, 40, 0) + short(exchange) + short(routing_key) + b"\x00")
        self._frame(2, struct.pack(">HHQH", 60, 0, len(body), flags) + values)
        for start in range(0, len(body), BODY_FRAME):
            self._frame(3, body[start : start + BODY_FRAME])
        self._expect("Basic.Ack")

    def _send(self, channel: int, method: Any) -> None:
        self._socket.sendall(pamqp.frame.marshal(method, channel))

    def _frame(self, kind: int, payload: bytes) -> None:
        self._socket.sendall(struct.pack(">BHI", kind, 1, len(payload)) + payload + b"\xce")

    def _expect(self, name: str) -> Any:
        while True:
            length = struct.unpack(">I", self._read(7)[3:])[0]
            _, _, frame = pamqp.frame.unmarshal(self._take(7 + length + 1))
            if frame.name != "Heartbeat":
                assert frame.name == name, frame
                return frame

    def _read(self, count: int) -> bytes:
        while len(self._received) < count:
            data = self._socket.recv(65536)
            assert data, "the broker closed the connection"
            self._received += data
        return self._received[:count]

    def _take(self, count: int) -> bytes:
        taken = self._read(count)
        self._received = self._received[count:]
        return taken
