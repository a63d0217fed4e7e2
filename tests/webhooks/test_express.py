"""The express lane and the ordinary way, byte by byte on one connection."""

import asyncio
import json
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from processor.core.errors import StoreUnavailable
from tests.support.webhooks import body_of, headers_of, new_payload
from tests.webhooks.test_intake import Service, running


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running(tmp_path) as service:
        yield service


def request_of(body: bytes, *, path: str = "/webhooks/shop", version: str = "1.1", **headers: str) -> bytes:
    lines = [f"{name}: {value}" for name, value in (headers_of(body) | headers).items()]
    head = f"POST {path} HTTP/{version}\r\nhost: x\r\ncontent-length: {len(body)}\r\n" + "\r\n".join(lines)
    return head.encode() + b"\r\n\r\n" + body


async def connect(service: Service) -> tuple[StreamReader, StreamWriter]:
    host, port = service.processor.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await asyncio.sleep(0)
    return reader, writer


async def answer(reader: StreamReader) -> tuple[int, bytes]:
    """Status and body of the next answer on the connection."""
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return int(head.split()[1]), await reader.readexactly(length)


async def test_many_webhooks_on_one_connection(service: Service) -> None:
    """A kept connection is answered again and again, news and repetition alike."""
    reader, writer = await connect(service)
    payload = new_payload()
    results = []
    for _ in range(3):
        writer.write(request_of(body_of(payload)))
        results.append((await answer(reader))[1])
    writer.close()

    assert [b'{"result":"accepted"}\n', b'{"result":"duplicate"}\n', b'{"result":"duplicate"}\n'] == results


async def test_pipelined_requests_are_answered_in_order(service: Service) -> None:
    """Requests sent without waiting, good and bad and of other kinds, get their answers in the order they came."""
    reader, writer = await connect(service)
    good, bad = body_of(new_payload()), body_of(new_payload())
    writer.write(request_of(good))
    await writer.drain()
    writer.write(request_of(bad, path="/webhooks/nobody") + b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    writer.write(request_of(good) + request_of(body_of(new_payload(), signed=False)))
    statuses = [(await answer(reader))[0] for _ in range(5)]
    writer.close()

    assert [200, 401, 200, 200, 200] == statuses


@pytest.mark.parametrize("cut", [1, 5, 30, 120, -40, -1])
async def test_request_in_two_pieces(service: Service, cut: int) -> None:
    """Wherever the network cuts a request, it is one request."""
    reader, writer = await connect(service)
    raw = request_of(body_of(new_payload()))
    writer.write(request_of(body_of(new_payload())))
    await answer(reader)
    writer.write(raw[:cut])
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.write(raw[cut:])
    status, body = await answer(reader)
    writer.close()

    assert (200, b'{"result":"accepted"}\n') == (status, body)


@pytest.mark.parametrize(("version", "connection"), [("1.1", "close"), ("1.0", "close"), ("1.0", "")])
async def test_connection_that_is_not_kept(service: Service, version: str, connection: str) -> None:
    """Who asks for it, or speaks HTTP/1.0, gets an answer and the end of the connection."""
    reader, writer = await connect(service)
    headers = {"connection": connection} if connection else {}
    writer.write(request_of(body_of(new_payload()), version=version, **headers))
    async with asyncio.timeout(10):
        everything = await reader.read()
    writer.close()

    assert everything.endswith(b'{"result":"accepted"}\n')


async def test_header_that_looks_like_a_webhook(service: Service) -> None:
    """A header continued in another packet is a header, whatever it spells."""
    reader, writer = await connect(service)
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-odd: ")
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.write(b"POST /webhooks/shop HTTP/1.1\r\n\r\n")
    status, body = await answer(reader)
    writer.close()

    assert (200, b'{"status": "ok"}') == (status, body)
    assert service.published == []


@pytest.mark.parametrize("head", [b"PUT /webhooks/shop HTTP/1.1\r\nx-odd: ", b"GET /x HTTP/1.1\r\nx-odd: "])
async def test_signed_body_under_another_method(service: Service, head: bytes) -> None:
    """A webhook in all but its method is none."""
    reader, writer = await connect(service)
    body = body_of(new_payload())
    writer.write(request_of(body_of(new_payload())))
    await answer(reader)
    writer.write(head)
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.write(request_of(body))
    status, _ = await answer(reader)
    writer.close()

    assert status in {404, 405}


@pytest.mark.parametrize(
    "garbage",
    [
        b"POST /webhooks/shop HTTP/9.9\r\n\r\n",
        b"POST /webhooks/shop HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /webhooks/shop HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /webhooks/shop HTTP/1.1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nab",
        b"POST /webhooks/shop HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST /webhooks/shop HTTP/1.1\r\n" + b"x" * 9000 + b": 1\r\n\r\n",
    ],
)
async def test_broken_http(service: Service, garbage: bytes) -> None:
    """What is no HTTP is answered 400 and the connection ends."""
    reader, writer = await connect(service)
    writer.write(request_of(body_of(new_payload())))
    await answer(reader)
    writer.write(garbage)
    async with asyncio.timeout(10):
        rest = await reader.read()
    writer.close()

    assert rest.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))


