"""Waiting for what comes of publishes, never longer than a limit."""

import asyncio
from collections.abc import Callable, Sequence

_SECONDS = 20


async def outcomes_of(futures: Sequence["asyncio.Future[None]"]) -> list[type | None]:
    """The type of each future's exception, None where it resolved."""
    done, _ = await asyncio.wait(futures, timeout=_SECONDS)
    assert len(done) == len(futures)
    return [exception and type(exception) for exception in (future.exception() for future in futures)]


async def until(condition: Callable[[], bool], *, seconds: float = _SECONDS) -> None:
    """Return once ``condition`` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - logs and counters have no event to wait for
            await asyncio.sleep(0.005)
