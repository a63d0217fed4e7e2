"""Housekeeping: what the store need not keep any longer is removed, a little at a time."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from processor.core.errors import StoreError
from processor.settings.service import Settings
from processor.store.retention import Retention
from processor.store.writer import Writer

EVERY: Final = timedelta(minutes=10)
BETWEEN_BATCHES: Final = timedelta(milliseconds=100)
"""Webhooks go first."""

log = structlog.get_logger()


def retention_of(settings: Settings) -> Retention:
    """How long the store keeps what."""
    keep = settings.retention
    return Retention(events=keep.events, deliveries=keep.deliveries, max_deliveries=keep.delivery_rows)


async def keep_pruning(writer: Writer, retention: Retention, *, clock: Callable[[], datetime]) -> None:
    """Prune now and then, until cancelled."""
    while True:
        try:
            removed = await writer.run(lambda store: store.prune(retention, clock()))
        except StoreError as error:
            log.warning("store.prune_failed", error=str(error))
            removed = 0
        await asyncio.sleep((BETWEEN_BATCHES if removed else EVERY).total_seconds())
