"""Due work: fetch a payload, check a transaction, report that a deadline passed.

Tasks are durable and leased. A task ends when the payload no longer needs it, which the core decides after each report.
Until then it is tried again; when it is given up, the payload is flagged for a human.
"""

import asyncio
import random
from asyncio import Future
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

import structlog

from processor.core.application import Application
from processor.core.errors import LookupFailed, NormalizeError, StoreError, StoreUnavailable
from processor.core.payload.due_task import ClaimedTasks, DueTask, Lane
from processor.core.payload.entry import Commit, Recorded, Reported
from processor.core.payload.lifecycle import TaskKind
from processor.core.payload.settlement import Check, Fetch, next_step
from processor.core.payload.state import ENDED, PayloadState
from processor.core.proof.evidence import Snapshot
from processor.core.reports.report import DeadlinePassed, LedgerReport, LookupAbandoned, Report, SnapshotReport
from processor.core.reports.snapshot import snapshot_report
from processor.core.retry import LOOKUP, RetryDecision, decide_lookup
from processor.store.ports import Recorder, TaskStore

TaskReport = TypeVar("TaskReport", DeadlinePassed, LookupAbandoned)

log = structlog.get_logger()


class PayloadSource(Protocol):
    """Xumm's API."""

    async def payload(self, application: Application, uuid: str, *, urgent: bool) -> bytes:
        """The raw answer to ``GET payload/<uuid>``. Raises `LookupFailed`."""


class TransactionSource(Protocol):
    """The nodes of a ledger."""

    async def transaction(self, application: Application, state: PayloadState) -> LedgerReport:
        """What a node says of the transaction in ``state.snapshot``. Raises `LookupFailed` or `NormalizeError`."""

    async def check_regular_key(self, application: Application, report: SnapshotReport) -> SnapshotReport:
        """``report``, with a signature by a regular key proven or disproven. Raises `LookupFailed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where outcomes are looked up."""

    payloads: PayloadSource
    transactions: TransactionSource


URGENT: Final[tuple[TaskKind, ...]] = ("fetch", "check", "deadline")
"""Somebody waits for the proof; deadlines, which ask nobody, go along."""
ROUTINE: Final[tuple[TaskKind, ...]] = ("poll",)
"""Whether a webhook was missed; nobody waits for the answer."""


