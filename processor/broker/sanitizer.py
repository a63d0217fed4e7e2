"""Removes from a frame the parts that the client library cannot decode: any sender may put anything into properties.

A library that cannot decode a frame drops its connection, and the message of the frame is delivered again. So such
parts are removed before; the names of removed headers are listed in `schemas.topology.HEADER_DROPPED`.

Sources: AMQP 0-9-1, sections 4.2.3 (frames), 4.2.5 (field tables) and 4.2.6 (content header);
https://www.rabbitmq.com/docs/specification#table-fields-and-types (tags of field values).
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import pamqp.frame
from pamqp import decode, encode
from pamqp.header import ContentHeader

from processor.broker.copies import join_names
from schemas.topology import HEADER_DROPPED

HEAD: Final = struct.Struct(">BHI")
"""Type, channel and length of a frame."""
_CONTENT: Final = struct.Struct(">HHQH")
"""Class, weight, size of the body and flags of a content header."""
_END: Final = b"\xce"
_METHOD: Final = 1
_HEADER: Final = 2
FRAMES: Final = frozenset(b"\x01\x02\x03\x08")
"""The first bytes of frames: their types."""
_MODES: Final = frozenset(b"\x01\x02")
_TEXT: Final = -1
_ASCII: Final = 128
_SIZED: Final = frozenset({b"S", b"A", b"F", b"x"})
_FIXED: Final[Mapping[bytes, int]] = {
    **dict.fromkeys((b"V", b"\x00"), 0),
    **dict.fromkeys((b"t", b"b", b"B"), 1),
    **dict.fromkeys((b"s", b"u"), 2),
    **dict.fromkeys((b"I", b"i", b"f"), 4),
    b"D": 5,
    **dict.fromkeys((b"l", b"L", b"d", b"T"), 8),
}
"""Bytes of the values of each tag; those in `_SIZED` say themselves how many."""
_UNDECODABLE: Final = (ValueError, ArithmeticError, OSError, RecursionError, struct.error)


def sanitize(frame: bytes) -> bytes:
    """``frame`` without the parts that cannot be decoded; ``frame`` itself if there are none.

    A frame that no broker sends is returned as it is, and the library drops the connection.
    """
    if frame[0] not in {_METHOD, _HEADER} or _is_decodable(frame):
        return frame
    try:
        return _sanitize(frame)
    except (ValueError, struct.error):
        return frame


def _sanitize(frame: bytes) -> bytes:
    kind, channel, _ = HEAD.unpack_from(frame)
    payload = frame[HEAD.size : -1]
    if kind == _METHOD:
        return _frame(kind, channel, _replace_names(payload))
    mended = _frame(kind, channel, _replace_properties(payload))
    return mended if _is_decodable(mended) else _frame(kind, channel, _drop_properties(payload))


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return HEAD.pack(kind, channel, len(payload)) + payload + _END


def _is_decodable(frame: bytes) -> bool:
    try:
        _, _, decoded = pamqp.frame.unmarshal(frame)
    except Exception:  # noqa: BLE001  a frame that raises anything must not reach the library
        return False
    if not isinstance(decoded, ContentHeader):
        return True
    found = decoded.properties
    has_mode = found.delivery_mode is None or found.delivery_mode in _MODES
    return has_mode and (found.expiration is None or found.expiration.isdecimal())


def _replace_names(payload: bytes) -> bytes:
    """A method with decodable texts. Only methods that deliver a message contain texts of its sender."""
    cursor = _Cursor(payload)
    method = cursor.take(4)
    parts = [cursor.text() if part == _TEXT else cursor.take(part) for part in _METHODS.get(method, ())]
    return method + b"".join(parts) + cursor.rest()


def _replace_properties(payload: bytes) -> bytes:
    class_id, weight, size, flags = _CONTENT.unpack_from(payload)
    kept, values = 0, b""
    try:
        for bit, value in _properties(_Cursor(payload[_CONTENT.size :]), flags):
            if value:
                kept |= bit
                values += value
    except (ValueError, KeyError):
        kept, values = 0, b""
    return _CONTENT.pack(class_id, weight, size, kept) + values


def _drop_properties(payload: bytes) -> bytes:
    """A content header without properties: the library reads some nested tables beyond their end."""
    class_id, weight, size, _ = _CONTENT.unpack_from(payload)
    return _CONTENT.pack(class_id, weight, size, 0)


def _properties(cursor: "_Cursor", flags: int) -> Iterator[tuple[int, bytes]]:
    """The flag and the bytes of each property; no bytes for one to remove. Raises `ValueError`."""
    for number, read in enumerate(_PROPERTIES):
        bit = 1 << (15 - number)
        if flags & bit:
            yield bit, read(cursor)


class _Cursor:
    """Reads bytes in order. Raises `ValueError` if there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        found = self._data[self._at : self._at + count]
        if len(found) < count:
            raise ValueError("the frame is shorter than it says")
        self._at += count
        return found

    def rest(self) -> bytes:
        """The bytes that were not read."""
        return self._data[self._at :]

    def text(self) -> bytes:
        """A short string, made decodable, of the same length."""
        length = self.take(1)
        return length + _replace_bytes(self.take(length[0]))

    def digits(self) -> bytes:
        """A short string of digits; empty if it has other characters."""
        length = self.take(1)
        text = self.take(length[0])
        return length + text if text.isdigit() else b""

    def octet(self) -> bytes:
        """One byte."""
        return self.take(1)

    def mode(self) -> bytes:
        """A delivery mode; persistent if it is invalid."""
        mode = self.take(1)
        return mode if mode[0] in _MODES else b"\x02"

    def timestamp(self) -> bytes:
        """A time that ``datetime`` can hold; empty if it is another."""
        moment = self.take(8)
        return moment if _is_decodable_value(b"T" + moment) else b""

    def table(self) -> bytes:
        """A table of the entries that can be decoded."""
        length = self.take(4)
        return _table(_Cursor(self.take(int.from_bytes(length))))


