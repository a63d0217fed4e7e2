"""What is known of one payload: a set of facts that only grows, and the evidence gathered so far."""

from datetime import datetime
from enum import IntFlag
from typing import Final, Literal, NamedTuple

from processor.core.proof.evidence import CustomMetaJson, Ledger, Snapshot
from schemas.events import ResolveName


class Fact(IntFlag):
    """Something that happened to a payload. The numbers are stored: never reuse one."""

    CREATED = 1
    OPENED = 2
    PRE_SIGNED = 4
    DISPATCHED = 8
    SIGNED = 16
    REJECTED = 32
    EXPIRED = 64
    CANCELLED = 128
    TOKEN_ISSUED = 256
    DELIVERED = 512
    """Xumm's webhook came. Told to operators, not to consumers."""


ANSWERED: Final = int(Fact.SIGNED | Fact.REJECTED)
"""What the user does, and does once."""
ENDED: Final = int(ANSWERED | Fact.CANCELLED)
"""What ends a payload by somebody's deed. A signature may follow a cancellation, and counts then."""


class Flag(IntFlag):
    """Why a human should look. The numbers are stored: never reuse one.

    A payload that is flagged before it is resolved will not be resolved without a human. `OUTCOMES_DISAGREE` and
    `LATE_OUTCOME` come with or after the resolve event, and withhold nothing.
    """

    OUTCOMES_DISAGREE = 1
    """A webhook or a socket had named another outcome, or another transaction, than was proven: for information."""
    TRANSACTIONS_DISAGREE = 2
    """Xumm's API named different transactions."""
    APPLICATIONS_DISAGREE = 4
    """A source says that the payload belongs to another application."""
    LATE_OUTCOME = 8
    """A signature or a rejection was learned after another end had been published as resolved."""
    ABANDONED = 16
    """Looking up the outcome was given up."""
    SIGNATURE_DISPROVEN = 32
    """The signed blob is forged, or is not what Xumm's API claims or what was asked."""
    NETWORKS_DISAGREE = 64
    """Xumm's API names several networks for one signature."""
    SIGNATURE_UNREADABLE = 128
    """The signed blob is of a chain or a kind that this version cannot read, so nobody knows what was signed."""


Facts = int
"""A set of `Fact`. A plain number, since adding to an `IntFlag` costs a microsecond, which every webhook would pay."""
Flags = int
"""A set of `Flag`, likewise."""
Source = Literal["webhook", "websocket", "api", "request"]
NO_FACT: Final = Fact(0)
NO_FLAG: Final = Flag(0)


def names_of(flags: Flags) -> str:
    """The flags by name, for a log line."""
    return Flag(flags).name or ""


class Learned(NamedTuple):
    """How it was first learned that a payload had ended or, as long as nobody says so, that it had expired."""

    source: Source
    at: datetime


class PayloadState(NamedTuple):
    """One payload as the service knows it. Of an unknown one only the three names are set.

    A named tuple, since it is copied with changes several times for each webhook: a tuple does that twice as fast.
    """

    app: str
    application_uuid: str
    payload: str
    facts: Facts = 0
    flags: Flags = 0
    sequence: int = 0
    """Of the last event."""
    resolved: ResolveName | None = None
    """The resolve event that was published: there is one at most."""
    txid: str | None = None
    """As reported, before anything was proven."""
    user: str | None = None
    """Opaque reference."""
    expires_at: datetime | None = None
    custom_meta: CustomMetaJson | None = None
    snapshot: Snapshot | None = None
    ledger: Ledger | None = None
    learned: Learned | None = None
    look_at: datetime | None = None
    """When the last look is due, or was, that was asked for without a claim."""
    asked_of: str | None = None
    """The account that it was made for through this service."""
    asked_by: str | None = None
    """Who made it through this service."""

    def published(self, sequence: int, resolved: ResolveName | None) -> "PayloadState":
        """After an event was published; a third of the time that `_replace` takes."""
        return PayloadState._make((*self[:5], sequence, resolved, *self[7:]))
