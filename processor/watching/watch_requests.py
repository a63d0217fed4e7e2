"""Requests to watch a payload, made by HTTP or by a command on a queue."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Final, NamedTuple

import structlog

from processor.core.application import Application
from processor.core.errors import StoreError
from processor.core.fair_queues import FairQueues
from processor.core.payload.entry import Reported
from processor.core.reports.report import lookup_due
from processor.core.retry import STORE
from processor.store.ports import Recorder
from schemas.commands import WatchCommand

AT_ONCE: Final = 64
"""Most commands that are being stored at a time."""
PATIENCE: Final = timedelta(seconds=30)

log = structlog.get_logger()


class UnknownApplication(Exception):
    """No application of this name is configured."""

    def __init__(self, app: str) -> None:
        super().__init__(f"no application {app} is configured")


class WatchRequests:
    """Records requests to watch a payload."""

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
        """The names of the applications whose payloads can be watched."""
        return self._applications

    async def watch(self, command: WatchCommand) -> bool:
        """Watch a payload; durable on return. False if it is watched already.

        Raises `UnknownApplication`, or `StoreError` if nothing was stored.
        """
        application = self._applications.get(command.app)
        if application is None:
            raise UnknownApplication(command.app)
        report = lookup_due(application, command.payload, "registered", self._clock())
        recorded = await self._recorder.record(Reported(report=report, policy=application.policy))
        return recorded.transition is not None and recorded.transition.news


class _Pending(NamedTuple):
    command: WatchCommand
    settle: Callable[[], Awaitable[None]]


class PendingCommands:
    """Commands from a queue: `AT_ONCE` are stored at a time, each application within its share.

    A command that the store does not take is tried again until the store takes it.
    """

    def __init__(self, requests: WatchRequests, *, chance: Callable[[], float], patience: timedelta = PATIENCE) -> None:
        """``chance`` is random in [0, 1); ``patience`` is how long the store may take for one command."""
        self.refused_since: float | None = None
        """When the store began to take nothing, by the event loop's clock; None while it takes commands."""
        self.error = ""
        """Why the store did not take the last command."""
        self._requests = requests
        self._chance = chance
        self._patience = patience
        self._lines = FairQueues[str, _Pending](requests.applications, AT_ONCE)
        self._stored: dict[asyncio.Task[None], str] = {}

    def put(self, command: WatchCommand, settle: Callable[[], Awaitable[None]]) -> None:
        """Store ``command`` when its turn comes, then call ``settle``. Raises `UnknownApplication`."""
        if command.app not in self._requests.applications:
            raise UnknownApplication(command.app)
        self._lines.put(command.app, _Pending(command, settle))
        self._begin()

    async def stop(self) -> None:
        """Store no more commands; those that are not settled yet never are."""
        stored, self._stored = self._stored, {}
        for task in stored:
            task.remove_done_callback(self._end)
            task.cancel()
        await asyncio.gather(*stored, return_exceptions=True)

    def _begin(self) -> None:
        while (pending := self._lines.take(self._stored.values())) is not None:
            task = asyncio.create_task(self._store(pending), name="watch command")
            self._stored[task] = pending.command.app
            task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[None]") -> None:
        del self._stored[task]
        self._begin()

    async def _store(self, pending: _Pending) -> None:
        for attempt in count(1):
            try:
                async with asyncio.timeout(self._patience.total_seconds()):
                    await self._requests.watch(pending.command)
            except (StoreError, TimeoutError) as error:
                self._note_refusal(str(error) or "no answer in time")
            else:
                break
            await asyncio.sleep(STORE.delay(attempt, self._chance()).total_seconds())
        self.refused_since = None
        await pending.settle()

    def _note_refusal(self, error: str) -> None:
        self.error = error
        if self.refused_since is None:
            self.refused_since = asyncio.get_running_loop().time()
            log.error("watch_commands.delayed", error=self.error)
