"""The composition of the development environment: service, consumers and sandbox in one process.

This package alone may import all of them.
"""

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
from processor.dev.demo import APP, Demo
from processor.dev.event_stream import EventStream
from processor.dev.handlers import PageHandlers
from processor.dev.narration import Narration
from processor.dev.observers import CONSUMERS, find_consumer, report_published, report_settled
from processor.observability import logs
from processor.process import stop_on_signals
from processor.sandbox.access import RateLimits
from processor.sandbox.ledger import ValidationPace
from processor.sandbox.payload import Application
from processor.sandbox.server import Sandbox
from processor.sandbox.simulation import SandboxSettings
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
"""The host names by which a browser on this machine may open the page."""
_PACE: Final = ValidationPace(asks_not_found=0, close_time=timedelta(milliseconds=300))
"""The service asks again after a second or two, then after twice that: the first request finds a transaction, the
second one finds it validated."""
_LIMITS: Final = RateLimits(calls=600, creations=120)
"""High enough for quick use of the page."""
_SEALING_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class DevEnvironment:
    """The running parts."""

    processor: Processor
    sandbox: Sandbox
    folder: Path
    """The folder of the databases."""


def run(port: int = SERVICE_PORT, sandbox_port: int = SANDBOX_PORT, hosts: tuple[str, ...] = ()) -> None:
    """Run the environment and the demo until a signal. Raises `SettingsError` if a port is taken."""
    asyncio.run(_run(port, sandbox_port, hosts))


async def _run(port: int, sandbox_port: int, hosts: tuple[str, ...]) -> None:
    narration, stop = Narration(), stop_on_signals(_LONGEST_STOP)
    # The narration stands in for a file: it has only the methods that logging calls.
    logs.configure("json", "info", secrets=[API_SECRET], stream=cast("Any", narration))
    with tempfile.TemporaryDirectory(prefix="xumm-dev-") as folder:
        async with open_environment(
            Path(folder), stop, port=port, sandbox_port=sandbox_port, hosts=hosts
        ) as environment:
            demo = asyncio.create_task(_run_demo(environment, narration))
            await stop.wait()
            demo.cancel()
            await asyncio.wait([demo])
            narration.print("\nStopping: finishing what is in flight ...")
    narration.print("Stopped. Nothing is left running; the databases of this run are gone.")


async def _run_demo(environment: DevEnvironment, narration: Narration) -> None:
    demo = Demo(environment.processor.url, environment.sandbox, environment.folder, narration)
    try:
        await demo.run()
    except TimeoutError:
        narration.print(
            "\nNothing more came, though something should have. All keeps running; what follows may tell why."
        )
    except Exception:
        log.exception("demo.failed")
    logs.configure("console", "info", secrets=[API_SECRET])


@asynccontextmanager
async def open_environment(
    folder: Path,
    stop: asyncio.Event,
    *,
    port: int = SERVICE_PORT,
    sandbox_port: int = SANDBOX_PORT,
    hosts: tuple[str, ...] = (),
) -> AsyncIterator[DevEnvironment]:
    """The environment, which runs until the body ends, and then drains. A part that fails ends the body.

    It answers under the host names of this machine and ``hosts``.
    """
    publisher, commands, stream = EmbeddedPublisher(), EmbeddedPublisher(unrouted_kept=0), EventStream()
    broker = FragileBroker(publisher)
    publisher.subscribe("page", ["#"], report_published(stream))
    sandbox_settings = SandboxSettings(port=sandbox_port, hosts=hosts, ledger=_PACE, limits=_LIMITS)
    try:
        async with AsyncExitStack() as stack:
            sandbox = await stack.enter_async_context(Sandbox([_build_application(port)], sandbox_settings))
            page = PageHandlers(sandbox, broker, stream, hosts)
            settings = _build_settings(folder, sandbox, port)
            processor = await stack.enter_async_context(
                Processor(settings, publisher=broker, commands=commands, routes=page.add_to)
            )
            group = await stack.enter_async_context(asyncio.TaskGroup())
            serving = group.create_task(processor.serve(stop))
            group.create_task(_end(stream, stop))
            consuming = asyncio.Event()
            for name in CONSUMERS:
                group.create_task(_consume(name, folder, (publisher, commands), stream, consuming))
            yield DevEnvironment(processor=processor, sandbox=sandbox, folder=folder)
            stop.set()
            await asyncio.wait([serving])  # it drains into the consumers, which stop after it
            consuming.set()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        message = f"port {port} or {sandbox_port} of 127.0.0.1 is in use: choose others with --port and --sandbox-port"
        raise SettingsError(message) from None


def _build_application(port: int) -> Application:
    webhook_url = f"http://127.0.0.1:{port}/webhooks/{APP}"
    return Application(key=API_KEY, secret=API_SECRET, name="Demo shop", webhook_url=webhook_url)


async def _end(stream: EventStream, stop: asyncio.Event) -> None:
    """Disconnect the pages on ``stop``: their open streams would delay the end."""
    await stop.wait()
    stream.end()


async def _consume(
    name: str,
    folder: Path,
    publishers: tuple[EmbeddedPublisher, EmbeddedPublisher],
    stream: EventStream,
    stop: asyncio.Event,
) -> None:
    """Run a consumer with its queues of events and of commands."""
    consumer, (events, commands) = find_consumer(name, stream), publishers
    settings = consumer.consumer.settings(database_url=f"sqlite:///{folder}/{{consumer}}.db")
    sources = {queue: EmbeddedSource(queue) for queue in consumer.consumer.queues()}
    for queue, source in sources.items():
        if queue == consumer.consumer.queue:
            events.subscribe(queue, consumer.consumer.bindings, report_settled(name, source.deliver, stream, folder))
        else:
            commands.subscribe(queue, (queue,), source.deliver)
    await run_consumer(consumer, settings, sources, stop)


def _build_settings(folder: Path, sandbox: Sandbox, port: int) -> Settings:
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
