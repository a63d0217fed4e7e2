"""How one report adds to what is known of a payload.

Everything here only adds, and adding the same things in another order ends in the same knowledge: facts (with what they
imply) and flags are unions, evidence is replaced by better evidence, and what merely accompanies keeps its first value.
"""

from datetime import datetime, timedelta
from typing import Final, assert_never

from processor.core.payload.facts import SNAPSHOT_FACTS, closed
from processor.core.payload.ids import user_reference
from processor.core.payload.state import ENDED, NO_FACT, NO_FLAG, Fact, Facts, Flag, Learned, PayloadState, Source
from processor.core.proof.evidence import Ledger, Snapshot, SnapshotOutcome
from processor.core.reports.report import (
    DeadlinePassed,
    FlagsReleased,
    LedgerReport,
    LookupAbandoned,
    LookupDue,
    Report,
    RequestReport,
    SnapshotReport,
    StatusReport,
    Token,
    WebhookReport,
)
from schemas.events import ResolveName

FRESH_TOKEN: Final = timedelta(minutes=30)
"""A user token counts as issued with a payload if it is no older than this when the report comes: Xumm repeats the
token of a returning user in every webhook, and its retries end after some 22 minutes."""

STATUS_FACTS: Final[dict[str, Facts]] = {
    "opened": Fact.OPENED,
    "pre_signed": Fact.PRE_SIGNED,
    "dispatched": Fact.DISPATCHED,
    "signed": Fact.SIGNED,
    "rejected": Fact.REJECTED,
    "expired": Fact.EXPIRED,
    "alive": NO_FACT,
}
REQUEST_FACTS: Final[dict[str, Facts]] = {"created": Fact.CREATED, "cancelled": Fact.CANCELLED}
RESOLVED_FACTS: Final[dict[ResolveName | None, Facts]] = {
    "signed": Fact.SIGNED,
    "validated": Fact.SIGNED,
    "failed": Fact.SIGNED,
    "rejected": Fact.REJECTED,
    "cancelled": Fact.CANCELLED,
    "expired": NO_FACT,
}
"""The deed that a published outcome stands for."""
FIRST_LOOK: Final = timedelta(minutes=1)
"""How long after a payload was registered it is looked up, to learn when it expires and what was missed before. Most
end sooner, and then cost no look."""
LOOK_SPACING: Final = timedelta(minutes=1)
"""Between two looks at a payload without a claim: a socket that flaps, or a body that is replayed, costs no more."""
LOOK_PATIENCE: Final = timedelta(hours=1)
"""For so long a look that was not answered yet stands for later ones, so that they do not pile up."""

_SNAPSHOT_RANK: Final[dict[SnapshotOutcome, int]] = {
    "open": 0,
    "expired": 1,
    "cancelled": 2,
    "rejected": 2,
    "signed": 3,
}
_TELLS_END: Final = int(ENDED | Fact.EXPIRED)
_DELIVERED_SIGNED: Final = int(Fact.DELIVERED | Fact.SIGNED)
_DELIVERED_REJECTED: Final = int(Fact.DELIVERED | Fact.REJECTED)
_SOURCES: Final[dict[type[Report], Source]] = {
    WebhookReport: "webhook",
    StatusReport: "websocket",
    SnapshotReport: "api",
    RequestReport: "request",
}
_LEDGER_RANK: Final = {"pending": 0, "never_validated": 1, "validated": 2}
_TOKEN_ISSUED: Final = int(Fact.TOKEN_ISSUED)


def learn(state: PayloadState, report: Report) -> PayloadState:  # noqa: PLR0911  one return for each kind
    """What is known after ``report``. What is news in it, and what is to be done, is the lifecycle's."""
    match report:
        case WebhookReport():
            facts = _DELIVERED_SIGNED if report.signed else _DELIVERED_REJECTED
            return _add(state, facts, report, txid=report.txid, token=report.token)
        case StatusReport():
            return _add(state, STATUS_FACTS[report.kind], report, txid=report.txid, expires_at=report.expires_at)
        case SnapshotReport():
            return _add_snapshot(state, report)
        case LedgerReport():
            return state._replace(ledger=_better_ledger(state, report.ledger))
        case RequestReport():
            asked = _add(state, REQUEST_FACTS[report.kind], report, expires_at=report.expires_at)
            return asked._replace(
                asked_of=state.asked_of or report.asked_of, asked_by=state.asked_by or report.asked_by
            )
        case LookupDue():
            return state._replace(look_at=_next_look(state, report))
        case LookupAbandoned():
            return state._replace(flags=state.flags | Flag.ABANDONED)
        case DeadlinePassed():
            return state
        case FlagsReleased():
            return _released(state)
        case _:
            assert_never(report)


