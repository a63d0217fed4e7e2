"""The service put together: the one place that names concrete adapters.

It starts with the broker down, and stops in the order in which nothing is lost: no new webhooks, then what is in
flight, then the connections, the store last.
"""

import asyncio
import gc
import os
import random
import resource
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Final, Self

import structlog
from aiohttp import web
from yarl import URL

from processor import __version__
from processor.api import watches as watches_api
from processor.budget import Budget
from processor.core.application import Application
from processor.core.codec import prepare
from processor.intake import Intake, Limits
from processor.ledger import LedgerNodes, Transactions
from processor.listener import Timing
from processor.pruning import keep_pruning
from processor.publisher.embedded import EmbeddedPublisher
from processor.publisher.port import Publisher
from processor.publisher.rabbitmq import RabbitPublisher
from processor.registrations import Registrations
from processor.registry import Registry
from processor.relay import Relay
from processor.settings import Settings, applications_of, service_keys_of
from processor.sign_ins import Sessions
from processor.sockets import StatusSockets
from processor.store.entry import OutboxMessage
from processor.store.facade import StoredOutbox, StoredTasks, StoredWatches
from processor.store.retention import Retention
from processor.store.store import Store
from processor.store.waiting import Bounds
from processor.store.writer import Writer
from processor.summaries import keep_summarizing
from processor.tasks import CLAIMED, UNCLAIMED, Sources, Tasks
from processor.users import users_of
from processor.watcher import Pace, Watcher
from processor.web import assert_fast_parser, runner_of, web_application
from processor.xumm import Credentials, Payloads, XummApi

_YOUNG_OBJECTS: Final = 20_000
_OTHER_FILES: Final = 2_000
"""Open files beside the sockets: clients of ours, the database, the broker."""
_LOOKS: Final = 4
"""Looks without a claim that go on at once: they wait for Xumm's rate limit most of the time."""
API_PATH: Final = "/api/v1/platform/"

log = structlog.get_logger()


def utc_now() -> datetime:
    """The service's clock."""
    return datetime.now(UTC)


