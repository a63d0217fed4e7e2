"""What can happen to a payload, as a table: how each fact is announced, and what it says of the others."""

from dataclasses import dataclass
from functools import cache
from typing import Final

from processor.core.payload.state import ANSWERED, ENDED, NO_FACT, Fact, Facts
from processor.core.proof.evidence import SnapshotOutcome
from schemas.events import SignName


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fact: the event that announces it, what must have happened before, and what makes it no news or untrue."""

    event: SignName
    implies: Facts = NO_FACT
    overtaken_by: Facts = NO_FACT
    withdrawn_by: Facts = NO_FACT


_LATER_THAN_OPENED: Final = Fact.PRE_SIGNED | Fact.DISPATCHED | ENDED

FACTS: Final[dict[Fact, Row]] = {
    Fact.CREATED: Row(event="created", overtaken_by=Fact.OPENED | Fact.EXPIRED | _LATER_THAN_OPENED),
    Fact.OPENED: Row(event="opened", overtaken_by=Fact.EXPIRED | _LATER_THAN_OPENED),
    Fact.PRE_SIGNED: Row(event="pre_signed", implies=Fact.OPENED, overtaken_by=Fact.DISPATCHED | ENDED),
    Fact.DISPATCHED: Row(event="dispatched", implies=Fact.OPENED | Fact.PRE_SIGNED, overtaken_by=ENDED),
    Fact.EXPIRED: Row(event="expired", withdrawn_by=ENDED),
    Fact.CANCELLED: Row(event="cancelled", overtaken_by=ANSWERED),
    Fact.REJECTED: Row(event="rejected", implies=Fact.OPENED),
    Fact.SIGNED: Row(event="signed", implies=Fact.OPENED),
    Fact.TOKEN_ISSUED: Row(event="token_issued"),
}
"""In the order in which events are published that one report causes."""

SNAPSHOT_FACTS: Final[dict[SnapshotOutcome, Facts]] = {
    "open": int(NO_FACT),
    "expired": int(Fact.EXPIRED),
    "cancelled": int(Fact.CANCELLED),
    "rejected": int(Fact.REJECTED),
    "signed": int(Fact.SIGNED),
}
"""What Xumm's API says happened."""


@cache
def closed(facts: Facts) -> Facts:
    """``facts`` with what they imply, without what they withdraw."""
    for fact, row in FACTS.items():
        if fact & facts:
            facts |= row.implies
    for fact, row in FACTS.items():
        if row.withdrawn_by & facts:
            facts &= ~fact
    return int(facts)
