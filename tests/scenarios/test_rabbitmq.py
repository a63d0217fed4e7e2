"""Each outcome once more with a real broker behind the service, and with every webhook lost."""

from pathlib import Path
from typing import Final

import pytest

from processor.sandbox.faults import Faults
from processor.sandbox.server import Sandbox
from tests.e2e.service import Stage
from tests.scenarios.outcomes import OUTCOMES
from tests.scenarios.promise import unkept
from tests.scenarios.system import opened, until
from tests.servers.rabbitmq import RabbitMQ

pytestmark = pytest.mark.rabbitmq

APP: Final = "shop"
OVER_AT: Final = 900.0


async def test_each_outcome_reaches_a_queue_though_its_webhook_is_lost(
    tmp_path: Path, rabbitmq: RabbitMQ, amqp_url: str
) -> None:
    """Each is in the queue under one id, with the right data and without a gap."""
    with Stage(tmp_path, rabbitmq, amqp_url) as stage:
        await stage.apply_topology()
        settings = {"amqp_url": amqp_url, "amqp_management_url": rabbitmq.management_url}
        async with opened(tmp_path, [APP], driven_budget=True, **settings) as system:
            system.sandbox.faults.set(Faults(webhook="lost"), system.apps[APP].key)
            created = {
                name: (await system.create(APP, outcome.request, faults=outcome.faults)).uuid
                for name, outcome in OUTCOMES.items()
            }

            async def watched() -> bool:
                honest = [uuid for name, uuid in created.items() if not OUTCOMES[name].is_lied_of]
                return all(system.sandbox.statuses.count(uuid) for uuid in honest)

            await until(watched, what="each payload has its socket")
            for moment in sorted({moment for outcome in OUTCOMES.values() for moment in outcome.deeds}):
                await system.advance(moment - system.clock.seconds)
                _act(system.sandbox, moment, created)
            await system.advance(OVER_AT - system.clock.seconds, step=15)
            await system.published()
            system.events = await stage.tap().take()
            found = [
                f"{name}: {problem}"
                for name, uuid in created.items()
                for problem in unkept(OUTCOMES[name], system.of(uuid), await system.state(uuid))
            ]

    assert [] == found


def _act(sandbox: Sandbox, moment: float, created: dict[str, str]) -> None:
    for name, uuid in created.items():
        if moment in OUTCOMES[name].deeds:
            OUTCOMES[name].deeds[moment](sandbox, uuid)
