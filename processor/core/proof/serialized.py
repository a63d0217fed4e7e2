"""The bytes of a signed transaction, divided into fields without their meaning.

The type of a field determines its length, so a transaction of any chain and version can be divided, and the signed
bytes can be extracted as they are. Only the canonical form is accepted: fields in order and once each, the shortest
header, nothing after the last field.

Source: https://xrpl.org/docs/references/protocol/binary-format
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from processor.core.errors import ProcessorError

MAX_DEPTH: Final = 10
"""Of nested objects and arrays. A ledger accepts as many."""


class Malformed(ProcessorError):
    """The bytes are not the canonical form of an object."""


class FieldId(NamedTuple):
    """The content of a field's header; fields are sorted by it."""

    type: int
    number: int


class Field(NamedTuple):
    """One field."""

    id: FieldId
    serialized: bytes
    """The whole field, with header, length and end marker."""
    value: bytes
    """The value alone."""
    inner: tuple["Field", ...] = ()
    """The fields of an object, the objects of an array."""

    def get(self, wanted: FieldId) -> bytes | None:
        """The value of a field of this object; None if it has no such field."""
        return next((field.value for field in self.inner if field.id == wanted), None)


TRANSACTION_TYPE: Final = FieldId(1, 2)
NETWORK_ID: Final = FieldId(2, 1)
FLAGS: Final = FieldId(2, 2)
LAST_LEDGER_SEQUENCE: Final = FieldId(2, 27)
SIGNING_PUB_KEY: Final = FieldId(7, 3)
TXN_SIGNATURE: Final = FieldId(7, 4)
SIGNATURE: Final = FieldId(7, 6)
MASTER_SIGNATURE: Final = FieldId(7, 18)
ACCOUNT: Final = FieldId(8, 1)
SIGNER: Final = FieldId(14, 16)
COUNTERPARTY_SIGNATURE: Final = FieldId(14, 37)
SPONSOR_SIGNATURE: Final = FieldId(14, 38)
SIGNERS: Final = FieldId(15, 3)
BATCH_SIGNERS: Final = FieldId(15, 31)
NOT_SIGNED: Final = frozenset(
    {TXN_SIGNATURE, SIGNATURE, MASTER_SIGNATURE, COUNTERPARTY_SIGNATURE, SPONSOR_SIGNATURE, SIGNERS, BATCH_SIGNERS}
)
"""Fields of a transaction that its signature does not cover."""

_AMOUNT: Final = 6
_BLOB: Final = 7
_ACCOUNT_ID: Final = 8
_OBJECT: Final = 14
_ARRAY: Final = 15
_PATH_SET: Final = 18
_VECTOR: Final = 19
_ISSUE: Final = 24
_BRIDGE: Final = 25
_WITH_LENGTH: Final = frozenset({_BLOB, _ACCOUNT_ID, _VECTOR})
_SIZES: Final = {
    1: 2, 2: 4, 3: 8, 4: 16, 5: 32, 9: 12, 10: 4, 11: 8, 16: 1, 17: 20, 20: 12, 21: 24, 22: 48, 23: 64, 26: 20,
}  # fmt: skip
"""Bytes of a value by type: numbers, hashes and currencies."""
_END: Final = 1
"""The number of the field that ends an object or an array."""
_ADDRESS_BYTES: Final = 20
_HASH_BYTES: Final = 32
_LONG_NUMBER: Final = 16
"""Types and numbers from here on take a byte of their own."""
_XRP: Final = bytes(20)
_TOKEN_ISSUER: Final = bytes(19) + b"\x01"
"""Stands in place of an issuer if the issue is a multi-purpose token; a sequence follows."""
_PATH_STEPS: Final = {0x01: 20, 0x10: 20, 0x20: 20, 0x40: 24}
"""The bytes of the parts of a path step, by the bit of each: account, currency, issuer, multi-purpose token."""
_NEXT_PATH: Final = 0xFF
_TWO_BYTES: Final = 193
_THREE_BYTES: Final = 241
_NO_LENGTH: Final = 255
"""The first byte of a length: below `_TWO_BYTES` it is the length; from there on the length has two bytes, from
`_THREE_BYTES` on three; `_NO_LENGTH` is invalid."""
_LONGER: Final = _TWO_BYTES + (_THREE_BYTES - _TWO_BYTES) * 256
"""The smallest length that takes three bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serialized:
    """A transaction in its binary form."""

    fields: tuple[Field, ...]

    def get(self, wanted: FieldId) -> bytes | None:
        """The value of a field; None if there is no such field."""
        field = self.field(wanted)
        return None if field is None else field.value

    def field(self, wanted: FieldId) -> Field | None:
        """The field with an id; None if there is none."""
        return next((field for field in self.fields if field.id == wanted), None)

    def number(self, wanted: FieldId) -> int | None:
        """The value of a numeric field; None if there is no such field."""
        value = self.get(wanted)
        return None if value is None else int.from_bytes(value)

    @property
    def signed(self) -> bytes:
        """The bytes that a signature covers, without the prefix for its purpose."""
        return b"".join(field.serialized for field in self.fields if field.id not in NOT_SIGNED)

    @property
    def ids(self) -> Iterator[FieldId]:
        """The ids of all fields, nested ones included."""
        return _ids(self.fields)


def parse_serialized(blob: bytes) -> Serialized:
    """The fields of ``blob``. Raises `Malformed`."""
    reader = _Reader(blob)
    try:
        fields = tuple(_fields(reader, ended_by=None, depth=0))
    except IndexError:
        raise Malformed from None
    if [field.id for field in fields] != sorted({field.id for field in fields}):
        raise Malformed
    return Serialized(fields=fields)


def _ids(fields: tuple[Field, ...]) -> Iterator[FieldId]:
    for field in fields:
        yield field.id
        yield from _ids(field.inner)


class _Reader:
    """Reads bytes in order. Raises `IndexError` after the end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def at_end(self) -> bool:
        return self.at == len(self.data)

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        if len(taken) < count:
            raise IndexError
        self.at += count
        return taken


