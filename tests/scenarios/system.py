"""A whole service and a whole Xumm in one process, on one clock that the test moves."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import aiohttp
from sqlalchemy import Connection, and_, func, not_, or_, select

from processor.app import Processor
from processor.broker.embedded import EmbeddedPublisher
from processor.core.access.service_key import digest_of
from processor.core.payload.state import PayloadState
from processor.core.publishing.message import Message
from processor.core.timing import Timing
from processor.sandbox.access import RateLimits
from processor.sandbox.faults import Faults
from processor.sandbox.ledger import ValidationPace
from processor.sandbox.payload import Application, Payload, SignRequest
from processor.sandbox.server import Sandbox
from processor.sandbox.simulation import SandboxSettings
from processor.settings.service import Settings
from processor.store import payloads
from processor.store.adapters import TASK_LEASE
from processor.store.tables import tasks, to_micros
from processor.xumm.budget import Budget
from tests.scenarios.clock import START, DrivenClock
from tests.servers.child import free_port

Json = dict[str, Any]

KEY: Final = "a service's key"
NETWORKS: Final = ("MAINNET", "TESTNET")
GRACE: Final = timedelta(minutes=5)
PATIENCE: Final = 30.0
"""Real seconds within which whatever is due must have been done."""
LOOKS_AT_ONCE: Final = 4
"""With so many waiting for the rate limit, those behind them may have to wait too."""
_GENEROUS: Final = SandboxSettings(
    limits=RateLimits(calls=600),
    keepalive=timedelta(milliseconds=200),
    ledger=ValidationPace(close_time=timedelta(seconds=4)),
)


def application(name: str, port: int) -> Application:
    """The same each time, so that a service that starts again finds its own."""
    key, secret = (str(uuid5(NAMESPACE_URL, f"{part} of {name}")) for part in ("key", "secret"))
    return Application(key=key, secret=secret, name=name, webhook_url=f"http://127.0.0.1:{port}/webhooks/{name}")


async def until(condition: Callable[[], Awaitable[object]], *, what: str) -> None:
    """Return once ``condition`` holds, which it should soon."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not await condition():  # noqa: ASYNC110  anything can be waited for, and nothing else tells
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"this never came true: {what}") from None


