"""The state of one payload: a set of facts that only grows, and the evidence gathered so far."""

from datetime import datetime
from enum import IntFlag
from typing import Final, NamedTuple

from processor.core.proof.evidence import CustomMetaJson, Ledger, Snapshot
from schemas.data import Origin
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
    """Xumm's webhook came. Shown to operators, not to consumers."""


ANSWERED: Final = int(Fact.SIGNED | Fact.REJECTED)
"""The user's answer. There is one."""
ENDED: Final = int(ANSWERED | Fact.CANCELLED)
"""An act of the user or the application that ends a payload. A signature may follow a cancellation, and then counts."""


class Flag(IntFlag):
    """Why a human should look. The numbers are stored: never reuse one.

    A payload that is flagged before it is resolved is not resolved until somebody releases the flags.
    `OUTCOMES_DISAGREE` and `LATE_OUTCOME` are set with or after the resolve event, and withhold nothing.
    """

    OUTCOMES_DISAGREE = 1
    """A webhook or a socket named another outcome or transaction than the one that was proven: for information."""
    TRANSACTIONS_DISAGREE = 2
    """Xumm's API named different transactions."""
    APPLICATIONS_DISAGREE = 4
    """A source names another application as the owner of the payload."""
    LATE_OUTCOME = 8
    """A signature or a rejection was reported after another outcome was published."""
    ABANDONED = 16
    """The lookup of the outcome was given up."""
    SIGNATURE_DISPROVEN = 32
    """The signed blob is forged, or differs from what Xumm's API claims or from the request."""
    NETWORKS_DISAGREE = 64
    """Xumm's API names several networks for one signature."""
    SIGNATURE_UNREADABLE = 128
    """This version cannot read the signed blob, because of its chain or kind: nobody knows what was signed."""


Facts = int
"""A set of `Fact`. A plain number, since adding to an `IntFlag` takes a microsecond, for every webhook."""
Flags = int
"""A set of `Flag`, likewise."""
NO_FACT: Final = Fact(0)
NO_FLAG: Final = Flag(0)


def names_of(flags: Flags) -> str:
    """The flags by name, for a log line."""
    return Flag(flags).name or ""


class EndNotice(NamedTuple):
    """The first report that a payload ended; until there is one, the first report that it expired."""

    source: Origin
    at: datetime


class PayloadState(NamedTuple):
    """One payload as the service knows it. Of an unknown payload only the first three fields are set.

    A named tuple, since it is copied with changes several times for each webhook: that takes half the time of a frozen
    dataclass.
    """

    app: str
    """The application's name."""
    application_uuid: str
    """Xumm's uuid of the application."""
    payload: str
    """The payload's uuid."""
    facts: Facts = 0
    flags: Flags = 0
    sequence: int = 0
    """Of the last event."""
    resolved: ResolveName | None = None
    """The name of the resolve event that was published: there is one at most."""
    txid: str | None = None
    """The transaction as first reported, not proven."""
    user: str | None = None
    """The user's opaque reference."""
    expires_at: datetime | None = None
    custom_meta: CustomMetaJson | None = None
    snapshot: Snapshot | None = None
    ledger: Ledger | None = None
    end_notice: EndNotice | None = None
    lookup_at: datetime | None = None
    """When the last routine lookup is due, or was."""
    asked_of: str | None = None
    """The account that the payload was made for, if through this service."""
    asked_by: str | None = None
    """Who made the payload, if through this service."""
