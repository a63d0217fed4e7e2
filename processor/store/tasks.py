"""Tasks: leased to one process at a time, which finishes or reschedules them.

The tasks of one kind of one application are a lane, and each lane is claimed by itself: a long lane delays no other.
A claim is recognised by ``attempts``, which grows with each. What is asked for again while its task is worked on
becomes another task: the answer under way may be too old for it.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, update

from processor.core.payload.due_task import ClaimedTasks, DueTask, Lane
from processor.core.payload.lifecycle import TaskKind
from processor.store.payloads import STATE, state_of
from processor.store.rows import first_of_each
from processor.store.tables import from_micros, payloads, tasks, to_micros

_JOINED: Final = tasks.join(payloads, and_(payloads.c.payload == tasks.c.payload, payloads.c.app == tasks.c.app))
_TASK: Final = (tasks.c.id, tasks.c.kind, tasks.c.attempts, tasks.c.created_at)
_FREE: Final[dict[str, None]] = {"holder": None, "leased_until": None}
_FIRST: Final = """SELECT id, due_at FROM tasks
    WHERE app = :app_{number} AND kind = :kind_{number} AND (leased_until IS NULL OR leased_until <= :now)
    ORDER BY due_at LIMIT :room_{number} {lock}"""


def claim(
    connection: Connection, now: datetime, rooms: Mapping[Lane, int], holder: str, lease: timedelta
) -> ClaimedTasks:
    """Lease free due tasks to ``holder``: of each lane as many as it has room for, the longest due first."""
    at = to_micros(now)
    lanes = [{"app": app, "kind": kind, "room": room} for (app, kind), room in rooms.items()]
    first = list(first_of_each(connection, _FIRST, lanes, now=at))
    due = [number for number, due_at in first if due_at <= at]
    later = [due_at for _, due_at in first if due_at > at]
    next_due_at = from_micros(min(later)) if later else None
    if not due:
        return ClaimedTasks([], next_due_at)
    claimed = _load(connection, due)
    taken = {"holder": holder, "leased_until": to_micros(now + lease), "attempts": tasks.c.attempts + 1}
    connection.execute(update(tasks).where(tasks.c.id.in_(due)).values(taken))
    return ClaimedTasks(claimed, next_due_at)


def _load(connection: Connection, numbers: Collection[int]) -> list[DueTask]:
    wanted = select(*STATE, *_TASK).select_from(_JOINED).where(tasks.c.id.in_(numbers)).order_by(tasks.c.due_at)
    return [_task(row) for row in connection.execute(wanted)]


def _task(row: Any) -> DueTask:
    number, kind, attempts, created_at = row[len(STATE) :]
    return DueTask(id=number, kind=kind, state=state_of(row), attempts=attempts + 1, created_at=from_micros(created_at))


def finish(connection: Connection, task: DueTask) -> None:
    """Remove a task, unless another process claimed it meanwhile."""
    connection.execute(delete(tasks).where(_is_claim(task)))


def reschedule(connection: Connection, task: DueTask, due_at: datetime) -> None:
    """Release a task until ``due_at``, unless another process claimed it meanwhile."""
    connection.execute(update(tasks).where(_is_claim(task)).values(due_at=to_micros(due_at), **_FREE))


def release_all(connection: Connection) -> None:
    """Release every task, whoever holds it."""
    connection.execute(update(tasks).where(tasks.c.leased_until.is_not(None)).values(_FREE))


def release(connection: Connection, holder: str, kinds: Collection[TaskKind], but: Collection[int]) -> None:
    """Release ``holder``'s tasks of these kinds, except those with the ids ``but``."""
    left = (tasks.c.holder == holder, tasks.c.kind.in_(kinds), tasks.c.id.not_in(but))
    connection.execute(update(tasks).where(tasks.c.leased_until.is_not(None), *left).values(_FREE))


def count_orphans(connection: Connection, apps: Collection[str]) -> Mapping[str, int]:
    """How many tasks wait for each application other than ``apps``. Reads every task."""
    statement = select(tasks.c.app, func.count()).where(tasks.c.app.not_in(apps)).group_by(tasks.c.app)
    return {str(app): int(number) for app, number in connection.execute(statement)}


def _is_claim(task: DueTask) -> ColumnElement[bool]:
    return and_(tasks.c.id == task.id, tasks.c.attempts == task.attempts)
