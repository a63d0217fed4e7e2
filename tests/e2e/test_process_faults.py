"""What becomes of acknowledged webhooks when the service itself dies, or is asked to end."""

import asyncio
import signal
from random import SystemRandom

import psycopg
import pytest

from tests.consumers.broker import until
from tests.e2e.service import ServiceProcess, Stage
from tests.e2e.tap import ambiguous, disordered, ids_of
from tests.e2e.traffic import TYPES, Load, Sender, telling_body
from tests.webhooks import new_payload

pytestmark = pytest.mark.rabbitmq

ROUNDS = 4


async def test_sigkill_at_any_moment_loses_nothing(stage: Stage, sender: Sender) -> None:
    """However often it is killed under load, what was answered 200 arrives; what was not can be sent again."""
    await stage.apply_topology()
    service, tap = stage.service(), stage.tap()
    acknowledged: set[str] = set()
    unacknowledged: list[bytes] = []
    for _ in range(ROUNDS):
        await service.start()
        async with Load(service.webhook_url) as load:
            await load.reaches(SystemRandom().randrange(20, 200))
            await service.kill()
            await load.ends()
        acknowledged |= load.acknowledged
        unacknowledged += load.unacknowledged
    await service.start()
    await tap.until_types_of(acknowledged, *TYPES)

    again = await sender.send_all(service.webhook_url, unacknowledged)
    code = await service.stop()
    events = await tap.take()

    assert (set(again), code) == ({200}, 0)
    assert len(ids_of(events)) == len(TYPES) * (len(acknowledged) + len(unacknowledged))
    assert (ambiguous(events), disordered(events)) == ([], [])


async def test_sigterm_under_load_drains(stage: Stage) -> None:
    """Asked to end, it finishes what is in flight and exits with 0; the queue then holds all that was answered 200."""
    await stage.apply_topology()
    service = stage.service()
    await service.start()
    await until(lambda: service.health()["outbox"] == "live")
    async with Load(service.webhook_url) as load:
        await load.reaches(100)
        code = await service.stop(signal.SIGTERM)
        await load.ends()

    events = await stage.tap().take()

    told = {event["subject"] for event in events if event["type"] == "xumm.sign.token_issued"}
    assert (code, load.acknowledged - told, disordered(events)) == (0, set(), [])
    assert [line["unpublished"] for line in service.logged("service.stopped")] == [0]
    assert "Traceback" not in service.output


@pytest.mark.postgres
async def test_two_services_share_the_work(stage: Stage, sender: Sender, postgres_url: str) -> None:
    """Two processes on one database tell each fact under one id and in order; when the one that publishes is
    killed, the other takes over.
    """
    await stage.apply_topology()
    services = [stage.service(name=name, database_url=postgres_url) for name in ("first", "second")]
    await asyncio.gather(*(service.start() for service in services))
    payloads = [new_payload() for _ in range(60)]
    bodies = [telling_body(payload) for payload in payloads]

    answers = await asyncio.gather(*(sender.send_all(service.webhook_url, bodies) for service in services))
    tap = stage.tap()
    await tap.until_types_of(payloads, *TYPES)
    leader, other = leading_first(services, postgres_url)
    async with Load(leader.webhook_url, other.webhook_url) as load:
        await load.reaches(100)
        await leader.kill()
        await load.grows(100)
    await tap.until_types_of(load.acknowledged, *TYPES)
    code = await other.stop()
    events = await tap.take()

    assert ({status for statuses in answers for status in statuses}, set(load.statuses), code) == ({200}, {200}, 0)
    assert (ambiguous(events), disordered(events)) == ([], [])
    assert [line for service in services for line in service.lines if line["event"].startswith("store.")] == []


def leading_first(services: list[ServiceProcess], postgres_url: str) -> list[ServiceProcess]:
    """The service whose process holds the relay's lease, then the other."""
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        row = connection.execute("select holder from leases where name = 'relay'").fetchone()
    assert row is not None
    return sorted(services, key=lambda service: not row[0].endswith(f":{service.child.pid}"))
