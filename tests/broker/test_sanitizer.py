"""Messages of anybody: whatever bytes a frame has, a client library can decode and copy what is left of it."""

import struct
from typing import Any

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, encode
from pamqp.header import ContentHeader

from processor.broker.copies import copy_headers
from processor.broker.sanitizer import sanitize
from schemas.topology import HEADER_DROPPED
from tests.consumers.raw_publisher import PROPERTIES, field, long, nested, short

HEADERS = 1 << (15 - PROPERTIES.index("headers"))

texts = st.binary(max_size=20).map(long)
scalars = st.one_of(
    texts.map(lambda text: b"S" + text),
    texts.map(lambda text: b"x" + text),
    *(
        st.binary(min_size=size, max_size=size).map(tag.__add__)
        for tag, size in {b"l": 8, b"T": 8, b"D": 5, b"d": 8, b"f": 4, b"s": 2, b"t": 1, b"I": 4, b"V": 0}.items()
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: b"A" + long(b"".join(parts))),
        st.lists(inner, max_size=3).map(lambda parts: b"F" + long(b"".join(field(b"\xffn", each) for each in parts))),
    ),
    max_leaves=8,
)
tables = st.lists(st.tuples(st.binary(max_size=200), values), max_size=6).map(
    lambda entries: long(b"".join(field(*entry) for entry in entries))
)


def frame(payload: bytes, kind: int = 2) -> bytes:
    return struct.pack(">BHI", kind, 1, len(payload)) + payload + b"\xce"


def content(flags: int, values: bytes) -> bytes:
    return frame(struct.pack(">HHQH", 60, 0, 7, flags) + values)


def properties_of(found: bytes) -> commands.Basic.Properties:
    consumed, channel, decoded = pamqp.frame.unmarshal(found)
    assert isinstance(decoded, ContentHeader)
    assert (consumed, channel, decoded.body_size) == (len(found), 1, 7)
    return decoded.properties


@given(st.integers(0, 2**15 - 1).map(lambda flags: flags << 1), st.binary(max_size=300))
def test_any_bytes_become_properties_that_can_be_decoded(flags: int, values: bytes) -> None:
    """A frame that is no content header at all has no properties."""
    found = properties_of(sanitize(content(flags & ~1, values)))

    assert found.delivery_mode in {None, 1, 2}


@given(tables)
def test_any_table_can_be_decoded_and_copied(table: bytes) -> None:
    """What was decoded is copied or named."""
    headers: Any = properties_of(sanitize(content(HEADERS, table))).headers
    kept = copy_headers(headers, frozenset())

    assert encode.field_table(kept)
    assert kept.keys() == headers.keys() or HEADER_DROPPED in kept


@given(st.binary(max_size=255), st.binary(max_size=255), st.binary(max_size=255))
def test_any_delivery_can_be_decoded(tag: bytes, exchange: bytes, key: bytes) -> None:
    """Keys and names are texts, of the length that they had."""
    payload = struct.pack(">HH", 60, 60) + short(tag) + struct.pack(">QB", 5, 1) + short(exchange) + short(key)
    _, _, found = pamqp.frame.unmarshal(sanitize(frame(payload, kind=1)))

    assert isinstance(found, commands.Basic.Deliver)
    assert (found.delivery_tag, found.redelivered) == (5, True)


def test_frame_without_fault_stays_as_it_is() -> None:
    """Nothing is rewritten that can be decoded."""
    table = long(field(b"a", nested(b"F", 5)) + field(b"b", b"S" + long(b"text")))
    whole = content(HEADERS, table)

    assert sanitize(whole) is whole


def test_entries_that_can_be_decoded_are_kept() -> None:
    """One bad entry costs itself alone, and is named."""
    table = long(field(b"deep", nested(b"F", 10_000)) + field(b"tenant", b"S" + long(b"north")))
    found = properties_of(sanitize(content(HEADERS, table))).headers

    assert found == {"tenant": "north", HEADER_DROPPED: "deep"}


@pytest.mark.parametrize(("mode", "expected"), [(1, 1), (2, 2), (3, 2), (255, 2)])
def test_delivery_mode_is_one_that_there_is(mode: int, expected: int) -> None:
    """A message that says neither is persistent."""
    flag = 1 << (15 - PROPERTIES.index("delivery_mode"))

    assert properties_of(sanitize(content(flag, bytes([mode])))).delivery_mode == expected


def test_largest_headers_go_first() -> None:
    """Our own are carried whatever else there is, and names of what went are bounded."""
    headers = {f"h{number}": "x" * (100 + number) for number in range(100)} | {"x-reason": "y" * 200, "tenant": "north"}
    kept = copy_headers(headers, frozenset({"x-reason"}), frame_size=4096)

    assert (kept["x-reason"], kept["tenant"], kept["h0"]) == ("y" * 200, "north", "x" * 100)
    assert "h99" not in kept
    assert len(encode.field_table(kept)) < 4096 * 3 // 4
    assert len(kept[HEADER_DROPPED]) == 200


def test_names_of_earlier_copies_are_kept() -> None:
    """A second copy tells what the first one lost."""
    kept = copy_headers({HEADER_DROPPED: "first", "second": 2**63}, frozenset())

    assert kept == {HEADER_DROPPED: "first, second"}


def test_what_the_broker_says_in_headers_stays_with_the_message() -> None:
    """A copy neither repeats what happened to another message, nor goes to more queues than it is sent to."""
    theirs: dict[str, object] = {name: ["elsewhere"] for name in ("CC", "BCC", "x-death", "x-delivery-count")}

    assert copy_headers({**theirs, "x-first-death-queue": "q", "tenant": "north"}, frozenset()) == {"tenant": "north"}


def test_nested_table_that_ends_within_an_entry() -> None:
    """What the library would read on beyond its end goes with all other properties."""
    table = long(field(b"a", b"F" + long(short(b"name without a value"))) + field(b"b", b"t\x01"))

    assert commands.Basic.Properties() == properties_of(sanitize(content(HEADERS, table)))
