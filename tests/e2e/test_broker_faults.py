"""What becomes of acknowledged webhooks while the broker is cut off, hung, killed, not there yet, or partly sick."""

import asyncio

import pytest

from tests.consumers.broker import until
from tests.e2e.service import ServiceProcess, Stage
from tests.e2e.tap import ambiguous, disordered
from tests.e2e.traffic import TYPES, Load, Sender, telling_body
from tests.servers.proxy import Proxy
from tests.support.webhooks import new_payload

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
async def service(stage: Stage, proxy: Proxy) -> ServiceProcess:
    """A service that reaches the broker through the proxy; not started yet."""
    await stage.apply_topology()
    return stage.service(amqp_url=stage.amqp_url_through(proxy.port))


async def test_a_crash_between_commit_and_publish_loses_nothing(
    stage: Stage, service: ServiceProcess, proxy: Proxy, sender: Sender
) -> None:
    """Webhooks answered while the broker was cut off are published after a SIGKILL and a restart, in order."""
    await service.start()
    await proxy.cut()
    payloads = [new_payload() for _ in range(50)]
    statuses = await sender.send_all(service.webhook_url, [telling_body(payload) for payload in payloads])
    await service.kill()
    early = list(await stage.tap().take())

    await proxy.restore()
    await service.start()
    events = await stage.tap().until_types_of(payloads, *TYPES)

    assert (set(statuses), early) == ({200}, [])
    assert (ambiguous(events), disordered(events)) == ([], [])
    assert {event["subject"] for event in events} == set(payloads)


async def test_it_starts_without_a_broker(stage: Stage, service: ServiceProcess, proxy: Proxy, sender: Sender) -> None:
    """With the broker down it starts, takes webhooks, and delivers their events once the broker is there."""
    await proxy.cut()
    await service.start()
    payload = new_payload()

    answer = await sender.send(service.webhook_url, telling_body(payload))
    behind = service.health()["outbox"]
    await proxy.restore()
    events = await stage.tap().until_types_of([payload], *TYPES)

    assert answer is not None
    assert (answer.status, behind, disordered(events)) == (200, "behind", [])


async def test_a_hung_broker_holds_no_webhook_up(
    stage: Stage, service: ServiceProcess, proxy: Proxy, sender: Sender
) -> None:
    """While the connection is open and dead, webhooks are answered 200; their events follow when it lives again."""
    await service.start()
    await until(lambda: service.health()["outbox"] == "live")
    await proxy.half_open()
    payloads = [new_payload() for _ in range(50)]

    statuses = await sender.send_all(service.webhook_url, [telling_body(payload) for payload in payloads])
    early = list(await stage.tap().take())
    await proxy.restore()
    events = await stage.tap().until_types_of(payloads, *TYPES)

    assert (set(statuses), early) == ({200}, [])
    assert (ambiguous(events), disordered(events)) == ([], [])


async def test_a_broker_killed_under_load_loses_nothing(stage: Stage) -> None:
    """Webhooks are answered 200 on and on while the broker dies and returns, and all their events arrive in order."""
    await stage.apply_topology()
    service = stage.service()
    await service.start()
    async with Load(service.webhook_url) as load:
        await load.reaches(100)
        await asyncio.to_thread(stage.rabbitmq.kill)
        await load.grows(100)
        await until(lambda: service.logged("outbox.fell_behind"))
    await asyncio.to_thread(stage.rabbitmq.start)

    events = await stage.tap().until_types_of(load.acknowledged, *TYPES)
    await until(lambda: service.health()["unpublished"] == 0)

    assert set(load.statuses) == {200}
    assert (ambiguous(events), disordered(events)) == ([], [])


async def test_sick_queues_delay_no_other(stage: Stage, sender: Sender) -> None:
    """With one queue full and one without a leader, another gets all events soon, in order; the log stays short."""
    await stage.apply_topology({"full": ["#"], "leaderless": ["#"]})
    vhost = stage.amqp_url.rpartition("/")[2]
    limits = {"max-length": 1, "overflow": "reject-publish"}
    policy = {"pattern": "^full$", "apply-to": "queues", "definition": limits, "priority": 99}
    await asyncio.to_thread(stage.rabbitmq.api, "PUT", f"policies/{vhost}/tight", policy)
    service = stage.service()
    await service.start()
    await asyncio.to_thread(stage.rabbitmq.silence, stage.amqp_url, "leaderless")
    try:
        payloads = [new_payload() for _ in range(60)]
        statuses = await sender.send_all(service.webhook_url, [telling_body(payload) for payload in payloads])
        events = await stage.tap().until_types_of(payloads, *TYPES, seconds=20)
        await until(
            lambda: {line["queue"] for line in service.logged("outbox.publish_failed")} == {"full", "leaderless"}
        )
        health = service.health()
    finally:
        await asyncio.to_thread(stage.rabbitmq.unsilence, stage.amqp_url, "leaderless")

    assert set(statuses) == {200}
    assert (ambiguous(events), disordered(events)) == ([], [])
    assert len(events) <= 5 * len(payloads) * len(TYPES)
    assert (health["status"], health["outbox"]) == ("ok", "behind")
    assert len(service.logged("outbox.publish_failed")) == 2
