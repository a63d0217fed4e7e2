"""The table of facts: the event of each fact, and what the fact says about other facts."""

from dataclasses import dataclass
from functools import cache
from typing import Final

from processor.core.payload.state import ANSWERED, ENDED, NO_FACT, Fact, Facts
from processor.core.proof.evidence import SnapshotOutcome
from schemas.events import SignName


@dataclass(frozen=True, slots=True, kw_only=True)
class FactRule:
    """One fact: its event, the facts that it implies, those that make the event obsolete, those that make it untrue."""

    event: SignName
    implies: Facts = NO_FACT
    overtaken_by: Facts = NO_FACT
    withdrawn_by: Facts = NO_FACT


_LATER_THAN_OPENED: Final = Fact.PRE_SIGNED | Fact.DISPATCHED | ENDED

FACTS: Final[dict[Fact, FactRule]] = {
    Fact.CREATED: FactRule(event="created", overtaken_by=Fact.OPENED | Fact.EXPIRED | _LATER_THAN_OPENED),
    Fact.OPENED: FactRule(event="opened", overtaken_by=Fact.EXPIRED | _LATER_THAN_OPENED),
    Fact.PRE_SIGNED: FactRule(event="pre_signed", implies=Fact.OPENED, overtaken_by=Fact.DISPATCHED | ENDED),
    Fact.DISPATCHED: FactRule(event="dispatched", implies=Fact.OPENED | Fact.PRE_SIGNED, overtaken_by=ENDED),
    Fact.EXPIRED: FactRule(event="expired", withdrawn_by=ENDED),
    Fact.CANCELLED: FactRule(event="cancelled", overtaken_by=ANSWERED),
    Fact.REJECTED: FactRule(event="rejected", implies=Fact.OPENED),
    Fact.SIGNED: FactRule(event="signed", implies=Fact.OPENED),
    Fact.TOKEN_ISSUED: FactRule(event="token_issued"),
}
"""In the order in which the events that one report causes are published."""

SNAPSHOT_FACTS: Final[dict[SnapshotOutcome, Facts]] = {
    "open": int(NO_FACT),
    "expired": int(Fact.EXPIRED),
    "cancelled": int(Fact.CANCELLED),
    "rejected": int(Fact.REJECTED),
    "signed": int(Fact.SIGNED),
}
"""The facts in an answer of Xumm's API."""


@cache
def complete_facts(facts: Facts) -> Facts:
    """``facts`` with those that they imply, without those that they withdraw."""
    for fact, row in FACTS.items():
        if fact & facts:
            facts |= row.implies
    for fact, row in FACTS.items():
        if row.withdrawn_by & facts:
            facts &= ~fact
    return int(facts)