@dataclass(slots=True, kw_only=True)
class System:
    """The service, which can be stopped and started again on its database, and the sandbox in front of it."""

    folder: Path
    clock: DrivenClock
    sandbox: Sandbox
    port: int
    changes: Json
    events: list[Json] = field(default_factory=list)
    """All that was published, in this order."""
    apps: dict[str, Application] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    """Payload to the name of its application."""
    budgets: list[Budget] | None = None
    """Those of the running service if the clock moves them too; None: they go by real time."""
    _processor: Processor | None = None
    _serving: asyncio.Task[None] | None = None
    _started_at: datetime = START
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def processor(self) -> Processor:
        """The running service."""
        assert self._processor is not None
        return self._processor

    async def start(self) -> None:
        """Start the service a second later, on whatever database there is."""
        assert self._processor is None
        self.clock.advance(1)
        self._started_at = self.clock()
        self._stop = asyncio.Event()
        if self.budgets is not None:
            self.budgets = []
        ready: asyncio.Future[Processor] = asyncio.get_running_loop().create_future()
        self._serving = asyncio.create_task(self._serve(ready))
        await asyncio.wait([self._serving, ready], return_when=asyncio.FIRST_COMPLETED)
        if self._serving.done():
            await self._serving
        self._processor = ready.result()

    @property
    def is_running(self) -> bool:
        """Whether the service runs."""
        return self._processor is not None

    async def stop(self, *, abruptly: bool = False) -> None:
        """Stop the service as SIGTERM does, or without letting it finish anything. Raises what it died of."""
        assert self._serving is not None
        if abruptly:
            self._serving.cancel()
            await asyncio.wait([self._serving])
        else:
            self._stop.set()
            await self._serving
        self._processor = self._serving = None

    async def _serve(self, ready: "asyncio.Future[Processor]") -> None:
        publisher = None
        if "amqp_url" not in self.changes:
            publisher = EmbeddedPublisher()
            publisher.subscribe("audit", ["#"], self._hear)
        timing = Timing(clock=self.clock, time=self.clock.time, chance=lambda: 0.5)
        async with Processor(self._settings(), publisher=publisher, timing=timing, budget=self._budget) as processor:
            ready.set_result(processor)
            await processor.serve(self._stop)

    def _budget(self) -> Budget:
        if self.budgets is None:
            return Budget()
        self.budgets.append(Budget(clock=self.clock))
        return self.budgets[-1]

    async def _hear(self, message: Message) -> None:
        self.events.append(json.loads(message.body))

    def _settings(self) -> Settings:
        applications = {
            name: {"api_key": app.key, "api_secret": app.secret, "grace": GRACE} for name, app in self.apps.items()
        }
        values: Json = {
            "applications": applications,
            "api": {"service_calls_per_minute": 100_000},
            "service_keys": {"backend": {"sha256": digest_of(KEY).hex()}},
            "database_url": f"sqlite:///{self.folder}/processor.db",
            "http_port": self.port,
            "xumm_url": self.sandbox.base_url,
            "ledger_urls": {name: [f"{self.sandbox.ledger_url}/{name}"] for name in NETWORKS},
        }
        return Settings(**values | self.changes)

    async def create(self, app: str, body: Json | SignRequest, *, faults: Faults | None = None) -> Payload:
        """Make a payload, and have it watched as another service would."""
        payload = self.sandbox.create(body, application=self.apps[app])
        self.owners[payload.uuid] = app
        if faults is not None:
            self.sandbox.faults.set(faults, payload.uuid)
        await self.register(payload.uuid)
        return payload

    async def register(self, uuid: str) -> None:
        """Ask the service to follow the payload."""
        headers = {"Authorization": f"Bearer {KEY}"}
        body = {"app": self.owners[uuid], "payload": uuid}
        url = f"http://127.0.0.1:{self.port}/v1/watches"
        async with aiohttp.request("POST", url, json=body, headers=headers) as answer:
            assert answer.status in {200, 202}

    async def state(self, uuid: str) -> PayloadState:
        """What the service knows of a payload."""
        app = self.owners[uuid]
        state = await self.processor.writer.run(payloads.find, app, uuid)
        assert state is not None
        return state

    async def step(self, seconds: float) -> None:
        """Let so much time pass at once, and everything happen that is due then."""
        self.clock.advance(seconds)
        for uuid in self.owners:
            self.sandbox.payloads.get(uuid)  # notices its expiry
        if self._processor is not None:
            await self.settled()

    async def settled(self) -> None:
        """Return once no task is due, save those that wait for the rate limit."""
        processor = self.processor
        for loop in (processor.urgent_lookups, processor.routine_lookups, processor.watcher):
            loop.wake()
        await until(self._is_quiet, what="all tasks that are due are done")

    async def advance(self, seconds: float, *, step: float = 5.0) -> None:
        """Let time pass, step by step."""
        end = self.clock.seconds + seconds
        while self.clock.seconds < end:
            await self.step(min(step, end - self.clock.seconds))

    async def _is_quiet(self) -> bool:
        now = self.clock()
        due = await self.processor.writer.run(_due, now, self._started_at)
        waiting = sum(budget.waiting for budget in self.budgets or ())
        return due <= waiting or waiting >= LOOKS_AT_ONCE

    async def published(self) -> None:
        """Return once everything that was committed is published."""

        async def is_published() -> bool:
            return self.processor.writer.depth == 0

        await until(is_published, what="all events are published")

    def of(self, uuid: str) -> list[Json]:
        """The events of a payload, repetitions left out, in the order in which they were first published."""
        first: dict[str, Json] = {}
        for event in self.events:
            if event["subject"] == uuid:
                first.setdefault(event["id"], event)
        return list(first.values())


def _due(connection: Connection, now: datetime, started_at: datetime) -> int:
    """How many tasks are due, those included that the service is at; not those that it was at before it started."""
    left = and_(tasks.c.leased_until > to_micros(now), tasks.c.leased_until < to_micros(started_at + TASK_LEASE))
    due = and_(tasks.c.due_at <= to_micros(now), or_(tasks.c.leased_until.is_(None), not_(left)))
    return connection.execute(select(func.count()).select_from(tasks).where(due)).scalar_one()


@asynccontextmanager
async def opened(
    folder: Path, apps: Sequence[str], *, driven_budget: bool = False, **changes: Any
) -> AsyncIterator[System]:
    """A running system; ``changes`` are settings of the service, ``driven_budget`` lets its clock move rate limits."""
    port, clock = free_port(), DrivenClock()
    owners = {name: application(name, port) for name in apps}
    sandbox = Sandbox(list(owners.values()), _GENEROUS, clock=clock, sleep=clock.sleep)
    async with sandbox:
        system = System(folder=folder, clock=clock, sandbox=sandbox, port=port, changes=changes, apps=owners)
        system.budgets = [] if driven_budget else None
        await system.start()
        try:
            yield system
        finally:
            if system.is_running:
                await system.stop()
