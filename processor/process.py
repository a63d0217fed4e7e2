"""What the service asks of its process: signals, open files, garbage, an event loop."""

import asyncio
import gc
import os
import resource
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog

_YOUNG_OBJECTS: Final = 20_000

log = structlog.get_logger()


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
