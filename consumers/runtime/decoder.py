"""From a body to an event, as a tolerant reader: what a later version adds breaks nobody.

Fields that this version does not know are ignored, and an event of a type it does not know is told apart from a broken
one, so that it can be acknowledged.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, StringConstraints, ValidationError

from consumers.runtime.reason import describe
from schemas.events import MODELS, ResolveEvent, SignEvent, parse_event

AnyEvent = SignEvent | ResolveEvent
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


Decoded = SignEvent | ResolveEvent | UnknownEvent | Undecodable


class _Envelope(BaseModel):
    specversion: Literal["1.0"]
    id: _Text
    source: _Text
    type: _Text


def decode(body: bytes) -> Decoded:
    """What ``body`` holds. Raises nothing."""
    try:
        return parse_event(body)
    except ValidationError as error:
        return _unknown_event(body) or Undecodable(reason=describe(error))


def _unknown_event(body: bytes) -> UnknownEvent | None:
    try:
        envelope = _Envelope.model_validate_json(body)
    except ValidationError:
        return None
    return None if envelope.type in MODELS else UnknownEvent(id=envelope.id, type=envelope.type)
