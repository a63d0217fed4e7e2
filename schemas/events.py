"""The events that this service publishes: CloudEvents 1.0 envelopes, one frozen model for each event.

There are two families. *sign* tells what the user is doing, at once, as Xumm reports it. *resolve* tells the proven
outcome of the payload: its ``proof`` states what was verified and against what. A payload has at most one event of each
sign type and exactly one resolve event; delivery is at least once, so consumers dedupe by ``id``.

To add an event, add its model here, its row in ``processor/core/payload/facts.py`` (of a resolve event, in
``settlement.py`` beside it), and its example in ``schemas/examples``.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md and its *sequence* extension.
"""

from typing import Annotated, Final, Literal, get_args

from pydantic import AwareDatetime, Discriminator, Field, TypeAdapter

from schemas.data import (
    ExpiringData,
    FailedData,
    ResolveData,
    SignData,
    SignedData,
    SignedOutcome,
    TokenIssuedData,
    Tolerant,
    ValidatedData,
)
from schemas.text import Uuid

SignName = Literal[
    "created", "opened", "pre_signed", "dispatched", "signed", "rejected", "expired", "cancelled", "token_issued"
]
ResolveName = Literal["signed", "validated", "failed", "rejected", "cancelled", "expired"]

SEQUENCE_WIDTH: Final = 10


class CloudEvent(Tolerant):
    """The envelope: CloudEvents 1.0 in structured JSON mode."""

    specversion: Literal["1.0"] = "1.0"
    id: Uuid
    """UUIDv5 of the fact: the same fact has the same id, however often and from whatever source it was reported."""
    source: Annotated[str, Field(pattern=r"^/xumm/[a-z0-9][a-z0-9_-]{0,62}$")]
    """``/xumm/<application name>``."""
    type: str
    subject: Uuid
    """The payload."""
    time: AwareDatetime
    """When this service learned the fact."""
    sequence: Annotated[str, Field(pattern=r"^[0-9]{10}$")]
    """Position among the events of this payload, from ``0000000001``; comparable as text."""
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str

    @property
    def app(self) -> str:
        """The application's name."""
        return self.source.removeprefix("/xumm/")


class SignCreated(CloudEvent):
    """A payload was created through this service."""

    type: Literal["xumm.sign.created"] = "xumm.sign.created"
    dataschema: Literal["urn:xumm-processor:sign.created:1"] = "urn:xumm-processor:sign.created:1"
    data: ExpiringData


class SignOpened(CloudEvent):
    """The user has the payload on screen."""

    type: Literal["xumm.sign.opened"] = "xumm.sign.opened"
    dataschema: Literal["urn:xumm-processor:sign.opened:1"] = "urn:xumm-processor:sign.opened:1"
    data: SignData


class SignPreSigned(CloudEvent):
    """The user started signing."""

    type: Literal["xumm.sign.pre_signed"] = "xumm.sign.pre_signed"
    dataschema: Literal["urn:xumm-processor:sign.pre_signed:1"] = "urn:xumm-processor:sign.pre_signed:1"
    data: SignData


class SignDispatched(CloudEvent):
    """The wallet began to submit the transaction to a node."""

    type: Literal["xumm.sign.dispatched"] = "xumm.sign.dispatched"
    dataschema: Literal["urn:xumm-processor:sign.dispatched:1"] = "urn:xumm-processor:sign.dispatched:1"
    data: SignData


class SignSigned(CloudEvent):
    """The user signed. Not proven yet."""

    type: Literal["xumm.sign.signed"] = "xumm.sign.signed"
    dataschema: Literal["urn:xumm-processor:sign.signed:1"] = "urn:xumm-processor:sign.signed:1"
    data: SignedData


class SignRejected(CloudEvent):
    """The user declined."""

    type: Literal["xumm.sign.rejected"] = "xumm.sign.rejected"
    dataschema: Literal["urn:xumm-processor:sign.rejected:1"] = "urn:xumm-processor:sign.rejected:1"
    data: SignData


class SignExpired(CloudEvent):
    """The time to open the payload has passed. A payload that was opened can still be signed."""

    type: Literal["xumm.sign.expired"] = "xumm.sign.expired"
    dataschema: Literal["urn:xumm-processor:sign.expired:1"] = "urn:xumm-processor:sign.expired:1"
    data: ExpiringData


