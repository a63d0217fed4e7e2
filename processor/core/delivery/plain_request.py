"""One HTTP request that came in one piece, written as plainly as Xumm's sender writes it.

Only what every HTTP/1.1 parser reads alike is read here: one request line, plain fields, each of them once, and exactly
the bytes that ``content-length`` names. Whatever else may stand in a request (a transfer coding, a folded or odd field)
makes it None, and is left to a real HTTP parser.

Source: https://www.rfc-editor.org/rfc/rfc9112
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

START: Final = b"POST /webhooks/"
MAX_HEAD: Final = 8190
"""Bytes."""

_LINE: Final = re.compile(r"POST /webhooks/([A-Za-z0-9_-]{1,64}) HTTP/1\.1")
_LENGTH: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_NAME: Final = re.compile(r"[a-z0-9-]+")
_PERSISTENCE: Final = {"close": True, "keep-alive": False, None: False}
_NEEDED: Final = frozenset({"content-length", "host"})
_EXTRAORDINARY: Final = frozenset(
    {"content-encoding", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Fields that change how a request is to be read, or what is to be answered."""


class WholeRequest(NamedTuple):
    """A webhook's request, nothing in it checked but its form."""

    app: str
    """The last segment of its path."""
    headers: Mapping[str, str]
    """In lower case, names and values."""
    body: bytes
    closes: bool
    """Whether the sender wants the connection closed after the answer."""
    rest: bytes = b""
    """What came behind it, whatever that is."""


def read_whole(data: bytes) -> WholeRequest | None:
    """The request that ``data`` is, from its first byte to its last, or None."""
    first = read_first(data)
    return None if first is None or first.rest else first


def read_first(data: bytes) -> WholeRequest | None:
    """The request that ``data`` begins with and has the whole of, or None."""
    head, _, body = data.partition(b"\r\n\r\n")
    if len(head) > MAX_HEAD or not head.isascii():
        return None
    line, _, fields = head.decode("ascii").partition("\r\n")
    app, headers = _app_in(line), _headers(fields.lower().split("\r\n"))
    closes = None if headers is None else _PERSISTENCE.get(headers.get("connection"))
    if app is None or headers is None or closes is None:
        return None
    length = headers["content-length"]
    if length == str(len(body)):
        return WholeRequest(app, headers, body, closes)
    size = int(length) if _LENGTH.fullmatch(length) else len(body)
    return WholeRequest(app, headers, body[:size], closes, body[size:]) if size < len(body) else None


@lru_cache(maxsize=64)
def _app_in(line: str) -> str | None:
    named = _LINE.fullmatch(line)
    return None if named is None else named[1]


def _headers(fields: list[str]) -> dict[str, str] | None:
    """By name; None if a field is not plain or makes the request extraordinary, or stands twice."""
    try:
        headers = dict([field.split(": ", 1) for field in fields])
    except ValueError:
        return None
    plain = "".join(fields).isprintable() and len(headers) == len(fields)
    return headers if plain and _are_plain(tuple(headers)) else None


@lru_cache(maxsize=64)
def _are_plain(names: tuple[str, ...]) -> bool:
    """Whether a request with these fields is plain. One sender sends the same ones each time."""
    return _NEEDED.issubset(names) and _EXTRAORDINARY.isdisjoint(names) and all(map(_NAME.fullmatch, names))
