"""A phone registers itself over HTTP, hears of its user's sign requests, and takes itself back."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from processor.core.access.service_key import digest_of
from processor.sandbox.signing import ACCOUNT
from schemas.topology import DEFAULT_QUEUES, PUSH_DEVICES, dead_letter_queue
from tests.consumers.broker import until
from tests.core.payloads import APPLICATION
from tests.e2e.service import ConsumerProcess, ServiceProcess, Stage
from tests.e2e.stand import PAYMENT, SIGN_IN, Stand

pytestmark = pytest.mark.rabbitmq

TOKEN = "device-token-canary-of-a-phone-4242"
KEY = "xwp_key-of-the-backend-that-registers"


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    stand = Stand()
    async with stand.sandbox:
        yield stand


@pytest.fixture
async def service(stage: Stage, stand: Stand) -> ServiceProcess:
    await stage.apply_topology({name: list(bindings) for name, bindings in DEFAULT_QUEUES.items()})
    key = {"service_keys__backend__sha256": digest_of(KEY).hex(), "service_keys__backend__scopes": '["devices"]'}
    service = stage.service(**stand.settings(log_level="debug"), **key)
    await service.start()
    return service


@pytest.fixture
async def push(stage: Stage, service: ServiceProcess) -> ConsumerProcess:
    consumer = stage.consumer("push")
    consumer.settings["CONSUMERS_LOG_LEVEL"] = "debug"
    await consumer.start()
    return consumer


def url_of(service: ServiceProcess) -> str:
    return f"{service.url}/v1/devices/{TOKEN}?app=shop&account={ACCOUNT}"


async def asked(service: ServiceProcess, method: str) -> int:
    body = {"channel": "fcm", "locale": "en"} if method == "PUT" else None
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url_of(service), json=body, headers=headers) as answer,
    ):
        return answer.status


async def test_phone_registers_hears_and_is_taken_back(
    stage: Stage, stand: Stand, service: ServiceProcess, push: ConsumerProcess
) -> None:
    """The command takes its own queue alone; no log, stream or event queue shows the token."""
    assert await until(lambda: service.logged("publisher.connected")[1:])
    assert await asked(service, "PUT") == 204
    await until(lambda: push.logged("device.registered"))

    stand.sandbox.sign(stand.sandbox.create(SIGN_IN).uuid)
    (first,) = await until(lambda: push.logged("push.logged"), 40)
    assert await asked(service, "DELETE") == 204
    await until(lambda: push.logged("device.unregistered"))
    stand.sandbox.sign(stand.sandbox.create(PAYMENT).uuid)
    resolved = [f"xumm.resolve.{name}" for name in ("signed", "validated")]
    await until(lambda: [each for each in push.logged("event.handled") if each["event_type"] in resolved][1:], 40)
    codes = [await program.stop() for program in (service, push)]
    taps = [stage.tap(queue) for queue in stage.queues()]
    events = [event for tap in taps for event in await tap.take()]

    assert (codes, len(push.logged("push.logged")), first["device"]) == ([0, 0], 1, f"…{TOKEN[-6:]}")
    assert {event["type"].split(".")[1] for event in events} <= {"sign", "resolve"}
    assert [place.folder.name for place in (service, push) if TOKEN in place.output] == []
    assert dead_letter_queue(PUSH_DEVICES) in stage.queues()


async def test_phone_of_a_session_hears_of_its_user_and_of_its_account(
    stage: Stage, stand: Stand, service: ServiceProcess, push: ConsumerProcess
) -> None:
    """By the user reference while that lasts; of what is asked of the account also after its token was revoked."""
    assert await until(lambda: service.logged("publisher.connected")[1:])
    async with aiohttp.ClientSession(service.url) as http:
        bearer = await _signed_in(http, stand)
        signed_in = {"Authorization": f"Bearer {bearer}"}
        answer = await http.put(f"/v1/devices/{TOKEN}", json={"channel": "fcm"}, headers=signed_in)
        await until(lambda: push.logged("device.registered"))
        stand.sandbox.sign(stand.sandbox.create(PAYMENT).uuid)
        by_user = await until(lambda: _titles(push) if "Transaction confirmed" in _titles(push) else None, 40)

        stand.sandbox.tokens.revoke(APPLICATION)
        asked = {"app": "shop", "txjson": PAYMENT["txjson"], "submit": True}
        made = await (await http.post("/v1/sign-requests", json=asked, headers=signed_in)).json()
        stand.sandbox.sign(made["id"])
        all_told = await until(lambda: _titles(push) if _titles(push).count("Transaction confirmed") > 1 else None, 40)

    assert (answer.status, "Signed" in by_user) == (204, True)
    assert {"Signed", "Transaction confirmed"} <= set(all_told[len(by_user) :])


async def _signed_in(http: aiohttp.ClientSession, stand: Stand) -> str:
    begun = await (await http.post("/v1/sign-in", json={"app": "shop"})).json()
    stand.sandbox.sign(begun["id"])
    secret = {"Authorization": f"Bearer {begun['exchange_secret']}"}

    async def session() -> str | None:
        async with http.post(begun["session_url"], headers=secret) as answer:
            return (await answer.json())["token"] if answer.status == 201 else None

    return str(await until(session, 40))


def _titles(push: ConsumerProcess) -> list[str]:
    return [line["title"] for line in push.logged("push.logged")]


async def test_broker_that_is_gone_is_told(stage: Stage, service: ServiceProcess) -> None:
    """503 while it is down, and 204 once it is back; nobody else's commands are needed for it."""
    assert await until(lambda: service.logged("publisher.connected")[1:])
    stage.rabbitmq.pause()
    try:
        assert await asked(service, "PUT") == 503
    finally:
        stage.rabbitmq.resume()
    assert await until(lambda: _is_taken(service), 40)


async def _is_taken(service: ServiceProcess) -> bool:
    return await asked(service, "PUT") == 204
