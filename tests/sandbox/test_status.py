"""What the status socket of a payload says, and when."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from yarl import URL

from processor.core.application import Application
from processor.core.errors import NormalizeError
from processor.core.reports.status import status_report
from processor.sandbox.clock import utc_now
from processor.sandbox.faults import Faults
from processor.sandbox.javascript import stringify
from processor.sandbox.payload import Payload
from processor.sandbox.server import Sandbox
from processor.sandbox.simulation import SandboxSettings
from tests.sandbox.clock import FakeClock, until
from tests.sandbox.listener import Listener, listening
from tests.sandbox.world import OTHER, PAYMENT, SHOP, SIGN_IN, World, signature_of

APPLICATION = Application(name="shop", uuid=SHOP.key, secrets=())
FOUR_HOURS = 4 * 3600


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = FakeClock()
    settings = SandboxSettings(keepalive=timedelta(milliseconds=20))
    async with (
        Sandbox([SHOP, OTHER], settings, clock=clock, sleep=clock.sleep) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        yield World(sandbox, clock, session)


def address(world: World, payload: Payload) -> str:
    return f"{world.sandbox.base_url.replace('http', 'ws', 1)}/sign/{payload.uuid}"


@pytest.fixture
def payload(world: World) -> Payload:
    return world.sandbox.create(PAYMENT)


@pytest.fixture
async def listener(world: World, payload: Payload) -> AsyncIterator[Listener]:
    async with listening(world.session, address(world, payload)) as listener:
        await listener.until(lambda listener: listener.heard and listener.keepalives)
        yield listener


async def test_it_is_where_the_answer_to_create_says(world: World) -> None:
    """``refs.websocket_status`` leads to a socket that welcomes, and says when the payload expires."""
    _, created = await world.call("POST", "payload", PAYMENT)
    async with listening(world.session, created["refs"]["websocket_status"]) as listener:
        await listener.until(lambda listener: listener.keepalives)

    assert [f'{{"message":"Welcome {created["uuid"]}"}}', f'{{"expires_in_seconds":{FOUR_HOURS}}}'] == listener.texts


async def test_a_sandbox_behind_tls_names_secure_addresses() -> None:
    """With an https address of its own, links are https and the socket is wss."""
    settings = SandboxSettings(public_url="https://xumm.example.com")
    async with Sandbox([SHOP], settings) as sandbox, aiohttp.ClientSession() as session:
        headers = {"x-api-key": SHOP.key, "x-api-secret": SHOP.secret}
        port = sandbox.port
        url = f"http://127.0.0.1:{port}/api/v1/platform/payload"
        async with session.post(url, json=SIGN_IN, headers=headers) as response:
            created = await response.json()

    assert ("https://xumm.example.com", "wss://xumm.example.com") == (
        str(URL(created["next"]["always"]).origin()),
        str(URL(created["refs"]["websocket_status"]).origin()),
    )


async def test_a_plain_request_sees_the_page(world: World, payload: Payload) -> None:
    """The same address is a page for whoever does not ask for a socket."""
    async with world.session.get(f"{world.sandbox.base_url}/sign/{payload.uuid}") as response:
        assert (200, "text/html") == (response.status, response.content_type)


async def test_signing_is_told_step_by_step(world: World, payload: Payload, listener: Listener) -> None:
    """Opened, started, submitted, and then the resolved message with all its fields."""
    world.sandbox.open(payload.uuid, by_deeplink=True)
    signature = signature_of(world.sandbox.sign(payload.uuid))

    assert [
        {"opened": True},
        {"pre_signed": True},
        {"dispatched": True},
        {
            "payload_uuidv4": payload.uuid,
            "reference_call_uuidv4": payload.reference,
            "signed": True,
            "user_token": True,
            "return_url": {"app": None, "web": None},
            "txid": signature.txid,
            "opened_by_deeplink": True,
            "custom_meta": PAYMENT["custom_meta"],
        },
    ] == await listener.hear(4)


async def test_each_look_is_told(world: World, payload: Payload, listener: Listener) -> None:
    """Whoever opens it once more has it on screen once more, also when its time is over."""
    world.sandbox.open(payload.uuid)
    world.sandbox.open(payload.uuid)
    world.sandbox.expire(payload.uuid)
    world.sandbox.open(payload.uuid)

    assert [{"opened": True}, {"opened": True}, {"expired": True}, {"opened": True}] == await listener.hear(4)


async def test_signing_in_is_never_dispatched(world: World) -> None:
    """A pseudo transaction is submitted nowhere, and has no txid to tell."""
    payload = world.sandbox.create(SIGN_IN)
    async with listening(world.session, address(world, payload)) as listener:
        await listener.hear(1)
        world.sandbox.sign(payload.uuid)
        opened, started, resolved = await listener.hear(3)

    assert [{"opened": True}, {"pre_signed": True}] == [opened, started]
    assert (True, None) == (resolved["signed"], resolved["txid"])


async def test_rejecting_is_told_without_a_transaction(world: World, payload: Payload, listener: Listener) -> None:
    """Opened, then resolved and not signed."""
    world.sandbox.reject(payload.uuid)
    opened, resolved = await listener.hear(2)

    assert ({"opened": True}, False, None, False) == (
        opened,
        resolved["signed"],
        resolved["txid"],
        resolved["user_token"],
    )


async def test_what_was_said_is_not_said_again(world: World, payload: Payload) -> None:
    """Whoever connects after the signature hears the welcome and the keepalive only."""
    world.sandbox.sign(payload.uuid)
    async with listening(world.session, address(world, payload)) as listener:
        await listener.until(lambda listener: len(listener.keepalives) >= 3)

    assert [{"message": f"Welcome {payload.uuid}"}] == listener.heard


async def test_fetching_by_the_application_is_told(world: World, payload: Payload, listener: Listener) -> None:
    """By uuid and by identifier; another application, which sees nothing, is not worth a word."""
    await world.call("GET", f"payload/{payload.uuid}", application=OTHER)
    await world.fetch(payload.uuid)
    await world.call("GET", "payload/ci/order-1")

    assert [{"devapp_fetched": True}] * 2 == await listener.hear(2)


async def test_expiry_is_told_by_itself_and_the_socket_stays_open(
    world: World, payload: Payload, listener: Listener
) -> None:
    """Nobody touches the payload; then the seconds go on below zero, and a ping is still answered."""
    world.clock.advance(seconds=FOUR_HOURS + 5)
    expired = await listener.hear(1)
    await listener.until(lambda listener: -5 in listener.keepalives)
    await listener.socket.send_str('{"ping":true}')

    assert [{"expired": True}] == expired
    assert [{"message": "Right back at you!"}] == await listener.hear(1)


async def test_expiry_is_told_on_time() -> None:
    """With the wall clock, no keepalive is needed to notice it."""
    ahead = timedelta()
    async with Sandbox([SHOP], clock=lambda: utc_now() + ahead) as sandbox, aiohttp.ClientSession() as session:
        payload = sandbox.create({**SIGN_IN, "options": {"expire": 1}})
        ahead = timedelta(seconds=59.8)
        async with listening(session, f"{sandbox.base_url}/sign/{payload.uuid}") as listener:
            heard = await listener.hear(2)

    assert [{"message": f"Welcome {payload.uuid}"}, {"expired": True}] == heard


async def test_an_opened_payload_is_signed_after_it_expired(world: World, payload: Payload, listener: Listener) -> None:
    """Expired is not the last word where it was opened before."""
    world.sandbox.open(payload.uuid)
    world.clock.advance(seconds=FOUR_HOURS)
    await listener.hear(2)
    world.sandbox.sign(payload.uuid)
    *_, resolved = await listener.hear(3)

    assert [{"opened": True}, {"expired": True}] == listener.heard[1:3]
    assert resolved["signed"] is True


async def test_an_unknown_payload_is_told_off_and_closed(world: World) -> None:
    """One message, then the end."""
    url = f"{world.sandbox.base_url}/sign/{SHOP.key}"
    async with listening(world.session, url) as listener:
        code = await listener.closed()

    assert ([["message"]], 1000) == ([list(message) for message in listener.heard], code)


@pytest.mark.parametrize("text", ['{"command":"ping","id":"ping"}', '{"ping":false}', "ping", "[]", "{"])
async def test_what_it_does_not_know_it_ignores(world: World, payload: Payload, listener: Listener, text: str) -> None:
    """Anything but a ping is passed over, and the next ping is answered."""
    await listener.socket.send_str(text)
    await listener.socket.send_str('{"ping":true}')

    assert [{"message": "Right back at you!"}] == await listener.hear(1)


async def test_every_socket_of_a_payload_hears_and_no_other(world: World, payload: Payload) -> None:
    """Two listeners of one payload hear its opening; that of another payload does not."""
    other = world.sandbox.create(SIGN_IN)
    async with (
        listening(world.session, address(world, payload)) as first,
        listening(world.session, address(world, payload)) as second,
        listening(world.session, address(world, other)) as third,
    ):
        for listener in (first, second, third):
            await listener.hear(1)
        world.sandbox.open(payload.uuid)
        heard = [await first.hear(1), await second.hear(1)]
        world.sandbox.reject(other.uuid)
        heard.append(await third.hear(2))

    assert [[{"opened": True}]] * 2 == heard[:2]
    assert {"opened": True} == heard[2][0]
    assert other.uuid == heard[2][1]["payload_uuidv4"]


async def test_leaving_sockets_are_forgotten(world: World, payload: Payload) -> None:
    """Nothing is kept for those who went."""
    async with listening(world.session, address(world, payload)) as listener:
        await listener.hear(1)
        watching = world.sandbox.statuses.count(payload.uuid)
    await until(lambda: world.sandbox.statuses.count(payload.uuid) == 0)

    assert 1 == watching


async def test_a_sandbox_that_closes_says_so() -> None:
    """Open sockets end with code 1001."""
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        async with Sandbox([SHOP]) as sandbox:
            url = f"{sandbox.base_url}/sign/{sandbox.create(SIGN_IN).uuid}"
            listener = Listener(await session.ws_connect(url))
            await listener.hear(1)
            closing = group.create_task(listener.closed())
        code = await closing

    assert 1001 == code


async def test_a_silent_socket_is_open_and_says_nothing(world: World, payload: Payload, listener: Listener) -> None:
    """Not even to a ping, for ten keepalives long; once it may speak again, it does."""
    world.sandbox.faults.set(Faults(socket="silent"), payload.uuid)
    await listener.socket.send_str('{"ping":true}')
    world.sandbox.open(payload.uuid)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await listener.until(lambda listener: len(listener.heard) > 1)
    said = len(listener.texts)
    world.sandbox.faults.clear(payload.uuid)
    await listener.until(lambda listener: len(listener.texts) > said)
    assert [{"message": f"Welcome {payload.uuid}"}] == listener.heard


async def test_a_flapping_socket_is_accepted_and_closed(world: World, payload: Payload) -> None:
    """The handshake succeeds, and nothing follows."""
    world.sandbox.faults.set(Faults(socket="flapping"), SHOP.key)
    async with listening(world.session, address(world, payload)) as listener:
        code = await listener.closed()

    assert ([], 1000) == (listener.texts, code)


async def test_a_refused_socket_is_not_accepted(world: World, payload: Payload) -> None:
    """The handshake fails with 503."""
    world.sandbox.faults.set(Faults(socket="refused"))

    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await world.session.ws_connect(address(world, payload))
    assert 503 == refused.value.status


@pytest.mark.parametrize(
    ("fault", "kind"), [("lying", "signed"), ("lying_rejected", "rejected"), ("lying_expired", "expired")]
)
async def test_a_lying_socket_says_what_did_not_happen(world: World, payload: Payload, fault: Any, kind: str) -> None:
    """The message is in Xumm's shape, and the API contradicts it."""
    world.sandbox.faults.set(Faults(socket=fault), payload.uuid)
    async with listening(world.session, address(world, payload)) as listener:
        _, lie = await listener.hear(2)
    report = status_report(APPLICATION, payload.uuid, stringify(lie), world.clock())
    meta = (await world.fetch(payload.uuid))["meta"]

    assert report is not None
    assert (kind, [False] * 3) == (report.kind, [meta[flag] for flag in ("signed", "resolved", "expired")])


