"""The life of a payload, as tables.

    created ─▶ opened ─▶ pre_signed ─▶ dispatched ─▶ signed ────▶ on a ledger?  validated | failed
       │          │                                    │          off a ledger  signed
       │          └──────────────────────────────▶ rejected ────▶ rejected
       ├──▶ cancelled (= can no longer be opened) ──────────────▶ cancelled, unless opened and still signed
       └──▶ expired (likewise) ─────────────────────────────────▶ expired, unless opened and still signed

`apply` alone decides which reports are news, what ends a payload and what is looked up next. Facts are a set that
reports add to, so the order and the repetition of reports change nothing. One fact is withdrawn: a payload that turns
out signed, rejected or cancelled is not *expired*, since expiry only means that it can no longer be opened.

A sign event is published when its fact is new and no later fact is known: a late *opened* is kept, not published. A
resolve event is published when `SETTLEMENT` resolves the payload, at most once, whatever end was reported before.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from processor.core.application import PayloadPolicy
from processor.core.payload.facts import FACTS, SNAPSHOT_FACTS
from processor.core.payload.learning import RESOLVED_FACTS, STATUS_FACTS, learn
from processor.core.payload.settlement import (
    Check,
    Fetch,
    Resolve,
    Rest,
    Step,
    Stop,
    Wait,
    evidence_of,
    final_from,
    next_step,
)
from processor.core.payload.state import ANSWERED, ENDED, Fact, Facts, Flag, Flags, PayloadState
from processor.core.reports.report import (
    DeadlinePassed,
    FlagsReleased,
    LedgerReport,
    LookupDue,
    Report,
    SnapshotReport,
    StatusReport,
    WebhookReport,
)
from schemas.data import FailReason
from schemas.events import ResolveName, SignName

DEADLINE_SLACK: Final = timedelta(seconds=30)
"""The time from an expiry to the lookup of the payload: Xumm's clock may differ from ours."""
WEBHOOK_PATIENCE: Final = timedelta(minutes=23)
"""How long Xumm tries to deliver a webhook: 10, 60, 600 and 600 seconds between five attempts, each of which may take
15 seconds."""
DEFAULT_EXPIRY: Final = timedelta(hours=4)
"""The time to the next lookup of a payload whose expiry Xumm's API does not tell: the default expiry at Xumm."""
LONGEST_PAUSE: Final = timedelta(hours=1)
"""Between two lookups of a payload that is past its expiry and that Xumm does not call expired."""

_OUTCOMES_DISAGREE: Final = int(Flag.OUTCOMES_DISAGREE)
_LATE_OUTCOME: Final = int(Flag.LATE_OUTCOME)
_END_REPORTED: Final = int(ENDED | Fact.DELIVERED)
_SIGNATURE_UNREADABLE: Final = int(Flag.SIGNATURE_UNREADABLE)
_SIGNING: Final = int(Fact.PRE_SIGNED | Fact.DISPATCHED)

TaskKind = Literal["fetch", "check", "deadline", "poll"]
"""As the store names them. ``fetch`` asks Xumm's API and ``check`` a ledger node for the proof that somebody waits for:
they are urgent. ``poll`` asks Xumm's API whether anything was missed, which is routine. ``deadline`` asks nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A lookup or a reminder that is due in ``due``, which is never negative."""

    kind: TaskKind
    due: timedelta = timedelta(0)


_LOOKUPS: Final = {"fetch": (Task(kind="fetch"),), "poll": (Task(kind="poll"),)}
_CHECK: Final = (Task(kind="check"),)
_OVER: Final = (Stop, Resolve)
_PERSISTENT: Final = (LedgerReport, DeadlinePassed)
"""Reports that repeat the lookup that was asked for before."""


class PlannedEvent(NamedTuple):
    """One event to publish."""

    family: Literal["sign", "resolve"]
    name: SignName | ResolveName
    sequence: int
    reason: FailReason | None = None
    """Why the payload failed, if it did."""


