"""A webhook's HTTP request that arrived whole and in plain form, as Xumm's sender writes it.

Only requests that every HTTP/1.1 parser reads alike are parsed here: one request line, plain fields, each of them once,
and exactly the bytes that ``content-length`` counts. For any other request (with a transfer coding, or a folded or
unusual field) the result is None, and the request is left to a full HTTP parser.

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
"""Fields that change how a request is read or answered."""


class WholeRequest(NamedTuple):
    """A webhook's request, of which only the form is checked."""

    app: str
    """The last segment of the path."""
    headers: Mapping[str, str]
    """Names and values in lower case."""
    body: bytes
    closes: bool
    """Whether the sender wants the connection closed after the answer."""
    rest: bytes = b""
    """The bytes that followed the request."""


def read_first(data: bytes) -> WholeRequest | None:
    """The complete request that ``data`` begins with, or None."""
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
    """The fields by name; None if one is not plain, changes how the request is read, or occurs twice."""
    try:
        headers = dict([field.split(": ", 1) for field in fields])
    except ValueError:
        return None
    plain = "".join(fields).isprintable() and len(headers) == len(fields)
    return headers if plain and _are_plain(tuple(headers)) else None


@lru_cache(maxsize=64)
def _are_plain(names: tuple[str, ...]) -> bool:
    """Whether a request with these fields is plain. Cached, since a sender repeats its fields."""
    return _NEEDED.issubset(names) and _EXTRAORDINARY.isdisjoint(names) and all(map(_NAME.fullmatch, names))
