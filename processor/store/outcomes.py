"""How outcomes were learned: which source told them first, how late that was, and how many webhooks never came."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, and_, select

from processor.core.payload.lifecycle import WEBHOOK_PATIENCE
from processor.core.payload.state import Fact
from processor.store.tables import outcomes, payloads, restored, stored

_JOINED: Final = outcomes.join(
    payloads, and_(payloads.c.payload == outcomes.c.payload, payloads.c.app == outcomes.c.app)
)
_ROW: Final = (outcomes.c.at, outcomes.c.source, outcomes.c.learned_at, outcomes.c.resolved_at, payloads.c.facts)
_DELIVERABLE: Final = Fact.SIGNED | Fact.REJECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceShare:
    """The outcomes that one source told first."""

    source: str
    count: int
    median_late: timedelta | None
    """From Xumm's ``resolved_at`` to when it was learned; None where Xumm told no time."""
    most_late: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """How the outcomes of a time were learned."""

    total: int
    sources: tuple[SourceShare, ...]
    """The most frequent first."""
    webhooks_due: int
    """Signed and rejected payloads that Xumm has had the time to tell of: `WEBHOOK_PATIENCE` has passed."""
    webhooks_missed: int
    """Those of them whose webhook never came."""


def summary(connection: Connection, since: datetime, now: datetime, limit: int) -> Outcomes:
    """How the outcomes that were published since were learned: the last ``limit`` of them."""
    recent = select(*_ROW).select_from(_JOINED).where(outcomes.c.at >= stored(since))
    rows = connection.execute(recent.order_by(outcomes.c.at.desc()).limit(limit)).all()
    late: dict[str, list[timedelta | None]] = defaultdict(list)
    for row in rows:
        late[row.source].append(_late(row))
    due = [row for row in rows if row.facts & _DELIVERABLE and restored(row.learned_at) <= now - WEBHOOK_PATIENCE]
    return Outcomes(
        total=len(rows),
        sources=tuple(sorted((_share(*each) for each in late.items()), key=lambda share: -share.count)),
        webhooks_due=len(due),
        webhooks_missed=sum(not row.facts & Fact.DELIVERED for row in due),
    )


def _late(row: Any) -> timedelta | None:
    if row.resolved_at is None:
        return None
    return max(restored(row.learned_at) - restored(row.resolved_at), timedelta(0))


def _share(source: str, late: Sequence[timedelta | None]) -> SourceShare:
    known = sorted(each for each in late if each is not None)
    return SourceShare(
        source=source,
        count=len(late),
        median_late=known[len(known) // 2] if known else None,
        most_late=known[-1] if known else None,
    )
