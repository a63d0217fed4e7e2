"""One operation of the interface: what is sent, what is answered, and what it is refused with."""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel

from processor.web.problem import Reason

Schema = Mapping[str, Any]
Caller = Literal["session", "xummToken", "serviceKey", "exchangeSecret"]
TEXT: Final[Schema] = {"type": "string"}


class Parameter(NamedTuple):
    """What stands in the address or the headers."""

    place: Literal["path", "query", "header"]
    name: str
    about: str
    schema: Schema = TEXT
    required: bool = False


class Answer(NamedTuple):
    """What comes if nothing is wrong."""

    about: str
    content: type[BaseModel] | Mapping[str, Schema]
    """A model, or media types with their schemas."""
    headers: tuple[str, ...] = ()


class Operation(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    name: str
    summary: str
    answers: Mapping[int, Answer]
    problems: tuple[Reason, ...] = ()
    body: type[BaseModel] | None = None
    parameters: tuple[Parameter, ...] = ()
    callers: tuple[Caller, ...] = ()
    """By what they may prove who they are. None: anybody may call."""
