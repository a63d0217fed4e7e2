"""Due work: fetch a payload, check a transaction, tell the core that a deadline passed.

Tasks are durable and leased. A task ends when the payload no longer needs it, which the core says after each report;
until then it is tried again, and in the end a human is asked.
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
from processor.core.payload.due_task import Claim, DueTask, Lane, TaskKind
from processor.core.payload.entry import Recorded, Reported
from processor.core.payload.settlement import Check, Fetch, next_step
from processor.core.payload.state import ENDED, PayloadState, names_of
from processor.core.proof.evidence import Snapshot
from processor.core.reports.normalize import snapshot_report
from processor.core.reports.report import DeadlinePassed, LedgerReport, LookupAbandoned, Report, SnapshotReport
from processor.core.retry import LOOKUP, RetryDecision, decide_lookup
from processor.store.ports import Recorder

Told = TypeVar("Told", DeadlinePassed, LookupAbandoned)

log = structlog.get_logger()


class TaskStore(Recorder, Protocol):
    """Where due work is kept. All of it raises `StoreError`."""

    async def claim_tasks(self, rooms: Mapping[Lane, int]) -> Claim:
        """Due tasks, of each lane as many as it has room for, leased to this process for longer than one can take.

        Nobody else gets them meanwhile.
        """
        ...

    async def disown_tasks(self, kinds: Collection[TaskKind], but: Collection[int]) -> None:
        """Free what is leased to this process of these kinds, but for those with the numbers ``but``."""
        ...

    async def orphaned_tasks(self, apps: Collection[str]) -> Mapping[str, int]:
        """The applications other than ``apps`` that tasks wait for, and how many."""
        ...

    async def finish_task(self, task: DueTask) -> None:
        """The task is done, unless it was asked for again meanwhile."""
        ...

    async def reschedule_task(self, task: DueTask, delay: timedelta) -> None:
        """The task is due again after ``delay``."""
        ...


class PayloadSource(Protocol):
    """Xumm's API."""

    async def payload(self, application: Application, uuid: str, *, money: bool) -> bytes:
        """The raw answer to ``GET payload/<uuid>``. Raises `LookupFailed`."""
        ...


class TransactionSource(Protocol):
    """The nodes of a ledger."""

    async def transaction(self, application: Application, state: PayloadState) -> LedgerReport:
        """What a node says of the transaction in ``state.snapshot``. Raises `LookupFailed` or `NormalizeError`."""
        ...

    async def authorise(self, application: Application, report: SnapshotReport) -> SnapshotReport:
        """``report``, with a signature by a regular key proven or disproven. Raises `LookupFailed`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where outcomes are looked up."""

    payloads: PayloadSource
    transactions: TransactionSource


CLAIMED: Final[tuple[TaskKind, ...]] = ("fetch", "check", "deadline")
"""What somebody waits for; deadlines, which ask nobody, go along."""
UNCLAIMED: Final[tuple[TaskKind, ...]] = ("poll",)
"""Looking whether anything was missed."""


