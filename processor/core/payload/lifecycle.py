"""The life of a payload, as tables.

    created ─▶ opened ─▶ pre_signed ─▶ dispatched ─▶ signed ────▶ on a ledger?  validated | failed
       │          │                                    │          off a ledger  signed
       │          └──────────────────────────────▶ rejected ────▶ rejected
       ├──▶ cancelled (= can no longer be opened) ──────────────▶ cancelled, unless opened and still signed
       └──▶ expired (likewise) ─────────────────────────────────▶ expired, unless opened and still signed

`apply` alone decides what is news, what is repetition, what ends a payload and what must be looked up next. Facts are
a set that reports add to, so their order and repetition change nothing. One fact gives way: a payload that turns out
signed, rejected or cancelled is not *expired*, since expiry only means that it cannot be opened any more.

A sign event is published when its fact is news and nothing later is known yet: a late *opened* is kept, not announced.
A resolve event is published when the evidence settles it in `SETTLEMENT`, at most once, whatever was claimed before.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from processor.core.application import Policy
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
"""How long after an expiry the payload is looked up, so that Xumm's clock may differ from ours."""
WEBHOOK_PATIENCE: Final = timedelta(minutes=23)
"""How long Xumm goes on trying to deliver a webhook: 10, 60, 600 and 600 seconds between five attempts, for each of
which it waits up to 15 seconds."""
UNTOLD_EXPIRY: Final = timedelta(hours=4)
"""When a payload is looked up of which even Xumm's API does not tell when it expires: Xumm's default for that."""
LONGEST_LOOK: Final = timedelta(hours=1)
"""Between two looks at a payload that should have expired and, says Xumm, has not."""


_OUTCOMES_DISAGREE: Final = int(Flag.OUTCOMES_DISAGREE)
_LATE_OUTCOME: Final = int(Flag.LATE_OUTCOME)
_TOLD: Final = int(ENDED | Fact.DELIVERED)
_SIGNATURE_UNREADABLE: Final = int(Flag.SIGNATURE_UNREADABLE)


TaskKind = Literal["fetch", "check", "deadline", "poll"]
"""As the store names them. ``fetch`` asks Xumm's API and ``check`` a ledger node for the proof that somebody waits for:
they are urgent. ``poll`` asks Xumm's API whether anything was missed, which is routine. ``deadline`` asks nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something to do later, at ``due`` from now (never negative)."""

    kind: TaskKind
    due: timedelta = timedelta(0)


_LOOKUPS: Final = {"fetch": (Task(kind="fetch"),), "poll": (Task(kind="poll"),)}
_CHECK: Final = (Task(kind="check"),)
_OVER: Final = (Stop, Resolve)
_PERSISTENT: Final = (LedgerReport, DeadlinePassed)
"""These ask again for what was asked for before."""


class Announcement(NamedTuple):
    """One event to publish."""

    family: Literal["sign", "resolve"]
    name: SignName | ResolveName
    sequence: int
    reason: FailReason | None = None
    """Why it failed, if it did."""


class Transition(NamedTuple):
    """What a report changed."""

    state: PayloadState
    step: Step
    """What the payload needs now."""
    announcements: tuple[Announcement, ...] = ()
    tasks: tuple[Task, ...] = ()
    raised: Flags = 0
    """Flags that this report raised: each is worth an error in the log."""

    @property
    def news(self) -> bool:
        """Whether the report said anything that was not known."""
        return bool(self.announcements or self.tasks or self.raised)


def apply(state: PayloadState, report: Report, policy: Policy) -> Transition:
    """The state after ``report``, and what follows from it. Pure: the same arguments give the same transition."""
    learned = learn(state, report)
    told = _unreadable(learned, policy) if state.resolved is None else _belated(state, learned, report)
    if told:
        learned = learned._replace(flags=learned.flags | told)
    step = next_step(learned, policy)
    if isinstance(step, Resolve) and _is_refuted(learned, step):
        learned = learned._replace(flags=_OUTCOMES_DISAGREE)
    announcements = _announce(state.facts, learned.facts, state.sequence, step)
    return Transition(
        _published(learned, announcements, step),
        step,
        announcements,
        _tasks(state, learned, step, report, policy),
        learned.flags & ~state.flags,
    )


def _belated(state: PayloadState, learned: PayloadState, report: Report) -> Flags:
    """What to flag of an answer of the user that is told after another end was published."""
    published = RESOLVED_FACTS[state.resolved]
    is_new = isinstance(report, SnapshotReport) or learned.facts & ~state.facts
    if not is_new or not _answer_in(report) & ~published:
        return 0
    is_refuted = published & Fact.SIGNED or isinstance(report, StatusReport)
    return _OUTCOMES_DISAGREE if is_refuted else _LATE_OUTCOME


def _answer_in(report: Report) -> Facts:
    """What the user did, if the report says so."""
    match report:
        case WebhookReport():
            return Fact.SIGNED if report.signed else Fact.REJECTED
        case StatusReport():
            return STATUS_FACTS[report.kind] & ANSWERED
        case SnapshotReport():
            return SNAPSHOT_FACTS[report.snapshot.outcome] & ANSWERED
        case _:
            return 0


def _is_refuted(state: PayloadState, step: Resolve) -> bool:
    """Whether somebody said otherwise than is published now. A cancellation and an expiry go with any end."""
    shown = None if state.snapshot is None else state.snapshot.txid
    otherwise = state.facts & ANSWERED & ~RESOLVED_FACTS[step.name]
    return bool(otherwise) or (shown is not None and state.txid not in {None, shown})


