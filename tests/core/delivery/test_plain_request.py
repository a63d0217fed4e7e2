"""Whatever the plain reader takes for a request, a real HTTP parser takes for the very same one."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import http_exceptions, http_parser
from hypothesis import example, given, settings
from hypothesis import strategies as st

from processor.core.delivery.plain_request import MAX_HEAD, START, WholeRequest, read_first

PLAIN = [
    b"POST /webhooks/shop HTTP/1.1",
    b"Host: example.org",
    b"content-type: application/json",
    b"X-Xumm-Attempt: 1",
    b"content-length: 2",
]


def raw(*lines: bytes, body: bytes = b"{}") -> bytes:
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def changed(**lines: bytes) -> bytes:
    """The plain request with lines added, or with the request line or the length replaced."""
    first = lines.pop("line", PLAIN[0])
    length = lines.pop("length", PLAIN[4])
    return raw(first, *PLAIN[1:4], length, *lines.values())


class Protocol:
    """What the parser tells about back-pressure, which nobody needs here."""

    _reading_paused = False

    def pause_reading(self, **_: Any) -> None: ...
    def resume_reading(self, **_: Any) -> None: ...


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def parsed(loop: asyncio.AbstractEventLoop, data: bytes) -> tuple[Any, bytes] | None:
    """Message and body as aiohttp's parser reads them, None unless it reads exactly one whole request."""
    protocol: Any = Protocol()
    parser = http_parser.HttpRequestParser(
        protocol, loop, 2**16, max_line_size=8190, max_field_size=8190, auto_decompress=False
    )
    try:
        messages, upgraded, tail = parser.feed_data(data)
    except http_exceptions.HttpProcessingError:
        return None
    if len(messages) != 1 or upgraded or tail:
        return None
    message, payload = messages[0]
    return (message, b"".join(getattr(payload, "_buffer", ()))) if payload.is_eof() else None


def read_whole(data: bytes) -> WholeRequest | None:
    """The request that ``data`` consists of, or None."""
    first = read_first(data)
    return None if first is None or first.rest else first


def test_a_plain_request_is_read() -> None:
    """Path, fields by lower-case name, body, and that the connection stays."""
    request = read_whole(changed(connection=b"Connection: keep-alive"))

    assert request is not None
    assert ("shop", b"{}", False) == (request.app, request.body, request.closes)
    assert {"host", "content-type", "x-xumm-attempt", "content-length", "connection"} == set(request.headers)


def test_a_sender_may_ask_to_close() -> None:
    """As some HTTP clients do by default."""
    request = read_whole(changed(connection=b"connection: close"))

    assert request is not None
    assert request.closes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        raw(*PLAIN, body=b"{} "),
        raw(*PLAIN, body=b"{"),
        raw(*PLAIN) + raw(*PLAIN),
        changed(line=b"GET /webhooks/shop HTTP/1.1"),
        changed(line=b"POST /webhooks/shop HTTP/1.0"),
        changed(line=b"POST /webhooks/shop?x=1 HTTP/1.1"),
        changed(line=b"POST /webhooks/shop/more HTTP/1.1"),
        changed(line=b"POST /webhooks/sh%6Fp HTTP/1.1"),
        changed(line=b"POST http://x/webhooks/shop HTTP/1.1"),
        changed(line=b" POST /webhooks/shop HTTP/1.1"),
        changed(length=b"content-length: +2"),
        changed(length=b"content-length: 02"),
        changed(length=b"content-length: 2, 2"),
        changed(length=b"content-length : 2"),
        changed(length=b"content-length:2"),
        changed(twice=b"Content-Length: 2"),
        changed(coding=b"Transfer-Encoding: chunked"),
        changed(coding=b"content-encoding: identity"),
        changed(expect=b"expect: 100-continue"),
        changed(upgrade=b"upgrade: websocket"),
        changed(connection=b"connection: upgrade"),
        changed(folded=b" folded: x"),
        changed(empty=b": x"),
        changed(none=b"no colon"),
        changed(control=b"x-odd: a\x00b"),
        changed(tab=b"x-odd: a\tb"),
        changed(bare=b"x-odd: a\nx-b: c"),
        changed(bare=b"x-odd: a\rx-b: c"),
        changed(high=b"x-odd: \xff"),
        changed(long=b"x-odd: " + b"a" * MAX_HEAD),
        raw(PLAIN[0], *PLAIN[2:]),
    ],
)
def test_anything_else_is_left_alone(data: bytes) -> None:
    """A real parser decides what it means."""
    assert read_whole(data) is None


ODD = [
    *(b"\r\n", b"\n", b"\r", b": ", b":", b" ", b"\t", b"\x00", b"\xff"),
    *(b"2", b"a", b"-", b"_", b"?", b"\r\nhost: b"),
]
"""What a request is spoilt with."""


