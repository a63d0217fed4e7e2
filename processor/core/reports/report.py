"""The one input of `processor.core.payload`: a report about a payload, as a union of plain values.

To add a source, add a parser beside this module, which returns one of these reports, and a loop that feeds it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from processor.core.application import Application
from processor.core.proof.evidence import CustomMetaJson, Ledger, Snapshot
from schemas.data import Origin

TOKEN_LIFE: Final = timedelta(days=30)
"""How long a user token stays valid after the last signature made with it.

Source: https://docs.xumm.dev/js-ts-sdk/sdk-syntax/xumm.payload/create#push-notifications
"""


class ReportedToken(NamedTuple):
    """A user token in a report. The token itself is a secret and stays out of events and logs."""

    value: str
    issued_at: datetime | None = None
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        """Without the token."""
        return f"ReportedToken(issued_at={self.issued_at}, expires_at={self.expires_at})"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    app: str
    """The application's name."""
    application_uuid: str
    """Xumm's uuid of the application."""
    payload: str
    at: datetime
    """When this service received the report."""


class WebhookReport(NamedTuple):
    """Xumm posted an authentic webhook: signed or rejected. A webhook names neither account nor transaction content.

    A named tuple, since one is made for every webhook: that takes a third of the time of a frozen dataclass.
    """

    app: str
    application_uuid: str
    payload: str
    at: datetime
    signed: bool
    txid: str | None = None
    token: ReportedToken | None = None
    custom_meta: CustomMetaJson | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport(_Report):
    """A message came on the payload's WebSocket."""

    kind: Literal["opened", "pre_signed", "dispatched", "signed", "rejected", "expired", "alive"]
    """``alive`` only says when the payload expires."""
    txid: str | None = None
    expires_at: datetime | None = None
    custom_meta: CustomMetaJson | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotReport(_Report):
    """Xumm's API answered with the payload."""

    snapshot: Snapshot
    token: ReportedToken | None = None
    custom_meta: CustomMetaJson | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport(_Report):
    """A ledger node answered a query for the transaction."""

    ledger: Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReport(_Report):
    """The payload was created, or is cancelled, through this service."""

    kind: Literal["created", "cancelled"]
    expires_at: datetime | None = None
    custom_meta: CustomMetaJson | None = None
    asked_of: str | None = None
    """The account that the payload was made for."""
    asked_by: str | None = None
    """Who made the payload, as `processor.core.sign_request.order.owner_of` names callers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePassed(_Report):
    """A deadline that the lifecycle set has passed: time enters the core as a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupAbandoned(_Report):
    """The lookup of the outcome was given up, after `processor.core.retry.LOOKUP_PATIENCE`."""


LookupReason = Literal["registered", "gap", "absent", "stale_webhook", "quarantined_webhook"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupDue(_Report):
    """No end was reported, but a report may have been missed: a routine lookup is due."""

    reason: LookupReason
    """``registered``: a caller asked to watch the payload; ``gap``: its socket was down for a while, or opened late;
    ``absent``: its socket says repeatedly that there is no such payload; ``stale_webhook``: the timestamp of a webhook
    with a valid signature was out of tolerance; ``quarantined_webhook``: an authentic body is invalid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagsReleased(_Report):
    """An operator released the flags of a payload: its outcome is looked up again."""


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

ORIGINS: Final[dict[type[Report], Origin]] = {
    WebhookReport: "webhook",
    StatusReport: "websocket",
    SnapshotReport: "api",
    LedgerReport: "ledger",
    RequestReport: "request",
    DeadlinePassed: "deadline",
    LookupAbandoned: "deadline",
    LookupDue: "deadline",
    FlagsReleased: "deadline",
}
"""The source of each report, as events name it."""


def lookup_due(application: Application, payload: str, reason: LookupReason, at: datetime) -> LookupDue:
    """The report that a routine lookup of a payload of ``application`` is due."""
    return LookupDue(app=application.name, application_uuid=application.uuid, payload=payload, at=at, reason=reason)
