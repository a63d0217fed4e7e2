"""How the service ends: no new webhooks, then what is in flight, each step within its share of the time for it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog
from aiohttp import web

from processor.relay import Relay
from processor.store.writer import Writer

INTAKE: Final = 0.4
"""Share of the time after which no request is served any more."""
_ANSWERS: Final = 0.3
"""How long a webhook under way may still wait for the store."""
_WORK: Final = 0.7
"""When tasks, watches and publishing have ended."""
_CLOSING: Final = 0.04
"""How long each step of closing the store may take."""

log = structlog.get_logger()


async def wind_down(
    longest: timedelta,
    writer: Writer,
    runner: web.AppRunner,
    loops: Sequence[asyncio.Task[None]],
    *,
    relay: Relay,
    resign: Callable[[], Awaitable[None]],
) -> None:
    """End all but the relay, which publishes what it can, and the store, which is to be closed next.

    ``resign`` lets another instance publish.
    """
    began = asyncio.get_running_loop().time()
    log.info("service.stopping", waiting=writer.waiting)
    writer.hasten(longest * _ANSWERS)
    try:
        async with asyncio.timeout_at(began + longest.total_seconds() * INTAKE):
            await runner.cleanup()
    except TimeoutError:
        log.warning("service.requests_cut")
    for loop in loops:
        loop.cancel()
    try:
        async with asyncio.timeout_at(began + longest.total_seconds() * _WORK):
            await asyncio.wait(loops)
            await relay.drain()
    except TimeoutError:
        log.warning("service.drain_cut", hint="the outbox keeps what was not published")
    writer.hasten(longest * _CLOSING)
    await resign()
