"""JSON text as JavaScript's ``JSON.stringify`` writes it, byte for byte: Xumm signs and sends this text.

Source: https://tc39.es/ecma262/#sec-json.stringify and https://tc39.es/ecma262/#sec-numeric-types-number-tostring
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from math import isfinite
from typing import Any, Final

JsonObject = dict[str, Any]

_EXPONENT_FROM: Final = 1e21
_EXPONENT_BELOW: Final = 1e-6
_MAX_ARRAY_INDEX: Final = 2**32 - 2
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ARRAY_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")


def stringify(value: Any) -> str:
    """Compact JSON of ``value``: non-ASCII kept, lone surrogates escaped, numbers as doubles, NaN as ``null``.

    Keys that are array indexes come first and ascending, as JavaScript orders them. Raises ``TypeError`` for a value
    that has no form in JSON.
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return _encode_text(value)
        case int() | float():
            return _encode_number(float(value))
        case Mapping():
            members = sorted(value.items(), key=lambda member: _rank(member[0]))
            return "{" + ",".join(f"{_encode_text(key)}:{stringify(item)}" for key, item in members) + "}"
        case list() | tuple():
            return "[" + ",".join(map(stringify, value)) + "]"
        case _:
            raise TypeError(f"JSON has no {type(value).__name__}")


def _encode_text(value: str) -> str:
    quoted = json.dumps(value, ensure_ascii=False)
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", quoted)


def _encode_number(value: float) -> str:
    if not isfinite(value):
        return "null"
    if value == 0:
        return "0"  # -0 too
    digits = Decimal(repr(value))
    if _EXPONENT_BELOW <= abs(value) < _EXPONENT_FROM:
        plain = f"{digits:f}"
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    mantissa, exponent = f"{digits.normalize():e}".split("e")
    return f"{mantissa}e{int(exponent):+d}"


def _rank(key: str) -> int:
    """The sort key of a member: array indexes by value, then other keys in the order of insertion."""
    if _ARRAY_INDEX.fullmatch(key) and int(key) <= _MAX_ARRAY_INDEX:
        return int(key)
    return _MAX_ARRAY_INDEX + 1