class SignCancelled(CloudEvent):
    """The payload was cancelled. A user who opened it just before can still sign."""

    type: Literal["xumm.sign.cancelled"] = "xumm.sign.cancelled"
    dataschema: Literal["urn:xumm-processor:sign.cancelled:1"] = "urn:xumm-processor:sign.cancelled:1"
    data: SignData


class SignTokenIssued(CloudEvent):
    """Xumm issued or renewed a user token with this payload: later payloads can be pushed to this user."""

    type: Literal["xumm.sign.token_issued"] = "xumm.sign.token_issued"
    dataschema: Literal["urn:xumm-processor:sign.token_issued:1"] = "urn:xumm-processor:sign.token_issued:1"
    data: TokenIssuedData


class ResolveSigned(CloudEvent):
    """Signed, and not to be submitted by the wallet: a SignIn, a claim on a payment channel, a payload with
    ``submit: false``, or one signature of several.
    """

    type: Literal["xumm.resolve.signed"] = "xumm.resolve.signed"
    dataschema: Literal["urn:xumm-processor:resolve.signed:1"] = "urn:xumm-processor:resolve.signed:1"
    data: SignedOutcome


class ResolveValidated(CloudEvent):
    """Signed, submitted, and found with ``tesSUCCESS`` in a validated ledger of the expected network."""

    type: Literal["xumm.resolve.validated"] = "xumm.resolve.validated"
    dataschema: Literal["urn:xumm-processor:resolve.validated:1"] = "urn:xumm-processor:resolve.validated:1"
    data: ValidatedData


class ResolveFailed(CloudEvent):
    """Signed, but the transaction did not do what it was meant to, and never will."""

    type: Literal["xumm.resolve.failed"] = "xumm.resolve.failed"
    dataschema: Literal["urn:xumm-processor:resolve.failed:1"] = "urn:xumm-processor:resolve.failed:1"
    data: FailedData


class ResolveRejected(CloudEvent):
    """The user declined, and Xumm's API agrees."""

    type: Literal["xumm.resolve.rejected"] = "xumm.resolve.rejected"
    dataschema: Literal["urn:xumm-processor:resolve.rejected:1"] = "urn:xumm-processor:resolve.rejected:1"
    data: ResolveData


class ResolveCancelled(CloudEvent):
    """Cancelled, and nobody can sign it any more."""

    type: Literal["xumm.resolve.cancelled"] = "xumm.resolve.cancelled"
    dataschema: Literal["urn:xumm-processor:resolve.cancelled:1"] = "urn:xumm-processor:resolve.cancelled:1"
    data: ResolveData


class ResolveExpired(CloudEvent):
    """Expired, and nobody can sign it any more."""

    type: Literal["xumm.resolve.expired"] = "xumm.resolve.expired"
    dataschema: Literal["urn:xumm-processor:resolve.expired:1"] = "urn:xumm-processor:resolve.expired:1"
    data: ResolveData


SignEvent = (
    SignCreated | SignOpened | SignPreSigned | SignDispatched | SignSigned
    | SignRejected | SignExpired | SignCancelled | SignTokenIssued
)  # fmt: skip
ResolveEvent = ResolveSigned | ResolveValidated | ResolveFailed | ResolveRejected | ResolveCancelled | ResolveExpired
Event = Annotated[SignEvent | ResolveEvent, Discriminator("type")]

MODELS: Final[dict[str, type[CloudEvent]]] = {
    model.model_fields["type"].default: model for model in (*get_args(SignEvent), *get_args(ResolveEvent))
}
"""Event type, such as ``xumm.sign.opened``, to its model."""

_event: Final[TypeAdapter[SignEvent | ResolveEvent]] = TypeAdapter(Event)


def parse_event(body: bytes | str) -> SignEvent | ResolveEvent:
    """The event in ``body``, structured JSON. Raises ``pydantic.ValidationError`` if it is not one of these."""
    return _event.validate_json(body)


def family_and_name(event_type: str) -> tuple[str, str]:
    """``("sign", "opened")`` of ``xumm.sign.opened``."""
    _, family, name = event_type.split(".")
    return family, name


def sequence_text(sequence: int) -> str:
    """The wire form of a position: of fixed width, to compare as text, as the CloudEvents extension requires."""
    return f"{sequence:0{SEQUENCE_WIDTH}d}"
