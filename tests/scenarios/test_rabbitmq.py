"""Each outcome once more with a real broker behind the service, and with every webhook lost."""

from pathlib import Path
from typing import Final

import pytest

from processor.sandbox.faults import Faults
from processor.sandbox.server import Sandbox
from tests.e2e.service import Stage
from tests.scenarios.house import opened, until
from tests.scenarios.outcomes import OUTCOMES
from tests.scenarios.promise import unkept
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
        async with opened(tmp_path, [APP], driven_budget=True, **settings) as house:
            house.sandbox.faults.set(Faults(webhook="lost"), house.apps[APP].key)
            created = {
                name: (await house.create(APP, outcome.request, faults=outcome.faults)).uuid
                for name, outcome in OUTCOMES.items()
            }

            async def watched() -> bool:
                honest = [uuid for name, uuid in created.items() if not OUTCOMES[name].is_lied_of]
                return all(house.sandbox.statuses.count(uuid) for uuid in honest)

            await until(watched, what="each payload has its socket")
            for moment in sorted({moment for outcome in OUTCOMES.values() for moment in outcome.deeds}):
                await house.advance(moment - house.clock.seconds)
                _act(house.sandbox, moment, created)
            await house.advance(OVER_AT - house.clock.seconds, step=15)
            await house.published()
            house.events = await stage.tap().take()
            found = [
                f"{name}: {problem}"
                for name, uuid in created.items()
                for problem in unkept(OUTCOMES[name], house.of(uuid), await house.state(uuid))
            ]

    assert [] == found


def _act(sandbox: Sandbox, moment: float, created: dict[str, str]) -> None:
    for name, uuid in created.items():
        if moment in OUTCOMES[name].deeds:
            OUTCOMES[name].deeds[moment](sandbox, uuid)
