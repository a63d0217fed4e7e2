import os
from dataclasses import replace

import pytest

from tests.bench.recovering import Recovering, least_seconds, recover, table
from tests.bench.stage import Broker
from tests.bench.table import Sizes
from tests.servers.rabbitmq import RabbitMQ

FOUND = Recovering(
    payloads=30,
    limit=600,
    seconds=3.0,
    least=2.4,
    calls=30,
    refused=0,
    cpu=0.01,
    others=0.1,
    lost=0,
    doubled=0,
)


@pytest.mark.parametrize(
    ("calls", "limit", "expected"),
    [
        (10, 60, 0.0),  # what the bucket holds at first
        (27, 60, 20.0),  # 17 more at (60 - 10 + 1) a minute
        (177, 600, 20.0),  # 167 more at (600 - 100 + 1) a minute
        (177, 6000, 20.0),  # the service uses no more than 600
    ],
)
def test_the_least_is_what_the_bucket_lets_through(calls: int, limit: int, expected: float) -> None:
    """The least time is that of the service's own bucket, which begins with what the lowest limit allows."""
    assert pytest.approx(expected, abs=1e-3) == least_seconds(calls, limit)


def test_the_ratio() -> None:
    """The ratio is to the least time; there is none where nothing had to wait."""
    assert pytest.approx(1.25) == FOUND.ratio
    assert replace(FOUND, least=0.0).ratio is None


@pytest.mark.parametrize("defect", ["lost", "doubled", "refused"])
def test_what_makes_it_unsound(defect: str) -> None:
    """A lost outcome, one told twice and a call that Xumm refused are defects, whatever the ratio."""
    assert table(FOUND, "3.10").sound
    assert not table(replace(FOUND, **{defect: 1}), "3.10").sound


@pytest.mark.rabbitmq
async def test_a_few_outcomes_are_recovered(rabbitmq: RabbitMQ) -> None:
    """The real service learns of each outcome that nobody told, with one call each."""
    rabbitmq.heal()
    found = await recover(Sizes(lost=6, settle_seconds=0.1), Broker(server=rabbitmq, pid=os.getpid(), version=""))

    assert (6, 6, 0, 0, 0) == (found.payloads, found.calls, found.refused, found.lost, found.doubled)
    assert found.seconds > 0
