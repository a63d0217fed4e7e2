"""What the service asks of its process: time, signals, open files, garbage, an event loop, an end in time."""

import asyncio
import gc
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from processor.core.timing import Timing

_YOUNG_OBJECTS: Final = 20_000
INTAKE: Final = 0.4
"""Share of the time after which no request is served any more."""
_ANSWERS: Final = 0.3
"""How long a webhook under way may still wait for the store."""
_WORK: Final = 0.7
"""When tasks, watches and publishing have ended."""
_CLOSING: Final = 0.04
"""How long each step of closing the store may take."""

log = structlog.get_logger()


def utc_now() -> datetime:
    """The service's clock."""
    return datetime.now(UTC)


WALL_CLOCK: Final = Timing(clock=utc_now, time=time.monotonic, chance=random.random)


def stop_on_signals(within: timedelta) -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets; a second one ends the process at once, and so does the end of ``within``.

    What hangs then, be it a thread that waits for a database, holds nothing that was acknowledged and is not stored.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def ask(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        deadline = threading.Timer(within.total_seconds(), _give_up)
        deadline.daemon = True
        deadline.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask, number)
    return stop


def _give_up() -> None:
    log.error("service.stop_forced", hint="something did not end; what was acknowledged is stored")
    os._exit(1)


def allow_files(wanted: int) -> None:
    """Each socket is an open file, and the usual limit of 1,024 is made for programs of another kind."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    if hard < wanted:
        log.warning("service.files_limited", limit=hard, wanted=wanted, hint="raise it, or lower watching.max_watches")


def spare_the_collector() -> None:
    """Webhooks make no cycles, and what start-up made stays: looking for garbage often would cost 5 % of the CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """That of uvloop where it is installed: a webhook costs about a quarter less CPU."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def wind_down(
    longest: timedelta,
    loops: Sequence[asyncio.Task[None]],
    *,
    hasten: Callable[[timedelta], None],
    close_server: Callable[[], Awaitable[None]],
    drain: Callable[[], Awaitable[None]],
    resign: Callable[[], Awaitable[None]],
) -> None:
    """End all but the relay and the store, each step within its share of ``longest``.

    The server takes no more webhooks, then ``loops`` end, then the relay publishes what it can (``drain``) and lets
    another instance publish (``resign``). ``hasten`` tells the store how long an entry may still wait. The store is to
    be closed next.
    """
    began = asyncio.get_running_loop().time()
    hasten(longest * _ANSWERS)
    try:
        async with asyncio.timeout_at(began + longest.total_seconds() * INTAKE):
            await close_server()
    except TimeoutError:
        log.warning("service.requests_aborted")
    for loop in loops:
        loop.cancel()
    try:
        async with asyncio.timeout_at(began + longest.total_seconds() * _WORK):
            await asyncio.wait(loops)
            await drain()
    except TimeoutError:
        log.warning("service.drain_timed_out", hint="the outbox keeps what was not published")
    hasten(longest * _CLOSING)
    await resign()
