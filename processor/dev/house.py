"""Service, consumers and sandbox put together in one process. The one place that may import all of them."""

import asyncio
import errno
import secrets
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, cast

import structlog

from consumers.runtime.composition import run_consumer
from consumers.runtime.source.embedded import EmbeddedSource
from processor.app import Processor
from processor.broker.embedded import EmbeddedPublisher
from processor.dev.broker import FragileBroker
from processor.dev.effects import CONSUMERS, announcing, found, settling
from processor.dev.live import Live
from processor.dev.stage import Stage
from processor.dev.story import Story
from processor.dev.walk import APP, Walk
from processor.observability import logs
from processor.process import stop_on_signals
from processor.sandbox.ledger import Pace
from processor.sandbox.limits import Limits
from processor.sandbox.payload import Application
from processor.sandbox.server import Sandbox, SandboxSettings
from processor.settings.program import SettingsError
from processor.settings.service import Settings

log = structlog.get_logger()

SERVICE_PORT: Final = 8000
SANDBOX_PORT: Final = 8600
_LONGEST_STOP: Final = timedelta(seconds=30)
API_KEY: Final = "5a4db0c5-0000-4000-8000-000000000001"
API_SECRET: Final = "5a4db0c5-5ec7-4e70-9000-000000000001"  # noqa: S105  the sandbox's own: it opens nothing else
RETURN_URL: Final = "demo-shop://signed"
_HOSTS: Final = ("127.0.0.1", "localhost")
"""By which a browser on this machine may have opened the page."""
_QUICK_LEDGER: Final = Pace(asks_not_found=0, close_time=timedelta(milliseconds=300))
"""The service asks again after a second or two, then after twice that: found at the first ask, proven at the second."""
_GENEROUS: Final = Limits(calls=600, creations=120)
"""Somebody plays here, and shall not have to wait for a minute to go by."""
_SEALING_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """All that runs."""

    processor: Processor
    sandbox: Sandbox
    folder: Path
    """Where the databases are, for as long as it runs."""


def run(port: int = SERVICE_PORT, sandbox_port: int = SANDBOX_PORT, hosts: tuple[str, ...] = ()) -> None:
    """Open the house, walk through it, and stay until a signal. Raises `SettingsError` if a port is taken."""
    asyncio.run(_run(port, sandbox_port, hosts))


async def _run(port: int, sandbox_port: int, hosts: tuple[str, ...]) -> None:
    story, stop = Story(), stop_on_signals(_LONGEST_STOP)
    # The stream takes the place of a file: only what logging calls is there.
    logs.configure("json", "info", secrets=[API_SECRET], stream=cast("Any", story))
    with tempfile.TemporaryDirectory(prefix="xumm-dev-") as folder:
        async with opened(Path(folder), stop, port=port, sandbox_port=sandbox_port, hosts=hosts) as house:
            walking = asyncio.create_task(_walk(house, story))
            await stop.wait()
            walking.cancel()
            await asyncio.wait([walking])
            story.say("\nStopping: finishing what is in flight ...")
    story.say("Stopped. Nothing is left running; the databases of this run are gone.")


async def _walk(house: House, story: Story) -> None:
    walk = Walk(house.processor.url, house.sandbox, house.folder, story)
    try:
        await walk.through()
    except TimeoutError:
        story.say("\nNothing more came, though something should have. All keeps running; what follows may tell why.")
    except Exception:
        log.exception("walkthrough.failed")
    logs.configure("console", "info", secrets=[API_SECRET])


@asynccontextmanager
async def opened(
    folder: Path,
    stop: asyncio.Event,
    *,
    port: int = SERVICE_PORT,
    sandbox_port: int = SANDBOX_PORT,
    hosts: tuple[str, ...] = (),
) -> AsyncIterator[House]:
    """The house, running until the body ends; then it drains. A part that dies ends the body.

    It answers to the names of this machine and to ``hosts``.
    """
    publisher, commands, live = EmbeddedPublisher(), EmbeddedPublisher(unrouted_kept=0), Live()
    broker = FragileBroker(publisher)
    publisher.subscribe("page", ["#"], announcing(live))
    sandbox_settings = SandboxSettings(port=sandbox_port, hosts=hosts, ledger=_QUICK_LEDGER, limits=_GENEROUS)
    try:
        async with AsyncExitStack() as stack:
            sandbox = await stack.enter_async_context(Sandbox([_owner(port)], sandbox_settings))
            stage = Stage(sandbox, broker, live, hosts)
            settings = _settings(folder, sandbox, port)
            processor = await stack.enter_async_context(
                Processor(settings, publisher=broker, commands=commands, routes=stage.beside)
            )
            group = await stack.enter_async_context(asyncio.TaskGroup())
            serving = group.create_task(processor.serve(stop))
            group.create_task(_end(live, stop))
            consuming = asyncio.Event()
            for name in CONSUMERS:
                group.create_task(_consume(name, folder, (publisher, commands), live, consuming))
            yield House(processor=processor, sandbox=sandbox, folder=folder)
            stop.set()
            await asyncio.wait([serving])  # it drains into the consumers, which stop after it
            consuming.set()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        message = f"port {port} or {sandbox_port} of 127.0.0.1 is in use: choose others with --port and --sandbox-port"
        raise SettingsError(message) from None


def _owner(port: int) -> Application:
    webhook_url = f"http://127.0.0.1:{port}/webhooks/{APP}"
    return Application(key=API_KEY, secret=API_SECRET, name="Demo shop", webhook_url=webhook_url)


async def _end(live: Live, stop: asyncio.Event) -> None:
    """A page that looks on shall not hold up the end."""
    await stop.wait()
    live.end()


async def _consume(
    name: str, folder: Path, publishers: tuple[EmbeddedPublisher, EmbeddedPublisher], live: Live, stop: asyncio.Event
) -> None:
    """Run a consumer on the events, and on the commands that it takes beside."""
    consumer, (events, commands) = found(name, live), publishers
    settings = consumer.consumer.settings(database_url=f"sqlite:///{folder}/{{consumer}}.db")
    sources = {queue: EmbeddedSource(queue) for queue in consumer.consumer.queues()}
    for queue, source in sources.items():
        if queue == consumer.consumer.queue:
            events.subscribe(queue, consumer.consumer.bindings, settling(name, source.deliver, live, folder))
        else:
            commands.subscribe(queue, (queue,), source.deliver)
    await run_consumer(consumer, settings, sources, stop)


def _settings(folder: Path, sandbox: Sandbox, port: int) -> Settings:
    application = {
        "api_key": API_KEY,
        "api_secret": API_SECRET,
        "oauth2_url": sandbox.base_url,
        "return_urls": [RETURN_URL],
        "deep_links": ["demo-shop://signin", *(f"http://{host}:{port}/sandbox" for host in _HOSTS)],
    }
    return Settings(
        applications={APP: application},
        http_port=port,
        public_url=f"http://127.0.0.1:{port}",
        database_url=f"sqlite:///{folder}/processor.db",
        xumm_url=sandbox.base_url,
        ledger_urls={"MAINNET": [sandbox.ledger_url]},
        token_keys=[b64encode(secrets.token_bytes(_SEALING_BYTES)).decode()],
        api={"calls_per_minute": 600, "requests_per_minute": 120},
    )
