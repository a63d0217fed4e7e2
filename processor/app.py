"""The service put together: the one place that names concrete adapters.

It starts with the broker down, and stops in the order in which nothing is lost: `wind_down`, then the connections, the
store last.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Final, Self

import structlog
from aiohttp import web
from yarl import URL

from processor import __version__
from processor.api.event_streams import EventNotifier
from processor.api.routes import Interface
from processor.api.sign_in.provider import IdentityProvider, open_provider
from processor.api.sign_requests.creation import SignRequests
from processor.api.sign_requests.user_tokens import UserTokens
from processor.broker.embedded import EmbeddedPublisher
from processor.broker.options import RabbitOptions
from processor.broker.port import Publisher
from processor.broker.rabbitmq import RabbitPublisher
from processor.broker.topology.bound import BoundQueues
from processor.core.application import Application
from processor.core.proof.codec import prepare
from processor.core.timing import Timing
from processor.ledger.transactions import LedgerNodes, Transactions
from processor.lookups.tasks import ROUTINE, URGENT, Sources, Tasks
from processor.process import (
    INTAKE,
    WALL_CLOCK,
    allow_files,
    loop_factory,
    spare_the_collector,
    stop_on_signals,
    wind_down,
)
from processor.relay.relay import Relay
from processor.settings.service import Settings, applications_of, keyring_of
from processor.store import adapters
from processor.store.commits import CommitLog
from processor.store.outcomes import keep_summarizing
from processor.store.readiness import Readiness
from processor.store.retention import keep_pruning
from processor.store.store import Store
from processor.store.work import Bounds
from processor.store.writer import Writer
from processor.watching.command_queue import WatchCommandConsumer
from processor.watching.watch_requests import WatchRequests
from processor.watching.watcher import Watcher
from processor.web.bodies import Bodies, ServerLimits
from processor.web.server import Handler, assert_fast_parser, runner_of, web_application
from processor.webhooks.express import ExpressRunner
from processor.webhooks.intake import Intake
from processor.xumm.api import Credentials, Payloads, XummApi
from processor.xumm.budget import Budget
from processor.xumm.sockets import StatusSockets
from schemas.topology import COMMANDS, EXCHANGE

_OTHER_FILES: Final = 1_000
"""Open files beside the sockets and our callers' connections: calls of ours, the database, the broker."""
_ROUTINE_PLACES: Final = 4
"""Routine lookups at a time for each application: they mostly wait for Xumm's rate limit."""
API_PATH: Final = "/api/v1/platform/"

log = structlog.get_logger()


