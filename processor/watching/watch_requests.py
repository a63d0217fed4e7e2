"""Payloads that somebody asks this service to follow, however they ask."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Final, NamedTuple

import structlog

from processor.core.application import Application
from processor.core.errors import StoreError
from processor.core.payload.entry import Reported
from processor.core.reports.report import LookupDue
from processor.core.retry import STORE
from processor.core.shares import Lines
from processor.store.ports import Recorder
from schemas.commands import WatchCommand

AT_ONCE: Final = 64
"""Commands of a backlog that are being stored."""
PATIENCE: Final = timedelta(seconds=30)

log = structlog.get_logger()


class UnknownApplication(Exception):
    """No application of this name is configured."""


class Registry:
    """Takes payloads in."""

    def __init__(
        self,
        applications: Mapping[str, Application],
        recorder: Recorder,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._applications = applications
        self._recorder = recorder
        self._clock = clock

    @property
    def applications(self) -> Collection[str]:
        """Whose payloads can be followed."""
        return self._applications

    async def watch(self, command: WatchCommand) -> bool:
        """Follow a payload; durable on return. False if that was going on already.

        Raises `UnknownApplication`, or `StoreError` if nothing was stored.
        """
        application = self._applications.get(command.app)
        if application is None:
            raise _unknown(command)
        report = LookupDue(
            app=application.name,
            application=application.uuid,
            payload=command.payload,
            at=self._clock(),
            because="registered",
        )
        recorded = await self._recorder.record(Reported(report=report, policy=application.policy))
        if recorded.transition is None or not recorded.transition.news:
            return False
        log.info("watch.requested", app=command.app, payload=command.payload)
        return True


class _Pending(NamedTuple):
    command: WatchCommand
    settle: Callable[[], Awaitable[None]]


class Backlog:
    """Commands that nobody waits for. A few at a time are stored, of each application in its share.

    What the store does not take is tried again until it does.
    """

    def __init__(self, registry: Registry, *, chance: Callable[[], float], patience: timedelta = PATIENCE) -> None:
        """``chance`` is random in [0, 1); ``patience`` is how long the store may take."""
        self.refused_since: float | None = None
        """Since when, by the event loop's clock, the store has taken nothing; None: it takes what comes."""
        self.error = ""
        """Why it took nothing the last time."""
        self._registry = registry
        self._chance = chance
        self._patience = patience
        self._lines = Lines[str, _Pending](registry.applications, AT_ONCE)
        self._stored: dict[asyncio.Task[None], str] = {}

    def put(self, command: WatchCommand, settle: Callable[[], Awaitable[None]]) -> None:
        """Store ``command`` when it is its turn, and then call ``settle``. Raises `UnknownApplication`."""
        if command.app not in self._registry.applications:
            raise _unknown(command)
        self._lines.put(command.app, _Pending(command, settle))
        self._begin()

    async def stop(self) -> None:
        """Store no more; what is not settled by now never is."""
        stored, self._stored = self._stored, {}
        for task in stored:
            task.remove_done_callback(self._end)
            task.cancel()
        await asyncio.gather(*stored, return_exceptions=True)

    def _begin(self) -> None:
        while (pending := self._lines.take(self._stored.values())) is not None:
            task = asyncio.create_task(self._store(pending), name="registration")
            self._stored[task] = pending.command.app
            task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[None]") -> None:
        del self._stored[task]
        self._begin()

    async def _store(self, pending: _Pending) -> None:
        for attempt in count(1):
            try:
                async with asyncio.timeout(self._patience.total_seconds()):
                    await self._registry.watch(pending.command)
            except (StoreError, TimeoutError) as error:
                self._refused(str(error) or "no answer in time")
            else:
                break
            await asyncio.sleep(STORE.delay(attempt, self._chance()).total_seconds())
        self.refused_since = None
        await pending.settle()

    def _refused(self, error: str) -> None:
        self.error = error
        if self.refused_since is None:
            self.refused_since = asyncio.get_running_loop().time()
            log.error("watch_commands.delayed", error=self.error)


def _unknown(command: WatchCommand) -> UnknownApplication:
    return UnknownApplication(f"no application {command.app} is configured")