@pytest.mark.parametrize("header", [{"content-encoding": "gzip"}, {"expect": "100-continue"}])
async def test_extraordinary_requests_take_the_ordinary_way(service: Service, header: dict[str, str]) -> None:
    """An encoding is refused and an expectation is met, as everywhere."""
    reader, writer = await connect(service)
    writer.write(request_of(body_of(new_payload())))
    await answer(reader)
    writer.write(request_of(body_of(new_payload()), **header))
    async with asyncio.timeout(10):
        first = await reader.readuntil(b"\r\n")
    writer.close()

    assert first.split()[1] == (b"415" if "content-encoding" in header else b"100")


async def test_sender_that_leaves_early(service: Service) -> None:
    """A sender that hangs up before the answer has delivered all the same."""
    payload = new_payload()
    reader, writer = await connect(service)
    writer.write(request_of(body_of(new_payload())))
    await answer(reader)
    writer.write(request_of(body_of(payload)))
    await writer.drain()
    writer.transport.abort()
    async with asyncio.timeout(10):
        while not any(message.payload == payload for message in service.published):  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    status, _, _ = await service.post(body_of(payload))
    assert status == 200


async def test_store_that_fails_on_the_lane(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that fails is answered 503, and the connection goes on."""
    reader, writer = await connect(service)
    writer.write(request_of(body_of(new_payload())))
    await answer(reader)
    database = service.processor.writer._store.database

    def fail() -> None:
        database.rollback()
        raise StoreUnavailable("the disk is gone")

    monkeypatch.setattr(database, "commit", fail)
    writer.write(request_of(body_of(new_payload())))
    head = await reader.readuntil(b"\r\n\r\n")
    names = [line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:-2]]
    told = json.loads(await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split()[0])))
    monkeypatch.undo()
    writer.write(request_of(body_of(new_payload())))
    mended, _ = await answer(reader)
    writer.close()

    assert (told["status"], told["reason"], mended) == (503, "store_unavailable", 200)
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert set(names) == {
        b"cache-control",
        b"content-length",
        b"content-type",
        b"date",
        b"retry-after",
        b"server",
        b"x-content-type-options",
    }
    assert len(names) == len(set(names))


async def test_store_that_takes_longer_than_a_connection_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook that waits for the store longer than an idle connection is kept gets its answer all the same."""
    monkeypatch.setattr("processor.web.server.KEEPALIVE_SECONDS", 0.2)
    gate = threading.Event()
    async with running(tmp_path) as service:
        reader, writer = await connect(service)
        busy = service.processor.writer._thread.call(lambda: gate.wait(10))
        writer.write(request_of(body_of(new_payload())))
        await asyncio.sleep(0.6)
        gate.set()
        status, _ = await answer(reader)
        writer.close()
        await busy

    assert status == 200


async def test_shutdown_lets_a_webhook_finish(tmp_path: Path) -> None:
    """A webhook that is under way when the service stops is answered."""
    async with running(tmp_path) as service:
        reader, writer = await connect(service)
        writer.write(request_of(body_of(new_payload())))
        await answer(reader)
        writer.write(request_of(body_of(new_payload())))
        await writer.drain()
        while service.processor.writer.waiting == 0:  # noqa: ASYNC110
            await asyncio.sleep(0)
    status, _ = await answer(reader)
    writer.close()

    assert status == 200


async def test_more_pipelined_requests_than_the_parser_queues(service: Service) -> None:
    """However many requests come in one piece, each gets its answer."""
    reader, writer = await connect(service)
    writer.write(request_of(body_of(new_payload())))
    await answer(reader)
    writer.write(b"POST /webhooks/nobody HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n" * 100)
    statuses = [(await answer(reader))[0] for _ in range(100)]
    writer.close()

    assert [401] * 100 == statuses


@pytest.mark.parametrize(
    ("line", "header", "told"),
    [
        ("POST /webhooks/shop", "expect: nonsense", (417, "expectation_failed")),
        ("GET /v1/me", "expect: nonsense", (417, "expectation_failed")),
        ("GET /nowhere", "x-a: b", (404, "not_found")),
        ("POST /healthz", "x-a: b", (405, "method_not_allowed")),
    ],
)
async def test_refusals_of_the_server_itself(service: Service, line: str, header: str, told: tuple[int, str]) -> None:
    """What no handler sees is refused with problem details too, and nothing of the request is repeated."""
    reader, writer = await connect(service)
    writer.write(f"{line} HTTP/1.1\r\nhost: x\r\n{header}\r\ncontent-length: 0\r\n\r\n".encode())
    status, body = await answer(reader)
    writer.close()

    assert (status, json.loads(body)["reason"]) == told
    assert b"nonsense" not in body


@pytest.mark.parametrize("path", ["/webhooks/shop", "/v1/me", "/healthz"])
async def test_defect(service: Service, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A handler that breaks is answered 500 as a problem, which says nothing of what broke, and the connection ends."""

    async def broken(_request: web.Request) -> web.Response:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(service.processor._runner.server, "request_handler", broken)
    reader, writer = await connect(service)
    writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\naccept: text/html\r\ncontent-length: 0\r\n\r\n".encode())
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()

    assert (head.split()[1], json.loads(body)["reason"]) == (b"500", "internal_error")
    assert b"application/problem+json" in head
    assert b"secret detail" not in body


GARBAGE = [b"\x16\x03\x01nonsense\r\n\r\n", b"POST /webhooks/shop HTTP/9.9\r\n\r\n", b"\r\n\x00", b"{}"]


@pytest.mark.parametrize("garbage", GARBAGE, ids=repr)
async def test_garbage_behind_a_webhook(service: Service, garbage: bytes) -> None:
    """It is refused by itself: the webhook in the same packet is recorded and answered, also behind a refused one."""
    payload = new_payload()
    reader, writer = await connect(service)
    writer.write(request_of(b"{}", path="/webhooks/nobody") + request_of(body_of(payload)) + garbage)
    statuses = [(await answer(reader))[0] for _ in range(2)]
    async with asyncio.timeout(10):
        rest = await reader.readuntil(b"\r\n") if garbage != b"{}" else b"HTTP/1.1 400 "
    writer.close()

    assert [401, 200] == statuses
    assert rest.split()[1] == b"400"
    assert (await service.post(body_of(payload)))[1] == {"result": "duplicate"}


ANSWERED = [
    b"nonsense\r\n\r\n",
    b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /v1/nowhere HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /v1/me HTTP/1.1\r\nhost: x\r\nexpect: nonsense\r\n\r\n",
    b"GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /.well-known/assetlinks.json HTTP/1.1\r\nhost: x\r\n\r\n",
    b"POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
    request_of(b"{}", path="/webhooks/nobody"),
    request_of(b"{}", path="/webhooks/nobody", connection="close"),
    request_of(b"{}"),
    request_of(body_of(new_payload())),
]


async def test_what_every_answer_bears(service: Service) -> None:
    """No browser guesses what it is, no cache keeps it, and nobody learns what it was made with."""
    for piece in ANSWERED:
        reader, writer = await connect(service)
        writer.write(piece)
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        writer.close()

        lasting = sorted(
            line for line in head if line.startswith(("x-content-type-options", "cache-control", "server"))
        )
        expected = ["cache-control: no-store", "server: xumm-webhook-processor", "x-content-type-options: nosniff"]
        assert expected == lasting, piece
