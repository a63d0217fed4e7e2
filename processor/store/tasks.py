"""Due work: claimed for a while by one, finished or put off by whoever claimed it.

Each kind of task of each application is a lane of its own, and is claimed by itself: however much waits in one, the
first of another is as near. A claim is recognised by ``attempts``, which grows with each. What is asked for again while
somebody is at it is another task: an answer that is on its way may be too old for it.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, update

from processor.core.payload.due_task import Claim, DueTask, Lane
from processor.core.payload.lifecycle import TaskKind
from processor.store.knowledge import STATE, state_of
from processor.store.rows import first_of_each
from processor.store.tables import payloads, restored, stored, tasks

_JOINED: Final = tasks.join(payloads, and_(payloads.c.payload == tasks.c.payload, payloads.c.app == tasks.c.app))
_TASK: Final = (tasks.c.id, tasks.c.kind, tasks.c.attempts, tasks.c.created_at)
_FREE: Final[dict[str, None]] = {"holder": None, "leased_until": None}
_FIRST: Final = """SELECT id, due_at FROM tasks
    WHERE app = :app_{number} AND kind = :kind_{number} AND (leased_until IS NULL OR leased_until <= :now)
    ORDER BY due_at LIMIT :room_{number} {lock}"""


def claim(connection: Connection, now: datetime, rooms: Mapping[Lane, int], holder: str, lease: timedelta) -> Claim:
    """Lease what is due and leased to nobody, of each lane as much as it has room for, the longest due first."""
    at = stored(now)
    lanes = [{"app": app, "kind": kind, "room": room} for (app, kind), room in rooms.items()]
    first = list(first_of_each(connection, _FIRST, lanes, now=at))
    due = [number for number, due_at in first if due_at <= at]
    later = [due_at for _, due_at in first if due_at > at]
    next_due_at = restored(min(later)) if later else None
    if not due:
        return Claim([], next_due_at)
    claimed = _load(connection, due)
    taken = {"holder": holder, "leased_until": stored(now + lease), "attempts": tasks.c.attempts + 1}
    connection.execute(update(tasks).where(tasks.c.id.in_(due)).values(taken))
    return Claim(claimed, next_due_at)


def _load(connection: Connection, numbers: Collection[int]) -> list[DueTask]:
    """These tasks, with what is known of their payloads."""
    wanted = select(*STATE, *_TASK).select_from(_JOINED).where(tasks.c.id.in_(numbers)).order_by(tasks.c.due_at)
    return [_task(row) for row in connection.execute(wanted)]


def _task(row: Any) -> DueTask:
    number, kind, attempts, created_at = row[len(STATE) :]
    return DueTask(id=number, kind=kind, state=state_of(row), attempts=attempts + 1, created_at=restored(created_at))


def finish(connection: Connection, task: DueTask) -> None:
    """Remove it, unless another has claimed it meanwhile."""
    connection.execute(delete(tasks).where(_is_claim(task)))


def reschedule(connection: Connection, task: DueTask, due_at: datetime) -> None:
    """Release it until ``due_at``, unless another has claimed it meanwhile."""
    connection.execute(update(tasks).where(_is_claim(task)).values(due_at=stored(due_at), **_FREE))


def free(connection: Connection) -> None:
    """End the lease of every task, whoever holds it."""
    connection.execute(update(tasks).where(tasks.c.leased_until.is_not(None)).values(_FREE))


def disown(connection: Connection, holder: str, kinds: Collection[TaskKind], but: Collection[int]) -> None:
    """End the leases of ``holder`` on tasks of these kinds, but for those with the numbers ``but``."""
    left = (tasks.c.holder == holder, tasks.c.kind.in_(kinds), tasks.c.id.not_in(but))
    connection.execute(update(tasks).where(tasks.c.leased_until.is_not(None), *left).values(_FREE))


def orphaned(connection: Connection, apps: Collection[str]) -> Mapping[str, int]:
    """The applications other than ``apps`` that tasks wait for, and how many. Looks at every task."""
    statement = select(tasks.c.app, func.count()).where(tasks.c.app.not_in(apps)).group_by(tasks.c.app)
    return {str(app): int(number) for app, number in connection.execute(statement)}


def _is_claim(task: DueTask) -> ColumnElement[bool]:
    return and_(tasks.c.id == task.id, tasks.c.attempts == task.attempts)
