"""What the page asks for, over HTTP, and who may ask."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import web

from processor.app import Processor
from processor.broker.embedded import EmbeddedPublisher
from processor.dev.broker import FragileBroker
from processor.dev.composition import open_environment
from processor.dev.event_stream import KEPT, EventStream
from processor.dev.handlers import PATH, PageHandlers
from processor.sandbox.payload import Application
from processor.sandbox.server import Sandbox
from tests.servers.child import free_port
from tests.support.settings import settings_for

OWNER = Application(key="5a4db0c5-0000-4000-8000-000000000001", secret="5a4db0c5-5ec7-4e70-9000-000000000001")
SIGN_IN = {"txjson": {"TransactionType": "SignIn"}}
JSON = {"Content-Type": "application/json"}


class Environment(NamedTuple):
    """The handlers over HTTP, and the parts that they act on."""

    session: aiohttp.ClientSession
    sandbox: Sandbox
    broker: FragileBroker
    stream: EventStream


@pytest.fixture
async def environment() -> AsyncIterator[Environment]:
    async with Sandbox([OWNER]) as sandbox, FragileBroker(EmbeddedPublisher()) as broker:
        stream = EventStream(backlog=KEPT + 5)
        async with _served(PageHandlers(sandbox, broker, stream)) as session:
            yield Environment(session, sandbox, broker, stream)
            stream.end()


@asynccontextmanager
async def _served(handlers: PageHandlers) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application()
    for path, handler in handlers.routes.items():
        app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
            yield session
    finally:
        await runner.cleanup()


async def test_production_knows_no_such_page(tmp_path: Path) -> None:
    """`processor run` serves what a `Processor` serves by itself, and that is neither page nor phone nor faults."""
    async with Processor(settings_for(tmp_path)) as processor, aiohttp.ClientSession(processor.url) as session:
        paths = ("", "/page.js", "/events", "/phone", "/faults")
        found = [(await session.get(PATH + path)).status for path in paths]

    assert found == [404] * len(paths)


@pytest.mark.parametrize("path", ["", "/page.css", "/page.js", "/icon.svg", "/faults"])
async def test_every_answer_is_hardened(environment: Environment, path: str) -> None:
    """No answer lets a browser run, load or frame what is not the page's own."""
    async with environment.session.get(PATH + path) as answer:
        policy = answer.headers.get("Content-Security-Policy", "")

    assert answer.status == 200
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


async def test_another_page_may_not_ask(environment: Environment) -> None:
    """A page of another origin in the same browser presses no button here."""
    payload = environment.sandbox.create(SIGN_IN)
    async with environment.session.post(
        f"{PATH}/phone/{payload.uuid}/sign", json={}, headers={"Origin": "http://evil.example"}
    ) as answer:
        status = answer.status

    assert (status, environment.sandbox.payloads.get(payload.uuid).situation) == (403, "waiting")


async def test_what_cannot_be_done_is_told(environment: Environment) -> None:
    """409 for what the payload's situation does not allow, 404 for a payload that is none."""
    payload = environment.sandbox.create(SIGN_IN)
    environment.sandbox.expire(payload.uuid)
    asked = [payload.uuid, "0" * 36]
    told = [(await environment.session.post(f"{PATH}/phone/{uuid}/sign", json={})).status for uuid in asked]

    assert told == [409, 404]


async def test_switches_are_set_one_by_one(environment: Environment) -> None:
    """What is not named stays as it is."""
    first = await (await environment.session.put(f"{PATH}/faults", json={"webhook": True})).json()
    second = await (await environment.session.put(f"{PATH}/faults", json={"broker": True, "webhook": False})).json()

    assert first == {"webhook": True, "socket": False, "broker": False}
    assert second == {"webhook": False, "socket": False, "broker": True}
    assert not environment.broker.connected


