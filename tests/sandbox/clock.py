"""Time that passes only where somebody waits."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class FakeClock:
    """A clock, and a sleep that sets it forward instead of waiting."""

    def __init__(self) -> None:
        self.now = datetime(2024, 5, 1, 12, tzinfo=UTC)
        self.waits: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.advance(seconds=seconds)
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Return once ``condition`` holds, which it should soon."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  anything can be waited for, and nothing else tells
            await asyncio.sleep(0.005)
