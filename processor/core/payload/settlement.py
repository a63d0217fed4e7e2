"""When a payload is resolved: the table from the reported end and the evidence to the next step.

Evidence alone resolves a payload. A reported end that the evidence does not confirm causes lookups, and lapses after a
while.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final, Literal, get_args

from processor.core.application import PayloadPolicy
from processor.core.payload.facts import SNAPSHOT_FACTS
from processor.core.payload.state import ENDED, Fact, Facts, PayloadState
from processor.core.proof.evidence import Ledger, Snapshot
from schemas.data import FailReason
from schemas.events import ResolveName

ReportedEnd = Literal["none", "expired", "ended"]
"""The end that was reported and that Xumm's API does not show. It causes lookups; it proves nothing."""
Evidence = Literal[
    "none",  # never fetched, or fetched while nothing had ended
    "reversible",  # expired, cancelled or rejected, but a signature may still follow
    "expired",
    "cancelled",
    "rejected",
    "unproven",  # signed, but the signer is not proven yet
    "unreadable",  # signed, but this version cannot read the signed blob
    "signed_off_ledger",
    "untransmitted",  # signed for a ledger, but network or transaction are not known yet
    "wrong_network",
    "submitted",  # not validated yet
    "validated",
    "failed_on_ledger",
    "never_validated",
]
SECOND_LOOKUP: Final = timedelta(seconds=60)
"""The time from the first report of an end without a signature to the lookup that makes the end final. A signature may
come in between: Xumm cancels without a condition, and takes a late signature on purpose."""
UNVERIFIED_PATIENCE: Final = timedelta(minutes=30)
"""How long an end that no webhook reported is looked up while Xumm's API does not show it: longer than Xumm retries a
webhook."""
VERIFIED_PATIENCE: Final = timedelta(hours=12)
"""The same for an end that a webhook reported: shorter than `processor.core.retry.LOOKUP_PATIENCE`."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Do nothing until the next report."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask Xumm's API for the payload."""


@dataclass(frozen=True, slots=True)
class Check:
    """Ask a ledger node for the transaction."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until an end without a signature is final: see `final_from`."""


@dataclass(frozen=True, slots=True)
class Resolve:
    """Publish the outcome."""

    name: ResolveName
    reason: FailReason | None = None
    """Why the payload failed, if it did."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Leave the payload to a human, since its flags are raised or its signature cannot be read."""


Step = Rest | Fetch | Check | Wait | Resolve | Stop

_rest, _fetch, _check, _wait, _stop = Rest(), Fetch(), Check(), Wait(), Stop()
_UNPROVEN_STEPS: Final[dict[tuple[ReportedEnd, Evidence], Step]] = {
    ("none", "none"): _rest,
    ("expired", "none"): _fetch,
    ("ended", "none"): _fetch,
    ("none", "reversible"): _wait,
    ("expired", "reversible"): _wait,
    ("ended", "reversible"): _fetch,
}
_PROVEN_STEPS: Final[dict[Evidence, Step]] = {
    "unproven": _fetch,
    "unreadable": _stop,
    "untransmitted": _fetch,
    "submitted": _check,
    "signed_off_ledger": Resolve("signed"),
    "validated": Resolve("validated"),
    "failed_on_ledger": Resolve("failed", "ledger_result"),
    "never_validated": Resolve("failed", "never_validated"),
    "wrong_network": Resolve("failed", "wrong_network"),
    "rejected": Resolve("rejected"),
    "cancelled": Resolve("cancelled"),
    "expired": Resolve("expired"),
}
SETTLEMENT: Final[dict[tuple[ReportedEnd, Evidence], Step]] = _UNPROVEN_STEPS | {
    (end, evidence): step for evidence, step in _PROVEN_STEPS.items() for end in get_args(ReportedEnd)
}
"""The step for each reported end and evidence. Where there is a proof, the reported end does not matter."""


def next_step(state: PayloadState, policy: PayloadPolicy) -> Step:
    """The next step for a payload."""
    if state.flags:
        return _stop
    if state.resolved is not None:
        return _rest
    return SETTLEMENT[reported_end_of(state), evidence_of(state, policy)]


def reported_end_of(state: PayloadState) -> ReportedEnd:
    """The end that was reported and that Xumm's API does not show, unless the report has lapsed."""
    snapshot = state.snapshot
    if snapshot is None:
        return _end_in(state.facts)
    return "none" if _has_lapsed(state, snapshot) else _end_in(state.facts & ~SNAPSHOT_FACTS[snapshot.outcome])


@cache
def _end_in(facts: Facts) -> ReportedEnd:
    if facts & ENDED:
        return "ended"
    return "expired" if facts & Fact.EXPIRED else "none"


def _has_lapsed(state: PayloadState, snapshot: Snapshot) -> bool:
    patience = VERIFIED_PATIENCE if state.facts & Fact.DELIVERED else UNVERIFIED_PATIENCE
    return state.end_notice is not None and snapshot.fetched_at - state.end_notice.at >= patience


def evidence_of(state: PayloadState, policy: PayloadPolicy) -> Evidence:
    """The evidence in ``state``."""
    snapshot = state.snapshot
    if snapshot is None or snapshot.outcome == "open":
        return "none"
    if snapshot.outcome == "signed":
        return _evidence_of_signature(snapshot, state.ledger, policy)
    return snapshot.outcome if snapshot.fetched_at >= final_from(state, snapshot, policy) else "reversible"


def final_from(state: PayloadState, snapshot: Snapshot, policy: PayloadPolicy) -> datetime:
    """The instant from which an answer such as ``snapshot``, which shows no signature, is final.

    A user who opened a payload in time may sign it until its grace is over, even if it was cancelled meanwhile.
    """
    noticed_at = snapshot.fetched_at if state.end_notice is None else state.end_notice.at
    if snapshot.outcome == "rejected":
        return noticed_at + SECOND_LOOKUP if state.facts & Fact.SIGNED else snapshot.fetched_at
    if state.facts & Fact.OPENED:
        return (state.expires_at or noticed_at) + policy.grace
    return noticed_at + SECOND_LOOKUP if snapshot.outcome == "cancelled" else snapshot.fetched_at


def _evidence_of_signature(snapshot: Snapshot, ledger: Ledger | None, policy: PayloadPolicy) -> Evidence:
    if not snapshot.on_ledger:
        return "signed_off_ledger" if snapshot.proven else _evidence_of_doubt(snapshot)
    if snapshot.network is None or snapshot.txid is None:
        return "untransmitted"
    if snapshot.network != policy.network:
        return "wrong_network"
    return _evidence_of_transaction(snapshot, ledger) if snapshot.proven else _evidence_of_doubt(snapshot)


def _evidence_of_doubt(snapshot: Snapshot) -> Evidence:
    """Missing data may come with another lookup; an unreadable blob stays unreadable."""
    return "unreadable" if snapshot.doubt is not None and snapshot.doubt.reason == "unreadable" else "unproven"


def _evidence_of_transaction(snapshot: Snapshot, ledger: Ledger | None) -> Evidence:
    if ledger is None or ledger.txid != snapshot.txid or ledger.status == "pending":
        return "submitted"
    if ledger.status == "never_validated":
        return "never_validated"
    return "validated" if ledger.succeeded else "failed_on_ledger"
