"""Build a consumer from its settings and run it. No other module of the runtime names concrete adapters."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import structlog
from sqlalchemy import MetaData

from consumers.runtime.consumer import Consumer, Resources
from consumers.runtime.database import ConsumerDatabase
from consumers.runtime.discovery import NamedConsumer
from consumers.runtime.errors import DatabaseUnavailable
from consumers.runtime.inbox import Inbox
from consumers.runtime.loop import Runtime
from consumers.runtime.settings import ConsumerSettings
from consumers.runtime.source.port import MessageSource
from consumers.runtime.source.rabbitmq import RabbitSource
from processor.core.retry import CONSUME
from processor.observability.redaction import describe

log = structlog.get_logger()


async def run_until_signal(named: NamedConsumer, settings: ConsumerSettings) -> None:
    """Run a consumer on RabbitMQ until SIGTERM or SIGINT, then drain."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run_consumer(named, settings, sources_of(settings.brokers, named.consumer, prefetch=settings.prefetch), stop)


def sources_of(urls: Sequence[str], consumer: type[Consumer], *, prefetch: int) -> Mapping[str, MessageSource]:
    """A source for each queue of ``consumer``, each after the one before it."""
    sources: dict[str, RabbitSource] = {}
    before: RabbitSource | None = None
    for queue in consumer.queues():
        before = sources[queue] = RabbitSource(urls, queue, prefetch=prefetch, after=before)
    return sources


async def run_consumer(
    named: NamedConsumer, settings: ConsumerSettings, sources: Mapping[str, MessageSource], stop: asyncio.Event
) -> None:
    """Run a consumer on the sources of its queues until ``stop`` is set, then drain.

    Each queue has its own loop, so that a missing queue delays no other. Waits for a database that is unavailable.
    """
    if not await _await_database(named, settings, stop):
        return
    async with open_consumer(named, settings) as (consumer, inbox), AsyncExitStack() as stack:
        runtimes = [
            Runtime(consumer=consumer, source=await stack.enter_async_context(source), inbox=inbox)
            for source in sources.values()
        ]
        async with asyncio.TaskGroup() as group:
            for queue, runtime in zip(sources, runtimes, strict=True):
                group.create_task(runtime.run(stop, queue=queue), name=queue)


@asynccontextmanager
async def open_consumer(named: NamedConsumer, settings: ConsumerSettings) -> AsyncIterator[tuple[Consumer, Inbox]]:
    """A consumer that is ready to handle messages, and its inbox, both on its database."""
    async with (
        open_database(named, settings) as database,
        named.consumer(Resources(settings=settings, database=database)) as consumer,
    ):
        yield consumer, Inbox(database, consumer=named.name)


@asynccontextmanager
async def open_database(named: NamedConsumer, settings: ConsumerSettings) -> AsyncIterator[ConsumerDatabase]:
    """The consumer's database with its own tables and the inbox. Raises `DatabaseUnavailable`, `SchemaTooNew`."""
    async with ConsumerDatabase(settings.database_of(named.name)) as database:
        await Inbox(database, consumer=named.name).create()
        tables: MetaData | None = named.consumer.tables
        if tables is not None:
            await database.create(tables, name=named.name, version=named.consumer.schema_version)
        yield database


async def _await_database(named: NamedConsumer, settings: ConsumerSettings, stop: asyncio.Event) -> bool:
    """Wait until the database answers, which is True, or until ``stop`` is set, which is False."""
    delays = CONSUME.delays(random.random)
    while not stop.is_set():
        try:
            async with open_database(named, settings):
                return True
        except DatabaseUnavailable as error:
            delay = next(delays).total_seconds()
            log.warning("database.unavailable", reason=describe(error), wait=delay)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), delay)
    return False