@settings(max_examples=1500, deadline=None)
@given(data=st.data())
@example(data=None)
def test_what_is_read_is_what_a_real_parser_reads(loop: asyncio.AbstractEventLoop, data: st.DataObject | None) -> None:
    """However a request is spoilt: the plain reader gives up, or agrees with aiohttp in every respect."""
    request = raw(*PLAIN)
    for _ in range(data.draw(st.integers(0, 3)) if data is not None else 0):
        assert data is not None
        at = data.draw(st.integers(0, len(request)))
        until = at + data.draw(st.integers(0, 4))
        request = request[:at] + data.draw(st.sampled_from(ODD)) + request[until:]
    read, truth = read_whole(request), parsed(loop, request)

    if read is not None:
        assert truth is not None
        message, body = truth
        assert ("POST", f"/webhooks/{read.app}", (1, 1)) == (message.method, message.path, tuple(message.version))
        assert {k.lower(): v.lower().strip(" ") for k, v in message.headers.items()} == {
            name: value.strip(" ") for name, value in read.headers.items()
        }
        assert (body, message.should_close) == (read.body, read.closes)


def test_whole_request_in_full() -> None:
    """Application, fields with their values in small letters, body, and nothing behind it."""
    data = changed(odd=b"X-Odd: A: B  ")

    assert (
        WholeRequest(
            "shop",
            {
                "host": "example.org",
                "content-type": "application/json",
                "x-xumm-attempt": "1",
                "content-length": "2",
                "x-odd": "a: b  ",
            },
            b"{}",
            closes=False,
        )
        == read_whole(data)
        == read_first(data)
    )


def test_limits() -> None:
    """8,190 bytes of head, and how a webhook begins."""
    assert (8190, b"POST /webhooks/") == (MAX_HEAD, START)


@pytest.mark.parametrize(("more", "is_read"), [(0, True), (1, False)])
def test_longest_head(more: int, *, is_read: bool) -> None:
    """At the limit, and one byte beyond."""
    bare = changed(long=b"x-odd: ").partition(b"\r\n\r\n")[0]
    data = changed(long=b"x-odd: " + b"a" * (MAX_HEAD - len(bare) + more))

    assert is_read == (read_whole(data) is not None)


@pytest.mark.parametrize(("app", "is_read"), [(b"a" * 64, True), (b"a" * 65, False), (b"", False), (b"A_-9", True)])
def test_names_of_applications(app: bytes, *, is_read: bool) -> None:
    """Up to 64 characters that need no escapes."""
    read = read_whole(changed(line=b"POST /webhooks/" + app + b" HTTP/1.1"))

    assert (app.decode() if is_read else None) == (None if read is None else read.app)


def test_requests_behind_each_other() -> None:
    """The first is read, and what follows is left."""
    first, second = raw(*PLAIN), changed(odd=b"x-odd: 1")
    read = read_first(first + second)

    assert read is not None
    assert (b"{}", second) == (read.body, read.rest)
    assert read_whole(read.rest) == read_first(second)


@pytest.mark.parametrize(
    ("length", "body", "expected"),
    [
        (b"0", b"", (b"", b"")),
        (b"0", b"{}", (b"", b"{}")),
        (b"1", b"{}", (b"{", b"}")),
        (b"2", b"{}", (b"{}", b"")),
        (b"3", b"{}", None),
        (b"999999999", b"{}", None),
        (b"1000000000", b"{}", None),
        (b"00", b"{}", None),
        (b"-1", b"{}", None),
        (b"x", b"{}", None),
        (b"", b"{}", None),
    ],
)
def test_length_says_where_the_body_ends(length: bytes, body: bytes, expected: Any) -> None:
    """What is not there yet, or no plain number, is left to a real parser."""
    read = read_first(raw(*PLAIN[:4], b"content-length: " + length, body=body))

    assert expected == (None if read is None else (read.body, read.rest))


@pytest.mark.parametrize(
    "name",
    [
        *("content-encoding", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        "upgrade",
    ],
)
def test_fields_that_change_how_a_request_is_read(name: str) -> None:
    """Whatever their value."""
    assert read_first(changed(odd=f"{name.title()}: x".encode())) is None


@pytest.mark.parametrize(
    ("connection", "closes"), [(b"close", True), (b"Keep-Alive", False), (b"close, te", None), (b"", None)]
)
def test_connection(connection: bytes, *, closes: bool | None) -> None:
    """Two words are known."""
    read = read_first(changed(connection=b"Connection: " + connection))

    assert closes == (None if read is None else read.closes)


@pytest.mark.parametrize("missing", [b"Host", b"content-length"])
def test_needed_fields(missing: bytes) -> None:
    """Without a host or a length it is no plain request."""
    assert read_first(raw(*(line for line in PLAIN if not line.startswith(missing)))) is None


def test_head_without_fields() -> None:
    """Is none."""
    assert read_first(b"POST /webhooks/shop HTTP/1.1\r\n\r\n") is None
    assert read_first(b"POST /webhooks/shop HTTP/1.1") is None
