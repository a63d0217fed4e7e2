"""What an open watch costs the processor: memory, CPU to open it, and CPU while nothing happens on it.

Two runs of the real service, one that knows no payloads and one that knows many: their difference is what watches cost.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

import aiohttp

from processor.core.reports.report import LookupDue
from tests.bench.consumption import Usage, machine, own_cpu, usage
from tests.bench.report import surroundings
from tests.bench.service import Service, ServiceError, free_port
from tests.bench.stage import APP, PROCESSOR, Broker, placed, remember, running
from tests.bench.statuses import CENSUS_PATH, Census, allow_files
from tests.bench.subjects import ROOT, Placement
from tests.bench.table import MeasurementError, Sizes, Table

NAME: Final = "watching"
PATIENCE_SECONDS: Final = 300.0
WATCHER: Final = replace(PROCESSOR, distributions=(*PROCESSOR.distributions, "uvloop", "websockets"))
_FIRST_LOOK: Final = timedelta(hours=1)
"""Looks at Xumm's API fall behind the measurement."""
_OTHER_FILES: Final = 100
_POLL_SECONDS: Final = 0.05
_HEADINGS: Final = (
    "watches", "KiB each", "open: CPU ms each", "open: s", "idle: % of a CPU", "idle: CPU µs each per keepalive",
    "server CPU ms each", "others %", "open", "opened twice",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one run used: from its start until all watches were open, and in the idle time after."""

    opened: Usage
    idled: Usage
    opening_seconds: float
    idle_seconds: float
    server_cpu: float
    others: float
    census: Census


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """What ``count`` watches cost, beyond a service that has none."""

    count: int
    memory: float
    """Bytes of resident memory for each."""
    opening_cpu: float
    """Seconds of CPU to open each, the commit of what it says first included."""
    opening_seconds: float
    """From the service's readiness until all were open."""
    idle_share: float
    """Of one CPU, for all of them, beyond what the service without watches took."""
    server_cpu: float
    """Seconds of CPU of the other side, for each."""
    others: float
    census: Census

    @classmethod
    def between(cls, none: Reading, many: Reading, count: int) -> "Watching":
        """The difference between a run without watches and one with ``count``."""
        return cls(
            count=count,
            memory=(many.idled.memory - none.idled.memory) / count,
            opening_cpu=(many.opened.cpu - none.opened.cpu) / count,
            opening_seconds=many.opening_seconds,
            idle_share=_idle_share(many) - _idle_share(none),
            server_cpu=(many.server_cpu - none.server_cpu) / count,
            others=many.others,
            census=many.census,
        )

    @property
    def sound(self) -> bool:
        """Whether each watch was opened, once, and stayed so."""
        return self.census == Census(open=self.count, payloads=self.count, connections=self.count)


def _idle_share(reading: Reading) -> float:
    return (reading.idled.cpu - reading.opened.cpu) / reading.idle_seconds


async def watching(sizes: Sizes, _broker: Broker) -> Table:
    """Measure; no broker takes part. Raises `MeasurementError`."""
    require_files(sizes.watches)
    try:
        readings = [await read(count, sizes) for count in (0, sizes.watches)]
    except (ServiceError, FileNotFoundError) as error:
        raise MeasurementError(f"{NAME}: {error}") from error
    return table(Watching.between(*readings, sizes.watches), sizes)


def require_files(sockets: int) -> None:
    """Raises `MeasurementError` if no process here may open so many."""
    if (allowed := allow_files()) < sockets + _OTHER_FILES:
        raise MeasurementError(f"{sockets} sockets need more open files than {allowed}: raise `ulimit -Hn`")


async def read(count: int, sizes: Sizes) -> Reading:
    """One run with ``count`` watches."""
    async with placed(None) as placement, _statuses(placement) as (server, url):
        now = datetime.now(UTC) + _FIRST_LOOK
        await remember(placement, [_registered(placement, now) for _ in range(count)])
        settings = {"PROCESSOR_XUMM_URL": url, "PROCESSOR_WATCHING__MAX_WATCHES": str(max(count, 1))}
        before, own_before, server_before = machine(), own_cpu(), usage(server.pid).cpu
        async with running(WATCHER, placement, settings) as service:
            began = time.monotonic()
            await _all_open(url, count)
            took = time.monotonic() - began
            await asyncio.sleep(sizes.settle_seconds)
            opened = usage(service.pid)
            await asyncio.sleep(sizes.idle_seconds)
            idled = usage(service.pid)
            server_cpu = usage(server.pid).cpu - server_before
            ours = idled.cpu + server_cpu + own_cpu() - own_before
            return Reading(
                opened=opened,
                idled=idled,
                opening_seconds=took,
                idle_seconds=sizes.idle_seconds,
                server_cpu=server_cpu,
                others=machine().others(before, ours),
                census=await _census(url),
            )


def _registered(placement: Placement, at: datetime) -> LookupDue:
    return LookupDue(app=APP, application_uuid=placement.api_key, payload=str(uuid4()), at=at, reason="registered")


@asynccontextmanager
async def _statuses(placement: Placement) -> AsyncIterator[tuple[Service, str]]:
    """The other side, as a process, and its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with Service(
        (sys.executable, "-m", "tests.bench.statuses", str(port)),
        {"PYTHONPATH": str(ROOT)},
        cwd=placement.directory,
        log=placement.directory / "statuses.log",
        ready_url=url + CENSUS_PATH,
    ) as server:
        yield server, url


async def _all_open(url: str, count: int) -> None:
    stop_at = time.monotonic() + PATIENCE_SECONDS
    while (await _census(url)).open < count and time.monotonic() < stop_at:  # noqa: ASYNC110 - another process's count
        await asyncio.sleep(_POLL_SECONDS)


async def _census(url: str) -> Census:
    async with aiohttp.ClientSession() as session, session.get(url + CENSUS_PATH) as answer:
        return Census(**await answer.json(content_type=None))


def table(found: Watching, sizes: Sizes) -> Table:
    """For the reader."""
    keepalives = 15
    row = (
        f"{found.count:,}",
        f"{found.memory / 1024:.1f}",
        f"{found.opening_cpu * 1e3:.2f}",
        f"{found.opening_seconds:.1f}",
        f"{found.idle_share * 100:.1f}",
        f"{found.idle_share * keepalives / found.count * 1e6:.0f}",
        f"{found.server_cpu * 1e3:.2f}",
        f"{found.others * 100:.0f}",
        f"{found.census.open:,}",
        f"{found.census.connections - found.census.payloads:,}",
    )
    return Table(
        name=NAME,
        title=f"What an open watch costs: {found.count:,} of them, then {sizes.idle_seconds:g} s without news",
        headings=_HEADINGS,
        rows=[row],
        conditions="the difference between a service that knows these payloads when it starts and one that knows none;"
        " plain WebSockets, without TLS and without a broker, to a server in a process of its own that greets and then"
        " says every 15 s when the payload expires; opening includes the lease and the commit of the first expiry;"
        " idling includes one renewal of each lease",
        surroundings=surroundings((WATCHER,), None),
        figures=asdict(found),
        sound=found.sound,
    )
