"""The one internal input: what somebody said about a payload, as a union of plain values.

Adding a source means adding a parser to one of these (``normalize.py``) and a loop that feeds it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from processor.core.proof.evidence import CustomMetaJson, Ledger, Snapshot


class Token(NamedTuple):
    """A user token that came along. The token itself is a secret and stays out of events and logs."""

    value: str
    issued_at: datetime | None = None
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        """Without the token."""
        return f"Token(issued_at={self.issued_at}, expires_at={self.expires_at})"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    app: str
    """The application's name."""
    application_uuid: str
    """Xumm's uuid of it."""
    payload: str
    at: datetime
    """When this service learned it."""


class WebhookReport(NamedTuple):
    """Xumm posted an authentic webhook: signed or rejected. No account and no transaction in it.

    A named tuple with the fields of every report, since it is made in a third of the time, and for every webhook.
    """

    app: str
    application_uuid: str
    payload: str
    at: datetime
    signed: bool
    txid: str | None = None
    token: Token | None = None
    custom_meta: CustomMetaJson | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport(_Report):
    """A message on the payload's WebSocket."""

    kind: Literal["opened", "pre_signed", "dispatched", "signed", "rejected", "expired", "alive"]
    """``alive`` only says when the payload expires."""
    txid: str | None = None
    expires_at: datetime | None = None
    custom_meta: CustomMetaJson | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotReport(_Report):
    """Xumm's API was asked for the payload."""

    snapshot: Snapshot
    token: Token | None = None
    custom_meta: CustomMetaJson | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport(_Report):
    """A ledger node was asked for the transaction."""

    ledger: Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReport(_Report):
    """The payload was created, or is cancelled, through this service."""

    kind: Literal["created", "cancelled"]
    expires_at: datetime | None = None
    custom_meta: CustomMetaJson | None = None
    asked_of: str | None = None
    """The account that it was made for."""
    asked_by: str | None = None
    """Who made it, as `processor.core.sign_request.order.owner_of` names callers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePassed(_Report):
    """A moment came that the lifecycle had asked to be told of: time enters the core as a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupAbandoned(_Report):
    """Fetching or checking was tried until there was no use in it any more."""


Because = Literal["registered", "gap", "absent", "stale_webhook", "quarantined_webhook"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupDue(_Report):
    """Nothing is claimed, but something may have been missed: the payload is worth a look."""

    because: Because
    """``registered``: somebody asked to watch it; ``gap``: its socket was down for a while, or opened late;
    ``absent``: its socket says again and again that there is no such payload; ``stale_webhook``: an authentic webhook
    came at the wrong time; ``quarantined_webhook``: one makes no sense."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagsReleased(_Report):
    """Somebody looked at a payload that was flagged, and wants its outcome looked up anew."""


Report = (
    WebhookReport
    | StatusReport
    | SnapshotReport
    | LedgerReport
    | RequestReport
    | DeadlinePassed
    | LookupDue
    | LookupAbandoned
    | FlagsReleased
)