def _unreadable(learned: PayloadState, policy: Policy) -> Flags:
    """The flag for a signature that is all there is to go by and cannot be read: another look will not help."""
    return _SIGNATURE_UNREADABLE if evidence_of(learned, policy) == "unreadable" else 0


@lru_cache(maxsize=4096)
def _announce(old: Facts, now: Facts, sequence: int, step: Step) -> tuple[Announcement, ...]:
    """What the facts ``now`` call for beyond ``old``, numbered after ``sequence``, and then the outcome."""
    new = now & ~old
    sign = [row.event for fact, row in FACTS.items() if fact & new and not row.overtaken_by & now]
    announcements = [Announcement("sign", name, number) for number, name in enumerate(sign, start=sequence + 1)]
    if isinstance(step, Resolve):
        announcements.append(Announcement("resolve", step.name, sequence + len(sign) + 1, step.reason))
    return tuple(announcements)


def _published(learned: PayloadState, announcements: tuple[Announcement, ...], step: Step) -> PayloadState:
    if not announcements:
        return learned
    resolved = step.name if isinstance(step, Resolve) else learned.resolved
    return learned.published(announcements[-1].sequence, resolved)


def _tasks(state: PayloadState, learned: PayloadState, step: Step, report: Report, policy: Policy) -> tuple[Task, ...]:
    """What to look up, and when to be told that time has passed. Repetitions ask for nothing."""
    if isinstance(step, _OVER) or learned.resolved is not None:
        return ()
    return _LOOKUPS["fetch"] if isinstance(report, FlagsReleased) else _due(state, learned, step, report, policy)


def _due(state: PayloadState, learned: PayloadState, step: Step, report: Report, policy: Policy) -> tuple[Task, ...]:
    """The same for a payload that is still open or unproven, and no human's affair."""
    changed = step != next_step(state, policy)
    if isinstance(step, Fetch) or isinstance(report, DeadlinePassed):
        lookup = _lookup(learned.facts)
        asked = changed or lookup != _lookup(state.facts) or isinstance(report, _PERSISTENT)
        return (
            _LOOKUPS[lookup] if asked or _is_said_anew(state, learned, report) else _look(state, learned, step, report)
        )
    if isinstance(step, Check) and changed:
        return _CHECK
    if isinstance(report, LookupDue):
        return _look(state, learned, step, report)
    if isinstance(step, Wait) and (changed or isinstance(report, SnapshotReport)):
        return (Task(kind="deadline", due=_wait(learned, report.at, policy)),)
    return tuple(_deadlines(state, learned, report)) if isinstance(step, Rest) else ()


def _is_said_anew(state: PayloadState, learned: PayloadState, report: Report) -> bool:
    """Whether somebody else says what Xumm's API did not show when it was asked: the next try may be far away."""
    snapshot, before = state.snapshot, state.learned
    answered = snapshot is not None and before is not None and snapshot.fetched_at >= before.at
    return answered and bool(learned.facts & ~state.facts & _TOLD) and not isinstance(report, SnapshotReport)


def _wait(state: PayloadState, now: datetime, policy: Policy) -> timedelta:
    """Until the answer at hand, if it is the same then, is final."""
    assert state.snapshot is not None  # noqa: S101  SETTLEMENT waits for nothing without a snapshot
    slack = DEADLINE_SLACK if state.facts & Fact.OPENED else timedelta(0)
    return max(final_from(state, state.snapshot, policy) - now, timedelta(0)) + slack


def _lookup(facts: Facts) -> Literal["fetch", "poll"]:
    """Somebody waits for the proof of a deed; nobody waits for a payload that nobody touched."""
    return "fetch" if facts & ENDED else "poll"


def _look(state: PayloadState, learned: PayloadState, step: Step, report: Report) -> tuple[Task, ...]:
    """One look covers all doubts that come before it; what is being proven is looked up anyway."""
    if not isinstance(report, LookupDue) or learned.look_at in {None, state.look_at}:
        return ()
    if isinstance(step, Fetch | Check) and learned.facts & ENDED:
        return ()
    assert learned.look_at is not None  # noqa: S101  the line above
    return (Task(kind="poll", due=max(learned.look_at - report.at, timedelta(0))),)


def _deadlines(state: PayloadState, learned: PayloadState, report: Report) -> Iterator[Task]:
    """When to look again at a payload that is open, in case nobody says how it ends."""
    snapshot = isinstance(report, SnapshotReport)
    if learned.expires_at is not None and (state.expires_at is None or snapshot):
        yield Task(kind="deadline", due=_until(learned.expires_at, report.at))
    elif snapshot:
        yield Task(kind="deadline", due=UNTOLD_EXPIRY)
    if isinstance(report, StatusReport) and learned.facts & ~state.facts & _SIGNING:
        yield Task(kind="deadline", due=WEBHOOK_PATIENCE)


_SIGNING: Final = int(Fact.PRE_SIGNED | Fact.DISPATCHED)


def _until(moment: datetime, now: datetime) -> timedelta:
    """Until a little after ``moment``; the longer ago that is, the more rarely it is worth another look."""
    return max(moment - now, timedelta(0), min(now - moment, LONGEST_LOOK) - DEADLINE_SLACK) + DEADLINE_SLACK
