"""Where a run takes place: its own folder, port, keys and virtual host, and what stands in the store beforehand."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self
from uuid import uuid4

from processor.core.application import PayloadPolicy
from processor.core.payload.entry import Reported
from processor.core.reports.report import Report
from processor.store.store import Store
from processor.store.writer import Writer
from tests.bench.service import Service, complete, free_port
from tests.bench.subjects import ROOT, SUBJECTS, Placement, Subject
from tests.bench.table import MeasurementError
from tests.servers.rabbitmq import RabbitMQ

PROCESSOR: Final = SUBJECTS[0]
APP: Final = "shop"
_BROKER_SETTINGS: Final = ("PROCESSOR_AMQP_URL", "PROCESSOR_AMQP_MANAGEMENT_URL")
_AT_ONCE: Final = 1000
_PATIENCE_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """The RabbitMQ of all runs."""

    server: RabbitMQ
    pid: int
    version: str

    @classmethod
    def of(cls, server: RabbitMQ) -> Self:
        """A server that runs."""
        return cls(
            server=server,
            pid=int(server.ctl("eval", "list_to_integer(os:getpid()).")),
            version=server.api("GET", "overview")["rabbitmq_version"],
        )


@asynccontextmanager
async def placed(broker: RabbitMQ | None) -> AsyncIterator[Placement]:
    """A folder, a port and keys; on ``broker`` an empty virtual host. All of it is gone afterwards."""
    amqp_url = "" if broker is None else await asyncio.to_thread(broker.vhost)
    try:
        with TemporaryDirectory(prefix="bench-") as directory:
            yield Placement(
                port=free_port(),
                amqp_url=amqp_url,
                management_url="" if broker is None else broker.management_url.replace("//", "//guest:guest@"),
                api_key=str(uuid4()),
                api_secret=str(uuid4()),
                directory=Path(directory),
            )
    finally:
        if broker is not None:
            await asyncio.to_thread(broker.drop_vhost, amqp_url)


@asynccontextmanager
async def running(
    subject: Subject, placement: Placement, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Service]:
    """``subject``, prepared and ready; ``settings`` come on top of its own. Raises `ServiceError`."""
    environment = {"PYTHONPATH": str(ROOT), **subject.environment_at(placement), **(settings or {})}
    if not placement.amqp_url:
        environment = {name: value for name, value in environment.items() if name not in _BROKER_SETTINGS}
    if subject.prepare is not None and placement.amqp_url:
        await complete(subject.prepare, environment, cwd=placement.directory)
    async with Service(
        subject.command,
        environment,
        cwd=placement.directory,
        log=placement.directory / "service.log",
        ready_url=f"http://127.0.0.1:{placement.port}{subject.ready_path}",
    ) as service:
        yield service


async def remember(placement: Placement, reports: Sequence[Report]) -> None:
    """Have the processor know what ``reports`` say before it starts there."""
    url = f"sqlite:///{placement.directory}/processor.db"
    async with Writer(partial(Store.open, url)) as writer:
        for start in range(0, len(reports), _AT_ONCE):
            group = reports[start : start + _AT_ONCE]
            await asyncio.gather(*(writer.record(Reported(report=report, policy=PayloadPolicy())) for report in group))


async def until(condition: Callable[[], bool], otherwise: str) -> None:
    """Return once ``condition`` holds; raises `MeasurementError` with ``otherwise`` if it does not for long."""
    stop_at = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > stop_at:
            raise MeasurementError(otherwise)
        await asyncio.sleep(_POLL_SECONDS)