class Processor:
    """One running service: an async context manager whose body is its life.

    ``publisher`` replaces the one that the settings call for; ``sessions`` lets users sign in.
    `serve` runs the loops, and raises if one of them dies.
    """

    def __init__(
        self, settings: Settings, *, publisher: Publisher | None = None, sessions: Sessions | None = None
    ) -> None:
        self.settings = settings
        self._sessions = sessions
        self.applications: Mapping[str, Application] = applications_of(settings)
        self.publisher = publisher or _publisher(settings)
        self.writer = Writer(
            partial(Store.open, settings.database_url), bounds=Bounds(outbox=settings.outbox_high_water), clock=utc_now
        )
        instance = f"{socket.gethostname()}:{os.getpid()}"
        self._outbox = StoredOutbox(self.writer, instance=instance, clock=utc_now)
        self._task_store = StoredTasks(self.writer, instance=instance, clock=utc_now)
        self._watch_store = StoredWatches(self.writer, instance=instance, clock=utc_now)
        self._stack = AsyncExitStack()
        self._addresses: list[tuple[str, int]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.writer)
            await stack.enter_async_context(self.publisher)
            self.relay = Relay(self._outbox, self.publisher)
            self.watcher = self._watcher()
            self.registry = Registry(self.applications, self.writer, clock=utc_now)
            self.writer.on_committed = self._committed
            sources = await self._sources(stack)
            self.tasks = Tasks(self._task_store, sources, self.applications, clock=utc_now, kinds=CLAIMED)
            self.looks = Tasks(
                self._task_store, sources, self.applications, clock=utc_now, kinds=UNCLAIMED, concurrency=_LOOKS
            )
            self.looks.on_task = self.tasks.wake
            self._runner = await self._listen(stack)
            self._stack = stack.pop_all()
        log.info("service.started", url=self.url, version=__version__, applications=list(self.applications))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        log.info("service.stopped", unpublished=self.writer.depth)

    async def serve(self, stop: asyncio.Event) -> None:
        """Work until ``stop``; then take no more webhooks, and finish what is in flight."""
        async with asyncio.TaskGroup() as group:
            relay = group.create_task(self.relay.run(), name="relay")
            loops = [
                group.create_task(self.tasks.run(), name="tasks"),
                group.create_task(self.looks.run(), name="looks"),
            ]
            if self.settings.watching.enabled:
                loops.append(group.create_task(self.watcher.run(), name="watcher"))
            if self.settings.amqp_urls:
                loops.append(group.create_task(self._registrations().run(), name="registrations"))
            pruning = keep_pruning(self.writer, _retention(self.settings), clock=utc_now)
            loops.append(group.create_task(pruning, name="pruning"))
            loops.append(group.create_task(keep_summarizing(self.writer, clock=utc_now), name="summaries"))
            await stop.wait()
            log.info("service.stopping", waiting=self.writer.waiting)
            await self._runner.cleanup()
            for loop in loops:
                loop.cancel()
            await asyncio.wait(loops, timeout=self.settings.shutdown_timeout.total_seconds())
            await self._drain()
            relay.cancel()

    def _committed(self, messages: Sequence[OutboxMessage]) -> None:
        self.relay.offer(messages)
        self.watcher.hear(messages)

    def _wake(self) -> None:
        """A lookup may have become due."""
        self.tasks.wake()
        self.looks.wake()

    def _watcher(self) -> Watcher:
        watching = self.settings.watching
        return Watcher(
            self._watch_store,
            StatusSockets(URL(self.settings.xumm_url)),
            self.applications,
            timing=Timing(clock=utc_now, time=time.monotonic, chance=random.random),
            on_task=self._wake,
            pace=Pace(watches=watching.max_watches, handshakes=watching.handshakes),
        )

    def _registrations(self) -> Registrations:
        return Registrations(self.settings.amqp_urls, self.registry, time=time.monotonic, chance=random.random)

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self.settings.shutdown_timeout.total_seconds()):
                await self.relay.drain()
        except TimeoutError:
            log.warning("service.drain_cut", hint="the outbox keeps what was not published")
        if self._outbox.shared:
            await self._outbox.resign()

    async def _sources(self, stack: AsyncExitStack) -> Sources:
        base = URL(self.settings.xumm_url.rstrip("/") + API_PATH)
        apis = {}
        for name, application in self.settings.applications.items():
            credentials = Credentials(key=application.api_key, secret=application.api_secret.get_secret_value())
            apis[name] = await stack.enter_async_context(XummApi(credentials, Budget(), base_url=base))
        urls = {network: [URL(url) for url in nodes] for network, nodes in self.settings.ledger_urls.items()}
        nodes = await stack.enter_async_context(LedgerNodes(urls))
        return Sources(payloads=Payloads(apis), transactions=Transactions(nodes, clock=utc_now))

    async def _listen(self, stack: AsyncExitStack) -> web.AppRunner:
        assert_fast_parser()
        settings = self.settings
        limits = Limits(body_bytes=settings.max_body_bytes, body_timeout=settings.body_timeout)
        intake = Intake(
            self.applications,
            self.writer,
            clock=utc_now,
            limits=limits,
            on_task=self.tasks.wake,
            on_look=self.looks.wake,
        )
        watches = watches_api.watches_handler(self.registry, service_keys_of(settings), limits)
        users = await stack.enter_async_context(users_of(settings, limits, clock=utc_now, sessions=self._sessions))
        api = {watches_api.PATH: watches, **users.routes}
        runner = runner_of(web_application(intake, limits, self.health, api), intake)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, settings.http_host, settings.http_port, backlog=1024).start()
        self._addresses = runner.addresses
        return runner

    def health(self) -> dict[str, object]:
        """For ``/readyz``: whether webhooks can be taken, and what is behind."""
        full = self.writer.depth >= self.settings.outbox_high_water
        return {
            "status": "ok" if self.writer.running and not full else "unavailable",
            "store": "ok" if self.writer.running else "closed",
            "outbox": "full" if full else "live" if self.relay.live else "behind",
            "unpublished": self.writer.depth,
        }


def _retention(settings: Settings) -> Retention:
    keep = settings.retention
    return Retention(events=keep.events, deliveries=keep.deliveries, max_deliveries=keep.delivery_rows)


def _publisher(settings: Settings) -> Publisher:
    return RabbitPublisher(settings.amqp_urls) if settings.amqp_urls else EmbeddedPublisher()


async def _run(settings: Settings) -> None:
    _allow_files(settings.watching.max_watches + _OTHER_FILES)
    async with Processor(settings) as processor:
        prepare()
        _spare_the_collector()
        await processor.serve(stop_on_signals())


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets; a second one ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def ask(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask, number)
    return stop


def run(settings: Settings) -> None:
    """Serve until a signal says stop. Raises `StoreError` or `OSError` if the service cannot start."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(settings))


def _allow_files(wanted: int) -> None:
    """Each socket is an open file, and the usual limit of 1,024 is made for programs of another kind."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    if hard < wanted:
        log.warning("service.files_limited", limit=hard, wanted=wanted, hint="raise it, or lower watching.max_watches")


def _spare_the_collector() -> None:
    """Webhooks make no cycles, and what start-up made stays: looking for garbage often would cost 5 % of the CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """That of uvloop where it is installed: a webhook costs about a quarter less CPU."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
