"""Due work: claimed for a while by one, finished or put off by whoever claimed it.

A claim is recognised by ``attempts``, which grows with each. What is asked for again while somebody is at it is another
task: an answer that is on its way may be too old for it.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from processor.store.entry import DueTask, TaskKind
from processor.store.knowledge import STATE, state_of
from processor.store.tables import payloads, restored, stored, tasks

_JOINED: Final = tasks.join(payloads, and_(payloads.c.payload == tasks.c.payload, payloads.c.app == tasks.c.app))
_TASK: Final = (tasks.c.id, tasks.c.kind, tasks.c.attempts, tasks.c.created_at)
_FREE: Final[dict[str, None]] = {"holder": None, "leased_until": None}


def claim(
    connection: Connection, now: datetime, limit: int, holder: str, lease: timedelta, kinds: Collection[TaskKind]
) -> list[DueTask]:
    """Lease up to ``limit`` tasks of ``kinds`` that are due and not leased to anybody, the longest due first."""
    at = stored(now)
    statement = (
        select(*STATE, *_TASK)
        .select_from(_JOINED)
        .where(
            tasks.c.kind.in_(kinds),
            tasks.c.due_at <= at,
            or_(tasks.c.leased_until.is_(None), tasks.c.leased_until <= at),
        )
        .order_by(tasks.c.due_at)
        .limit(limit)
        .with_for_update(of=tasks, skip_locked=True)
    )
    claimed = []
    for row in connection.execute(statement).all():
        number, kind, attempts, created_at = row[len(STATE) :]
        claimed.append(
            DueTask(
                id=number,
                kind=kind,
                state=state_of(row),
                attempts=attempts + 1,
                created_at=restored(created_at),
            )
        )
    taken = {"holder": holder, "leased_until": stored(now + lease), "attempts": tasks.c.attempts + 1}
    for task in claimed:
        connection.execute(update(tasks).where(tasks.c.id == task.id).values(taken))
    return claimed


def finish(connection: Connection, task: DueTask) -> None:
    """Remove it, unless another has claimed it meanwhile."""
    connection.execute(delete(tasks).where(_is_claim(task)))


def reschedule(connection: Connection, task: DueTask, due_at: datetime) -> None:
    """Release it until ``due_at``, unless another has claimed it meanwhile."""
    connection.execute(update(tasks).where(_is_claim(task)).values(due_at=stored(due_at), **_FREE))


def next_due(connection: Connection, kinds: Collection[TaskKind]) -> datetime | None:
    """When the next task of ``kinds`` becomes due, or a lease on one runs out."""
    wanted = tasks.c.kind.in_(kinds)
    free = select(func.min(tasks.c.due_at)).where(wanted, tasks.c.leased_until.is_(None))
    leased = select(func.min(tasks.c.leased_until)).where(wanted, tasks.c.leased_until.is_not(None))
    moments = [connection.execute(query).scalar() for query in (free, leased)]
    known = [moment for moment in moments if moment is not None]
    return restored(min(known)) if known else None


def _is_claim(task: DueTask) -> ColumnElement[bool]:
    return and_(tasks.c.id == task.id, tasks.c.attempts == task.attempts)
