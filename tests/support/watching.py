"""A server for status sockets that says what a test tells it to, and a watcher whose time the test has in hand."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from yarl import URL

from processor.core.application import Application
from processor.core.payload.entry import Commit, Recorded, Reported
from processor.core.payload.state import PayloadState
from processor.core.reports.report import LookupDue
from processor.core.timing import Timing
from processor.settings.sections import WatchingSettings
from processor.store import payloads, tasks, watches
from processor.store.adapters import StoredWatches
from processor.store.commits import CommitLog
from processor.store.store import Store
from processor.store.writer import Writer
from processor.watching.watcher import Watcher
from processor.xumm.sockets import StatusSockets
from tests.core.payloads import APPLICATION, NOW, POLICY, SHOP
from tests.store.samples import rooms

Script = Callable[[ServerConnection, str], Awaitable[None]]

SHOPPER = Application(name=SHOP.name, uuid=SHOP.uuid, secrets=SHOP.secrets, policy=POLICY)


def welcome(payload: str) -> str:
    """The greeting of a payload that exists."""
    return f'{{"message":"Welcome {payload}"}}'


def says(*messages: str | bytes, close: bool = False) -> Script:
    """Greets, says these, and stays, or closes."""

    async def script(connection: ServerConnection, payload: str) -> None:
        for message in (welcome(payload), *messages):
            await connection.send(message.replace("PAYLOAD", payload) if isinstance(message, str) else message)
        if not close:
            await connection.wait_closed()

    return script


async def slams(connection: ServerConnection, payload: str) -> None:
    """Closes at once."""


async def denies(connection: ServerConnection, payload: str) -> None:
    """Says what Xumm says of a payload that does not exist."""
    await connection.send('{"message":"Unknown payload"}')


@dataclass(slots=True)
class StatusServer:
    """A running server. The last script of ``scripts`` serves all further connections."""

    scripts: list[Script]
    url: URL = field(default_factory=URL)
    statuses: list[HTTPStatus] = field(default_factory=list)
    """What handshakes are refused with, one after the other, before any succeeds."""
    connections: Counter[str] = field(default_factory=Counter)
    """How many there were, by payload."""
    open: set[str] = field(default_factory=set)
    gate: asyncio.Event | None = None
    """Handshakes wait for it."""
    handshakes: int = 0
    most_handshakes: int = 0

    async def admit(self, _connection: ServerConnection, _request: Request) -> Response | None:
        self.handshakes += 1
        self.most_handshakes = max(self.most_handshakes, self.handshakes)
        if self.gate is not None:
            await self.gate.wait()
        self.handshakes -= 1
        return _connection.respond(self.statuses.pop(0), "") if self.statuses else None

    async def serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        payload = connection.request.path.removeprefix("/sign/")
        self.connections[payload] += 1
        self.open.add(payload)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        try:
            await script(connection, payload)
        finally:
            self.open.discard(payload)


@asynccontextmanager
async def serving(*scripts: Script) -> AsyncIterator[StatusServer]:
    """A server for as long as the block lasts."""
    server = StatusServer(list(scripts))
    async with serve(
        server.serve, "127.0.0.1", 0, process_request=server.admit, compression=None, close_timeout=0.2, max_size=None
    ) as listening:
        server.url = URL(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        yield server


@dataclass(slots=True)
class Time:
    """Stands still unless it is moved."""

    seconds: float = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


class World:
    """One process: a store, and a watcher on it whose time stands still."""

    def __init__(
        self,
        writer: Writer,
        server: StatusServer,
        time: Time,
        *,
        instance: str,
        limits: WatchingSettings,
        applications: Mapping[str, Application],
        stored: type[StoredWatches] = StoredWatches,
    ) -> None:
        self.writer = writer
        self.server = server
        self.time = time
        self.events: list[str] = []
        self.woken = 0
        self.deaf = False
        """Whether the watcher hears nothing of commits, as if another instance made them."""
        self.watches = stored(writer, instance=instance, clock=time.now)
        self.watcher = Watcher(
            self.watches,
            writer,
            StatusSockets(server.url),
            applications,
            timing=Timing(clock=time.now, time=time.monotonic, chance=lambda: 0.0),
            limits=limits,
            tick=0.01,
        )
        writer.commits.subscribe(self._observe, CommitLog().observe)

    async def register(self, payload: str) -> Recorded:
        """Ask for a watch."""
        report = LookupDue(
            app="shop", application_uuid=APPLICATION, payload=payload, at=self.time.now(), reason="registered"
        )
        return await self.record(report)

    async def record(self, report: Any) -> Recorded:
        return await self.writer.record(Reported(report=report, policy=POLICY))

    async def state(self, payload: str) -> PayloadState:
        state = await self.writer.run(payloads.find, "shop", payload)
        assert state is not None
        return state

    async def due(self, seconds: float = 0) -> list[str]:
        """The kinds of the tasks that are due, now or so much later."""
        at = self.time.now() + timedelta(seconds=seconds)
        claim = await self.writer.run(tasks.claim, at, rooms(1000), "test", timedelta(microseconds=1))
        return sorted(task.kind for task in claim.tasks)

    async def watched(self) -> int:
        """How many watches stand in the store."""
        return len(await self.writer.run(watches.list_oldest, 10_000))

    async def advance(self, seconds: float) -> None:
        """Let time pass, and what follows from it begin."""
        self.time.seconds += seconds
        self.watcher.wake()
        await asyncio.sleep(0)

    def _observe(self, commit: Commit) -> None:
        self.events += [each.message.type for each in commit.messages]
        self.woken += bool(commit.task_kinds)
        if not self.deaf:
            self.watcher.observe(commit)


@asynccontextmanager
async def a_process(
    url: str,
    server: StatusServer,
    time: Time | None = None,
    *,
    instance: str = "one",
    limits: WatchingSettings | None = None,
    applications: Mapping[str, Application] | None = None,
    stored: type[StoredWatches] = StoredWatches,
) -> AsyncIterator[World]:
    """A process with its store, whose watcher does not run yet."""
    time, limits, applications = (
        time or Time(),
        limits or WatchingSettings(),
        applications or {"shop": SHOPPER},
    )
    async with Writer(partial(Store.open, url), clock=time.now) as writer:
        yield World(writer, server, time, instance=instance, limits=limits, applications=applications, stored=stored)


@asynccontextmanager
async def watching(world: World) -> AsyncIterator[World]:
    """The watcher runs for as long as the block lasts."""
    running = asyncio.create_task(world.watcher.run())
    try:
        yield world
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert running.cancelled()


@asynccontextmanager
async def a_world(folder: Path, server: StatusServer, **changes: Any) -> AsyncIterator[World]:
    """A process on SQLite whose watcher runs."""
    async with a_process(f"sqlite:///{folder}/w.db", server, **changes) as world, watching(world):
        yield world


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until ``condition`` holds."""
    async with asyncio.timeout(10):
        while True:
            held = condition()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.002)