def _add(
    state: PayloadState,
    facts: Facts,
    report: WebhookReport | StatusReport | SnapshotReport | RequestReport,
    *,
    txid: str | None = None,
    token: Token | None = None,
    expires_at: datetime | None = None,
) -> PayloadState:
    if token is not None and _is_fresh(token, report.at):
        facts |= _TOKEN_ISSUED
    return PayloadState(  # every field by position: half the time of `_replace`, and each webhook comes by
        state.app,
        state.application_uuid,
        state.payload,
        closed(state.facts | facts),
        state.flags,
        state.sequence,
        state.resolved,
        state.txid or txid,
        state.user or (user_reference(state.application_uuid, token.value) if token else None),
        state.expires_at or expires_at,
        state.custom_meta or report.custom_meta,
        state.snapshot,
        state.ledger,
        _first_learned(state, facts, Learned(_SOURCES[type(report)], report.at))
        if facts & _TELLS_END
        else state.learned,
        state.look_at,
        state.asked_of,
        state.asked_by,
    )


def _first_learned(state: PayloadState, facts: Facts, now: Learned) -> Learned:
    """The first word of a deed; as long as there is none, of the expiry."""
    first_deed = facts & ENDED and not state.facts & ENDED
    return now if state.learned is None or first_deed else state.learned


def _add_snapshot(state: PayloadState, report: SnapshotReport) -> PayloadState:
    snapshot = report.snapshot
    if snapshot.application != state.application_uuid:
        return state._replace(flags=state.flags | Flag.APPLICATIONS_DISAGREE)
    facts = SNAPSHOT_FACTS[snapshot.outcome]
    if snapshot.opened:
        facts |= Fact.OPENED
    known = _add(state, facts, report, txid=snapshot.txid, token=report.token, expires_at=snapshot.expires_at)
    return known._replace(
        flags=known.flags | _contradictions(state.snapshot, snapshot),
        snapshot=_better_snapshot(state.snapshot, snapshot),
        expires_at=snapshot.expires_at or known.expires_at,
    )


def _contradictions(before: Snapshot | None, snapshot: Snapshot) -> Flag:
    flags = NO_FLAG
    if before is not None and len({before.txid, snapshot.txid} - {None}) > 1:
        flags |= Flag.TRANSACTIONS_DISAGREE
    if snapshot.doubt is not None and snapshot.doubt.disproves:
        flags |= Flag.SIGNATURE_DISPROVEN
    if snapshot.networks_disagree:
        flags |= Flag.NETWORKS_DISAGREE
    return flags


def _next_look(state: PayloadState, report: LookupDue) -> datetime | None:
    """When the look is due that covers ``report``; the old one if that still does."""
    last = state.look_at
    if report.because == "registered":
        return last if last is not None or state.snapshot is not None else report.at + FIRST_LOOK
    if last is None:
        return report.at
    answered = state.snapshot is not None and state.snapshot.fetched_at >= last
    covered = report.at < last or (not answered and report.at < last + LOOK_PATIENCE)
    return last if covered else max(report.at, last + LOOK_SPACING)


def _released(state: PayloadState) -> PayloadState:
    """Without flags, and without the evidence that they came of: the next answer of Xumm's API decides.

    What was published stays published: a payload that is resolved keeps its outcome and its evidence.
    """
    if state.resolved is not None:
        return state._replace(flags=0)
    return state._replace(flags=0, txid=None, snapshot=None, ledger=None, look_at=None)


def _better_snapshot(old: Snapshot | None, new: Snapshot) -> Snapshot:
    if old is None:
        return new
    return max(old, new, key=lambda each: (_SNAPSHOT_RANK[each.outcome], each.proven, each.fetched_at))


def _better_ledger(state: PayloadState, new: Ledger) -> Ledger | None:
    old, snapshot = state.ledger, state.snapshot
    if snapshot is not None and snapshot.txid is not None and new.txid != snapshot.txid:
        return old
    if old is None or old.txid != new.txid:
        return new
    return max(old, new, key=lambda ledger: (_LEDGER_RANK[ledger.status], ledger.checked_at))


def _is_fresh(token: Token, at: datetime) -> bool:
    return token.issued_at is not None and abs(at - token.issued_at) <= FRESH_TOKEN
