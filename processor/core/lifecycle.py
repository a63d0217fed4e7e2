"""The life of a payload, as tables.

    created ─▶ opened ─▶ pre_signed ─▶ dispatched ─▶ signed ────▶ on a ledger?  validated | failed
       │          │                                    │          off a ledger  signed
       │          └──────────────────────────────▶ rejected ────▶ rejected
       ├──▶ cancelled (only while unopened) ────────────────────▶ cancelled
       └──▶ expired (= can no longer be opened) ────────────────▶ expired, unless opened and still signed

`apply` alone decides what is news, what is repetition, what ends a payload and what must be looked up next. Facts are
a set that reports add to, so their order and repetition change nothing. One fact gives way: a payload that turns out
signed, rejected or cancelled is not *expired*, since expiry only means that it cannot be opened any more.

A sign event is published when its fact is news and nothing later is known yet: a late *opened* is kept, not announced.
A resolve event is published when the claimed outcome and the evidence meet in `SETTLEMENT`, at most once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from processor.core.application import Policy
from processor.core.facts import FACTS
from processor.core.knowledge import learn
from processor.core.report import (
    DeadlinePassed,
    FlagsReleased,
    LedgerReport,
    LookupDue,
    Report,
    SnapshotReport,
    StatusReport,
)
from processor.core.settlement import (
    AwaitGrace,
    Check,
    Fetch,
    Resolve,
    Rest,
    Step,
    Stop,
    evidence_of,
    grace_end,
    next_step,
)
from processor.core.state import ENDED, Fact, Facts, Flag, Flags, PayloadState
from schemas.data import FailReason
from schemas.events import ResolveName, SignName

DEADLINE_SLACK: Final = timedelta(seconds=30)
"""How long after an expiry the payload is looked up, so that Xumm's clock may differ from ours."""
WEBHOOK_PATIENCE: Final = timedelta(minutes=21)
"""How long Xumm goes on trying to deliver a webhook: 10, 10 or 60, 600 and 600 seconds between five attempts."""
UNTOLD_EXPIRY: Final = timedelta(hours=4)
"""When a payload is looked up of which even Xumm's API does not tell when it expires: Xumm's default for that."""
LONGEST_LOOK: Final = timedelta(hours=1)
"""Between two looks at a payload that should have expired and, says Xumm, has not."""


_OUTCOMES_DISAGREE: Final = int(Flag.OUTCOMES_DISAGREE)
_LATE_OUTCOME: Final = int(Flag.LATE_OUTCOME)
_SIGNATURE_UNREADABLE: Final = int(Flag.SIGNATURE_UNREADABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something to do later, at ``due`` from now (never negative)."""

    kind: Literal["fetch", "check", "deadline", "poll"]
    """``fetch`` and ``check`` look for the proof of what was claimed; ``poll`` looks whether anything was missed."""
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
    flags = _flags(state, learned) | _unreadable(learned, policy)
    if flags != learned.flags:
        learned = learned._replace(flags=flags)
    step = next_step(learned, policy)
    announcements = _announce(state.facts, learned.facts, state.sequence, step)
    return Transition(
        _published(learned, announcements, step),
        step,
        announcements,
        _tasks(state, learned, step, report, policy),
        flags & ~state.flags,
    )


def _contradictory(facts: Facts) -> bool:
    return (facts & ENDED).bit_count() > 1


def _flags(state: PayloadState, learned: PayloadState) -> Flags:
    """With the flags for outcomes that contradict each other, or the one that was published."""
    flags = learned.flags
    if _contradictory(learned.facts):
        flags |= _OUTCOMES_DISAGREE
    if state.resolved is not None and learned.facts & ENDED & ~state.facts:
        flags |= _LATE_OUTCOME
    return flags


def _unreadable(learned: PayloadState, policy: Policy) -> Flags:
    """The flag for a signature that is all there is to go by and cannot be read: another look will not help."""
    if learned.snapshot is None or learned.snapshot.doubt is None or learned.resolved is not None:
        return 0
    return _SIGNATURE_UNREADABLE if evidence_of(learned, policy) == "unreadable" else 0


@lru_cache(maxsize=4096)
def _announce(old: Facts, now: Facts, sequence: int, step: Step) -> tuple[Announcement, ...]:
    """What the facts ``now`` call for beyond ``old``, numbered after ``sequence``, and then the outcome."""
    new = now & ~old
    if _contradictory(now):
        new &= ~ENDED
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
    if isinstance(step, Fetch) or isinstance(report, DeadlinePassed):
        lookup = _lookup(learned.facts)
        asked = lookup != _lookup(state.facts) or isinstance(report, _PERSISTENT) or step != next_step(state, policy)
        return _LOOKUPS[lookup] if asked else _look(state, learned, report)
    changed = step != next_step(state, policy)
    if isinstance(step, Check) and changed:
        return _CHECK
    if isinstance(report, LookupDue):
        return _look(state, learned, report)
    if isinstance(step, AwaitGrace) and (changed or isinstance(report, SnapshotReport)):
        return (Task(kind="deadline", due=_until(grace_end(learned, policy), report.at)),)
    return tuple(_deadlines(state, learned, report)) if isinstance(step, Rest) else ()


def _lookup(facts: Facts) -> Literal["fetch", "poll"]:
    """Somebody waits for the proof of a deed; nobody waits for a payload that nobody touched."""
    return "fetch" if facts & ENDED else "poll"


def _look(state: PayloadState, learned: PayloadState, report: Report) -> tuple[Task, ...]:
    """One look covers all doubts that come before it; what was claimed is being looked up anyway."""
    if not isinstance(report, LookupDue) or learned.look_at in {None, state.look_at} or learned.facts & ENDED:
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
