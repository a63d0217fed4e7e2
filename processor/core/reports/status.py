"""A message on a payload's WebSocket, to a report."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic_core import from_json

from processor.core.application import Application
from processor.core.errors import NormalizeError
from processor.core.reports.custom_meta import encode_custom_meta
from processor.core.reports.parsing import load_leniently, parse_model
from processor.core.reports.report import StatusReport
from schemas.status import Status
from schemas.text import replace_unprintable

_KNOWN_KEYS: Final = frozenset(Status.model_fields) | {
    "ping",
    "reference_call_uuidv4",
    "user_token",
    "return_url",
    "opened_by_deeplink",
}
_KNOWN_MESSAGES: Final = ("Welcome", "Right back at you!")
_SHOWN_KEY: Final = 40
_YEAR: Final = 366 * 24 * 3600
_KINDS: Final[dict[Any, Callable[[Status], bool]]] = {
    "signed": lambda status: status.signed is True and status.payload_uuidv4 is not None,
    "rejected": lambda status: status.signed is False and status.payload_uuidv4 is not None,
    "expired": lambda status: status.expired is True,
    "dispatched": lambda status: status.dispatched is True,
    "pre_signed": lambda status: status.pre_signed is True,
    "opened": lambda status: status.opened is True,
    "alive": lambda status: status.expires_in_seconds is not None,
}


def status_report(application: Application, payload: str, text: str | bytes, at: datetime) -> StatusReport | None:
    """The report in a message; None if the message says nothing about the payload. Raises `NormalizeError`."""
    status = parse_model(Status, text)
    if status.payload_uuidv4 is not None and status.payload_uuidv4 != payload:
        raise NormalizeError("payload_uuidv4 is not the payload that is watched")
    kind = next((kind for kind, applies in _KINDS.items() if applies(status)), None)
    if kind is None:
        return None
    seconds = status.expires_in_seconds
    return StatusReport(
        app=application.name,
        application_uuid=application.uuid,
        payload=payload,
        at=at,
        kind=kind,
        txid=status.txid,
        expires_at=None if seconds is None else at + timedelta(seconds=max(-_YEAR, min(seconds, _YEAR))),
        custom_meta=encode_custom_meta(status.custom_meta),
    )


def is_present(text: str | bytes) -> bool:
    """Whether a message shows that the payload exists: the greeting, or any status."""
    content = _load_object(text)
    message = content.get("message")
    return message.startswith(_KNOWN_MESSAGES) if isinstance(message, str) else bool(content)


def unknown_keys(text: str | bytes) -> list[str]:
    """The keys of a message that this version does not know, each cut and made printable for a log line."""
    return sorted(replace_unprintable(key[:_SHOWN_KEY]) for key in _load_object(text) if key not in _KNOWN_KEYS)


def _load_object(text: str | bytes) -> dict[str, object]:
    try:
        value = from_json(text)
    except ValueError:
        value = load_leniently(text)
    return value if isinstance(value, dict) else {}
