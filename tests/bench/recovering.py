"""How long it takes to learn of many outcomes that nobody told: webhooks lost, sockets cut, Xumm's API rate-limited.

The sandbox is Xumm. Payloads are watched; then every socket is cut, everybody signs, and no webhook is sent. The time
runs from the moment when sockets can be opened again.
"""

import asyncio
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from processor.app import API_PATH
from processor.core.reports.report import StatusReport
from processor.sandbox.access import RateLimits
from processor.sandbox.faults import Faults
from processor.sandbox.payload import Application
from processor.sandbox.server import Sandbox
from processor.sandbox.simulation import SandboxSettings
from processor.xumm.budget import FIRST_LIMIT, Bucket
from tests.bench.consumption import Meter
from tests.bench.report import surroundings
from tests.bench.service import ServiceError
from tests.bench.stage import APP, Broker, placed, remember, running, until
from tests.bench.statuses import allow_files
from tests.bench.subjects import Placement
from tests.bench.table import MeasurementError, Sizes, Table
from tests.bench.tap import Tap
from tests.bench.watching import WATCHER

NAME: Final = "recovering"
BINDING: Final = "*.resolve.signed"
SIGN_IN: Final = {"txjson": {"TransactionType": "SignIn"}}
_SPARE_SECONDS: Final = 120.0
"""How much longer than it must the recovery may take before what is missing counts as lost."""
_HEADINGS: Final = (
    "payloads", "calls a minute", "s", "least s", "ratio", "calls", "refused (429)", "CPU ms each", "others %", "lost",
    "doubled",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovering:
    """How the outcomes of payloads were learned that nobody told."""

    payloads: int
    limit: int
    seconds: float
    """Until the last resolve event was at a consumer; until patience ran out if one is lost."""
    least: float
    """Seconds that the token bucket needs for one call for each, beginning with what it holds."""
    calls: int
    """That the service made, refused ones included."""
    refused: int
    """Answered 429."""
    cpu: float
    """Seconds of the service for each payload."""
    others: float
    lost: int
    doubled: int

    @property
    def ratio(self) -> float | None:
        """Of the time to the least; None if there is no least, since the bucket held enough."""
        return self.seconds / self.least if self.least else None

    @property
    def sound(self) -> bool:
        """Whether every outcome was learned and announced once, and Xumm never had to refuse a call."""
        return self.payloads > 0 and not (self.lost or self.doubled or self.refused)


def least_seconds(calls: int, limit: int) -> float:
    """How long the service's own bucket needs to let so many calls through, all of them waiting from the start.

    It begins with what `FIRST_LIMIT` allows, and learns the true limit from the answer to the first call.
    """
    bucket, now = Bucket.full(FIRST_LIMIT, 0.0), 0.0
    for _ in range(calls):
        now += bucket.wait(now)
        bucket = bucket.take(now).correct(now, limit=limit, remaining=None)
    return now


class CountingSandbox(Sandbox):
    """A sandbox that counts the answers of its API by their status."""

    answers: Counter[int]

    def _web(self) -> web.Application:
        self.answers = Counter()
        app = super()._web()
        app.on_response_prepare.append(self._count)
        return app

    async def _count(self, request: web.Request, response: web.StreamResponse) -> None:
        if request.path.startswith(API_PATH):
            self.answers[response.status] += 1


async def recovering(sizes: Sizes, broker: Broker) -> Table:
    """Measure. Raises `MeasurementError`."""
    allow_files()
    try:
        found = await recover(sizes, broker)
    except ExceptionGroup as group:  # the sandbox's
        known = group.subgroup((MeasurementError, ServiceError, FileNotFoundError))
        if known is None:
            raise
        raise MeasurementError(f"{NAME}: {known.exceptions[0]}") from group
    return table(found, broker.version)


async def recover(sizes: Sizes, broker: Broker) -> Recovering:
    """Raises `MeasurementError` or `ServiceError`, in an ``ExceptionGroup``."""
    async with placed(broker.server) as placement, _sandbox(placement, sizes.limit) as sandbox:
        payloads = [sandbox.open(sandbox.create(SIGN_IN).uuid).uuid for _ in range(sizes.lost)]
        await remember(placement, [_opened(placement, payload) for payload in payloads])
        settings = {
            "PROCESSOR_XUMM_URL": sandbox.base_url,
            "PROCESSOR_LEDGER_URLS__MAINNET": sandbox.ledger_url,
            "PROCESSOR_WATCHING__MAX_WATCHES": str(sizes.lost),
        }
        async with running(WATCHER, placement, settings) as service, Tap(placement.amqp_url, BINDING) as tap:
            await until(lambda: all(map(sandbox.statuses.count, payloads)), "not all sockets were opened")
            await _sign_unheard(sandbox, payloads)
            least = least_seconds(len(payloads), sizes.limit)
            meter, began = Meter(service=service.pid, broker=broker.pid), time.perf_counter()
            sandbox.faults.set(Faults(webhook="lost"))
            await tap.until(len(payloads), least + _SPARE_SECONDS)
            ended = max(tap.came_at.values()) if len(tap.events) == len(payloads) else time.perf_counter()
            cost = meter.read()
            await asyncio.sleep(min(sizes.settle_seconds, 1.0))  # for what comes twice
            return Recovering(
                payloads=len(payloads),
                limit=sizes.limit,
                seconds=ended - began,
                least=least,
                calls=sandbox.answers.total(),
                refused=sandbox.answers[429],
                cpu=cost.cpu / len(payloads),
                others=cost.others,
                lost=len(set(payloads) - tap.events.keys()),
                doubled=tap.doubled,
            )


def _sandbox(placement: Placement, limit: int) -> CountingSandbox:
    owner = Application(key=placement.api_key, secret=placement.api_secret, webhook_url=None)
    return CountingSandbox([owner], SandboxSettings(limits=RateLimits(calls=limit)))


def _opened(placement: Placement, payload: str) -> StatusReport:
    """Known from before, and in no doubt: the service has no reason yet to ask for it."""
    return StatusReport(
        app=APP, application_uuid=placement.api_key, payload=payload, at=datetime.now(UTC), kind="opened"
    )


async def _sign_unheard(sandbox: CountingSandbox, payloads: list[str]) -> None:
    """Cut every socket, keep them cut, and have everybody sign; webhooks are lost."""
    sandbox.faults.set(Faults(webhook="lost", socket="refused"))
    await sandbox.statuses.close()
    await until(lambda: not any(map(sandbox.statuses.count, payloads)), "not all sockets were cut")
    for payload in payloads:
        sandbox.sign(payload)
        await asyncio.sleep(0)


def table(found: Recovering, rabbitmq: str) -> Table:
    """For the reader."""
    row = (
        f"{found.payloads:,}",
        f"{found.limit:,}",
        f"{found.seconds:.1f}",
        f"{found.least:.1f}",
        "-" if found.ratio is None else f"{found.ratio:.2f}",
        f"{found.calls:,}",
        f"{found.refused:,}",
        f"{found.cpu * 1e3:.1f}",
        f"{found.others * 100:.0f}",
        f"{found.lost:,}",
        f"{found.doubled:,}",
    )
    return Table(
        name=NAME,
        title="Until all outcomes are known of which nobody told",
        headings=_HEADINGS,
        rows=[row],
        conditions=f"{found.payloads:,} sign-ins, signed while every socket was cut, no webhook sent; the time runs"
        " from when sockets can be opened again to the last resolve event at a consumer; the sandbox's headers allow"
        f" {found.limit:,} calls in a minute, more than Xumm's 60 to 200, so that the run is short: it is the ratio"
        " that holds for any limit. The least is what the token bucket needs for one call for each payload",
        surroundings=surroundings((WATCHER,), rabbitmq),
        figures=asdict(found) | {"ratio": found.ratio},
        sound=found.sound,
    )
