"""Messages to bytes: the frames of a publish, coded by hand, since every event is encoded."""

import struct
from typing import Final

from pamqp.commands import Basic

from processor.broker.amqp import BODY, CHANNEL, FRAME_OVERHEAD, HEADER, METHOD
from processor.broker.port import Unsendable
from processor.core.publishing.message import Message
from schemas.topology import CONTENT_TYPE, HEADER_TRACEPARENT

LONGEST_TEXT: Final = 255
"""Bytes of UTF-8 in a short string."""
LARGEST_BODY: Final = 16 * 1024 * 1024
"""What RabbitMQ 4 takes unless told otherwise; a larger body would cost the channel."""

_CONTENT_TYPE, _HEADERS, _OTHERS = 0x8000, 0x2000, 0x1000 | 0x0400 | 0x0080 | 0x0040 | 0x0020 | 0x0008
_PERSISTENT: Final = b"\x02"
_MANDATORY: Final = b"\x01"
_DEFAULT_EXCHANGE: Final = ""
"""Routes to the queue that the routing key names: AMQP 0-9-1, 3.1.3.1."""
_PUBLISH: Final = b"\x00\x3c\x00\x28\x00\x00"
_END: Final = b"\xce"
_FIXED_HEADER_SIZE: Final = 14
_KNOWN_ROUTES: Final = 1024

_frame_head: Final = struct.Struct(">BHI")
_content_head: Final = struct.Struct(">BHIHHQH")
_timestamp: Final = struct.Struct(">Q")
_long: Final = struct.Struct(">I")
_one_byte: Final = tuple(bytes((number,)) for number in range(LONGEST_TEXT + 1))


def _short(text: str) -> bytes:
    encoded = text.encode()
    return _one_byte[len(encoded)] + encoded


class PublishEncoder:
    """Encodes messages for one exchange, or one queue, as mandatory, persistent publishes."""

    def __init__(self, *, exchange: str, frame_max: int, channel: int = CHANNEL, queue: str | None = None) -> None:
        """``frame_max`` counts the 8 bytes round a frame's content too. A ``queue`` is reached past the exchange."""
        self._exchange = exchange if queue is None else _DEFAULT_EXCHANGE
        self._queue = queue
        self._channel = channel
        self._chunk = frame_max - FRAME_OVERHEAD
        self._content_type = _short(CONTENT_TYPE)
        self._header_name = _short(HEADER_TRACEPARENT)
        self._traced: dict[int, bytes] = {}
        self._routes: dict[tuple[str, str, str], tuple[bytes, bytes]] = {}

    def encode(self, message: Message) -> bytes:
        """The frames of one publish. Raises `Unsendable` if AMQP cannot represent the message."""
        try:
            return self._encode(message)
        except (IndexError, ValueError, struct.error):
            raise Unsendable(_describe_fault(message)) from None

    def _encode(self, message: Message) -> bytes:
        key = (message.routing_key, message.type, message.app)
        publish, type_and_app = self._routes.get(key) or self._encode_route(key)
        payload, identity, body = message.payload.encode(), message.id.encode(), message.body
        flags, lead, trace = _CONTENT_TYPE | _OTHERS, self._content_type, b""
        if message.traceparent is not None:
            flags, trace = flags | _HEADERS, message.traceparent.encode()
            lead = self._traced.get(len(trace)) or self._encode_traced_lead(len(trace))
        properties = b"".join(
            (
                lead,
                trace,
                _PERSISTENT,
                _one_byte[len(payload)],
                payload,
                _one_byte[len(identity)],
                identity,
                _timestamp.pack(message.at),
                type_and_app,
            )
        )
        head = _content_head.pack(
            HEADER, self._channel, _FIXED_HEADER_SIZE + len(properties), Basic.frame_id, 0, len(body), flags
        )
        if len(body) <= self._chunk:
            if not body:
                return b"".join((publish, head, properties, _END))
            body_head = _frame_head.pack(BODY, self._channel, len(body))
            return b"".join((publish, head, properties, _END, body_head, body, _END))
        return b"".join((publish, head, properties, _END, self._split(body)))

    def _encode_route(self, key: tuple[str, str, str]) -> tuple[bytes, bytes]:
        routing_key, event_type, app = key
        if len(self._routes) >= _KNOWN_ROUTES:
            self._routes.clear()
        target = routing_key if self._queue is None else self._queue
        method = _PUBLISH + _short(self._exchange) + _short(target) + _MANDATORY
        publish = _frame_head.pack(METHOD, self._channel, len(method)) + method + _END
        self._routes[key] = publish, _short(event_type) + _short(app)
        return self._routes[key]

    def _encode_traced_lead(self, size: int) -> bytes:
        """The content type and a table of headers, up to the trace context of that size."""
        _one_byte[size]
        entry = self._header_name + b"S" + _long.pack(size)
        self._traced[size] = self._content_type + _long.pack(len(entry) + size) + entry
        return self._traced[size]

    def _split(self, body: bytes) -> bytes:
        if len(body) > LARGEST_BODY:
            raise ValueError
        frames: list[bytes] = []
        for start in range(0, len(body), self._chunk):
            chunk = body[start : start + self._chunk]
            frames += (_frame_head.pack(BODY, self._channel, len(chunk)), chunk, _END)
        return b"".join(frames)


def _describe_fault(message: Message) -> str:
    for name in ("id", "type", "app", "payload", "routing_key", "traceparent"):
        text: str | None = getattr(message, name)
        size = len((text or "").encode(errors="surrogatepass"))
        if size > LONGEST_TEXT:
            return f"{name} takes {size} bytes; AMQP allows {LONGEST_TEXT}"
    if len(message.body) > LARGEST_BODY:
        return f"body takes {len(message.body)} bytes; the limit is {LARGEST_BODY}"
    return "message has a timestamp below zero or text that is no Unicode"
