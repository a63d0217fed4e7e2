"""JSON of which a strict reader takes nothing, since one part of it cannot be read: the rest.

JavaScript writes half a surrogate pair as an escape, nests as deep as it is told to, and knows no largest number. How
a payload ended must not be lost over what merely accompanies it. NaN stands for each part that was lost: the reader
takes it for a number, and nothing takes it for a value.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from pydantic import ValidationError

_LOST: Final = float("nan")
_MAX_NESTING: Final = 100
_MAX_DIGITS: Final = 400
"""No double has more before its point."""
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?+|[\[{]|[\]}]', re.DOTALL)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
Read = TypeVar("Read")


def read(parse: Callable[[bytes | str], Read], body: bytes | str) -> Read:
    """What ``parse`` makes of ``body``, or of the rest of it. Raises ``pydantic.ValidationError`` as ``parse`` does."""
    try:
        return parse(body)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_context=False, include_input=False)
        rest = salvaged(body) if first["type"] == "json_invalid" else None
        if rest is None:
            raise
    return parse(json.dumps(rest))


def salvaged(body: bytes | str) -> Any:
    """The JSON value in ``body``, with NaN for what cannot be read; None if it is no JSON even so."""
    text = body.decode(errors="surrogateescape") if isinstance(body, bytes) else body
    try:
        return _readable(json.loads(_shallow(text), parse_int=_integer))
    except (ValueError, RecursionError):
        return None


def _shallow(text: str) -> str:
    """``text`` without what nests too deep for any reader."""
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
    """A name is lost with its value."""
    whole = _SURROGATE.sub("\ufffd", name)
    return (whole, _readable(value)) if whole == name else (whole, _LOST)
