"""Due work, as flows and the store speak of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from processor.core.payload.state import PayloadState

TaskKind = Literal["fetch", "check", "deadline", "poll"]
Lane = tuple[str, TaskKind]
"""The tasks of one kind of one application."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTask:
    """A task claimed for a while: whoever claims it finishes, reschedules, or lets the lease run out."""

    id: int
    kind: TaskKind
    state: PayloadState
    attempts: int
    """How often it was claimed, this time included."""
    created_at: datetime


class ClaimedTasks(NamedTuple):
    """Tasks that were claimed."""

    tasks: Sequence[DueTask]
    next_due_at: datetime | None
    """When the first of the others is due; None if there is none in a lane that has room left."""
