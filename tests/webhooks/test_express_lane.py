"""Which requests take the express lane, and what becomes of those that pass it together."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from processor.core.delivery.authentication import Refusal
from processor.core.delivery.plain_request import WholeRequest
from processor.core.delivery.signature import matches
from processor.web.bodies import Bodies, Limits
from processor.web.server import runner_of, web_application
from processor.webhooks.express import ExpressConnection, ExpressRunner
from processor.webhooks.intake import Admitted, Intake
from tests.core.payloads import SECRET
from tests.support.webhooks import body_of, headers_of, new_payload
from tests.webhooks.test_express import answer, connect, request_of
from tests.webhooks.test_intake import OLD_SECRET, Service, running

REPETITIONS = 12


class Passed:
    """How many webhooks each pass of the lane admitted."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.admitted: list[int] = []
        check = Intake.check

        def counted(
            intake: Intake, requests: Sequence[WholeRequest | None], started: float
        ) -> Sequence[Admitted | Refusal | None]:
            checked = check(intake, requests, started)
            self.admitted.append(sum(isinstance(each, Admitted) for each in checked))
            return checked

        patch.setattr(Intake, "check", counted)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running(tmp_path) as service:
        yield service


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Passed:
    return Passed(monkeypatch)


async def posted_at_once(service: Service, pieces: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """The answers to ``pieces``, each on a connection of its own, and all there before the server sees any of them."""
    host, port = service.processor.url.removeprefix("http://").split(":")
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in pieces]
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
def test_first_webhook_of_a_connection(tmp_path: Path, passed: Passed, loop: str) -> None:
    """A sender that opens a connection for each webhook, as most do, has it admitted on the lane too."""

    async def post() -> list[tuple[int, bytes]]:
        async with running(tmp_path) as service:
            return await posted_at_once(service, [request_of(body_of(new_payload())) for _ in range(REPETITIONS)])

    with asyncio.Runner(loop_factory=pytest.importorskip(loop).new_event_loop) as runner:
        answers = runner.run(post())

    assert [(200, b'{"result":"accepted"}\n')] * REPETITIONS == answers
    assert sum(passed.admitted) == REPETITIONS


async def test_lane_stays_open_after_what_it_could_not_admit(service: Service, passed: Passed) -> None:
    """A refused delivery goes the ordinary way, and the next webhook on its connection takes the lane again."""
    reader, writer = await connect(service)
    statuses = []
    for number in range(REPETITIONS):
        path = "/webhooks/shop" if number % 2 else "/webhooks/nobody"
        writer.write(request_of(body_of(new_payload()), path=path))
        statuses.append((await answer(reader))[0])
    writer.close()

    assert [401, 200] * (REPETITIONS // 2) == statuses
    assert sum(passed.admitted) == REPETITIONS // 2


async def test_webhooks_that_come_together_pass_together(service: Service, passed: Passed) -> None:
    """What is there in one turn of the event loop is checked at once, whichever connections it came on."""
    connections = [await connect(service) for _ in range(REPETITIONS)]
    for _ in range(3):
        for _, writer in connections:
            writer.write(request_of(body_of(new_payload())))
        assert [200] * REPETITIONS == [(await answer(reader))[0] for reader, _ in connections]
    for _, writer in connections:
        writer.close()

    assert sum(passed.admitted) == 3 * REPETITIONS
    assert max(passed.admitted) > 1


async def test_each_gets_its_own_answer(service: Service) -> None:
    """Whatever comes together, each request is answered for what it is."""
    known = new_payload()
    await posted_at_once(service, [request_of(body_of(known))])
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
    answers = await posted_at_once(service, list(pieces))

    for (status, body), (expected, word) in zip(answers, pieces.values(), strict=True):
        assert (status, word in body) == (expected, True)


async def test_two_webhooks_about_one_payload_together(service: Service) -> None:
    """Of two copies that pass together one is news, and the other a repetition."""
    piece = request_of(body_of(new_payload()))
    answers = await posted_at_once(service, [piece, piece])

    assert sorted(body for _, body in answers) == [b'{"result":"accepted"}\n', b'{"result":"duplicate"}\n']


async def test_defect_on_the_lane(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Webhooks that nothing could be found out about together are answered one by one."""

    def broken(*_arguments: object) -> list[Admitted | None]:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Intake, "check", broken)
    with capture_logs() as lines:
        answers = await posted_at_once(service, [request_of(body_of(new_payload())) for _ in range(REPETITIONS)])

    assert [(200, b'{"result":"accepted"}\n')] * REPETITIONS == answers
    assert "request.express_failed" in {line["event"] for line in lines}
    assert "secret detail" not in str(lines)


async def test_defect_of_one_connection(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a connection breaks on its way back from the lane, it alone ends."""
    broken: list[ExpressConnection] = []
    go_on = ExpressConnection.go_on

    def breaking(connection: ExpressConnection, *arguments: object) -> None:
        if not broken:
            broken.append(connection)
            raise RuntimeError("secret detail")
        go_on(connection, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ExpressConnection, "go_on", breaking)
    connections = [await connect(service) for _ in range(3)]
    for _, writer in connections:
        writer.write(request_of(body_of(new_payload())))
    (unanswered, _), *others = connections
    async with asyncio.timeout(10):
        assert await unanswered.read() == b""
    assert [200, 200] == [(await answer(reader))[0] for reader, _ in others]
    for _, writer in connections:
        writer.close()


async def _healthy() -> Mapping[str, object]:
    return {"status": "ok"}


@asynccontextmanager
async def counting(service: Service) -> AsyncIterator[tuple[tuple[str, int], list[int]]]:
    """Another server before the service's store, and how many keys it checked each signature with."""
    keys: list[int] = []

    def counted(tried: Sequence[bytes], timestamp: str, body: bytes, signature: bytes) -> bool:
        keys.append(len(tried))
        return matches(tried, timestamp, body, signature)

    intake = Intake(
        service.processor.applications,
        service.processor.writer,
        clock=lambda: datetime.now(UTC),
        bodies=Bodies(Limits()),
        on_task=lambda: None,
        matches=counted,
    )
    runner = runner_of(
        web_application(intake.handle, _healthy, {}, body_bytes=intake.bodies.limits.body_bytes),
        partial(ExpressRunner, intake=intake),
        shutdown=timedelta(seconds=5),
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0], keys
    await runner.cleanup()


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
    async with counting(service) as ((host, port), keys):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(request_of(body, path=path, **headers_of(body, secret=secret, at=time.time() - age)))
        status, _ = await answer(reader)
        writer.close()

    assert (401, 1) == (status, sum(keys))
