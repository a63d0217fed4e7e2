"""When a payload is settled: what is claimed, the evidence at hand, and what the two call for.

Evidence alone settles. A claim that it does not bear out makes the service look again, and lapses after a while.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final, Literal, get_args

from processor.core.application import Policy
from processor.core.payload.facts import SNAPSHOT_FACTS
from processor.core.payload.state import ENDED, Fact, Facts, PayloadState
from processor.core.proof.evidence import Ledger, Snapshot
from schemas.data import FailReason
from schemas.events import ResolveName

Claim = Literal["none", "expired", "ended"]
"""What was reported of the end and is not what Xumm's API shows. It makes us look; it proves nothing."""
Evidence = Literal[
    "none",  # never fetched, or fetched while nothing had ended
    "reversible",  # expired, cancelled or rejected, but a signature may still come or be on its way
    "expired",
    "cancelled",
    "rejected",
    "unproven",  # signed, but nothing proves yet by whom
    "unreadable",  # signed, but nobody here can read what
    "signed_off_ledger",
    "untransmitted",  # signed for the ledger, but network or transaction are not known yet
    "wrong_network",
    "submitted",  # not validated yet
    "validated",
    "failed_on_ledger",
    "never_validated",
]
SECOND_LOOK: Final = timedelta(seconds=60)
"""How long after an end without a signature was first heard of it is looked at once more, where a signature may have
come in between: Xumm cancels without a condition, and takes a late signature on purpose."""
UNVERIFIED_PATIENCE: Final = timedelta(minutes=30)
"""How long a socket's word is looked up while Xumm's API shows otherwise: longer than a webhook is on its way."""
VERIFIED_PATIENCE: Final = timedelta(hours=12)
"""The same for a word that a webhook's signature stands for; within the time after which a human is asked."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do until somebody reports something."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask Xumm's API for the payload."""


@dataclass(frozen=True, slots=True)
class Check:
    """Ask a ledger node for the transaction."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until an answer without a signature is final: see `final_from`."""


@dataclass(frozen=True, slots=True)
class Resolve:
    """Publish how it ended."""

    name: ResolveName
    reason: FailReason | None = None
    """Why, if it failed."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A human must look: sources disagree."""


Step = Rest | Fetch | Check | Wait | Resolve | Stop

_rest, _fetch, _check, _wait, _stop = Rest(), Fetch(), Check(), Wait(), Stop()
_CLAIMED: Final[dict[tuple[Claim, Evidence], Step]] = {
    ("none", "none"): _rest,
    ("expired", "none"): _fetch,
    ("ended", "none"): _fetch,
    ("none", "reversible"): _wait,
    ("expired", "reversible"): _wait,
    ("ended", "reversible"): _fetch,
}
_PROVEN: Final[dict[Evidence, Step]] = {
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
SETTLEMENT: Final[dict[tuple[Claim, Evidence], Step]] = _CLAIMED | {
    (claim, evidence): step for evidence, step in _PROVEN.items() for claim in get_args(Claim)
}
"""What claim and evidence at hand call for. Where there is a proof, no claim withholds it."""


def next_step(state: PayloadState, policy: Policy) -> Step:
    """What the payload needs now."""
    if state.flags:
        return _stop
    if state.resolved is not None:
        return _rest
    return SETTLEMENT[claim_of(state), evidence_of(state, policy)]


def claim_of(state: PayloadState) -> Claim:
    """What somebody says of the end beyond what Xumm's API shows, unless the API was asked for long enough."""
    snapshot = state.snapshot
    if snapshot is None:
        return _claim_in(state.facts)
    return "none" if _has_lapsed(state, snapshot) else _claim_in(state.facts & ~SNAPSHOT_FACTS[snapshot.outcome])


@cache
def _claim_in(facts: Facts) -> Claim:
    if facts & ENDED:
        return "ended"
    return "expired" if facts & Fact.EXPIRED else "none"


def _has_lapsed(state: PayloadState, snapshot: Snapshot) -> bool:
    patience = VERIFIED_PATIENCE if state.facts & Fact.DELIVERED else UNVERIFIED_PATIENCE
    return state.learned is not None and snapshot.fetched_at - state.learned.at >= patience


def evidence_of(state: PayloadState, policy: Policy) -> Evidence:
    """What was proven so far."""
    snapshot = state.snapshot
    if snapshot is None or snapshot.outcome == "open":
        return "none"
    if snapshot.outcome == "signed":
        return _evidence_of_signature(snapshot, state.ledger, policy)
    return snapshot.outcome if snapshot.fetched_at >= final_from(state, snapshot, policy) else "reversible"


def final_from(state: PayloadState, snapshot: Snapshot, policy: Policy) -> datetime:
    """From when on an answer such as ``snapshot``, which shows no signature, is final.

    Whoever opened a payload in time may sign it until its grace is over, also one that was cancelled meanwhile.
    """
    learned_at = snapshot.fetched_at if state.learned is None else state.learned.at
    if snapshot.outcome == "rejected":
        return learned_at + SECOND_LOOK if state.facts & Fact.SIGNED else snapshot.fetched_at
    if state.facts & Fact.OPENED:
        return (state.expires_at or learned_at) + policy.grace
    return learned_at + SECOND_LOOK if snapshot.outcome == "cancelled" else snapshot.fetched_at


def _evidence_of_signature(snapshot: Snapshot, ledger: Ledger | None, policy: Policy) -> Evidence:
    if not snapshot.on_ledger:
        return "signed_off_ledger" if snapshot.proven else _evidence_of_doubt(snapshot)
    if snapshot.network is None or snapshot.txid is None:
        return "untransmitted"
    if snapshot.network != policy.network:
        return "wrong_network"
    return _evidence_of_transaction(snapshot, ledger) if snapshot.proven else _evidence_of_doubt(snapshot)


def _evidence_of_doubt(snapshot: Snapshot) -> Evidence:
    """What is missing may come with another look; what cannot be read stays so."""
    return "unreadable" if snapshot.doubt is not None and snapshot.doubt.reason == "unreadable" else "unproven"


def _evidence_of_transaction(snapshot: Snapshot, ledger: Ledger | None) -> Evidence:
    if ledger is None or ledger.txid != snapshot.txid or ledger.status == "pending":
        return "submitted"
    if ledger.status == "never_validated":
        return "never_validated"
    return "validated" if ledger.succeeded else "failed_on_ledger"
