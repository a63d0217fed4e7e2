"""Which requests take the express lane, and what becomes of those that pass it together."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from processor.core.delivery.authentication import Refusal
from processor.core.delivery.plain_request import WholeRequest
from processor.core.delivery.signature import matches
from processor.core.errors import StoreError, StoreUnavailable
from processor.core.payload.entry import Recorded, Reported
from processor.web.bodies import Bodies, ServerLimits
from processor.web.server import Handler, Health, runner_of, web_application
from processor.webhooks.express import ExpressRunner
from processor.webhooks.intake import Intake
from tests.core.payloads import SECRET
from tests.support.webhooks import body_of, headers_of, new_payload
from tests.webhooks.test_express import answer, request_of
from tests.webhooks.test_intake import OLD_SECRET, Service, running

REPETITIONS = 12

Address = tuple[str, int]
AnyIntake = TypeVar("AnyIntake", bound=Intake)


class CountingIntake(Intake):
    """Notes how many webhooks each pass of the lane admitted."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.admitted: list[int] = []

    def check(self, requests: Sequence[WholeRequest | None], started: float) -> list[Reported | Refusal | None]:
        checked = super().check(requests, started)
        self.admitted.append(sum(isinstance(each, Reported) for each in checked))
        return checked


class IntakeBrokenTogether(Intake):
    """Raises whenever webhooks are checked together."""

    def check(self, requests: Sequence[WholeRequest | None], started: float) -> list[Reported | Refusal | None]:
        raise RuntimeError("secret detail")


class DefectiveIntake(Intake):
    """Raises for every webhook."""

    async def handle(self, request: web.Request) -> web.Response:
        raise RuntimeError("secret detail")


class IntakeWithoutDisk(Intake):
    """Hears from the store that nothing was committed, for as long as the disk is gone."""

    disk_is_gone = True

    def submit(self, admitted: Reported, settle: Callable[[Recorded | StoreError], None]) -> bool:
        if not self.disk_is_gone:
            return super().submit(admitted, settle)
        asyncio.get_running_loop().call_soon(settle, StoreUnavailable("the disk is gone"))
        return True


class IntakeWithOneDefect(Intake):
    """Raises for the first webhook that a connection hands on from the lane."""

    broken = False

    def submit(self, admitted: Reported, settle: Callable[[Recorded | StoreError], None]) -> bool:
        if self.broken:
            return super().submit(admitted, settle)
        self.broken = True
        raise RuntimeError("secret detail")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running(tmp_path) as service:
        yield service


async def _healthy() -> Mapping[str, object]:
    return {"status": "ok"}


async def broken(*_arguments: object) -> Any:
    raise RuntimeError("secret detail")


@asynccontextmanager
async def serving(
    service: Service,
    kind: type[AnyIntake],
    *,
    health: Health = _healthy,
    api: Mapping[str, Handler] = MappingProxyType({}),
    **options: Any,
) -> AsyncIterator[tuple[Address, AnyIntake]]:
    """Another server before the service's store, with an intake of ``kind``."""
    intake = kind(
        service.processor.applications,
        service.processor.writer,
        clock=lambda: datetime.now(UTC),
        bodies=Bodies(ServerLimits()),
        **options,
    )
    runner = runner_of(
        web_application(intake.handle, health, api, body_bytes=intake.bodies.limits.body_bytes),
        partial(ExpressRunner, intake=intake),
        shutdown=timedelta(seconds=5),
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0], intake
    await runner.cleanup()


def address_of(service: Service) -> Address:
    """Where the service itself listens."""
    host, port = service.processor.url.removeprefix("http://").split(":")
    return host, int(port)


