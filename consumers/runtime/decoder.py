"""Parses the body of a message into an event, tolerantly: additions of a later version break no consumer.

Unknown fields are ignored. An event of an unknown type is distinguished from an invalid one, so it can be
acknowledged.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Discriminator, StringConstraints, TypeAdapter, ValidationError

from processor.observability.redaction import clean_line
from schemas.commands import DEVICE_COMMANDS, AnyDeviceCommand
from schemas.events import MODELS, ResolveEvent, SignEvent
from schemas.validation import describe_problems

AnyEvent = SignEvent | ResolveEvent | AnyDeviceCommand
"""Commands are decoded and handled in the same way as events."""
_event: Final[TypeAdapter[AnyEvent]] = TypeAdapter(Annotated[AnyEvent, Discriminator("type")])
_Text = Annotated[str, StringConstraints(min_length=1, max_length=255)]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEvent:
    """A valid envelope of a type that this version has no model for."""

    id: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecodable:
    """A body that is no event, or an event of a known type that its model refuses."""

    reason: str


Decoded = AnyEvent | UnknownEvent | Undecodable


class _Envelope(BaseModel):
    specversion: Literal["1.0"]
    id: _Text
    source: _Text
    type: _Text


def decode(body: bytes) -> Decoded:
    """Parse ``body``. Raises nothing."""
    try:
        return _event.validate_json(body)
    except ValidationError as error:
        return _unknown_event(body) or Undecodable(reason=clean_line(describe_problems(error)))


def _unknown_event(body: bytes) -> UnknownEvent | None:
    try:
        envelope = _Envelope.model_validate_json(body)
    except ValidationError:
        return None
    known = envelope.type in MODELS.keys() | DEVICE_COMMANDS.keys()
    return None if known else UnknownEvent(id=envelope.id, type=envelope.type)
