"""What becomes of webhooks, and of the service, while the database is away."""

import asyncio

import pytest

from tests.consumers.broker import until
from tests.e2e.service import ServiceProcess, Stage
from tests.e2e.tap import ambiguous, disordered
from tests.e2e.traffic import TYPES, Load, Sender
from tests.servers.child import wait_until
from tests.servers.postgres import Postgres
from tests.support.webhooks import body_of, new_payload

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgres]


async def test_a_database_killed_under_load_loses_nothing(stage: Stage, postgres: Postgres, postgres_url: str) -> None:
    """Without its database it answers 503, for Xumm to try again; with it, it goes on, and all it took arrives."""
    await stage.apply_topology()
    service = stage.service(database_url=postgres_url)
    await service.start()
    async with Load(service.webhook_url) as load:
        await load.reaches(100)
        await asyncio.to_thread(postgres.kill)
        await until(lambda: load.statuses[503])
        await asyncio.to_thread(postgres.start)
        await load.grows(100)

    events = await stage.tap().until_types_of(load.acknowledged, *TYPES)
    code = await service.stop()

    assert (set(load.statuses), code) == ({200, 503}, 0)
    assert (ambiguous(events), disordered(events)) == ([], [])


async def test_sigterm_while_the_database_hangs(
    stage: Stage, sender: Sender, postgres: Postgres, postgres_url: str
) -> None:
    """Asked to end while the database does not answer, it answers what is under way and ends in good order."""
    service = stage.service(shutdown_timeout="6s", database_url=postgres_url)
    await service.start()
    before = await sender.send(service.webhook_url, body_of(new_payload()))
    postgres.pause()
    waiting = asyncio.create_task(sender.send(service.webhook_url, body_of(new_payload())))
    await asyncio.to_thread(until_unready, service)
    code = await service.stop()
    answer = await waiting

    assert before is not None
    assert answer is not None
    assert (before.status, answer.status, code) == (200, 503, 0)


def until_unready(service: ServiceProcess) -> None:
    """The probe finds that the store is slow, so the webhook that came before waits."""
    wait_until(lambda: not service.ready(), timeout=20, otherwise=lambda: AssertionError("it calls itself ready"))