class Tasks:
    """Runs due tasks of some kinds: ``places`` at a time of each kind of each application.

    So tasks that wait for the budget of one application, or for a node that does not answer, delay no others.
    """

    def __init__(  # noqa: PLR0913  its neighbours
        self,
        store: TaskStore,
        recorder: Recorder,
        sources: Sources,
        applications: Mapping[str, Application],
        *,
        clock: Callable[[], datetime],
        kinds: Collection[TaskKind] = URGENT,
        places: int = 16,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._sources = sources
        self._applications = applications
        self._clock = clock
        self._places = places
        self._kinds = kinds
        self._lanes: Sequence[Lane] = [(app, kind) for app in applications for kind in kinds]
        self._running: dict[Future[None], DueTask] = {}
        self._disown_at: datetime | None = None
        self._provers = ThreadPoolExecutor(_PROVERS, thread_name_prefix="proof")
        self._wake = asyncio.Event()

    def observe(self, commit: Commit) -> None:
        """Look for due tasks if a commit brought some of these kinds."""
        if not commit.task_kinds.isdisjoint(self._kinds):
            self.wake()

    def wake(self) -> None:
        """Look for due tasks now."""
        self._wake.set()

    async def run(self) -> None:
        """Run tasks until cancelled. A task that is cut off is claimed again when its lease has run out."""
        await self._log_orphans()
        with self._provers:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._wake.clear()
                    claim = await self._claim()
                    for task in claim.tasks:
                        self._begin(group, task)
                    await self._pause(claim.next_due_at)

    async def _claim(self) -> ClaimedTasks:
        taken = Counter((task.state.app, task.kind) for task in self._running.values())
        rooms = {lane: room for lane in self._lanes if (room := self._places - taken[lane]) > 0}
        if not rooms:
            return ClaimedTasks([], None)
        try:
            if self._disown_at is not None and self._disown_at <= self._clock():
                self._disown_at = None
                await self._store.release(self._kinds, [task.id for task in self._running.values()])
            return await self._store.claim(rooms)
        except StoreError as error:
            self._suspect_claim()  # it may have been committed after all
            log.error("task.claim_failed", error=str(error))
            return ClaimedTasks([], None)

    def _begin(self, group: asyncio.TaskGroup, task: DueTask) -> None:
        work = group.create_task(self._run(task), name=f"task-{task.kind}")
        self._running[work] = task
        work.add_done_callback(self._end)

    def _end(self, work: "Future[None]") -> None:
        del self._running[work]
        self.wake()

    def _suspect_claim(self) -> None:
        """Note that tasks may be leased to this process that it does not run."""
        self._disown_at = self._disown_at or self._clock() + _LONGEST_PAUSE

    async def _pause(self, next_due_at: datetime | None) -> None:
        """Wait until a task is due or `wake` is called."""
        seconds = _LONGEST_PAUSE.total_seconds()
        if next_due_at is not None:
            seconds = min(max((next_due_at - self._clock()).total_seconds(), 0.0), seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _log_orphans(self) -> None:
        try:
            orphaned = await self._store.count_orphans(list(self._applications))
        except StoreError as error:
            log.error("task.claim_failed", error=str(error))
            return
        for app, number in orphaned.items():
            log.error("task.orphaned", app=app, tasks=number, hint="the application is no longer configured")

    async def _run(self, task: DueTask) -> None:
        """Make one attempt. If it fails, the task stays."""
        with structlog.contextvars.bound_contextvars(app=task.state.app, payload=task.state.payload, task=task.kind):
            try:
                await self._attempt(task)
            except StoreError as error:
                log.error("task.store_failed", error=str(error))
                if isinstance(error, StoreUnavailable):
                    self._suspect_claim()

    async def _attempt(self, task: DueTask) -> None:
        application = self._applications[task.state.app]
        if application.uuid != task.state.application_uuid:
            log.error("task.orphaned", tasks=1, hint="the application has another API key now")
            await self._store.reschedule(task, LOOKUP.cap)
            return
        if _is_superseded(task, application):
            await self._store.finish(task)
            return
        try:
            report = await self._look_up(task, application)
        except (LookupFailed, NormalizeError) as error:
            log.warning("task.failed", attempt=task.attempts, error=f"{type(error).__name__}: {error}")
            await self._reschedule(task, application, self._decide(task, error))
            return
        recorded = await self._record(report, application)
        if _is_settled(task, recorded):
            await self._store.finish(task)
            return
        await self._reschedule(task, application, self._decide(task, None))

    async def _look_up(self, task: DueTask, application: Application) -> Report:
        state = task.state
        match task.kind:
            case "fetch" | "poll":
                body = await self._sources.payloads.payload(application, state.payload, urgent=task.kind == "fetch")
                report = await asyncio.get_running_loop().run_in_executor(
                    self._provers, snapshot_report, application, state.payload, body, self._clock()
                )
                report = await self._sources.transactions.check_regular_key(application, report)
                _log_doubt(report.snapshot)
                return report
            case "check":
                return await self._sources.transactions.transaction(application, state)
            case "deadline":
                return self._task_report(DeadlinePassed, task)

    def _task_report(self, kind: type[TaskReport], task: DueTask) -> TaskReport:
        state = task.state
        return kind(app=state.app, application_uuid=state.application_uuid, payload=state.payload, at=self._clock())

    async def _record(self, report: Report, application: Application) -> Recorded:
        return await self._recorder.record(Reported(report=report, policy=application.policy))

    def _decide(self, task: DueTask, error: LookupFailed | NormalizeError | None) -> RetryDecision:
        age = self._clock() - task.created_at
        return decide_lookup(error, attempt=task.attempts, age=age, chance=random.random())  # noqa: S311  jitter

    async def _reschedule(self, task: DueTask, application: Application, decision: RetryDecision) -> None:
        if decision.delay is not None:
            await self._store.reschedule(task, decision.delay)
            self.wake()
            return
        log.error("task.abandoned", attempts=task.attempts, hint="no outcome will be published; somebody should look")
        await self._record(self._task_report(LookupAbandoned, task), application)
        await self._store.finish(task)


_LONGEST_PAUSE = timedelta(seconds=5)
_PROVERS: Final = 2
"""Threads that check signatures. The loop's default threads may all wait for a name server."""


def _is_superseded(task: DueTask, application: Application) -> bool:
    """Whether the payload needs no lookup any more, or a check of the ledger only."""
    state = task.state
    return (
        state.resolved is not None
        or bool(state.flags)
        or (task.kind in {"fetch", "poll"} and isinstance(next_step(state, application.policy), Check))
    )


def _log_doubt(snapshot: Snapshot) -> None:
    if snapshot.doubt is not None:
        log.warning("signature.unproven", field=snapshot.doubt.field, reason=snapshot.doubt.reason)


def _is_settled(task: DueTask, recorded: Recorded) -> bool:
    if task.kind == "deadline" or (task.kind == "poll" and _is_claimed(recorded)):
        return True
    step = recorded.transition and recorded.transition.step
    return not isinstance(step, Check if task.kind == "check" else Fetch)


def _is_claimed(recorded: Recorded) -> bool:
    """Whether an outcome is claimed: a task of its own looks up the proof."""
    return recorded.transition is not None and bool(recorded.transition.state.facts & ENDED)