def _fields(reader: _Reader, *, ended_by: FieldId | None, depth: int) -> Iterator[Field]:
    """The fields up to the end marker, or up to the end of the data if ``ended_by`` is None."""
    while ended_by is not None or not reader.at_end:
        start, field_id = reader.at, _read_header(reader)
        if field_id == ended_by:
            return
        value, inner = _read_value(reader, field_id, depth)
        yield Field(field_id, reader.data[start : reader.at], value, inner)


def _read_header(reader: _Reader) -> FieldId:
    first = reader.byte()
    return FieldId(first >> 4 or _read_long_number(reader), first & 0x0F or _read_long_number(reader))


def _read_long_number(reader: _Reader) -> int:
    number = reader.byte()
    if number < _LONG_NUMBER:
        raise Malformed
    return number


def _read_value(reader: _Reader, field_id: FieldId, depth: int) -> tuple[bytes, tuple[Field, ...]]:
    kind, start = field_id.type, reader.at
    if kind in (_OBJECT, _ARRAY):
        if depth == MAX_DEPTH or field_id.number == _END:
            raise Malformed
        inner = tuple(_fields(reader, ended_by=FieldId(kind, _END), depth=depth + 1))
        _check_order(kind, inner)
        return reader.data[start : reader.at - 1], inner
    if kind in _WITH_LENGTH:
        return _check_length(kind, reader.take(_read_length(reader))), ()
    if kind in _SIZES:
        return reader.take(_SIZES[kind]), ()
    if kind not in _SKIPS:
        raise Malformed
    _SKIPS[kind](reader)
    return reader.data[start : reader.at], ()


def _check_order(kind: int, inner: tuple[Field, ...]) -> None:
    """Check that an object has its fields in order and once each, and that an array has only objects."""
    ids = [field.id for field in inner]
    canonical = all(each.type == _OBJECT for each in ids) if kind == _ARRAY else ids == sorted(set(ids))
    if not canonical:
        raise Malformed


def _read_length(reader: _Reader) -> int:
    first = reader.byte()
    if first < _TWO_BYTES:
        return first
    if first < _THREE_BYTES:
        return _TWO_BYTES + (first - _TWO_BYTES) * 256 + reader.byte()
    if first < _NO_LENGTH:
        return _LONGER + (first - _THREE_BYTES) * 65536 + reader.byte() * 256 + reader.byte()
    raise Malformed


def _check_length(kind: int, value: bytes) -> bytes:
    if (kind == _ACCOUNT_ID and len(value) not in (0, _ADDRESS_BYTES)) or (
        kind == _VECTOR and len(value) % _HASH_BYTES
    ):
        raise Malformed
    return value


def _skip_amount(reader: _Reader) -> None:
    first = reader.byte()
    reader.take(47 if first & 0x80 else 32 if first & 0x20 else 7)


def _skip_issue(reader: _Reader) -> None:
    if reader.take(_ADDRESS_BYTES) != _XRP and reader.take(_ADDRESS_BYTES) == _TOKEN_ISSUER:
        reader.take(4)


def _skip_paths(reader: _Reader) -> None:
    while has := reader.byte():
        if has == _NEXT_PATH:
            continue
        if has & ~sum(_PATH_STEPS):
            raise Malformed
        reader.take(sum(size for bit, size in _PATH_STEPS.items() if has & bit))


def _skip_bridge(reader: _Reader) -> None:
    for _ in range(2):
        if reader.byte() != _ADDRESS_BYTES:
            raise Malformed
        reader.take(_ADDRESS_BYTES)
        _skip_issue(reader)


_SKIPS: Final[dict[int, Callable[[_Reader], None]]] = {
    _AMOUNT: _skip_amount,
    _PATH_SET: _skip_paths,
    _ISSUE: _skip_issue,
    _BRIDGE: _skip_bridge,
}
"""Skips a value whose first bytes determine its length, by type."""
