"""The ``custom_meta`` that an application attached to a payload, as JSON that every reader takes.

Events contain it, and consumers read events with any JSON library. So it holds no NaN, no infinity, no integer that a
double cannot represent (RFC 7493, section 2.2), and does not nest too deep for a reader. A member that is not portable
in this sense is left out, and named in ``dropped``.
"""

import re
from functools import lru_cache
from math import isfinite
from typing import Any, Final

from pydantic_core import from_json, to_json

from processor.core.proof.evidence import CustomMetaJson

SAFE_INTEGER: Final = 2**53 - 1
"""The largest absolute value of an integer that every reader represents exactly."""
_MEMBERS: Final = ("identifier", "blob", "instruction")
_TEXT: Final = (str, type(None))
_MAX_NESTING: Final = 100
_MANY_DIGITS: Final = re.compile(rb"[0-9]{16}")
_ENVELOPE: Final = b"[[[[%b]]]]"
"""Deeper than an event nests ``custom_meta``. pydantic reads about 200 levels."""


def encode_custom_meta(attached: Any) -> CustomMetaJson | None:
    """The JSON of a `schemas.text.CustomMeta` for ``attached``, a JSON value; None if nothing was attached."""
    if attached is None:
        return None
    if not isinstance(attached, dict):
        return _encoded({}, ["custom_meta"])
    identifier, instruction = attached.get("identifier"), attached.get("instruction")
    kept = {"identifier": identifier, "blob": attached.get("blob"), "instruction": instruction}
    whole = to_json(kept)
    if type(identifier) in _TEXT and type(instruction) in _TEXT and is_portable(whole):
        return whole
    dropped = [name for name, value in kept.items() if not _fits(name, value)]
    return _encoded({name: value for name, value in kept.items() if name not in dropped}, dropped)


def ensure_portable(attached: CustomMetaJson) -> CustomMetaJson:
    """``attached`` as it was stored, without members that are not portable: an older version may have stored them."""
    return attached if is_portable(attached) else encode_custom_meta(from_json(attached)) or b"null"


@lru_cache(maxsize=256)
def is_portable(json: CustomMetaJson) -> bool:
    """Whether every reader takes ``json``. Cached, since each event of a payload asks again."""
    if json.count(b"[") + json.count(b"{") > _MAX_NESTING and not _is_readable(json):
        return False
    is_suspect = b"NaN" in json or b"Infinity" in json or _MANY_DIGITS.search(json) is not None
    return not is_suspect or _is_exact(from_json(json))


def _fits(name: str, value: Any) -> bool:
    return (name == "blob" or type(value) in _TEXT) and is_portable(to_json(value))


def _is_exact(value: Any) -> bool:
    match value:
        case float():
            return isfinite(value)
        case int():
            return abs(value) <= SAFE_INTEGER
        case list():
            return all(map(_is_exact, value))
        case dict():
            return all(map(_is_exact, value.values()))
        case _:
            return True


def _is_readable(json: bytes) -> bool:
    try:
        from_json(_ENVELOPE % json)
    except ValueError:
        return False
    return True


def _encoded(kept: dict[str, Any], dropped: list[str]) -> CustomMetaJson:
    return to_json({**dict.fromkeys(_MEMBERS), **kept, "dropped": dropped})