@pytest.mark.parametrize("body", [b"", b"[]", b'{"webhook": 1}', b'{"ledger": true}', b"\xff"])
async def test_a_switch_that_is_none_is_refused(environment: Environment, body: bytes) -> None:
    """400, and nothing is set."""
    async with environment.session.put(f"{PATH}/faults", data=body, headers=JSON) as answer:
        status = answer.status

    assert (status, environment.broker.connected) == (400, True)


async def test_revoking_ends_pushes(environment: Environment) -> None:
    """After it no token of the application is in force."""
    signature = environment.sandbox.sign(environment.sandbox.create(SIGN_IN).uuid).signature
    assert signature is not None
    before = environment.sandbox.tokens.is_active(OWNER.key, signature.user_token.token)
    await environment.session.delete(f"{PATH}/phone/permission")

    assert (before, environment.sandbox.tokens.is_active(OWNER.key, signature.user_token.token)) == (True, False)


async def test_who_comes_later_hears_the_latest(environment: Environment) -> None:
    """And not what was not to be kept."""
    for number in range(KEPT + 10):
        environment.stream.send("published", {"number": number})
    environment.stream.send("phone", {}, keep=False)
    async with environment.session.get(f"{PATH}/events") as answer:
        heard = [await _message(answer) for _ in range(KEPT + 1)]

    assert "hello" in heard[0]
    assert (heard[1].splitlines()[0], heard[-1].splitlines()[0]) == ("id: 11", f"id: {KEPT + 10}")


async def test_a_slow_page_is_let_go(environment: Environment) -> None:
    """What it has not read is thrown away, and it may come again; the others are not held up."""
    async with environment.session.get(f"{PATH}/events") as answer:
        await _message(answer)
        for number in range(KEPT * 2):
            environment.stream.send("published", {"number": number})
        readers = environment.stream.readers
        async with asyncio.timeout(5):
            rest = await answer.content.read()

    assert (readers, rest) == (0, b"")


async def _message(answer: aiohttp.ClientResponse) -> str:
    async with asyncio.timeout(5):
        return (await answer.content.readuntil(b"\n\n")).decode()


@pytest.mark.parametrize("path", ["", "/phone", "/events", "/faults"])
async def test_a_foreign_name_is_answered_nothing(environment: Environment, path: str) -> None:
    """A site whose name came to lead here (DNS rebinding) is of the same origin to the browser, and not to the page."""
    headers = {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"}
    async with environment.session.get(PATH + path, headers=headers) as answer:
        assert answer.status == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Content-Type": "text/plain"}, 415), ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Origin": "null"}, 403)],
)
async def test_only_json_of_the_page_itself_changes_something(
    environment: Environment, headers: dict[str, str], status: int
) -> None:
    """What a browser sends for any page without asking presses no button and flips no switch."""
    payload = environment.sandbox.create(SIGN_IN)
    told = []
    for method, path in (("POST", f"/phone/{payload.uuid}/sign"), ("PUT", "/faults")):
        async with environment.session.request(
            method, PATH + path, data="{}", headers={"Content-Type": "application/json", **headers}
        ) as answer:
            told.append(answer.status)

    assert (told, environment.sandbox.payloads.get(payload.uuid).situation) == ([status, status], "waiting")


async def test_the_service_behind_the_page_answers_to_no_foreign_name_either(tmp_path: Path) -> None:
    """What the page asks of the service's own interface, a rebound page could ask as well."""
    hosts = ("127.0.0.1", "tunnel.example", "evil.example")
    async with (
        open_environment(tmp_path, asyncio.Event(), port=free_port(), sandbox_port=0, hosts=("Tunnel.example",)) as run,
        aiohttp.ClientSession() as session,
    ):
        places = [f"{run.processor.url}/v1/me", f"{run.processor.url}{PATH}", f"{run.sandbox.base_url}/faults"]
        told = [[(await session.get(url, headers={"Host": host})).status for host in hosts] for url in places]

    assert told == [[401, 401, 421], [200, 200, 421], [200, 200, 421]]
