"""Turn the fields of a log line into plain JSON values without secrets and control characters, of bounded size.

Secrets are found by their key, by the shape of the text, and, in `Redactor.redact`, by their exact value. No function
here raises.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from pydantic import SecretBytes, SecretStr, ValidationError

from schemas.validation import describe_problems

REDACTED: Final = "[redacted]"
_MAX_TEXT: Final = 8192
_MAX_DEPTH: Final = 6
_MAX_ITEMS: Final = 64
_MAX_INTEGER: Final = 2**63
_SHORTEST_SECRET: Final = 6
MAX_REASON: Final = 200
"""Characters of a line by `clean_line`: a header that holds one stays small, since every retry carries it."""

_SECRET_KEY: Final = re.compile(
    r"secret|token|passw|passphrase|authorization|signature|cookie|credential|private_?key|api_?key|x_api_|jwt"
    r"|(?:^|_)(?:body|blob|hex|auth|seed|otp|userinfo)\s*\Z"
)
_TEXT: Final = re.compile(
    r"(?P<userinfo>(?<=://)[^\s/@\"']*@)"
    r"|(?P<jwt>eyJ[\w-]{6,}(?:\.[\w-]*){1,4})"
    r"|(?P<scheme>\b(?:bearer|basic)\s+)(?P<credential>[^\s\"',;]+)"
    r"|(?P<key>(?:[\w-]*(?:secret|token|passw|signature|cookie|credential|authorization|private_?key|api[_-]?key|jwt)"
    r"[\w-]*|\b(?:body|blob|hex))(?:\\?[\"'])?\s*[:=]\s*(?:\\?[\"'])?)(?P<value>\[redacted\]|(?<=\")[^\"\\]+"
    r"|(?<=')[^'\\]+|(?:(?:bearer|basic)\s+)?[^\s\"'\\,;&})\]]+)",
    re.IGNORECASE,
)
_LONG_RUN: Final = re.compile(r"[\w:.+/=-]{40,}")
_HASH: Final = re.compile(r"[0-9a-fA-F]{64}")
_BREAKS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_PARAMETERS: Final = re.compile(r"\[parameters: .*?(?=\n\(Background|\Z)", re.DOTALL)
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


@lru_cache(maxsize=1024)
def is_secret_key(key: str) -> bool:
    """Whether the value of ``key`` is a secret."""
    return _SECRET_KEY.search(key.lower().replace("-", "_")) is not None


def clean_text(text: str) -> str:
    """``text`` without anything that looks like a secret, cut to 8192 characters, with control characters escaped.

    Tabs and newlines stay: each renderer escapes them in its own way.
    """
    if not text.isprintable():
        text = _CONTROL.sub(_escape, text)
    if "=" in text or ":" in text or " " in text or "eyJ" in text:
        text = _TEXT.sub(_redact, text)
    if len(text) > _MAX_TEXT:
        text = f"{text[:_MAX_TEXT]}... ({len(text) - _MAX_TEXT} more)"
    return text


def clean_line(text: str) -> str:
    """``text`` as by `clean_text`, on one line of at most 200 characters, and without runs of 40 or more characters
    that may be a token: fit for a header and for a reason in a log. A hash of 64 hexadecimal digits stays.
    """
    line = clean_text(_BREAKS.sub(" ", text).strip())
    line = _LONG_RUN.sub(lambda run: run[0] if _HASH.fullmatch(run[0]) else REDACTED, line)
    return line if len(line) <= MAX_REASON else f"{line[: MAX_REASON - 1]}…"


def describe(error: BaseException) -> str:
    """The class of ``error`` and the first line of its message, as by `clean_line`."""
    text = describe_problems(error) if isinstance(error, ValidationError) else _text_of(error)
    first_line = next(iter(text.splitlines()), "")
    return clean_line(f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__)


def clean_fields(fields: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
    """``fields`` as JSON values. Values that are secret by their key or their shape are replaced."""
    cleaned: dict[str, Any] = {}
    for key, value in fields.items():
        if len(cleaned) == _MAX_ITEMS:
            cleaned["more"] = len(fields) - _MAX_ITEMS
            break
        name = key if type(key) is str and key.isidentifier() else clean_text(_text_of(key))
        cleaned[name] = _clean(name, value, depth)
    return cleaned


def _clean(name: str, value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is int or kind is bool or value is None or kind is float:
        return value if kind is not int or -_MAX_INTEGER <= value < _MAX_INTEGER else str(value)
    if is_secret_key(name):
        return REDACTED
    if kind is str:
        return clean_text(value)
    if kind is list and depth < _MAX_DEPTH:
        return [_clean("", item, depth + 1) for item in value[:_MAX_ITEMS]]
    return _clean_other(value, depth + 1)


def _clean_other(value: Any, depth: int) -> Any:  # noqa: PLR0911  one line for each kind of value
    if depth > _MAX_DEPTH:
        return "..."
    match value:
        case Mapping():
            return clean_fields(value, depth)
        case list() | tuple() | set() | frozenset():
            return [_clean("", item, depth) for item in list(value)[:_MAX_ITEMS]]
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case SecretStr() | SecretBytes():
            return REDACTED
        case timedelta():
            return value.total_seconds()
        case date() | UUID():
            return str(value)
        case BaseException():
            return f"{type(value).__name__}: {message_of(value)}"
        case _:
            return clean_text(_text_of(value))


def message_of(error: BaseException) -> str:
    """The message of ``error`` without the values that pydantic and SQLAlchemy quote."""
    if isinstance(error, ValidationError):  # it quotes the input, which may be a body
        return clean_text(describe_problems(error, _MAX_ITEMS))
    return clean_text(_PARAMETERS.sub("[parameters hidden]", _text_of(error)))


def exception_fields(error: BaseException, depth: int = 0) -> dict[str, Any]:
    """``error`` with its causes and its frames as ``file:line function``: neither source nor variables."""
    fields: dict[str, Any] = {
        "type": type(error).__qualname__,
        "message": message_of(error),
        "frames": frames_of(error),
    }
    if depth >= _MAX_DEPTH:
        return fields
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        fields["cause"] = exception_fields(cause, depth + 1)
    if isinstance(error, BaseExceptionGroup):
        fields["exceptions"] = [exception_fields(each, depth + 1) for each in error.exceptions[:8]]
    return fields


def frames_of(error: BaseException) -> list[str]:
    """The frames of ``error``, outermost first, as ``file:line function``."""
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(clean_text(f"{code.co_filename}:{traceback.tb_lineno} {code.co_qualname}"))
        traceback = traceback.tb_next
    return frames[-_MAX_ITEMS:]


def _text_of(value: Any) -> str:
    try:
        return str(value) if isinstance(value, str | BaseException) else repr(value)
    except Exception:  # noqa: BLE001  a broken __repr__ is no reason to fail
        return f"<{type(value).__name__}>"


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _redact(found: re.Match[str]) -> str:
    match found.lastgroup:
        case "userinfo":
            return f"{REDACTED}@"
        case "jwt":
            return REDACTED
        case "credential":
            return found["scheme"] + REDACTED
        case _:
            return found["key"] + REDACTED


@dataclass(frozen=True, slots=True)
class Redactor:
    """Replaces known secrets anywhere in a rendered line."""

    secrets: tuple[bytes, ...]

    @classmethod
    def of(cls, secrets: Iterable[str]) -> "Redactor":
        """A redactor of those ``secrets`` that are at least 6 characters long: shorter ones occur in ordinary words.

        Longer ones come first, since a shorter one may be part of them.
        """
        known = {secret.encode() for secret in secrets if len(secret) >= _SHORTEST_SECRET}
        known |= {secret.replace(b"\\", b"\\\\").replace(b'"', b'\\"') for secret in known}
        return cls(tuple(sorted(known, key=lambda secret: (-len(secret), secret))))

    def redact(self, line: bytes) -> bytes:
        """``line`` with every secret replaced."""
        for secret in self.secrets:
            if secret in line:
                line = line.replace(secret, REDACTED.encode())
        return line