async def test_a_lying_socket_names_another_transaction(world: World, payload: Payload) -> None:
    """It says that somebody signed, which is true, and what, which is not."""
    world.sandbox.faults.set(Faults(socket="lying_txid"), payload.uuid)
    async with listening(world.session, address(world, payload)) as listener:
        await listener.hear(1)
        world.sandbox.sign(payload.uuid)
        await listener.until(lambda listener: any('"signed":true' in text for text in listener.texts))
    said = json.loads(listener.texts[-1])

    assert (True, "0" * 64) == (said["signed"], said["txid"])


async def test_garbage_on_a_socket_says_nothing_that_can_be_believed(world: World, payload: Payload) -> None:
    """Each piece of it is refused or passed over by the service's parser."""
    world.sandbox.faults.set(Faults(socket="garbage"), payload.uuid)
    async with listening(world.session, address(world, payload)) as listener:
        await listener.until(lambda listener: len(listener.texts) >= 10)
    reports = [believed(payload.uuid, text, world) for text in listener.texts[2:10]]

    assert [None] * 8 == reports


def believed(uuid: str, text: str, world: World) -> Any:
    try:
        return status_report(APPLICATION, uuid, text, world.clock())
    except NormalizeError:
        return None


async def test_a_huge_message_has_a_megabyte(world: World, payload: Payload) -> None:
    """More than any client should take."""
    world.sandbox.faults.set(Faults(socket="huge"), payload.uuid)
    async with listening(world.session, address(world, payload)) as listener:
        await listener.until(lambda listener: max(map(len, listener.texts), default=0) > 2**20)
