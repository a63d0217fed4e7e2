"""The webhook endpoint over real HTTP, with the real store behind it."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from processor.app import Processor
from processor.broker.embedded import EmbeddedPublisher
from processor.core.payload.state import Fact
from processor.core.publishing.message import Message
from processor.store import deliveries, payloads
from schemas.events import parse_event
from tests.core.payloads import APPLICATION, SECRET
from tests.support.settings import settings_for
from tests.support.webhooks import body_of, headers_of, new_payload

OLD_SECRET = "aaaaaaaa-90ab-4cde-8f01-234567890abc"


class Service:
    """A running processor, and what it published."""

    def __init__(self, processor: Processor, session: aiohttp.ClientSession, published: list[Message]) -> None:
        self.processor = processor
        self.session = session
        self.published = published

    async def post(
        self, body: bytes, headers: dict[str, str] | None = None, *, path: str = "/webhooks/shop", method: str = "POST"
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        headers = headers_of(body) if headers is None else headers
        async with self.session.request(method, self.processor.url + path, data=body, headers=headers) as response:
            return response.status, json.loads(await response.read()), dict(response.headers)

    async def deliveries(self, count: int) -> list[Any]:
        """The delivery log, oldest first, once it has ``count`` lines: those of refusals come a little later."""
        async with asyncio.timeout(10):
            while True:
                lines = await self.processor.writer.run(deliveries.list_latest, limit=1000)
                if len(lines) >= count:
                    return list(reversed(lines))
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(folder: Path, **changes: Any) -> AsyncIterator[Service]:
    publisher, published = EmbeddedPublisher(), list[Message]()

    async def keep(message: Message) -> None:
        published.append(message)

    publisher.subscribe("everything", ["#"], keep)
    stop = asyncio.Event()
    async with (
        Processor(settings_for(folder, **changes), publisher=publisher) as processor,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
    ):
        serving = asyncio.create_task(processor.serve(stop))
        yield Service(processor, session, published)
        stop.set()
        await serving


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running(tmp_path) as service:
        yield service


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  the condition is somebody else's
            await asyncio.sleep(0.002)


async def test_accepted_webhook_becomes_an_event(service: Service) -> None:
    """A webhook is answered 200, and its event is published once with everything that Xumm said."""
    payload = new_payload()

    status, answer, _ = await service.post(body_of(payload))
    await until(lambda: bool(service.published))

    assert (200, {"result": "accepted"}) == (status, answer)
    message = service.published[0]
    event = parse_event(message.body)
    assert ("xumm.sign.signed", payload, "shop.sign.signed") == (event.type, event.subject, message.routing_key)
    assert (message.id, message.payload, message.app) == (event.id, event.subject, event.app)
    assert event.data.custom_meta is not None
    assert "Hey ❤️ ..." == event.data.custom_meta.instruction
    assert message.traceparent is not None


async def test_repeated_webhook_is_answered_and_published_once(service: Service) -> None:
    """A hundred copies at once are a hundred times 200 and one event."""
    body = body_of(new_payload())

    answers = await asyncio.gather(*(service.post(body) for _ in range(100)))
    await service.post(body_of(new_payload(), signed=False))
    await until(lambda: len(service.published) >= 2)

    assert [200] * 100 == [status for status, _, _ in answers]
    assert 1 == sum(answer["result"] == "accepted" for _, answer, _ in answers)
    assert ["xumm.sign.rejected", "xumm.sign.signed"] == sorted(message.type for message in service.published)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (lambda _: {}, "signature_missing"),
        (lambda body: headers_of(body, secret=OLD_SECRET), "signature_invalid"),
        (lambda body: headers_of(body + b" "), "signature_invalid"),
        (lambda body: headers_of(body, at=time.time() - 301), "timestamp_stale"),
        (lambda body: headers_of(body, at=time.time() + 400), "timestamp_stale"),
        (lambda body: headers_of(body) | {"x-xumm-request-signature": "x" * 40}, "signature_malformed"),
        (lambda body: headers_of(body) | {"x-xumm-request-timestamp": "soon"}, "timestamp_malformed"),
    ],
)
@pytest.mark.parametrize("path", ["/webhooks/shop", "/webhooks/nobody", "/webhooks/", "/webhooks", "/webhooks/a/b/c"])
async def test_what_is_not_believed_is_401(
    service: Service, headers: Callable[[bytes], dict[str, str]], reason: str, path: str
) -> None:
    """No path below the webhooks answers 404, and a known application answers like an unknown one."""
    body = body_of(new_payload())

    status, answer, _ = await service.post(body, headers(body), path=path)

    assert (401, reason) == (status, answer["reason"])
    assert [] == service.published


@pytest.mark.parametrize(
    "path",
    [
        "/webhooks/nobody",
        "/webhooks/shop//",
        "/webhooks/nobody/",
        "/webhooks/SHOP",
        "/webhooks/%00",
        "/webhooks/shop%2f",
        "/webhooks/%0a",
    ],
)
async def test_right_signature_on_a_wrong_path(service: Service, path: str) -> None:
    """A webhook for an application that is not configured here is refused, never 404."""
    body = body_of(new_payload())

    status, answer, _ = await service.post(body, path=path)

    assert (401, "signature_invalid") == (status, answer["reason"])


async def test_slash_at_the_end_of_the_address(service: Service) -> None:
    """A webhook is taken although the URL in Xumm's console ends in a slash, and the log says where to mend that."""
    payload = new_payload()
    with capture_logs() as lines:
        status, answer, _ = await service.post(body_of(payload), path="/webhooks/shop/")
        forged, _, _ = await service.post(b"{}", headers_of(b"{}", secret=OLD_SECRET), path="/webhooks/shop/")

    assert (200, {"result": "accepted"}, 401) == (status, answer, forged)
    told = [line for line in lines if line["event"] == "delivery.misaddressed"]
    assert ["shop"] == [line["app"] for line in told]
    assert "slash" in told[0]["hint"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"not json",
        b"[" * 10_000,
        b"\xff\xfe",
        body_of("8f5b1d3a-0000-4000-8000-00000000b001", application="8f5b1d3a-0000-4000-8000-00000000beef"),
        body_of(
            "8f5b1d3a-0000-4000-8000-00000000b001", meta={"application_uuidv4": APPLICATION, "payload_uuidv4": "x"}
        ),
    ],
)
async def test_authentic_nonsense_is_kept(service: Service, body: bytes) -> None:
    """What is signed but makes no sense is answered 200 and stored raw; nothing is published."""
    status, answer, _ = await service.post(body)

    assert (200, {"result": "quarantined"}) == (status, answer)
    (kept,) = await service.processor.writer.run(deliveries.list_quarantine)
    assert body == await service.processor.writer.run(deliveries.load_body, kept.id)
    assert [] == service.published


