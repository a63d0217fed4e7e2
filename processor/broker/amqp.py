"""AMQP 0-9-1 without I/O: parses the broker's bytes into events, in pieces of any size.

The frames that a publisher handles thousands of times a second are coded by hand: publishes (``encoding.py``) and
confirms. Every other frame goes through pamqp.

Source: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, 2.3 (frames) and 4.2 (grammar).
"""

import struct
from typing import Final, NamedTuple

from pamqp import frame as codec
from pamqp.base import Frame
from pamqp.commands import Basic
from pamqp.exceptions import PAMQPException
from pamqp.header import ContentHeader

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
CHANNEL: Final = 1
"""The first channel of a publisher's connection."""
SMALLEST_FRAME_MAX: Final = 4096
FRAME_OVERHEAD: Final = 8
"""Bytes round the content of a frame."""
METHOD, HEADER, BODY = 1, 2, 3

_HEARTBEAT: Final = 8
_KINDS: Final = frozenset((METHOD, HEADER, BODY, _HEARTBEAT))
_END: Final = 0xCE
_CONFIRM_SIZE: Final = 13
_ACK, _NACK = 0x003C0050, 0x003C0078

_frame_head: Final = struct.Struct(">BHI")
_confirm: Final = struct.Struct(">IQB")


class ProtocolError(Exception):
    """The broker's bytes are no AMQP 0-9-1, or a method that no publisher expects."""


class Confirmed(NamedTuple):
    """A confirm of one publish, or of all up to it."""

    tag: int
    multiple: bool
    stored: bool
    """False for ``basic.nack``."""
    channel: int = CHANNEL


class Returned(NamedTuple):
    """A mandatory message that no queue took; its confirm follows."""

    message_id: str | None
    reason: str
    channel: int = CHANNEL


class Method(NamedTuple):
    """Any other method."""

    channel: int
    frame: Frame


Event = Confirmed | Returned | Method
"""What the broker sent. Heartbeats are no events: any byte shows that the broker is alive."""


class Parser:
    """Parses the byte stream into events. After a `ProtocolError` the parser is of no use."""

    def __init__(self) -> None:
        self.frame_max: int = 131_072
        """Longest frame to accept, with its overhead; the handshake sets the agreed value."""
        self._rest = b""
        self._contents: dict[int, _ReturnedContent] = {}

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes. Raises `ProtocolError`."""
        if self._rest:
            data = self._rest + data
        events: list[Event] = []
        at, end = 0, len(data)
        while end - at >= FRAME_OVERHEAD:
            kind, channel, size = _frame_head.unpack_from(data, at)
            if kind not in _KINDS or size > self.frame_max - FRAME_OVERHEAD:
                raise ProtocolError(f"no AMQP frame: starts with {data[at : at + FRAME_OVERHEAD]!r}")
            stop = at + _frame_head.size + size
            if stop >= end:
                break
            if data[stop] != _END:
                raise ProtocolError("frame without its end")
            event = self._event(kind, channel, data[at : stop + 1])
            if event is not None:
                events.append(event)
            at = stop + 1
        self._rest = data[at:]
        return events

    def _event(self, kind: int, channel: int, frame: bytes) -> Event | None:
        if kind == METHOD:
            if len(frame) == _CONFIRM_SIZE + FRAME_OVERHEAD:
                method, tag, flags = _confirm.unpack_from(frame, _frame_head.size)
                if method in {_ACK, _NACK}:
                    return Confirmed(tag, bool(flags & 1), method == _ACK, channel)
            return self._method(channel, frame)
        if kind == _HEARTBEAT:
            return None
        content = self._contents.get(channel)
        if content is None:
            raise ProtocolError("content out of place")
        returned = content.header(_decode(frame)) if kind == HEADER else content.body(len(frame) - FRAME_OVERHEAD)
        if returned is not None:
            del self._contents[channel]
        return returned

    def _method(self, channel: int, frame: bytes) -> Method | None:
        method = _decode(frame)
        if isinstance(method, Basic.Return):
            if channel in self._contents:
                raise ProtocolError("basic.return inside another one")
            self._contents[channel] = _ReturnedContent(method, channel)
            return None
        if not isinstance(method, Frame):
            raise ProtocolError("method frame without a method")
        return Method(channel, method)


class _ReturnedContent:
    """Makes one `Returned` of ``basic.return``, its header and its body frames; the body is dropped."""

    def __init__(self, method: Basic.Return, channel: int) -> None:
        self._channel = channel
        self._reason = f"{method.reply_code} {method.reply_text}"
        self._message_id: str | None = None
        self._left: int | None = None

    def header(self, frame: object) -> Returned | None:
        if self._left is not None or not isinstance(frame, ContentHeader):
            raise ProtocolError("content header out of place")
        self._message_id = frame.properties.message_id
        self._left = frame.body_size
        return self._finish()

    def body(self, size: int) -> Returned | None:
        if self._left is None or size > self._left:
            raise ProtocolError("content body out of place")
        self._left -= size
        return self._finish()

    def _finish(self) -> Returned | None:
        return None if self._left else Returned(self._message_id, self._reason, self._channel)


def method_bytes(method: Frame, channel: int) -> bytes:
    """One method frame."""
    return codec.marshal(method, channel)


def _decode(frame: bytes) -> object:
    try:
        return codec.unmarshal(frame)[2]
    except (
        PAMQPException,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        struct.error,
        OSError,
        RecursionError,  # tables within tables
    ) as exc:
        raise ProtocolError(f"frame that cannot be read: {type(exc).__name__}") from exc
