"""One measured run of one subject, from a fresh process and an empty virtual host to the tally."""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass, replace
from secrets import token_hex
from typing import Final
from uuid import uuid4

from tests.bench.arrivals import Arrivals, NoExchangeError, Tally, tally
from tests.bench.consumption import Meter
from tests.bench.load import Outcome, Plan, run
from tests.bench.service import Service, ServiceError
from tests.bench.stage import placed, running
from tests.bench.subjects import BINDING, QUEUE, ROOT, Placement, Subject
from tests.bench.webhooks import Destination, numbers, payload_uuid
from tests.servers.rabbitmq import RabbitMQ

FASTEST: Final = 20_000
"""Webhooks per second that no subject reaches here; it bounds how many are signed in advance."""
PATIENCE_SECONDS: Final = 60.0
"""How long an accepted webhook may take to the queue before it counts as lost."""


class LoadError(Exception):
    """The load generator broke off."""


class SubjectError(Exception):
    """A subject could not be measured; the message names it and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How hard and how long each run is."""

    seconds: float = 6.0
    warm_up: float = 2.0
    """Seconds of load that are not counted."""
    count: int = 200_000
    connections: int = 64
    duplicates: float = 0.0

    def batch_size(self, seconds: float) -> int:
        """How many webhooks are enough for ``seconds``."""
        return min(self.count, max(1, int(FASTEST * seconds)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run showed."""

    subject: str
    rate: float
    """Webhooks per second, from the first request until the last accepted one was in the queue."""
    cpu: float
    """Seconds of CPU that the service spent on one webhook, user and system, relaying included."""
    broker_cpu: float
    """Seconds of CPU that the broker spent on one webhook."""
    load_cpu: float
    """Seconds of CPU that the load generator spent on one webhook."""
    p50: float
    p99: float
    """Seconds from request to answer."""
    others: float
    """Share of the machine that went to anything but service, broker and benchmark: high means a noisy run."""
    memory: int
    """Bytes of resident memory at the peak."""
    lag: float
    """Seconds from the last answer until the last accepted webhook was in the queue."""
    accepted: int
    refusals: dict[str, int]
    tally: Tally

    @property
    def sound(self) -> bool:
        """Whether every webhook was answered 200 and each of those arrived, to stay."""
        return self.accepted > 0 and not (self.refusals or self.tally.lost or self.tally.transient)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """A subject under way: its process, its queue, and where the webhooks go."""

    service: Service
    arrivals: Arrivals
    placement: Placement
    path: str

    def plan(self, options: Options, seconds: float) -> Plan:
        """A batch of payloads never used before, for ``seconds`` at most."""
        to = Destination(
            host=f"127.0.0.1:{self.placement.port}",
            path=self.path,
            application=self.placement.api_key,
            secret=self.placement.api_secret,
            tag=token_hex(4),
        )
        return Plan(
            to=to,
            port=self.placement.port,
            count=options.batch_size(seconds),
            seconds=seconds,
            connections=options.connections,
            duplicates=options.duplicates,
        )


async def measure(subject: Subject, broker: RabbitMQ, broker_pid: int, options: Options) -> Run:
    """Start ``subject``, warm it up, load it, and count. Raises `SubjectError`."""
    try:
        async with placed(broker) as placement:
            return await _measure_at(placement, subject, broker_pid, options)
    except (ServiceError, LoadError, NoExchangeError, FileNotFoundError) as error:
        raise SubjectError(f"{subject.name}: {error}") from error


async def _measure_at(placement: Placement, subject: Subject, broker_pid: int, options: Options) -> Run:
    async with (
        running(subject, placement) as service,
        Arrivals(placement.amqp_url, queue=QUEUE, exchange=subject.exchange, binding=BINDING) as arrivals,
    ):
        bench = _Bench(service=service, arrivals=arrivals, placement=placement, path=subject.webhook_path)
        await refuses_forgery(bench.plan(options, options.seconds))
        await _warm_up(bench, options)
        return await _load(bench, subject.name, broker_pid, options)


async def refuses_forgery(plan: Plan) -> None:
    """Return if a webhook signed with another secret is refused. Raises `ServiceError` if it is accepted."""
    forged = replace(plan, count=1, connections=1, to=replace(plan.to, secret=str(uuid4())))
    if (await run(forged)).accepted:
        raise ServiceError("accepts a webhook with a forged signature: it does not do the same job")


async def _warm_up(bench: _Bench, options: Options) -> None:
    plan = bench.plan(options, options.warm_up)
    outcome = await generate(plan)
    expected = len(accepted_payloads(plan, outcome))
    await bench.arrivals.lag(expected, since=outcome.finished_at, patience=PATIENCE_SECONDS)
    await bench.arrivals.purge()


async def _load(bench: _Bench, name: str, broker_pid: int, options: Options) -> Run:
    plan = bench.plan(options, options.seconds)
    meter = Meter(service=bench.service.pid, broker=broker_pid)
    outcome = await generate(plan)
    _ = bench.service.pid  # raises if it died under the load
    expected = accepted_payloads(plan, outcome)
    lag = await bench.arrivals.lag(len(expected), since=outcome.finished_at, patience=PATIENCE_SECONDS)
    cost = meter.read()
    found = await bench.arrivals.take(plan.to.tag)
    each = max(1, outcome.accepted)
    return Run(
        subject=name,
        rate=outcome.accepted / (outcome.elapsed + lag),
        cpu=cost.cpu / each,
        broker_cpu=cost.broker_cpu / each,
        load_cpu=outcome.cpu / each,
        p50=outcome.p50,
        p99=outcome.p99,
        others=cost.others,
        memory=cost.peak_memory,
        lag=lag,
        accepted=outcome.accepted,
        refusals=outcome.refusals,
        tally=tally(found, expected),
    )


async def generate(plan: Plan) -> Outcome:
    """Run the load generator as a process of its own. Raises `LoadError` with what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bench.load"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate(json.dumps(asdict(plan)).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise LoadError(errors.decode(errors="replace").strip()[-500:])
    return Outcome(**json.loads(output))


def accepted_payloads(plan: Plan, outcome: Outcome) -> set[str]:
    """The payloads of which at least one webhook was answered 200."""
    drawn = numbers(plan.count, plan.duplicates)
    refused = set(outcome.not_accepted)
    accepted = {drawn[position] for position in range(outcome.sent) if position not in refused}
    return {payload_uuid(plan.to.tag, number) for number in accepted}