async def test_strange_but_valid_blobs_pass(service: Service) -> None:
    """NUL characters, large integers and deep values in the application's own data break no store."""
    meta = {"identifier": "a\u0000b", "blob": [2**53 - 1, "\u0000", {"deep": [[[[1]]]]}], "instruction": None}

    status, answer, _ = await service.post(body_of(new_payload(), custom_meta=meta))
    await until(lambda: bool(service.published))

    assert (200, {"result": "accepted"}) == (status, answer)
    custom_meta = parse_event(service.published[0].body).data.custom_meta
    assert custom_meta is not None
    assert meta == custom_meta.model_dump(exclude={"dropped"})


@pytest.mark.parametrize("blob", ["\\ud83d", "2" * 5000, "1e999", "[" * 750 + "]" * 750])
async def test_blob_that_nobody_can_carry_loses_no_outcome(service: Service, blob: str) -> None:
    """The webhook is believed, and its event names what was left out."""
    text = f'"{blob}"' if blob.startswith("\\") else blob
    body = body_of(new_payload(), custom_meta={"identifier": "a", "blob": "@@"}).replace(b'"@@"', text.encode())

    status, answer, _ = await service.post(body)
    await until(lambda: bool(service.published))

    assert (200, {"result": "accepted"}) == (status, answer)
    custom_meta = parse_event(service.published[0].body).data.custom_meta
    assert custom_meta is not None
    assert ("a", None, ("blob",)) == (custom_meta.identifier, custom_meta.blob, custom_meta.dropped)


