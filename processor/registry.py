"""Payloads that somebody asks this service to follow, however they ask."""

from asyncio import Future
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

import structlog

from processor.core.application import Application
from processor.core.report import LookupDue
from processor.store.entry import Recorded, Reported
from schemas.commands import WatchCommand

log = structlog.get_logger()


class UnknownApplication(Exception):
    """No application of this name is configured."""


class Recorder(Protocol):
    """Where reports become durable."""

    def record(self, entry: Reported) -> "Future[Recorded]":
        """Apply a report. Durable when it resolves. Raises `StoreError`, at once or through the future."""
        ...


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

    async def watch(self, command: WatchCommand) -> bool:
        """Follow a payload; durable on return. False if that was going on already.

        Raises `UnknownApplication`, or `StoreError` if nothing was stored.
        """
        application = self._applications.get(command.app)
        if application is None:
            raise UnknownApplication(f"no application {command.app} is configured")
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
        log.info("payload.registered", app=command.app, payload=command.payload)
        return True
