"""How outcomes were learned: which source was first, how late it was, and how many webhooks never came.

`keep_summarizing` logs that now and then: an operator watches the share of webhooks that never came.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import Connection, and_, select

from processor.core.errors import StoreError
from processor.core.payload.lifecycle import WEBHOOK_PATIENCE
from processor.core.payload.state import Fact
from processor.store.tables import from_micros, outcomes, payloads, to_micros
from processor.store.writer import Writer

EVERY: Final = timedelta(minutes=15)
WINDOW: Final = timedelta(hours=1)
"""The time that each summary is about; it ends when Xumm has had `WEBHOOK_PATIENCE` to deliver every webhook."""
LIMIT: Final = 10_000
"""Outcomes in one summary, at most: webhooks wait while it is made."""
_JOINED: Final = outcomes.join(
    payloads, and_(payloads.c.payload == outcomes.c.payload, payloads.c.app == outcomes.c.app)
)
_ROW: Final = (outcomes.c.at, outcomes.c.source, outcomes.c.learned_at, outcomes.c.resolved_at, payloads.c.facts)
_DELIVERABLE: Final = Fact.SIGNED | Fact.REJECTED

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceShare:
    """The outcomes that were learned from one source first."""

    source: str
    count: int
    median_late: timedelta | None
    """From Xumm's ``resolved_at`` to when the outcome was learned; None where Xumm gave no time."""
    most_late: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """How the outcomes of a period were learned."""

    total: int
    sources: tuple[SourceShare, ...]
    """The most frequent first."""
    webhooks_due: int
    """Signed and rejected payloads whose outcome was learned `WEBHOOK_PATIENCE` ago or earlier."""
    webhooks_missed: int
    """Those of them whose webhook never came."""


def summarize(connection: Connection, since: datetime, now: datetime, limit: int = 1_000_000) -> Outcomes:
    """How the outcomes that were recorded since then were learned: the last ``limit`` of them."""
    recent = select(*_ROW).select_from(_JOINED).where(outcomes.c.at >= to_micros(since))
    rows = connection.execute(recent.order_by(outcomes.c.at.desc()).limit(limit)).all()
    late: dict[str, list[timedelta | None]] = defaultdict(list)
    for row in rows:
        late[row.source].append(_late(row))
    due = [row for row in rows if row.facts & _DELIVERABLE and from_micros(row.learned_at) <= now - WEBHOOK_PATIENCE]
    return Outcomes(
        total=len(rows),
        sources=tuple(sorted((_share(*each) for each in late.items()), key=lambda share: -share.count)),
        webhooks_due=len(due),
        webhooks_missed=sum(not row.facts & Fact.DELIVERED for row in due),
    )


async def keep_summarizing(writer: Writer, *, clock: Callable[[], datetime]) -> None:
    """Log a summary now and then, until cancelled. A period without outcomes is not logged."""
    while True:
        await asyncio.sleep(EVERY.total_seconds())
        now = clock()
        try:
            found = await writer.run(summarize, now - WEBHOOK_PATIENCE - WINDOW, now, LIMIT)
        except StoreError as error:
            log.warning("outcomes.read_failed", error=str(error))
            continue
        if found.total:
            log.info(
                "outcomes.summarized",
                total=found.total,
                webhooks_due=found.webhooks_due,
                webhooks_missed=found.webhooks_missed,
                **{f"first_by_{share.source}": share.count for share in found.sources},
            )


def _late(row: Any) -> timedelta | None:
    if row.resolved_at is None:
        return None
    return max(from_micros(row.learned_at) - from_micros(row.resolved_at), timedelta(0))


def _share(source: str, late: Sequence[timedelta | None]) -> SourceShare:
    known = sorted(each for each in late if each is not None)
    return SourceShare(
        source=source,
        count=len(late),
        median_late=known[len(known) // 2] if known else None,
        most_late=known[-1] if known else None,
    )