async def posted_at_once(address: Address, pieces: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """The answers to ``pieces``, each on a connection of its own, and all there before the server sees any of them."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection(address)) for _ in pieces]
        for each, piece in zip(sockets, pieces, strict=True):
            each.sendall(piece)
            each.setblocking(False)
        answers = []
        for each in sockets:
            reader, writer = await asyncio.open_connection(sock=each.dup())
            answers.append(await answer(reader))
            writer.close()
    return answers


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_first_webhook_of_a_connection(tmp_path: Path, loop: str) -> None:
    """A sender that opens a connection for each webhook, as most do, has it admitted on the lane too."""

    async def post() -> tuple[list[tuple[int, bytes]], list[int]]:
        pieces = [request_of(body_of(new_payload())) for _ in range(REPETITIONS)]
        async with running(tmp_path) as service, serving(service, CountingIntake) as (address, intake):
            return await posted_at_once(address, pieces), intake.admitted

    with asyncio.Runner(loop_factory=pytest.importorskip(loop).new_event_loop) as runner:
        answers, admitted = runner.run(post())

    assert [(200, b'{"result":"accepted"}\n')] * REPETITIONS == answers
    assert sum(admitted) == REPETITIONS


async def test_lane_stays_open_after_what_it_could_not_admit(service: Service) -> None:
    """A refused delivery goes the ordinary way, and the next webhook on its connection takes the lane again."""
    statuses = []
    async with serving(service, CountingIntake) as (address, intake):
        reader, writer = await asyncio.open_connection(*address)
        for number in range(REPETITIONS):
            path = "/webhooks/shop" if number % 2 else "/webhooks/nobody"
            writer.write(request_of(body_of(new_payload()), path=path))
            statuses.append((await answer(reader))[0])
        writer.close()

    assert [401, 200] * (REPETITIONS // 2) == statuses
    assert sum(intake.admitted) == REPETITIONS // 2


async def test_webhooks_that_come_together_pass_together(service: Service) -> None:
    """What is there in one turn of the event loop is checked at once, whichever connections it came on."""
    async with serving(service, CountingIntake) as (address, intake):
        connections = [await asyncio.open_connection(*address) for _ in range(REPETITIONS)]
        for _ in range(3):
            for _, writer in connections:
                writer.write(request_of(body_of(new_payload())))
            assert [200] * REPETITIONS == [(await answer(reader))[0] for reader, _ in connections]
        for _, writer in connections:
            writer.close()

    assert sum(intake.admitted) == 3 * REPETITIONS
    assert max(intake.admitted) > 1


async def test_each_gets_its_own_answer(service: Service) -> None:
    """Whatever comes together, each request is answered for what it is."""
    known = new_payload()
    await posted_at_once(address_of(service), [request_of(body_of(known))])
    signed, tampered = body_of(new_payload()), request_of(body_of(new_payload()))
    pieces = {
        request_of(signed): (200, b"accepted"),
        tampered[:-2] + b" }": (401, b"signature_invalid"),
        request_of(body_of(known)): (200, b"duplicate"),
        request_of(b"{}"): (200, b"quarantined"),
        request_of(body_of(new_payload()), path="/webhooks/nobody"): (401, b"signature_invalid"),
        request_of(b"x" * 70_000): (413, b"body_too_large"),
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n": (200, b"ok"),
        request_of(body_of(new_payload(), signed=False)): (200, b"accepted"),
    }
    answers = await posted_at_once(address_of(service), list(pieces))

    for (status, body), (expected, word) in zip(answers, pieces.values(), strict=True):
        assert (status, word in body) == (expected, True)


async def test_two_webhooks_about_one_payload_together(service: Service) -> None:
    """Of two copies that pass together one is news, and the other a repetition."""
    piece = request_of(body_of(new_payload()))
    answers = await posted_at_once(address_of(service), [piece, piece])

    assert sorted(body for _, body in answers) == [b'{"result":"accepted"}\n', b'{"result":"duplicate"}\n']


async def test_defect_on_the_lane(service: Service) -> None:
    """Webhooks that nothing could be found out about together are answered one by one."""
    pieces = [request_of(body_of(new_payload())) for _ in range(REPETITIONS)]
    with capture_logs() as lines:
        async with serving(service, IntakeBrokenTogether) as (address, _):
            answers = await posted_at_once(address, pieces)

    assert [(200, b'{"result":"accepted"}\n')] * REPETITIONS == answers
    assert "request.express_failed" in {line["event"] for line in lines}
    assert "secret detail" not in str(lines)


async def test_defect_of_one_connection(service: Service) -> None:
    """If a connection breaks on its way back from the lane, it alone ends."""
    async with serving(service, IntakeWithOneDefect) as (address, _):
        connections = [await asyncio.open_connection(*address) for _ in range(3)]
        for _, writer in connections:
            writer.write(request_of(body_of(new_payload())))
        (unanswered, _), *others = connections
        async with asyncio.timeout(10):
            assert await unanswered.read() == b""
        assert [200, 200] == [(await answer(reader))[0] for reader, _ in others]
        for _, writer in connections:
            writer.close()


async def test_store_that_fails_on_the_lane(service: Service) -> None:
    """A commit that fails is answered 503, and the connection goes on."""
    async with serving(service, IntakeWithoutDisk) as (address, intake):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(request_of(body_of(new_payload())))
        head = await reader.readuntil(b"\r\n\r\n")
        names = [line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:-2]]
        told = json.loads(await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split()[0])))
        intake.disk_is_gone = False
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


@pytest.mark.parametrize("line", ["POST /webhooks/shop", "POST /v1/me", "GET /readyz"])
async def test_defect(service: Service, line: str) -> None:
    """A handler that breaks is answered 500 as a problem, which says nothing of what broke, and the connection ends."""
    async with serving(service, DefectiveIntake, health=broken, api={"/v1/me": broken}) as (address, _):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(f"{line} HTTP/1.1\r\nhost: x\r\naccept: text/html\r\ncontent-length: 0\r\n\r\n".encode())
        async with asyncio.timeout(10):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()

    assert (head.split()[1], json.loads(body)["reason"]) == (b"500", "internal_error")
    assert b"application/problem+json" in head
    assert b"secret detail" not in body


@pytest.mark.parametrize(
    ("path", "secret", "age"),
    [
        ("/webhooks/shop", OLD_SECRET, 0),
        ("/webhooks/shop", OLD_SECRET, 3600),
        ("/webhooks/shop", SECRET, 3600),
        ("/webhooks/nobody", SECRET, 0),
        ("/webhooks/nobody", SECRET, 3600),
        ("/webhooks/no.body", SECRET, 0),
    ],
)
async def test_refused_webhook_is_verified_once(service: Service, path: str, secret: str, age: int) -> None:
    """On the lane and after it together, whether the application is known or not."""
    body = body_of(new_payload())
    keys: list[int] = []

    def counted(tried: Sequence[bytes], timestamp: str, body: bytes, signature: bytes) -> bool:
        keys.append(len(tried))
        return matches(tried, timestamp, body, signature)

    async with serving(service, Intake, matches=counted) as (address, _):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(request_of(body, path=path, **headers_of(body, secret=secret, at=time.time() - age)))
        status, _ = await answer(reader)
        writer.close()

    assert (401, 1) == (status, sum(keys))
