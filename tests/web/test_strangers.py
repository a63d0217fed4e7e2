"""What strangers can cause: lines in the log, memory, open connections. Webhooks pass all the while."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.webhooks import body_of, new_payload
from tests.webhooks.test_express import answer, connect, request_of
from tests.webhooks.test_intake import Service, running

CROWD = 60
HALF = b'{"app":'
API_HEAD = b"POST /v1/sign-in HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
WEBHOOK_HEAD = b"POST /webhooks/shop HTTP/1.1\r\nhost: x\r\n"


def half(head: bytes, size: int = 100, sent: bytes = HALF) -> bytes:
    return head + b"content-length: %d\r\n\r\n" % size + sent


ABORTED = {
    "webhook": half(WEBHOOK_HEAD),
    "webhook in chunks": WEBHOOK_HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nab",
    "request of an app": half(API_HEAD),
}
REFUSED = {
    "unsigned webhook": (request_of(b"{}", **{"x-xumm-request-signature": "ab" * 20}), "delivery.refused"),
    "webhook of nobody": (request_of(b"{}", path="/webhooks/nobody"), "delivery.refused"),
    "no key": (b"GET /v1/me HTTP/1.1\r\nhost: x\r\n\r\n", "request.refused"),
    "no path": (b"GET /v1/nowhere HTTP/1.1\r\nhost: x\r\n\r\n", "request.refused"),
    "no HTTP": (b"nonsense\r\n\r\n", "request.malformed"),
}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  the condition is somebody else's
            await asyncio.sleep(0.01)


def stands_for(lines: Sequence[Any]) -> Counter[str]:
    """How many happenings the lines of each name tell of."""
    found: Counter[str] = Counter()
    for line in lines:
        found[line["event"]] += line.get("times", 1)
    return found


def most_lines(since: float) -> int:
    """How many lines of one name may be written from ``since`` on: one at once, and one for each second that began."""
    return 2 + int(monotonic() - since)


@pytest.mark.parametrize("kind", ABORTED)
async def test_aborted_bodies(tmp_path: Path, kind: str) -> None:
    """Senders that hang up within a body are no errors, and all together a counted line a second."""
    async with running(tmp_path, api={"calls_per_minute": 1000}) as service:
        began = monotonic()
        with capture_logs() as lines:
            for _ in range(CROWD):
                _, writer = await connect(service)
                writer.write(ABORTED[kind])
                await writer.drain()
                await asyncio.sleep(0)
                writer.transport.abort()
            name = "request.refused" if kind == "request of an app" else "delivery.refused"
            await until(lambda: stands_for(lines)[name] >= CROWD)
        most = most_lines(began)

    told = [line for line in lines if line["event"] == name]
    assert {"body_incomplete"} == {line.get("reason", line.get("verdict")) for line in told}
    assert [] == [line for line in lines if line["log_level"] == "error"]
    assert len(told) <= most


async def test_refusals(tmp_path: Path) -> None:
    """However many are refused, a second has one line of each name, which says for how many it stands."""
    async with running(tmp_path) as service:
        began = monotonic()
        with capture_logs() as lines:
            for piece, _ in list(REFUSED.values()) * CROWD:
                reader, writer = await connect(service)
                writer.write(piece)
                status, _ = await answer(reader)
                writer.close()
                assert 400 <= status < 500
            expected = Counter(name for _, name in list(REFUSED.values()) * CROWD)
            await until(lambda: stands_for(lines) & expected == expected)
        most = most_lines(began)

    found = stands_for(lines)
    assert expected == Counter({name: found[name] for name in expected})
    assert max(Counter(line["event"] for line in lines if line["event"] in expected).values()) <= most


async def opened(service: Service, piece: bytes, count: int) -> list[tuple[StreamReader, StreamWriter]]:
    connections = []
    for _ in range(count):
        reader, writer = await connect(service)
        writer.write(piece)
        await writer.drain()
        connections.append((reader, writer))
    return connections


async def still_open(connections: Sequence[tuple[StreamReader, StreamWriter]]) -> int:
    """How many nobody has ended, once the server has had its turn."""
    await asyncio.sleep(0.1)
    return sum(not reader.at_eof() and not (reader._buffer) for reader, _ in connections)  # type: ignore[attr-defined]


HELD = {
    "nothing": b"",
    "half a head": WEBHOOK_HEAD,
    "half a webhook": half(WEBHOOK_HEAD),
    "half a request of an app": half(API_HEAD),
}


@pytest.mark.parametrize("kind", HELD)
async def test_connections_are_bounded(tmp_path: Path, kind: str) -> None:
    """Beyond so many, the one that has waited for its client the longest gives way: a webhook finds a place."""
    async with running(tmp_path, max_connections=10, log_level="error") as service:
        crowd = await opened(service, HELD[kind], 30)
        reader, writer = await connect(service)
        writer.write(request_of(body_of(new_payload())))
        told = await answer(reader)
        left = await still_open(crowd)
        for _, each in [*crowd, (reader, writer)]:
            each.close()

    assert (200, b'{"result":"accepted"}\n') == told
    assert left <= 10


async def test_connection_in_use_does_not_give_way(tmp_path: Path) -> None:
    """One that had a webhook answered a moment ago outlives those that send nothing."""
    async with running(tmp_path, max_connections=10) as service:
        reader, writer = await connect(service)
        for _ in range(4):
            crowd = await opened(service, half(WEBHOOK_HEAD), 8)
            writer.write(request_of(body_of(new_payload())))
            assert 200 == (await answer(reader))[0]
            for _, each in crowd:
                each.close()
        writer.close()


async def test_bodies_under_way_are_bounded_in_sum(tmp_path: Path) -> None:
    """When they would take too much, the body that has been under way the longest is refused; whole ones pass."""
    async with running(tmp_path, max_bodies_bytes=65_536, body_timeout="60s") as service:
        crowd = await opened(service, half(WEBHOOK_HEAD, 60_000, b"x" * 20_000), 12)
        first, _ = crowd[0]
        refused = await answer(first)
        status, _, _ = await service.post(body_of(new_payload()))
        left = await still_open(crowd[1:])
        pieces = request_of(body_of(new_payload()))
        reader, writer = await connect(service)
        writer.write(pieces[:-10])
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(pieces[-10:])
        late, _ = await answer(reader)
        for _, each in [*crowd, (reader, writer)]:
            each.close()

    assert (503, True) == (refused[0], b"overloaded" in refused[1])
    assert (200, 200, 3) == (status, late, left)


async def test_endless_head(tmp_path: Path) -> None:
    """A head that goes on and on is refused before it takes much memory."""
    async with running(tmp_path) as service:
        reader, writer = await connect(service)
        writer.write(WEBHOOK_HEAD)
        for number in range(20):
            writer.write(b"x-%d: %b\r\n" % (number, b"y" * 4000))
            await asyncio.sleep(0.02)
            if reader._buffer:  # type: ignore[attr-defined]
                break
        async with asyncio.timeout(5):
            told = await reader.read()
        writer.close()

    assert told.startswith(b"HTTP/1.1 400 ")
