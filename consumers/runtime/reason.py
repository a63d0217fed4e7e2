"""Why a message was retried or dead-lettered: one line, bounded, without secrets, fit for a header and a log."""

import re
from typing import Final

from pydantic import ValidationError

from schemas.validation import describe_problems

LIMIT: Final = 200
"""Characters; a header should stay small, since every retry carries it."""

MASK: Final = "***"

_credentials_in_url = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_bearer = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+")
_named_secret = re.compile(
    r"(?i)\b([\w-]*(?:secret|password|passwd|token|api[_-]?key|authorization|credential)[\w-]*[\"']?\s*[=:]\s*)"
    r"(\"[^\"]*\"|'[^']*'|[^\s,;&]+)"
)
_long_run = re.compile(r"[\w:.+/=-]{40,}")
_hash = re.compile(r"[0-9a-fA-F]{64}")
_unprintable = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def describe(error: BaseException) -> str:
    """What ``error`` says, clean: its class and the first line of its message."""
    if isinstance(error, ValidationError):
        return clean(describe_problems(error))
    first_line = next(iter(str(error).splitlines()), "")
    return clean(f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__)


def clean(text: str) -> str:
    """``text`` on one line, without credentials or token-like runs, at most `LIMIT` characters. Idempotent."""
    encodable = text.encode(errors="replace").decode()
    one_line = _unprintable.sub(" ", encodable).strip()
    masked = _credentials_in_url.sub(MASK, one_line)
    masked = _bearer.sub(rf"\1 {MASK}", masked)
    masked = _named_secret.sub(rf"\1{MASK}", masked)
    masked = _long_run.sub(lambda run: run[0] if _hash.fullmatch(run[0]) else MASK, masked)
    return masked if len(masked) <= LIMIT else f"{masked[: LIMIT - 1]}…"