class Processor:
    """One running service: an async context manager whose body is its life.

    ``publisher`` and ``commands`` replace those that the settings call for, ``timing`` the time of day, ``budget``
    what makes an application's budget of calls to Xumm's API; ``routes`` tells what is served for the interface's.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        publisher: Publisher | None = None,
        commands: Publisher | None = None,
        timing: Timing = WALL_CLOCK,
        budget: Callable[[], Budget] = Budget,
        routes: Callable[[Mapping[str, Handler]], Mapping[str, Handler]] = dict,
    ) -> None:
        self.settings, self._routes = settings, routes
        self._timing = timing
        self._budget = budget
        clock = self._clock = timing.clock
        self.applications: Mapping[str, Application] = applications_of(settings)
        self.publisher = publisher or _publisher(settings, EXCHANGE)
        self.commands = commands or _publisher(settings, COMMANDS, kept=0)
        self.writer = Writer(
            partial(Store.open, settings.database_url, keyring_of(settings)),
            bounds=Bounds(outbox=settings.outbox_high_water, patience=settings.store_timeout),
            clock=clock,
        )
        instance = f"{socket.gethostname()}:{os.getpid()}"
        self._outbox = adapters.StoredOutbox(self.writer, instance=instance, clock=clock)
        self._task_store = adapters.StoredTasks(self.writer, instance=instance, clock=clock)
        self._watch_store = adapters.StoredWatches(self.writer, instance=instance, clock=clock)
        self.readiness = Readiness(self.writer, instance=instance, clock=clock)
        self.notifier = EventNotifier()
        self.sessions = adapters.StoredSessions(self.writer, clock=clock)
        self._apis: dict[str, XummApi] = {}
        self._stack = AsyncExitStack()
        self._stopping = False

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.writer)
            await stack.enter_async_context(self.publisher)
            await stack.enter_async_context(self.commands)
            self.relay = Relay(self._outbox, self.publisher, queues=BoundQueues(self.settings), clock=self._clock)
            self.watcher = self._watcher()
            self.watch_requests = WatchRequests(self.applications, self.writer, clock=self._clock)
            sources = await self._sources(stack)
            runner = partial(Tasks, self._task_store, self.writer, sources, self.applications, clock=self._clock)
            self.urgent_lookups = runner(kinds=URGENT)
            self.routine_lookups = runner(kinds=ROUTINE, places=_ROUTINE_PLACES)
            self.writer.commits.subscribe(
                self.relay.observe,
                self.watcher.observe,
                self.notifier.observe,
                self.urgent_lookups.observe,
                self.routine_lookups.observe,
                CommitLog().observe,
            )
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
            lookups = {"urgent lookups": self.urgent_lookups, "routine lookups": self.routine_lookups}
            loops = [group.create_task(tasks.run(), name=name) for name, tasks in lookups.items()]
            if self.settings.watching.enabled:
                loops.append(group.create_task(self.watcher.run(), name="watcher"))
            if self.settings.amqp_urls:
                commands = WatchCommandConsumer(
                    self.settings.amqp_urls, self.watch_requests, time=self._timing.time, chance=self._timing.chance
                )
                loops.append(group.create_task(commands.run(), name="watch commands"))
            pruning = keep_pruning(self.writer, self.settings.retention, clock=self._clock)
            loops.append(group.create_task(pruning, name="pruning"))
            loops.append(group.create_task(keep_summarizing(self.writer, clock=self._clock), name="summaries"))
            await stop.wait()
            self._stopping = True
            self.streams.end()
            log.info("service.stopping", waiting=self.writer.waiting)
            await wind_down(
                self.settings.shutdown_timeout,
                loops,
                hasten=self.writer.hasten,
                close_server=self._runner.cleanup,
                drain=self.relay.drain,
                resign=self._outbox.resign,
            )
            relay.cancel()

    def _watcher(self) -> Watcher:
        return Watcher(
            self._watch_store,
            self.writer,
            StatusSockets(URL(self.settings.xumm_url)),
            self.applications,
            timing=self._timing,
            limits=self.settings.watching,
        )

    async def _sources(self, stack: AsyncExitStack) -> Sources:
        base = URL(self.settings.xumm_url.rstrip("/") + API_PATH)
        for name, application in self.settings.applications.items():
            credentials = Credentials(key=application.api_key, secret=application.api_secret.get_secret_value())
            self._apis[name] = await stack.enter_async_context(XummApi(credentials, self._budget(), base_url=base))
        urls = {network: [URL(url) for url in nodes] for network, nodes in self.settings.ledger_urls.items()}
        nodes = await stack.enter_async_context(LedgerNodes(urls))
        return Sources(payloads=Payloads(self._apis), transactions=Transactions(nodes, clock=self._clock))

    async def _listen(self, stack: AsyncExitStack) -> web.AppRunner:
        assert_fast_parser()
        settings = self.settings
        bodies = Bodies(
            ServerLimits(
                body_bytes=settings.max_body_bytes,
                body_timeout=settings.body_timeout,
                bodies_bytes=settings.max_bodies_bytes,
                connections=settings.max_connections,
            )
        )
        intake = Intake(self.applications, self.writer, clock=self._clock, bodies=bodies)
        provider = await stack.enter_async_context(
            open_provider(
                settings, clock=self._clock, sessions=self.sessions, spent=adapters.StoredUsedOnce(self.writer)
            )
        )
        interface = self._interface(bodies, provider)
        self.streams = interface.streams
        app = web_application(
            intake.handle, self.health, self._routes(interface.build_routes()), body_bytes=settings.max_body_bytes
        )
        runner = runner_of(app, partial(ExpressRunner, intake=intake), shutdown=settings.shutdown_timeout * INTAKE)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, settings.http_host, settings.http_port, backlog=1024).start()
        return runner

    def _interface(self, bodies: Bodies, provider: IdentityProvider) -> Interface:
        store = adapters.StoredSignRequests(self.writer, clock=self._clock)
        return Interface(
            requests=self._sign_requests(store),
            store=store,
            sessions=self.sessions,
            watch_requests=self.watch_requests,
            notifier=self.notifier,
            applications=self.applications,
            settings=self.settings,
            bodies=bodies,
            commands=self.commands,
            clock=self._clock,
            provider=provider,
        )

    def _sign_requests(self, store: adapters.StoredSignRequests) -> SignRequests:
        keyring = keyring_of(self.settings)
        tokens = adapters.StoredUserTokens(self.writer, keyring, clock=self._clock)
        user_tokens = UserTokens(store=tokens, apis=self._apis, kept=keyring is not None, clock=self._clock)
        return SignRequests(
            applications=self.applications,
            apis=self._apis,
            store=store,
            recorder=self.writer,
            tokens=user_tokens,
            links=self.settings.xumm_url.rstrip("/"),
            clock=self._clock,
        )

    async def health(self) -> dict[str, object]:
        """For ``/readyz``: ``ok`` if a webhook sent now would be stored, and what is behind."""
        fault, unpublished = await asyncio.gather(self.readiness.fault(), self.readiness.unpublished())
        full = unpublished >= self.settings.outbox_high_water
        return {
            "status": "stopping" if self._stopping else "unavailable" if fault or full else "ok",
            "store": fault or "ok",
            "outbox": "full" if full else "live" if self.relay.live else "behind",
            "unpublished": unpublished,
            "refusing": sorted(refusal.queue or "unknown" for refusal in self.relay.refused),
        }


def _publisher(settings: Settings, exchange: str, *, kept: int = 1000) -> Publisher:
    """On a connection of its own: that one exchange is missing stops nothing else."""
    options = RabbitOptions(exchange=exchange, name=f"publisher {exchange}")
    return RabbitPublisher(settings.amqp_urls, options) if settings.amqp_urls else EmbeddedPublisher(unrouted_kept=kept)


async def _run(settings: Settings) -> None:
    allow_files(settings.watching.max_watches + settings.max_connections + _OTHER_FILES)
    async with Processor(settings) as processor:
        prepare()
        spare_the_collector()
        await processor.serve(stop_on_signals(settings.shutdown_timeout))


def run(settings: Settings) -> None:
    """Serve until a signal says stop. Raises `StoreError` or `OSError` if the service cannot start."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(settings))