_METHODS: Final[Mapping[bytes, tuple[int, ...]]] = {
    struct.pack(">HH", 60, 60): (_TEXT, 9, _TEXT, _TEXT),  # Basic.Deliver
    struct.pack(">HH", 60, 71): (9, _TEXT, _TEXT),  # Basic.GetOk
    struct.pack(">HH", 60, 50): (2, _TEXT, _TEXT, _TEXT),  # Basic.Return
}
"""The parts of methods that deliver a message: a text, or a number of other bytes."""
_PROPERTIES: Final[tuple[Callable[[_Cursor], bytes], ...]] = (
    _Cursor.text,  # content_type
    _Cursor.text,  # content_encoding
    _Cursor.table,  # headers
    _Cursor.mode,  # delivery_mode
    _Cursor.octet,  # priority
    _Cursor.text,  # correlation_id
    _Cursor.text,  # reply_to
    _Cursor.digits,  # expiration
    _Cursor.text,  # message_id
    _Cursor.timestamp,
    _Cursor.text,  # type
    _Cursor.text,  # user_id
    _Cursor.text,  # app_id
    _Cursor.text,  # cluster_id
)
"""How each property is read, in the order of the flags."""


def _table(cursor: _Cursor) -> bytes:
    """The entries that can be decoded, and the names of the others. Nested values are kept or dropped whole."""
    kept, dropped = b"", []
    while cursor:
        name = cursor.text()
        tag = cursor.take(1)
        length = cursor.take(4) if tag in _SIZED else b""
        value = tag + length + cursor.take(int.from_bytes(length) if length else _FIXED[tag])
        if _is_decodable_value(value):
            kept += name + value
        else:
            dropped.append(name[1:].decode())
    if dropped:
        kept += encode.short_string(HEADER_DROPPED) + encode.encode_table_value(join_names(dropped))
    return len(kept).to_bytes(4) + kept


def _is_decodable_value(tagged: bytes) -> bool:
    try:
        decode.embedded_value(tagged)
    except _UNDECODABLE:
        return False
    return True


def _replace_bytes(text: bytes) -> bytes:
    """``text`` if it is UTF-8; else with a question mark for each byte that is not ASCII."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return bytes(byte if byte < _ASCII else ord("?") for byte in text)
    return text
