"""From a body to an event, as a tolerant reader: what a later version adds breaks nobody.

Fields that this version does not know are ignored, and an event of a type it does not know is told apart from a broken
one, so that it can be acknowledged.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Discriminator, StringConstraints, TypeAdapter, ValidationError

from processor.observability.redaction import clean_line, validation_problems
from schemas.commands import DEVICE_COMMANDS, AnyDeviceCommand
from schemas.events import MODELS, ResolveEvent, SignEvent

AnyEvent = SignEvent | ResolveEvent | AnyDeviceCommand
"""A command is decoded and handled as an event is."""
_event: Final[TypeAdapter[AnyEvent]] = TypeAdapter(Annotated[AnyEvent, Discriminator("type")])
_Text = Annotated[str, StringConstraints(min_length=1, max_length=255)]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEvent:
    """A valid envelope around something that this version has no model for."""

    id: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecodable:
    """No event at all, or a known one in a shape that is not its own."""

    reason: str


Decoded = AnyEvent | UnknownEvent | Undecodable


class _Envelope(BaseModel):
    specversion: Literal["1.0"]
    id: _Text
    source: _Text
    type: _Text


def decode(body: bytes) -> Decoded:
    """What ``body`` holds. Raises nothing."""
    try:
        return _event.validate_json(body)
    except ValidationError as error:
        return _unknown_event(body) or Undecodable(reason=clean_line(validation_problems(error)))


def _unknown_event(body: bytes) -> UnknownEvent | None:
    try:
        envelope = _Envelope.model_validate_json(body)
    except ValidationError:
        return None
    return (
        None
        if envelope.type in MODELS.keys() | DEVICE_COMMANDS.keys()
        else UnknownEvent(id=envelope.id, type=envelope.type)
    )
