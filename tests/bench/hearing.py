"""How long a message on a payload's socket takes until its event is with a consumer.

The other side of the socket and the consumer are in one process, and so are their clocks.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from processor.core.reports.report import LookupDue
from tests.bench.consumption import Consumption, Meter
from tests.bench.figures import percentile
from tests.bench.report import surroundings
from tests.bench.service import ServiceError
from tests.bench.stage import APP, Broker, placed, remember, running, until
from tests.bench.statuses import Statuses, allow_files
from tests.bench.table import MeasurementError, Sizes, Table
from tests.bench.tap import Tap
from tests.bench.watching import WATCHER

NAME: Final = "hearing"
BINDING: Final = "*.sign.opened"
_OPENED: Final = '{"opened":true}'
_FIRST_LOOK: Final = timedelta(hours=1)
_LAST_SECONDS: Final = 20.0
"""How long the last events are waited for."""
_HEADINGS: Final = (
    "messages", "per s", "p50 ms", "p90 ms", "p99 ms", "most ms", "CPU µs each", "others %", "lost", "doubled",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """Seconds from ``send`` to the consumer's callback."""

    sent: int
    rate: float
    p50: float
    p90: float
    p99: float
    most: float
    cpu: float
    """Seconds of the service for each message; what idles beside included."""
    others: float
    lost: int
    doubled: int

    @property
    def sound(self) -> bool:
        """Whether each message became one event."""
        return self.sent > 0 and not self.lost and not self.doubled


async def hearing(sizes: Sizes, broker: Broker) -> Table:
    """Measure. Raises `MeasurementError`."""
    allow_files()
    try:
        found = await hear(sizes, broker)
    except (ServiceError, FileNotFoundError) as error:
        raise MeasurementError(f"{NAME}: {error}") from error
    return table(found, broker.version)


async def hear(sizes: Sizes, broker: Broker) -> Hearing:
    """Raises `MeasurementError`, `ServiceError`."""
    payloads = [str(uuid4()) for _ in range(sizes.messages)]
    async with placed(broker.server) as placement, Statuses() as statuses:
        at = datetime.now(UTC) + _FIRST_LOOK
        await remember(
            placement,
            [
                LookupDue(app=APP, application_uuid=placement.api_key, payload=payload, at=at, reason="registered")
                for payload in payloads
            ],
        )
        settings = {"PROCESSOR_XUMM_URL": statuses.url, "PROCESSOR_WATCHING__MAX_WATCHES": str(sizes.messages)}
        async with running(WATCHER, placement, settings) as service, Tap(placement.amqp_url, BINDING) as tap:
            await until(lambda: statuses.census.open == len(payloads), f"{NAME}: not all sockets were opened")
            await asyncio.sleep(sizes.settle_seconds)
            meter = Meter(service=service.pid, broker=broker.pid)
            sent_at = await _tell(statuses, payloads, sizes.rate)
            await tap.until(len(payloads), _LAST_SECONDS)
            await asyncio.sleep(min(sizes.settle_seconds, 1.0))  # for what comes twice
            return judge(sent_at, tap, rate=sizes.rate, cost=meter.read())


async def _tell(statuses: Statuses, payloads: Sequence[str], rate: float) -> dict[str, float]:
    """Say that each was opened, evenly spaced, and when that was said, by ``time.perf_counter``."""
    sent_at = {}
    began = time.perf_counter()
    for number, payload in enumerate(payloads):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        sent_at[payload] = time.perf_counter()
        await statuses.tell(payload, _OPENED)
    return sent_at


def judge(sent_at: Mapping[str, float], tap: Tap, *, rate: float, cost: Consumption) -> Hearing:
    """What was sent, set against what came."""
    took = sorted(tap.came_at[payload] - sent for payload, sent in sent_at.items() if payload in tap.came_at)
    return Hearing(
        sent=len(sent_at),
        rate=rate,
        p50=percentile(took, 50),
        p90=percentile(took, 90),
        p99=percentile(took, 99),
        most=percentile(took, 100),
        cpu=cost.cpu / max(1, len(sent_at)),
        others=cost.others,
        lost=len(sent_at) - len(took),
        doubled=tap.doubled,
    )


def table(found: Hearing, rabbitmq: str) -> Table:
    """For the reader."""
    row = (
        f"{found.sent:,}",
        f"{found.rate:,.0f}",
        *(f"{seconds * 1e3:.1f}" for seconds in (found.p50, found.p90, found.p99, found.most)),
        f"{found.cpu * 1e6:,.0f}",
        f"{found.others * 100:.0f}",
        f"{found.lost:,}",
        f"{found.doubled:,}",
    )
    return Table(
        name=NAME,
        title="From a message on a payload's socket to its event at a consumer",
        headings=_HEADINGS,
        rows=[row],
        conditions=f"`opened` on {found.sent:,} open sockets in turn, evenly spaced; the time runs from the server's"
        " send to the callback of a consumer on a quorum queue, so it holds a commit on the disk of the service and one"
        " of the broker; server and consumer share a process",
        surroundings=surroundings((WATCHER,), rabbitmq),
        figures=asdict(found),
        sound=found.sound,
    )