class Transition(NamedTuple):
    """The effect of a report."""

    state: PayloadState
    step: Step
    """The next step for the payload."""
    events: tuple[PlannedEvent, ...] = ()
    tasks: tuple[Task, ...] = ()
    raised: Flags = 0
    """Flags that the report raised: each is worth an error in the log."""

    @property
    def news(self) -> bool:
        """Whether the report added anything."""
        return bool(self.events or self.tasks or self.raised)


def apply(state: PayloadState, report: Report, policy: PayloadPolicy) -> Transition:
    """The state after ``report``, with the events and tasks that follow from it."""
    new = learn(state, report)
    flags = _flag_unreadable(new, policy) if state.resolved is None else _flag_late_answer(state, new, report)
    if flags & ~new.flags:
        new = new._replace(flags=new.flags | flags)
    step = next_step(new, policy)
    if isinstance(step, Resolve) and _is_contradicted(new, step):
        new = new._replace(flags=_OUTCOMES_DISAGREE)
    events = _plan_events(state.facts, new.facts, state.sequence, step)
    return Transition(
        _mark_published(new, events, step),
        step,
        events,
        _plan_tasks(state, new, step, report, policy),
        new.flags & ~state.flags,
    )


def _flag_late_answer(state: PayloadState, new: PayloadState, report: Report) -> Flags:
    """The flag for an answer of the user that is reported after another outcome was published."""
    published = RESOLVED_FACTS[state.resolved]
    is_new = isinstance(report, SnapshotReport) or new.facts & ~state.facts
    if not is_new or not _answer_in(report) & ~published:
        return 0
    is_unfounded = published & Fact.SIGNED or isinstance(report, StatusReport)
    return _OUTCOMES_DISAGREE if is_unfounded else _LATE_OUTCOME


def _answer_in(report: Report) -> Facts:
    match report:
        case WebhookReport():
            return Fact.SIGNED if report.signed else Fact.REJECTED
        case StatusReport():
            return STATUS_FACTS[report.kind] & ANSWERED
        case SnapshotReport():
            return SNAPSHOT_FACTS[report.snapshot.outcome] & ANSWERED
        case _:
            return 0


def _is_contradicted(state: PayloadState, step: Resolve) -> bool:
    """Whether a report contradicts the outcome that is published now. A cancellation or an expiry contradicts none."""
    shown = None if state.snapshot is None else state.snapshot.txid
    other_answer = state.facts & ANSWERED & ~RESOLVED_FACTS[step.name]
    return bool(other_answer) or (shown is not None and state.txid not in {None, shown})


def _flag_unreadable(state: PayloadState, policy: PayloadPolicy) -> Flags:
    """The flag for a signature that cannot be read and is the only evidence: another lookup will not help."""
    return _SIGNATURE_UNREADABLE if evidence_of(state, policy) == "unreadable" else 0


@lru_cache(maxsize=4096)
def _plan_events(old: Facts, now: Facts, sequence: int, step: Step) -> tuple[PlannedEvent, ...]:
    """The events of the facts that are in ``now`` and not in ``old``, then that of the outcome, numbered."""
    new = now & ~old
    sign = [row.event for fact, row in FACTS.items() if fact & new and not row.overtaken_by & now]
    events = [PlannedEvent("sign", name, number) for number, name in enumerate(sign, start=sequence + 1)]
    if isinstance(step, Resolve):
        events.append(PlannedEvent("resolve", step.name, sequence + len(sign) + 1, step.reason))
    return tuple(events)


def _mark_published(state: PayloadState, events: tuple[PlannedEvent, ...], step: Step) -> PayloadState:
    if not events:
        return state
    resolved = step.name if isinstance(step, Resolve) else state.resolved
    return state._replace(sequence=events[-1].sequence, resolved=resolved)


