"""Answers of Xumm's API: which of them are errors, as errors of this service.

Source: https://docs.xumm.dev/js-ts-sdk/sdk-syntax/xumm.payload
"""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from processor.core.errors import Denied, LookupFailed, NotFound, Unavailable
from processor.web.client import Answer
from schemas.text import is_uuid

BAD_CREDENTIALS: Final = frozenset({813, 814})
"""Xumm's error codes for wrong credentials. The HTTP status that comes with them is not documented."""

_DENIED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_MAX_DIGITS: Final = 9


def find_error(answer: Answer, now: datetime) -> LookupFailed | None:  # noqa: PLR0911  one return for each kind
    """The error that ``answer`` stands for; None if it is a success whose body is a JSON object."""
    status, value = answer.status, answer.json_object()
    code, reference = _error_of(value)
    text = f"Xumm's API answered {status}{reference}"
    if answer.redirects:
        return Denied(f"{text}, a redirect, which is not followed: check the address of the API")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Unavailable(text, retry_after=answer.retry_after(now), untouched=True)
    if status in _DENIED or code in BAD_CREDENTIALS:
        return Denied(text)
    if HTTPStatus.NOT_FOUND in (status, code):
        return NotFound(text)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return Unavailable(text, retry_after=answer.retry_after(now))
    if status >= HTTPStatus.BAD_REQUEST:
        return Denied(text)
    if value is None or "error" in value:
        return Unavailable(f"{text} without a JSON object that makes sense")
    return None


def _error_of(value: Mapping[str, Any] | None) -> tuple[int | None, str]:
    """Code, and text for a message, of ``{"error": {"reference": "<uuid>", "code": <int>}}``."""
    error = None if value is None else value.get("error")
    if not isinstance(error, dict):
        return None, ""
    code, reference = error.get("code"), error.get("reference")
    if not isinstance(code, int) or isinstance(code, bool) or len(str(abs(code))) > _MAX_DIGITS:
        return None, ""
    named = isinstance(reference, str) and is_uuid(reference)
    return code, f", code {code}" + (f", reference {reference}" if named else "")