async def test_large_body(service: Service) -> None:
    """A body over the limit is 413, whether its length is announced or not, and costs a line in the log."""
    body = b"x" * 70_000

    announced = await service.post(body)
    async with service.session.post(
        f"{service.processor.url}/webhooks/shop", data=_chunks(body), headers=headers_of(body)
    ) as response:
        streamed = response.status, (await response.json(content_type=None))["reason"]

    assert (413, "body_too_large") == (announced[0], announced[1]["reason"])
    assert (413, "body_too_large") == streamed


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 8192):
        yield body[start : start + 8192]


async def test_chunked_body_is_fine(service: Service) -> None:
    """A body in chunks within the limit is a body like any other."""
    body = body_of(new_payload())

    async with service.session.post(
        f"{service.processor.url}/webhooks/shop", data=_chunks(body), headers=headers_of(body)
    ) as response:
        assert response.status == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity", "nonsense"])
async def test_encoded_body(service: Service, encoding: str) -> None:
    """Any content encoding is 415 before a byte is decompressed."""
    body = body_of(new_payload())

    status, answer, _ = await service.post(body, headers_of(body) | {"content-encoding": encoding})

    assert (415, "content_encoding_not_supported") == (status, answer["reason"])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods(service: Service, method: str) -> None:
    """Only POST delivers; anything else is 405 and says so."""
    status, answer, headers = await service.post(b"", {}, method=method)

    assert (405, "method_not_allowed", "POST") == (status, answer["reason"], headers["Allow"])


async def test_slow_body(tmp_path: Path) -> None:
    """A body that never ends is cut off with 408."""
    async with running(tmp_path, body_timeout="200ms") as service:
        host, port = service.processor.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /webhooks/shop HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"body_timeout" in answer


async def test_secret_rotation(tmp_path: Path) -> None:
    """A replaced secret is accepted until its end, and not after it."""
    shop = {"api_key": APPLICATION, "api_secret": SECRET}
    good = {"secret": OLD_SECRET, "not_after": "2999-01-01T00:00:00Z"}
    over = {"secret": "bbbbbbbb-90ab-4cde-8f01-234567890abc", "not_after": "2020-01-01T00:00:00Z"}
    body = body_of(new_payload())

    async with running(tmp_path, applications={"shop": shop | {"previous_secrets": [good, over]}}) as service:
        accepted, _, _ = await service.post(body, headers_of(body, secret=OLD_SECRET))
        refused, _, _ = await service.post(body, headers_of(body, secret=over["secret"]))

    assert (200, 401) == (accepted, refused)


async def test_stale_but_authentic_webhook_makes_a_look_due(service: Service) -> None:
    """It is refused, and tells nothing; but its payload is looked up, once, however often it is replayed."""
    payload = new_payload()
    body = body_of(payload)
    stale = headers_of(body, at=time.time() - 3600)

    answers = {(await service.post(body, stale))[0] for _ in range(30)}

    assert {401} == answers
    state = await service.processor.writer.run(payloads.find, "shop", payload)
    assert state is not None
    assert Fact(0) == state.facts
    assert [("poll", payload)] == await waiting_tasks(service)
    assert [] == service.published


@pytest.mark.parametrize(
    "body", [b"nonsense", body_of(new_payload(), application="8f5b1d3a-0000-4000-8000-00000000beef")]
)
async def test_stale_webhook_that_makes_no_sense_asks_for_nothing(service: Service, body: bytes) -> None:
    """Of another application, or of no payload at all, there is nothing to look up."""
    status, _, _ = await service.post(body, headers_of(body, at=time.time() - 3600))

    assert 401 == status
    assert [] == await waiting_tasks(service)


@pytest.mark.parametrize("at", [0.0, -3600.0])
@pytest.mark.parametrize("response", [None, {}, {"signed": "yes"}, {"payload_uuidv4": "x", "signed": True}])
async def test_webhook_that_makes_no_sense_makes_its_payload_looked_up(
    service: Service, response: Any, at: float
) -> None:
    """Whether it is kept in quarantine or refused as stale: its outcome would be lost otherwise."""
    payload = new_payload()
    body = body_of(payload, payloadResponse=response)

    status, answer, _ = await service.post(body, headers_of(body, at=time.time() + at))
    state = await service.processor.writer.run(payloads.find, "shop", payload)

    assert (200, "quarantined") == (status, answer.get("result")) if not at else 401 == status
    assert state is not None
    assert Fact(0) == state.facts
    assert [("poll", payload)] == await waiting_tasks(service)
    assert [] == service.published


