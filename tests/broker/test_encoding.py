from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, header
from pamqp import frame as codec

from processor.broker.encoding import LARGEST_BODY, PublishEncoder
from processor.broker.port import Unsendable
from processor.core.publishing.message import Message
from tests.broker.messages import a_message

_short = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=63)
_messages = st.builds(
    Message,
    id=_short,
    type=_short,
    app=_short,
    payload=_short,
    routing_key=_short,
    body=st.binary(max_size=300),
    at=st.integers(0, 4_000_000_000),
    traceparent=st.none() | _short,
)


def _frames(data: bytes) -> list[object]:
    frames = []
    while data:
        size, channel, frame = codec.unmarshal(data)
        assert channel == 1
        frames.append(frame)
        data = data[size:]
    return frames


@given(message=_messages)
def test_the_reference_codec_reads_what_is_written(message: Message) -> None:
    """All properties, flags and sizes read back as they were meant."""
    publish, head, *bodies = _frames(PublishEncoder(exchange="events", frame_max=4096).encode(message))

    assert isinstance(publish, commands.Basic.Publish)
    assert isinstance(head, header.ContentHeader)
    assert dict(publish) == {
        "ticket": 0,
        "exchange": "events",
        "routing_key": message.routing_key,
        "mandatory": True,
        "immediate": False,
    }
    assert {name: value for name, value in head.properties if value is not None} == {
        "content_type": "application/cloudevents+json",
        "delivery_mode": 2,
        "correlation_id": message.payload,
        "message_id": message.id,
        "timestamp": datetime.fromtimestamp(message.at, tz=UTC),
        "message_type": message.type,
        "app_id": message.app,
        "cluster_id": "",
    } | ({} if message.traceparent is None else {"headers": {"traceparent": message.traceparent}})
    assert (head.body_size, b"".join(_content(bodies))) == (len(message.body), message.body)


def _content(bodies: list[object]) -> list[bytes]:
    return [frame.value for frame in bodies if isinstance(frame, body.ContentBody)]


@given(size=st.integers(0, 20_000), frame_max=st.sampled_from([4096, 8192]))
def test_no_frame_exceeds_the_agreed_size(size: int, frame_max: int) -> None:
    """Long bodies are split into full frames and one rest, and short ones are not."""
    _, _, *bodies = _frames(PublishEncoder(exchange="e", frame_max=frame_max).encode(a_message(body=b"x" * size)))

    sizes = [len(content) + 8 for content in _content(bodies)]

    assert sum(sizes) - 8 * len(sizes) == size
    assert all(each == frame_max for each in sizes[:-1])
    assert all(each <= frame_max for each in sizes)


def test_the_memory_of_routes_is_bounded() -> None:
    """Ever new routing keys do not fill the memory, and still encode right."""
    encoder = PublishEncoder(exchange="e", frame_max=4096)
    for number in range(5000):
        publish = _frames(encoder.encode(a_message(routing_key=f"app{number}.sign.opened")))[0]

    assert isinstance(publish, commands.Basic.Publish)
    assert publish.routing_key == "app4999.sign.opened"
    assert len(encoder._routes) <= 1024


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (a_message(routing_key="k" * 256), "routing_key takes 256 bytes; AMQP allows 255"),
        (a_message(payload="❤" * 86), "payload takes 258 bytes; AMQP allows 255"),
        (a_message(traceparent="t" * 300), "traceparent takes 300 bytes; AMQP allows 255"),
        (a_message(body=b"x" * (LARGEST_BODY + 1)), "body takes 16777217 bytes; the limit is 16777216"),
        (a_message(at=-1), "message has a timestamp below zero or text that is no Unicode"),
        (a_message(app="\ud800"), "message has a timestamp below zero or text that is no Unicode"),
    ],
)
def test_what_amqp_has_no_form_for_is_refused(message: Message, complaint: str) -> None:
    """The refusal names the field and the limit."""
    with pytest.raises(Unsendable, match=f"^{complaint}$"):
        PublishEncoder(exchange="e", frame_max=131_072).encode(message)


def test_texts_of_255_bytes_pass() -> None:
    """The longest short string is 255 bytes of UTF-8."""
    longest = "k" * 255
    message = a_message(routing_key=longest, payload=longest, app=longest, type=longest, traceparent=longest)

    publish, head = _frames(PublishEncoder(exchange=longest, frame_max=4096).encode(message))[:2]

    assert isinstance(publish, commands.Basic.Publish)
    assert isinstance(head, header.ContentHeader)
    assert (publish.routing_key, head.properties.app_id) == (longest, longest)
