"""Now and then, how outcomes were learned: a rising share of webhooks that never came is an operator's alarm."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from processor.core.errors import StoreError
from processor.core.payload.lifecycle import WEBHOOK_PATIENCE
from processor.store.writer import Writer

EVERY: Final = timedelta(minutes=15)
WINDOW: Final = timedelta(hours=1)
"""How much each summary is about: it ends when Xumm has had the time to deliver every webhook."""

LIMIT: Final = 10_000
"""Outcomes that one summary is about at most: webhooks wait for so long as it takes."""

log = structlog.get_logger()


async def keep_summarizing(writer: Writer, *, clock: Callable[[], datetime], every: timedelta = EVERY) -> None:
    """Log a summary now and then, until cancelled. Nothing is told of a time in which nothing ended."""
    while True:
        await asyncio.sleep(every.total_seconds())
        now = clock()
        since = now - WEBHOOK_PATIENCE - WINDOW
        try:
            outcomes = await writer.run(lambda store: store.outcomes(since, now, LIMIT))  # noqa: B023  run before the next turn
        except StoreError as error:
            log.warning("outcomes.read_failed", error=str(error))
            continue
        if outcomes.total:
            log.info(
                "outcomes.summarized",
                total=outcomes.total,
                webhooks_due=outcomes.webhooks_due,
                webhooks_missed=outcomes.webhooks_missed,
                **{f"first_by_{share.source}": share.count for share in outcomes.sources},
            )
