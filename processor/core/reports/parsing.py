"""JSON from the wire to a model, also where a strict reader of JSON refuses the whole of it.

JavaScript writes half a surrogate pair as an escape, nests as deep as it is told to, and knows no largest number. The
outcome of a payload must not be lost over a part that merely accompanies it. NaN stands for each part that cannot be
read: a reader of JSON takes it for a number, and no field of a model takes it for a value.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from processor.core.errors import NormalizeError
from schemas.validation import describe_problems

_LOST: Final = float("nan")
_MAX_NESTING: Final = 100
_MAX_DIGITS: Final = 400
"""No double has more before its point."""
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?+|[\[{]|[\]}]', re.DOTALL)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
Model = TypeVar("Model", bound=BaseModel)
Parsed = TypeVar("Parsed")


def parse_model(model: type[Model], body: bytes | str) -> Model:
    """The ``model`` in ``body``. Raises `NormalizeError`."""
    try:
        return parse_leniently(model.model_validate_json, body)
    except ValidationError as error:
        raise NormalizeError(describe_problems(error)) from None


def parse_leniently(parse: Callable[[bytes | str], Parsed], body: bytes | str) -> Parsed:
    """The result of ``parse`` for ``body``, or for the readable rest of it.

    Raises ``pydantic.ValidationError`` as ``parse`` does.
    """
    try:
        return parse(body)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_context=False, include_input=False)
        rest = load_leniently(body) if first["type"] == "json_invalid" else None
        if rest is None:
            raise
    return parse(json.dumps(rest))


def load_leniently(body: bytes | str) -> Any:
    """The JSON value in ``body``, with NaN for each part that cannot be read; None if ``body`` is no JSON even so."""
    text = body.decode(errors="surrogateescape") if isinstance(body, bytes) else body
    try:
        return _readable(json.loads(_shallow(text), parse_int=_integer))
    except (ValueError, RecursionError):
        return None


def _shallow(text: str) -> str:
    """``text`` without the values that nest too deep for any reader."""
    kept, start, depth = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == _MAX_NESTING + 1:
                kept += [text[start : token.start()], "NaN"]
        elif token[0] in "]}":
            depth -= 1
            if depth == _MAX_NESTING:
                start = token.end()
    return "".join([*kept, text[start:]]) if depth <= _MAX_NESTING else ""


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= _MAX_DIGITS else _LOST


def _readable(value: Any) -> Any:
    match value:
        case str():
            return _LOST if _SURROGATE.search(value) else value
        case list():
            return [_readable(part) for part in value]
        case dict():
            return dict(_member(name, part) for name, part in value.items())
        case _:
            return value


def _member(name: str, value: Any) -> tuple[str, Any]:
    """A member whose name cannot be read loses its value too."""
    whole = _SURROGATE.sub("\ufffd", name)
    return (whole, _readable(value)) if whole == name else (whole, _LOST)
