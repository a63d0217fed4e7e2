"""Loggers for lines that come many at once: one writes them together, the other leaves most of them out."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, Literal, NamedTuple
from weakref import WeakKeyDictionary

import structlog

from processor.observability.logs import Pipeline

SAMPLING_INTERVAL: Final = timedelta(seconds=1)


class BatchedLog:
    """A logger that writes all lines of one turn of the event loop together, at the next turn.

    That takes a fifth of the time, and almost none if the level is switched off. Fields are neither cleaned nor joined
    with those of contextvars: they must be numbers, checked UUIDs or names of the service's own.
    """

    def __init__(self) -> None:
        self._lines: list[tuple[str, Callable[[], dict[str, Any]]]] = []

    def info(self, event: str, fields: Callable[[], dict[str, Any]]) -> None:
        """Log a line. ``fields`` is called when the line is written. To be called on the event loop."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append((event, fields))

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        bound = structlog.get_logger().bind()
        pipeline = structlog.get_config()["processors"][-1]
        if not isinstance(pipeline, Pipeline):  # a test captures the lines
            for event, fields in lines:
                bound.info(event, **fields())
        elif bound.is_enabled_for(logging.INFO):
            pipeline.write("info", [(event, fields()) for event, fields in lines])


class SampledLog:
    """A logger that writes at most one line of each name a second, for lines that anybody can cause.

    The first line is written at once. Of those that follow within a second the last is written at the end of the
    second; its field ``times`` is their number.
    """

    def __init__(self) -> None:
        self._held: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _HeldLine]] = WeakKeyDictionary()

    def warning(self, event: str, **fields: Any) -> None:
        """Log a line. To be called on the event loop."""
        self._log(event, _HeldLine("warning", fields))

    def error(self, event: str, **fields: Any) -> None:
        """Log a line. To be called on the event loop."""
        self._log(event, _HeldLine("error", fields))

    def _log(self, event: str, line: "_HeldLine") -> None:
        loop = asyncio.get_running_loop()
        held = self._held.setdefault(loop, {})
        if event in held:
            held[event] = line._replace(times=held[event].times + 1)
            return
        held[event] = line
        loop.call_later(SAMPLING_INTERVAL.total_seconds(), self._write_held, loop, event)
        line.write(event)

    def _write_held(self, loop: asyncio.AbstractEventLoop, event: str) -> None:
        held = self._held[loop]
        line = held.pop(event)
        if line.times:
            held[event] = line._replace(times=0)
            loop.call_later(SAMPLING_INTERVAL.total_seconds(), self._write_held, loop, event)
            line.write(event, times=line.times)


class _HeldLine(NamedTuple):
    """The last line of its name."""

    level: Literal["warning", "error"]
    fields: dict[str, Any]
    times: int = 0
    """How many have come since one was written."""

    def write(self, event: str, **more: Any) -> None:
        getattr(structlog.get_logger(), self.level)(event, **self.fields, **more)


sampled_log: Final = SampledLog()
"""The logger of the whole service, so that the sum of such lines is bounded."""