async def test_forged_stale_webhook_asks_for_nothing(service: Service) -> None:
    """Whoever has no secret cannot make the service call Xumm."""
    body = body_of(new_payload())
    await service.post(body, headers_of(body, at=time.time() - 3600, secret=OLD_SECRET))

    assert [] == await waiting_tasks(service)


async def waiting_tasks(service: Service) -> list[tuple[str, str]]:
    def read(connection: Connection) -> list[tuple[str, str]]:
        rows = connection.exec_driver_sql("SELECT kind, payload FROM tasks").all()
        return [(kind, payload) for kind, payload in rows]

    return await service.processor.writer.run(read)


async def test_every_attempt_is_logged(service: Service) -> None:
    """The delivery log tells of accepted, repeated, quarantined and refused attempts, with why."""
    payload = new_payload()
    body = body_of(payload)
    await service.post(body, headers_of(body) | {"x-xumm-attempt": "1"})
    await service.post(body, headers_of(body) | {"x-xumm-attempt": "2"})
    await service.post(b"nonsense", headers_of(b"nonsense") | {"x-xumm-payload": payload})
    await service.post(body, headers_of(body, secret=OLD_SECRET) | {"x-xumm-payload": payload})
    await service.post(body, path="/webhooks/" + "n" * 100)

    lines = await service.deliveries(5)

    assert 5 == len(lines)
    verdicts = {(line.verdict, line.attempt) for line in lines}
    assert {("accepted", 1), ("duplicate", 2), ("quarantined", None), ("signature_invalid", None)} <= verdicts
    assert ("unknown_application", None) in verdicts
    assert 64 == max(len(line.app) for line in lines)
    searched = await service.processor.writer.run(deliveries.list_latest, payload=payload)
    assert 4 == len(searched)
    assert all(line.latency_us >= 0 for line in lines)


async def test_full_outbox_asks_for_a_retry(tmp_path: Path) -> None:
    """Over its high-water mark the service answers 503 with Retry-After, and is not ready."""
    async with running(tmp_path, outbox_high_water=1, database_url=f"sqlite:///{tmp_path}/full.db") as service:
        service.processor.publisher = EmbeddedPublisher()
        await service.post(body_of(new_payload()))
        status, answer, headers = await service.post(body_of(new_payload()))
        async with service.session.get(service.processor.url + "/readyz") as response:
            ready = response.status

    assert (503, "outbox_full", "10") == (status, answer["reason"], headers["Retry-After"])
    assert 503 == ready


async def test_health(service: Service) -> None:
    """The probes answer, and tell of the outbox."""
    async with service.session.get(service.processor.url + "/healthz") as response:
        assert (200, {"status": "ok"}) == (response.status, await response.json())
    async with service.session.get(service.processor.url + "/readyz") as response:
        assert response.status == 200
        assert {"status", "store", "outbox", "unpublished", "refusing"} == set(await response.json())


async def test_ready_until_intake_stops(tmp_path: Path) -> None:
    """From the moment in which it takes no more webhooks it is not ready, though its store is well."""
    stop = asyncio.Event()
    async with Processor(settings_for(tmp_path), publisher=EmbeddedPublisher()) as processor:
        serving = asyncio.create_task(processor.serve(stop))
        before = (await processor.health())["status"]
        stop.set()
        await serving
        after = await processor.health()

    assert (before, after["status"], after["store"]) == ("ok", "stopping", "ok")


async def test_nothing_is_told_of_the_software(service: Service) -> None:
    """Neither versions nor names of what runs underneath are in an answer."""
    _, _, headers = await service.post(b"", {})

    assert "aiohttp" not in str(headers)
    assert "Python" not in str(headers)


async def test_acknowledged_is_durable(service: Service, tmp_path: Path) -> None:
    """When 200 comes back, another reader of the file finds the payload, its event and its task."""
    payload = new_payload()
    await service.post(body_of(payload))

    with sqlite3.connect(f"file:{tmp_path}/processor.db?mode=ro", uri=True) as reader:
        counts = [
            reader.execute(f"select count(*) from {table} where payload = ?", (payload,)).fetchone()[0]  # noqa: S608
            for table in ("payloads", "events", "tasks", "deliveries")
        ]
    reader.close()

    assert [1, 1, 1, 1] == counts
