"""How one report adds to the state of a payload.

Reports only add, and the same reports in another order lead to the same state: facts (with those that they imply) and
flags are unions, evidence is replaced by better evidence, and every other field keeps its first value.
"""

from datetime import datetime, timedelta
from typing import Final, assert_never

from processor.core.payload.facts import SNAPSHOT_FACTS, complete_facts
from processor.core.payload.ids import user_reference
from processor.core.payload.state import ENDED, NO_FACT, NO_FLAG, EndNotice, Fact, Facts, Flag, PayloadState
from processor.core.proof.evidence import Ledger, Snapshot, SnapshotOutcome
from processor.core.reports.report import (
    ORIGINS,
    DeadlinePassed,
    FlagsReleased,
    LedgerReport,
    LookupAbandoned,
    LookupDue,
    Report,
    ReportedToken,
    RequestReport,
    SnapshotReport,
    StatusReport,
    WebhookReport,
)
from schemas.events import ResolveName

FRESH_TOKEN: Final = timedelta(minutes=30)
"""The age up to which a user token counts as issued with the payload that is reported: Xumm repeats the token of a
returning user in every webhook, and its retries end after some 22 minutes."""

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
"""The fact that a published outcome confirms."""
FIRST_LOOKUP: Final = timedelta(minutes=1)
"""The time from the registration of a payload to its first routine lookup, which shows its expiry and missed reports.
Most payloads end sooner, and are then not looked up."""
LOOKUP_SPACING: Final = timedelta(minutes=1)
"""Between two routine lookups of a payload: a socket that flaps, or a replayed body, costs no more."""
ROUTINE_PATIENCE: Final = timedelta(hours=1)
"""How long a routine lookup without an answer stands for later ones, so that they do not pile up."""

_RANK: Final[dict[SnapshotOutcome, int]] = {
    "open": 0,
    "expired": 1,
    "cancelled": 2,
    "rejected": 2,
    "signed": 3,
}
_END_FACTS: Final = int(ENDED | Fact.EXPIRED)
_DELIVERED_SIGNED: Final = int(Fact.DELIVERED | Fact.SIGNED)
_DELIVERED_REJECTED: Final = int(Fact.DELIVERED | Fact.REJECTED)
_LEDGER_RANK: Final = {"pending": 0, "never_validated": 1, "validated": 2}
_TOKEN_ISSUED: Final = int(Fact.TOKEN_ISSUED)


def learn(state: PayloadState, report: Report) -> PayloadState:  # noqa: PLR0911  one return for each kind
    """The state after ``report``. What follows from the change is decided in `processor.core.payload.lifecycle`."""
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
            known = _add(state, REQUEST_FACTS[report.kind], report, expires_at=report.expires_at)
            return known._replace(
                asked_of=state.asked_of or report.asked_of, asked_by=state.asked_by or report.asked_by
            )
        case LookupDue():
            return state._replace(lookup_at=_next_routine_lookup(state, report))
        case LookupAbandoned():
            return state._replace(flags=state.flags | Flag.ABANDONED)
        case DeadlinePassed():
            return state
        case FlagsReleased():
            return _release_flags(state)
        case _:
            assert_never(report)


def _add(
    state: PayloadState,
    facts: Facts,
    report: WebhookReport | StatusReport | SnapshotReport | RequestReport,
    *,
    txid: str | None = None,
    token: ReportedToken | None = None,
    expires_at: datetime | None = None,
) -> PayloadState:
    if token is not None and _is_fresh(token, report.at):
        facts |= _TOKEN_ISSUED
    user = state.user or (user_reference(state.application_uuid, token.value) if token else None)
    notice = state.end_notice
    if facts & _END_FACTS:
        notice = _first_notice(state, facts, EndNotice(ORIGINS[type(report)], report.at))
    return state._replace(
        facts=complete_facts(state.facts | facts),
        txid=state.txid or txid,
        user=user,
        expires_at=state.expires_at or expires_at,
        custom_meta=state.custom_meta or report.custom_meta,
        end_notice=notice,
    )


def _first_notice(state: PayloadState, facts: Facts, now: EndNotice) -> EndNotice:
    """The first notice of an end; until there is one, the first notice of the expiry."""
    is_first = facts & ENDED and not state.facts & ENDED
    return now if state.end_notice is None or is_first else state.end_notice


def _add_snapshot(state: PayloadState, report: SnapshotReport) -> PayloadState:
    snapshot = report.snapshot
    if snapshot.application != state.application_uuid:
        return state._replace(flags=state.flags | Flag.APPLICATIONS_DISAGREE)
    facts = SNAPSHOT_FACTS[snapshot.outcome]
    if snapshot.opened:
        facts |= Fact.OPENED
    known = _add(state, facts, report, txid=snapshot.txid, token=report.token, expires_at=snapshot.expires_at)
    return known._replace(
        flags=known.flags | _flag_contradictions(state.snapshot, snapshot),
        snapshot=_better_snapshot(state.snapshot, snapshot),
        expires_at=snapshot.expires_at or known.expires_at,
    )


def _flag_contradictions(before: Snapshot | None, snapshot: Snapshot) -> Flag:
    flags = NO_FLAG
    if before is not None and len({before.txid, snapshot.txid} - {None}) > 1:
        flags |= Flag.TRANSACTIONS_DISAGREE
    if snapshot.doubt is not None and snapshot.doubt.disproves:
        flags |= Flag.SIGNATURE_DISPROVEN
    if snapshot.networks_disagree:
        flags |= Flag.NETWORKS_DISAGREE
    return flags


def _next_routine_lookup(state: PayloadState, report: LookupDue) -> datetime | None:
    """When the routine lookup is due that covers ``report``: the planned one, if that covers it."""
    last = state.lookup_at
    if report.reason == "registered":
        return last if last is not None or state.snapshot is not None else report.at + FIRST_LOOKUP
    if last is None:
        return report.at
    answered = state.snapshot is not None and state.snapshot.fetched_at >= last
    covered = report.at < last or (not answered and report.at < last + ROUTINE_PATIENCE)
    return last if covered else max(report.at, last + LOOKUP_SPACING)


def _release_flags(state: PayloadState) -> PayloadState:
    """The state without flags and without the evidence that raised them: the next answer of Xumm's API decides.

    A payload that is resolved keeps its outcome and its evidence.
    """
    if state.resolved is not None:
        return state._replace(flags=0)
    return state._replace(flags=0, txid=None, snapshot=None, ledger=None, lookup_at=None)


def _better_snapshot(old: Snapshot | None, new: Snapshot) -> Snapshot:
    if old is None:
        return new
    return max(old, new, key=lambda snapshot: (_RANK[snapshot.outcome], snapshot.proven, snapshot.fetched_at))


def _better_ledger(state: PayloadState, new: Ledger) -> Ledger | None:
    old, snapshot = state.ledger, state.snapshot
    if snapshot is not None and snapshot.txid is not None and new.txid != snapshot.txid:
        return old
    if old is None or old.txid != new.txid:
        return new
    return max(old, new, key=lambda ledger: (_LEDGER_RANK[ledger.status], ledger.checked_at))


def _is_fresh(token: ReportedToken, at: datetime) -> bool:
    return token.issued_at is not None and abs(at - token.issued_at) <= FRESH_TOKEN
