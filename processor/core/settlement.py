"""When a payload is settled: the claimed outcome and the evidence at hand, and what the two call for."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final, Literal

from processor.core.application import Policy
from processor.core.evidence import Ledger, Snapshot
from processor.core.state import ENDED, Fact, Facts, PayloadState
from schemas.data import FailReason
from schemas.events import ResolveName

Outcome = Literal["none", "signed", "rejected", "cancelled", "expired", "disagreeing"]
Evidence = Literal[
    "none",  # never fetched, or fetched while nothing had ended
    "expired",  # and nobody can sign it any more
    "expired_opened",  # but whoever opened it may still sign
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
class AwaitGrace:
    """Wait until nobody can sign any more."""


@dataclass(frozen=True, slots=True)
class Resolve:
    """Publish how it ended."""

    name: ResolveName
    reason: FailReason | None = None
    """Why, if it failed."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A human must look: sources disagree."""


Step = Rest | Fetch | Check | AwaitGrace | Resolve | Stop

_rest, _fetch, _check, _await, _stop = Rest(), Fetch(), Check(), AwaitGrace(), Stop()
_UNPROVEN: Final[tuple[Evidence, ...]] = ("none", "expired", "expired_opened")

SETTLEMENT: Final[dict[tuple[Outcome, Evidence], Step]] = {
    ("none", "none"): _rest,
    **{("signed", evidence): _fetch for evidence in _UNPROVEN},
    ("signed", "unproven"): _fetch,
    ("signed", "unreadable"): _stop,
    ("signed", "untransmitted"): _fetch,
    ("signed", "submitted"): _check,
    ("signed", "signed_off_ledger"): Resolve("signed"),
    ("signed", "validated"): Resolve("validated"),
    ("signed", "failed_on_ledger"): Resolve("failed", "ledger_result"),
    ("signed", "never_validated"): Resolve("failed", "never_validated"),
    ("signed", "wrong_network"): Resolve("failed", "wrong_network"),
    **{("rejected", evidence): _fetch for evidence in _UNPROVEN},
    ("rejected", "rejected"): Resolve("rejected"),
    **{("cancelled", evidence): _fetch for evidence in _UNPROVEN},
    ("cancelled", "cancelled"): Resolve("cancelled"),
    ("expired", "none"): _fetch,
    ("expired", "expired_opened"): _await,
    ("expired", "expired"): Resolve("expired"),
}
"""What the claimed outcome and the evidence at hand call for. A pair that is not here is a contradiction: `Stop`."""


def next_step(state: PayloadState, policy: Policy) -> Step:
    """What the payload needs now."""
    if state.flags:
        return _stop
    if state.resolved is not None:
        return _rest
    return SETTLEMENT.get((outcome_of(state.facts), evidence_of(state, policy)), _stop)


@cache
def outcome_of(facts: Facts) -> Outcome:
    """How the payload ended, going by what was reported."""
    match facts & (ENDED | Fact.EXPIRED):
        case 0:
            return "none"
        case Fact.SIGNED:
            return "signed"
        case Fact.REJECTED:
            return "rejected"
        case Fact.CANCELLED:
            return "cancelled"
        case Fact.EXPIRED:
            return "expired"
        case _:
            return "disagreeing"


def evidence_of(state: PayloadState, policy: Policy) -> Evidence:
    """What was proven so far."""
    snapshot = state.snapshot
    if snapshot is None or snapshot.outcome == "open":
        return "none"
    if snapshot.outcome == "signed":
        return _evidence_of_signature(snapshot, state.ledger, policy)
    if snapshot.outcome == "expired" and state.facts & Fact.OPENED and snapshot.fetched_at < grace_end(state, policy):
        return "expired_opened"
    return snapshot.outcome


def grace_end(state: PayloadState, policy: Policy) -> datetime:
    """Until when a payload that was opened in time can still be signed. Its expiry must be known."""
    assert state.expires_at is not None  # noqa: S101  normalize.py lets no expired snapshot in without it
    return state.expires_at + policy.grace


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
