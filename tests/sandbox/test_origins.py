"""Who may ask the sandbox: neither a page under a foreign name, nor one that makes a browser send something unasked."""

from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

import aiohttp
import pytest

from processor.sandbox.server import Sandbox
from processor.sandbox.simulation import SandboxSettings
from tests.sandbox.clock import FakeClock
from tests.sandbox.world import OTHER, SHOP, SIGN_IN, World

JSON = {"Content-Type": "application/json"}
ASKED = f"client_id={SHOP.key}&redirect_uri=https://app.example/&response_type=token"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    settings = SandboxSettings(hosts=("sandbox.example",), public_url="https://xumm.example")
    async with Sandbox([SHOP, OTHER], settings) as sandbox, aiohttp.ClientSession() as session:
        yield World(sandbox, FakeClock(), session)


def here(world: World) -> str:
    """Where it listens, whatever clients are told."""
    return f"http://127.0.0.1:{world.sandbox.port}"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.9.9.9:8600", "localhost:8600", "LOCALHOST", "app.localhost", "[::1]:8600", "sandbox.example",
     "sandbox.example:1", "xumm.example"],
)  # fmt: skip
async def test_names_of_this_machine_are_answered(world: World, host: str) -> None:
    """And those that the sandbox was told."""
    async with world.session.get(f"{here(world)}/faults", headers={"Host": host}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8600", "127.0.0.1.evil.example", "localhost.evil.example", "notlocalhost", "", ":80",
     "10.0.0.1", "[::2]", "127.0.0.1@evil.example", "evil.example/sandbox.example", "xumm.example.evil.example"],
)  # fmt: skip
async def test_a_foreign_name_is_answered_nothing(world: World, host: str) -> None:
    """A site whose name came to lead here (DNS rebinding) reads nothing, and does nothing, on any path."""
    for path in ("/faults", "/api/v1/platform/ping", "/ledger", "/sign/nothing", "/certs"):
        async with world.session.get(f"{here(world)}{path}", headers={"Host": host}) as response:
            assert response.status == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
@pytest.mark.parametrize("path", ["/payloads", "/faults", "/sign/{uuid}/sign", "/auth"])
async def test_what_changes_something_is_json_of_its_own_pages(
    world: World, path: str, headers: Mapping[str, str], status: int
) -> None:
    """A browser sends a form or plain text without asking; a program sends no word of its origin."""
    payload = world.sandbox.create(SIGN_IN)
    method = "PUT" if path == "/faults" else "POST"
    body = '{"txjson":{"TransactionType":"SignIn"}}' if path == "/payloads" else "{}"
    url = here(world) + path.replace("{uuid}", payload.uuid) + (f"?{ASKED}" if path == "/auth" else "")
    async with world.session.request(method, url, data=body, headers={**JSON, **headers}) as response:
        refused = response.status in {403, 415}

    assert (refused, response.status) == (status != 200, status)
    if refused:
        assert [payload.uuid] == [each.uuid for each in world.sandbox.payloads.list_open()]


async def test_its_own_pages_may(world: World) -> None:
    """Under whatever name of the sandbox's they were opened, before a proxy with TLS too."""
    for origin in (here(world), world.sandbox.base_url):
        headers = {"Origin": origin, "Host": urlsplit(origin).netloc, "Sec-Fetch-Site": "same-origin"}
        async with world.session.post(f"{here(world)}/payloads", json=SIGN_IN, headers=headers) as response:
            assert response.status == 200


async def test_another_page_may_not_withdraw_or_clear(world: World) -> None:
    """What has no body is held to the same origin alike."""
    uuid = world.sandbox.create(SIGN_IN).uuid
    for path in (f"/payloads/{uuid}", "/faults"):
        async with world.session.delete(here(world) + path, headers={"Origin": "http://evil.example"}) as response:
            assert response.status == 403

    assert world.sandbox.payloads.get(uuid).situation == "waiting"