def _plan_tasks(
    state: PayloadState, new: PayloadState, step: Step, report: Report, policy: PayloadPolicy
) -> tuple[Task, ...]:
    """The lookups and reminders that a report causes. A repetition causes none."""
    if isinstance(step, _OVER) or new.resolved is not None:
        return ()
    return _LOOKUPS["fetch"] if isinstance(report, FlagsReleased) else _plan_due(state, new, step, report, policy)


def _plan_due(
    state: PayloadState, new: PayloadState, step: Step, report: Report, policy: PayloadPolicy
) -> tuple[Task, ...]:
    """The same for a payload that is open or unproven, and not left to a human."""
    changed = step != next_step(state, policy)
    if isinstance(step, Fetch) or isinstance(report, DeadlinePassed):
        kind = _lookup_kind(new.facts)
        wanted = changed or kind != _lookup_kind(state.facts) or isinstance(report, _PERSISTENT)
        if wanted or _is_confirmed_elsewhere(state, new, report):
            return _LOOKUPS[kind]
        return _plan_routine(state, new, step, report)
    if isinstance(step, Check) and changed:
        return _CHECK
    if isinstance(report, LookupDue):
        return _plan_routine(state, new, step, report)
    if isinstance(step, Wait) and (changed or isinstance(report, SnapshotReport)):
        return (Task(kind="deadline", due=_time_to_final(new, report.at, policy)),)
    return tuple(_deadlines(state, new, report)) if isinstance(step, Rest) else ()


def _is_confirmed_elsewhere(state: PayloadState, new: PayloadState, report: Report) -> bool:
    """Whether another source reports the end that Xumm's API did not show: the next attempt may be far away."""
    snapshot, notice = state.snapshot, state.end_notice
    answered = snapshot is not None and notice is not None and snapshot.fetched_at >= notice.at
    return answered and bool(new.facts & ~state.facts & _END_REPORTED) and not isinstance(report, SnapshotReport)


def _time_to_final(state: PayloadState, now: datetime, policy: PayloadPolicy) -> timedelta:
    """The time until an unchanged answer of Xumm's API is final."""
    assert state.snapshot is not None  # noqa: S101  SETTLEMENT waits for nothing without a snapshot
    slack = DEADLINE_SLACK if state.facts & Fact.OPENED else timedelta(0)
    return max(final_from(state, state.snapshot, policy) - now, timedelta(0)) + slack


def _lookup_kind(facts: Facts) -> Literal["fetch", "poll"]:
    """Somebody waits for the proof of an end; nobody waits for a payload that nobody acted on."""
    return "fetch" if facts & ENDED else "poll"


def _plan_routine(state: PayloadState, new: PayloadState, step: Step, report: Report) -> tuple[Task, ...]:
    """One routine lookup covers all reports before it; a payload that awaits its proof is looked up anyway."""
    if not isinstance(report, LookupDue) or new.lookup_at in {None, state.lookup_at}:
        return ()
    if isinstance(step, Fetch | Check) and new.facts & ENDED:
        return ()
    assert new.lookup_at is not None  # noqa: S101  the first line
    return (Task(kind="poll", due=max(new.lookup_at - report.at, timedelta(0))),)


def _deadlines(state: PayloadState, new: PayloadState, report: Report) -> Iterator[Task]:
    """The next lookups of an open payload, in case no source reports the end."""
    is_snapshot = isinstance(report, SnapshotReport)
    if new.expires_at is not None and (state.expires_at is None or is_snapshot):
        yield Task(kind="deadline", due=_time_past(new.expires_at, report.at))
    elif is_snapshot:
        yield Task(kind="deadline", due=DEFAULT_EXPIRY)
    if isinstance(report, StatusReport) and new.facts & ~state.facts & _SIGNING:
        yield Task(kind="deadline", due=WEBHOOK_PATIENCE)


def _time_past(expires_at: datetime, now: datetime) -> timedelta:
    """The time until a little after ``expires_at``; the longer ago that is, the longer the pause."""
    pause = min(now - expires_at, LONGEST_PAUSE) - DEADLINE_SLACK
    return max(expires_at - now, timedelta(0), pause) + DEADLINE_SLACK
