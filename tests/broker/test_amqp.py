import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, header, heartbeat
from pamqp import frame as codec

from processor.broker.amqp import Confirmed, Event, Method, Parser, ProtocolError, Returned

_tags = st.integers(1, 2**63 - 1)  # the reference codec writes no larger ones
_acks = st.builds(commands.Basic.Ack, delivery_tag=_tags, multiple=st.booleans())
_nacks = st.builds(commands.Basic.Nack, delivery_tag=_tags, multiple=st.booleans(), requeue=st.booleans())
_blocked = st.builds(commands.Connection.Blocked, reason=st.text(max_size=60))
_returned_bodies = st.lists(st.binary(min_size=1, max_size=30), max_size=3)


def _returned(message_id: str, bodies: list[bytes]) -> bytes:
    properties = commands.Basic.Properties(message_id=message_id)
    frames = (
        commands.Basic.Return(312, "NO_ROUTE", "events", "a.b"),
        header.ContentHeader(body_size=sum(map(len, bodies)), properties=properties),
        *map(body.ContentBody, bodies),
    )
    return b"".join(codec.marshal(each, 1) for each in frames)


_pieces = st.lists(
    st.one_of(
        st.one_of(_acks, _nacks).map(lambda frame: codec.marshal(frame, 1)),
        _blocked.map(lambda frame: codec.marshal(frame, 0)),
        st.just(heartbeat.Heartbeat()).map(lambda frame: codec.marshal(frame, 0)),
        st.builds(_returned, st.text(min_size=1, max_size=40), _returned_bodies),
    ),
    max_size=12,
)


def _plain(events: list[Event]) -> list[object]:
    return [dict(event.frame) if isinstance(event, Method) else event for event in events]


@given(tag=_tags, multiple=st.booleans(), stored=st.booleans())
def test_confirms_are_read(tag: int, multiple: bool, stored: bool) -> None:  # noqa: FBT001
    """Acks and nacks, single and multiple, read as the reference codec writes them."""
    kind = commands.Basic.Ack if stored else commands.Basic.Nack

    events = Parser().feed(codec.marshal(kind(tag, multiple), 1))

    assert events == [Confirmed(tag, multiple, stored)]


@given(pieces=_pieces, data=st.data())
def test_cuts_do_not_matter(pieces: list[bytes], data: st.DataObject) -> None:
    """However the network cuts the bytes, the same events come of them."""
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    parser = Parser()

    events = [
        event
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for event in parser.feed(stream[start:end])
    ]

    assert _plain(events) == _plain(Parser().feed(stream))


@given(bodies=_returned_bodies)
def test_a_return_is_one_event(bodies: list[bytes]) -> None:
    """Method, header and any number of body frames of a returned message make one event with its id."""
    events = Parser().feed(_returned("the id", bodies) + codec.marshal(commands.Basic.Ack(1), 1))

    assert events == [Returned("the id", "312 NO_ROUTE"), Confirmed(1, False, True)]


@given(
    data=st.binary(max_size=200),
    start=st.sampled_from([b"", b"\x01\x00\x01\x00\x00\x00\x0d", b"\x02\x00\x01"]),
)
def test_garbage_is_a_protocol_error_or_nothing(data: bytes, start: bytes) -> None:
    """Whatever arrives, the parser raises nothing but its own error."""
    try:
        events = Parser().feed(start + data)
    except ProtocolError:
        return

    assert all(isinstance(event, Event) for event in events)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n", id="another protocol"),
        pytest.param(b"AMQP\x00\x01\x00\x00", id="another version"),
        pytest.param(struct.pack(">BHI", 1, 0, 2**31) + b"\x00", id="frame of two gigabytes"),
        pytest.param(codec.marshal(commands.Basic.Ack(1), 1)[:-1] + b"\x00", id="no end of frame"),
        pytest.param(codec.marshal(body.ContentBody(b"x"), 1), id="body of nothing"),
        pytest.param(codec.marshal(header.ContentHeader(), 1), id="header of nothing"),
        pytest.param(
            codec.marshal(commands.Basic.Return(312, "NO_ROUTE", "e", "k"), 1) * 2,
            id="return inside a return",
        ),
        pytest.param(_returned("id", [b"x"])[:-9] + codec.marshal(body.ContentBody(b"xx"), 1), id="body too long"),
        pytest.param(struct.pack(">BHIHHB", 1, 1, 4, 99, 99, 0xCE), id="unknown method"),
    ],
)
def test_what_is_no_amqp_is_refused(data: bytes) -> None:
    """Bytes that cannot be, or are not due, raise at once instead of waiting for more."""
    with pytest.raises(ProtocolError):
        Parser().feed(data)


def _nested(kind: bytes, depth: int) -> bytes:
    """A table within a table, or an array within an array, and so on."""
    inner = b""
    for _ in range(depth):
        inner = (b"\x01a" if kind == b"F" else b"") + kind + struct.pack(">I", len(inner)) + inner
    return inner if kind == b"F" else b"\x01aA" + struct.pack(">I", len(inner)) + inner


@pytest.mark.parametrize("kind", [b"F", b"A"], ids=["tables", "arrays"])
@pytest.mark.parametrize("place", ["connection.start", "a message's headers"])
def test_deeply_nested_tables(kind: bytes, place: str) -> None:
    """They are a protocol error, as all else that cannot be read."""
    table = _nested(kind, 5000)
    table = struct.pack(">I", len(table)) + table
    parser = Parser()
    if place == "connection.start":
        number, content = 1, struct.pack(">HHBB", 10, 10, 0, 9) + table + struct.pack(">I", 0) * 2
    else:
        parser.feed(codec.marshal(commands.Basic.Return(312, "NO_ROUTE", "events", "a.b"), 1))
        number, content = 2, struct.pack(">HHQH", 60, 0, 0, 1 << 13) + table
    frame = struct.pack(">BHI", number, 1, len(content)) + content + b"\xce"

    with pytest.raises(ProtocolError):
        parser.feed(frame)
