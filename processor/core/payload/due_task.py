"""Due work, in the terms that the flows and the store share."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from processor.core.payload.lifecycle import TaskKind
from processor.core.payload.state import PayloadState

Lane = tuple[str, TaskKind]
"""The tasks of one kind of one application."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTask:
    """A task that is leased: its holder finishes it, reschedules it, or lets the lease run out."""

    id: int
    kind: TaskKind
    state: PayloadState
    attempts: int
    """How often it was claimed, this time included."""
    created_at: datetime


class ClaimedTasks(NamedTuple):
    """The result of claiming tasks."""

    tasks: Sequence[DueTask]
    next_due_at: datetime | None
    """When the first other task of a lane with room left is due; None if there is none."""
