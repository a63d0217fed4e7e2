"""What becomes of webhooks while the database is away."""

import asyncio

import pytest

from tests.consumers.broker import until
from tests.e2e.service import Stage
from tests.e2e.tap import ambiguous, disordered
from tests.e2e.traffic import TYPES, Load
from tests.servers.postgres import Postgres

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