class Tasks:
    """Runs due tasks of some kinds, a few at a time of each kind of each application.

    Whoever waits for an application's budget of calls, or for a node that does not answer, keeps no place of another.
    """

    def __init__(
        self,
        store: TaskStore,
        sources: Sources,
        applications: Mapping[str, Application],
        *,
        clock: Callable[[], datetime],
        kinds: Collection[TaskKind] = CLAIMED,
        places: int = 16,
    ) -> None:
        """``places`` of each lane."""
        self._store = store
        self._sources = sources
        self._applications = applications
        self._clock = clock
        self._places = places
        self._kinds = kinds
        self._lanes: Sequence[Lane] = [(app, kind) for app in applications for kind in kinds]
        self._in_hand: dict[Future[None], DueTask] = {}
        self._disown_at: datetime | None = None
        self._provers = ThreadPoolExecutor(_PROVERS, thread_name_prefix="proof")
        self._wake = asyncio.Event()
        self.on_task: Callable[[], None] = self.wake
        """Called when an answer made another task due. To be set before `run`, if that is somebody else's."""

    def wake(self) -> None:
        """A task may have become due."""
        self._wake.set()

    async def run(self) -> None:
        """Run tasks until cancelled. A task that is cut off is claimed again when its lease has run out."""
        await self._tell_orphans()
        with self._provers:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._wake.clear()
                    claim = await self._claim()
                    for task in claim.tasks:
                        self._begin(group, task)
                    await self._pause(claim.next_due_at)

    async def _claim(self) -> Claim:
        taken = Counter((task.state.app, task.kind) for task in self._in_hand.values())
        rooms = {lane: room for lane in self._lanes if (room := self._places - taken[lane]) > 0}
        if not rooms:
            return Claim([], None)
        try:
            if self._disown_at is not None and self._disown_at <= self._clock():
                self._disown_at = None
                await self._store.disown_tasks(self._kinds, [task.id for task in self._in_hand.values()])
            return await self._store.claim_tasks(rooms)
        except StoreError as error:
            self._doubt()  # it may have been committed after all
            log.error("task.claim_failed", error=str(error))
            return Claim([], None)

    def _begin(self, group: asyncio.TaskGroup, task: DueTask) -> None:
        work = group.create_task(self._run(task), name=f"task-{task.kind}")
        self._in_hand[work] = task
        work.add_done_callback(self._end)

    def _end(self, work: "Future[None]") -> None:
        del self._in_hand[work]
        self.wake()

    def _doubt(self) -> None:
        """Something may be leased to this process that is in nobody's hand."""
        self._disown_at = self._disown_at or self._clock() + _LONGEST_PAUSE

    async def _pause(self, next_due_at: datetime | None) -> None:
        """Until a task is due, a place is free, or somebody says so."""
        seconds = _LONGEST_PAUSE.total_seconds()
        if next_due_at is not None:
            seconds = min(max((next_due_at - self._clock()).total_seconds(), 0.0), seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _tell_orphans(self) -> None:
        try:
            orphaned = await self._store.orphaned_tasks(list(self._applications))
        except StoreError as error:
            log.error("task.claim_failed", error=str(error))
            return
        for app, number in orphaned.items():
            log.error("task.orphaned", app=app, tasks=number, hint="the application is no longer configured")

    async def _run(self, task: DueTask) -> None:
        """One attempt; whatever goes wrong, the task stays."""
        with structlog.contextvars.bound_contextvars(app=task.state.app, payload=task.state.payload, task=task.kind):
            try:
                await self._attempt(task)
            except StoreError as error:
                log.error("task.store_failed", error=str(error))
                if isinstance(error, StoreUnavailable):
                    self._doubt()

    async def _attempt(self, task: DueTask) -> None:
        application = self._applications[task.state.app]
        if application.uuid != task.state.application:
            log.error("task.orphaned", tasks=1, hint="the application has another API key now")
            await self._store.reschedule_task(task, LOOKUP.cap)
            return
        if _is_forestalled(task, application):
            await self._store.finish_task(task)
            return
        try:
            report = await self._look_up(task, application)
        except (LookupFailed, NormalizeError) as error:
            log.warning("task.failed", attempt=task.attempts, error=f"{type(error).__name__}: {error}")
            await self._again(task, application, self._decide(task, error))
            return
        recorded = await self._record(report, application)
        if _settled(task, recorded):
            await self._store.finish_task(task)
            return
        await self._again(task, application, self._decide(task, None))

    async def _look_up(self, task: DueTask, application: Application) -> Report:
        state = task.state
        match task.kind:
            case "fetch" | "poll":
                body = await self._sources.payloads.payload(application, state.payload, money=task.kind == "fetch")
                report = await asyncio.get_running_loop().run_in_executor(
                    self._provers, snapshot_report, application, state.payload, body, self._clock()
                )
                report = await self._sources.transactions.authorise(application, report)
                _tell_doubt(report.snapshot)
                return report
            case "check":
                return await self._sources.transactions.transaction(application, state)
            case "deadline":
                return self._told(DeadlinePassed, task)

    def _told(self, kind: type[Told], task: DueTask) -> Told:
        state = task.state
        return kind(app=state.app, application=state.application, payload=state.payload, at=self._clock())

    async def _record(self, report: Report, application: Application) -> Recorded:
        recorded = await self._store.record(Reported(report=report, policy=application.policy))
        transition = recorded.transition
        if transition is not None and transition.raised:
            log.error("payload.flagged", flags=names_of(transition.raised))
        if transition is not None and transition.announcements:
            log.info("payload.advanced", events=[message.message.type for message in recorded.messages])
        if transition is not None and transition.tasks:
            self.on_task()
        return recorded

    def _decide(self, task: DueTask, error: LookupFailed | NormalizeError | None) -> RetryDecision:
        age = self._clock() - task.created_at
        return decide_lookup(error, attempt=task.attempts, age=age, chance=random.random())  # noqa: S311  jitter

    async def _again(self, task: DueTask, application: Application, decision: RetryDecision) -> None:
        if decision.delay is not None:
            await self._store.reschedule_task(task, decision.delay)
            self.wake()
            return
        log.error("task.abandoned", attempts=task.attempts, hint="no outcome will be published; somebody should look")
        await self._record(self._told(LookupAbandoned, task), application)
        await self._store.finish_task(task)


_LONGEST_PAUSE = timedelta(seconds=5)
_PROVERS: Final = 2
"""Threads that check signatures. The loop's own ones may all wait for a name server."""


def _is_forestalled(task: DueTask, application: Application) -> bool:
    """Whether the payload needs no lookup any more, or the ledger's word alone."""
    state = task.state
    return (
        state.resolved is not None
        or bool(state.flags)
        or (task.kind in {"fetch", "poll"} and isinstance(next_step(state, application.policy), Check))
    )


def _tell_doubt(snapshot: Snapshot) -> None:
    if snapshot.doubt is not None:
        log.warning("signature.unproven", field=snapshot.doubt.field, reason=snapshot.doubt.reason)


def _settled(task: DueTask, recorded: Recorded) -> bool:
    """Whether the payload no longer needs this lookup."""
    if task.kind == "deadline" or (task.kind == "poll" and _is_claimed(recorded)):
        return True
    step = recorded.transition and recorded.transition.step
    return not isinstance(step, Check if task.kind == "check" else Fetch)


def _is_claimed(recorded: Recorded) -> bool:
    """Whether a deed is claimed: its proof is looked up by a task of its own."""
    return recorded.transition is not None and bool(recorded.transition.state.facts & ENDED)
