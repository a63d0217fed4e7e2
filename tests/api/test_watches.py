"""``POST /v1/watches`` over real HTTP, with the real store behind it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from processor.app import Processor
from processor.core.access.service_key import digest_of
from processor.store import payloads, watches
from processor.web.problem import PROBLEMS
from tests.core.payloads import PAYLOAD
from tests.support.settings import settings_for
from tests.support.watching import says, serving, until
from tests.support.webhooks import body_of, headers_of

KEYS = {
    "backend": {"sha256": digest_of("backend's key").hex().upper()},
    "other": {"sha256": digest_of("other's key").hex(), "apps": ["bar"]},
}
BAR = {
    "api_key": "8f5b1d3a-0000-4000-8000-00000000a002",
    "api_secret": "22345678-90ab-4cde-8f01-234567890abc",
}
COMMAND: dict[str, Any] = {"app": "shop", "payload": PAYLOAD}


class Caller:
    """Another service, beside a running processor."""

    def __init__(self, processor: Processor, session: aiohttp.ClientSession) -> None:
        self.processor = processor
        self.session = session

    async def post(
        self, command: Any = None, *, key: str | None = "backend's key", method: str = "POST", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        body = command if isinstance(command, bytes) else json.dumps(COMMAND if command is None else command).encode()
        headers = {"Content-Type": "application/json"} | headers
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        url = f"{self.processor.url}/v1/watches"
        async with self.session.request(method, url, data=body, headers=headers) as response:
            self.headers = dict(response.headers)
            return response.status, json.loads(await response.read())


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    shop = settings_for(tmp_path).applications["shop"]
    settings = settings_for(tmp_path, applications={"shop": shop, "bar": BAR}, service_keys=KEYS)
    async with Processor(settings) as processor, aiohttp.ClientSession() as session:
        yield Caller(processor, session)


async def test_payload_is_registered(caller: Caller) -> None:
    """It is stored to be watched, once; asking again is harmless and says so."""
    answers = [await caller.post() for _ in range(3)]
    stored = await caller.processor.writer.run(watches.list_oldest)

    assert answers == [(202, {"result": "accepted"}), (200, {"result": "known"}), (200, {"result": "known"})]
    assert [(watch.state.app, watch.state.payload) for watch in stored] == [("shop", PAYLOAD)]


async def test_payload_that_ended_is_known(caller: Caller) -> None:
    """After its webhook there is nothing left to watch."""
    body = body_of(PAYLOAD)
    async with caller.session.post(f"{caller.processor.url}/webhooks/shop", data=body, headers=headers_of(body)) as it:
        assert it.status == 200

    assert await caller.post() == (200, {"result": "known"})
    assert await caller.processor.writer.run(watches.list_oldest) == []


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"key": None}, "key_missing"),
        ({"key": None, "Authorization": "Basic eA=="}, "key_missing"),
        ({"key": "wrong"}, "key_invalid"),
        ({"key": digest_of("backend's key").hex()}, "key_invalid"),
        ({"key": "other's key"}, "application_forbidden"),
        ({"command": COMMAND | {"app": "nobody"}}, "application_forbidden"),
        ({"command": b"nonsense"}, "body_invalid"),
        ({"command": b""}, "body_invalid"),
        ({"command": {"app": "shop"}}, "body_invalid"),
        ({"command": COMMAND | {"payload": "x"}}, "body_invalid"),
        ({"command": COMMAND | {"more": 1}}, "body_invalid"),
        ({"command": b"x" * 20_000}, "body_too_large"),
        ({"Content-Encoding": "gzip"}, "content_encoding_not_supported"),
        ({"method": "GET"}, "method_not_allowed"),
        ({"method": "DELETE"}, "method_not_allowed"),
    ],
)
async def test_refusals(caller: Caller, request_: dict[str, Any], reason: Any) -> None:
    """Each is a problem with its reason, and nothing is stored; an unknown application is as one that is not yours."""
    status, answer = await caller.post(**request_)

    assert (PROBLEMS[reason][0], reason) == (status, answer["reason"])
    assert caller.headers["Content-Type"].startswith("application/problem+json")
    assert ("WWW-Authenticate" in caller.headers) == (status == 401)
    assert await caller.processor.writer.run(watches.list_oldest) == []


async def test_scope(tmp_path: Path) -> None:
    """A key that may not ask for watches is told so, before its body is read."""
    settings = settings_for(tmp_path, service_keys={"backend": KEYS["backend"]})
    async with Processor(settings) as processor, aiohttp.ClientSession() as session:
        caller = Caller(processor, session)
        assert (await caller.post(b"x" * 20_000, key="wrong"))[1]["reason"] == "key_invalid"
        assert (await caller.post(b"x" * 20_000))[1]["reason"] == "body_too_large"


async def test_nobody_may_call_without_keys(tmp_path: Path) -> None:
    """Where no key is configured, every key is wrong."""
    async with Processor(settings_for(tmp_path)) as processor, aiohttp.ClientSession() as session:
        assert (await Caller(processor, session).post(key=""))[1]["reason"] == "key_missing"
        assert (await Caller(processor, session).post(key="x"))[1]["reason"] == "key_invalid"


async def test_service_watches_what_was_registered(tmp_path: Path) -> None:
    """From the request to the event: the whole service opens the socket, and publishes what it says."""
    async with serving(says('{"opened":true}')) as server:
        settings = settings_for(tmp_path, service_keys=KEYS | {"other": KEYS["backend"]}, xumm_url=str(server.url))
        stop = asyncio.Event()
        async with Processor(settings) as processor, aiohttp.ClientSession() as session:
            serving_ = asyncio.create_task(processor.serve(stop))
            status, _ = await Caller(processor, session).post()
            await until(lambda: PAYLOAD in server.open)
            await until(lambda: _is_opened(processor))
            stop.set()
            await serving_

        assert status == 202
        assert not server.open


async def _is_opened(processor: Processor) -> bool:
    state = await processor.writer.run(payloads.find, "shop", PAYLOAD)
    return state is not None and state.sequence == 1
