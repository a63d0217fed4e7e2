"""The headers that a copy of a message can carry. The message may come from any sender."""

import struct
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pamqp import encode

from schemas.topology import HEADER_ATTEMPTS, HEADER_DROPPED, HEADER_FIRST_SEEN, HEADER_QUEUE, HEADER_REASON

OWN_HEADERS: Final = frozenset({HEADER_ATTEMPTS, HEADER_FIRST_SEEN, HEADER_QUEUE, HEADER_REASON})
"""What a consumer adds to a message that it retries or dead-letters."""
DEFAULT_FRAME: Final = 131_072
"""Bytes of a frame by RabbitMQ's default."""
MAX_NAMES: Final = 200
"""Characters of the list of dropped names."""
MAX_NAME: Final = 128
"""Bytes of a header's name that pamqp can encode."""
BROKER_HEADERS: Final = frozenset({"x-death", "x-delivery-count", "x-acquired-count", "CC", "BCC"})
"""Headers that the broker adds, or would read as further routing keys of a copy."""
BROKER_PREFIXES: Final = ("x-first-death-", "x-last-death-")

_UNENCODABLE: Final = (TypeError, ValueError, ArithmeticError, OSError, RecursionError, struct.error)


def copy_headers(
    headers: Mapping[str, object], own: frozenset[str], *, frame_size: int = DEFAULT_FRAME
) -> dict[str, Any]:
    """The part of ``headers`` that a copy can carry: first ``own``, then the smallest, and none of the broker's own.

    It fills at most three quarters of a frame. The rest is for other properties and for headers that the broker adds.
    """
    plain = {
        name: bytearray(value) if isinstance(value, bytes) else value
        for name, value in headers.items()
        if name not in BROKER_HEADERS and not name.startswith(BROKER_PREFIXES)
    }
    room = frame_size * 3 // 4 - 2 * MAX_NAMES
    kept: dict[str, Any] = {}
    dropped = _names(headers.get(HEADER_DROPPED))
    sizes = {name: _size(name, value) for name, value in plain.items() if name != HEADER_DROPPED}
    for name in sorted(sizes, key=lambda name: (name not in own, sizes[name] or 0)):
        size = sizes[name]
        if size is None or size > room:
            dropped.append(name)
            continue
        kept[name] = plain[name]
        room -= size
    return kept | ({HEADER_DROPPED: join_names(dropped)} if dropped else {})


def join_names(names: Iterable[str]) -> str:
    """The value of `schemas.topology.HEADER_DROPPED`."""
    whole = ", ".join(dict.fromkeys(name or "(no name)" for name in names))
    return whole if len(whole) <= MAX_NAMES else f"{whole[: MAX_NAMES - 1]}…"


def _size(name: str, value: object) -> int | None:
    """Bytes of a header; None if it cannot be encoded."""
    length = len(name.encode())
    if length > MAX_NAME:
        return None
    try:
        return 1 + length + len(encode.encode_table_value(value))  # type: ignore[arg-type]  # it may be anything
    except _UNENCODABLE:
        return None


def _names(value: object) -> list[str]:
    return value.split(", ") if isinstance(value, str) and value else []
