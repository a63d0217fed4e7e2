"""Which events a user is notified of, how urgently, and for how long.

A notification has the id of its event: it replaces a repetition, and no notification of another event.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, NamedTuple

from consumers.push.translations import translate
from schemas.data import SignData
from schemas.events import CloudEvent
from schemas.text import RESERVED_IDENTIFIERS

Urgency = Literal["high", "normal", "low"]


class PushPolicy(NamedTuple):
    """How an event is pushed."""

    urgency: Urgency
    """``high`` wakes a sleeping device."""
    lifetime: timedelta
    """A device that is offline for longer gets no notification."""


_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)

POLICIES: Final[Mapping[str, PushPolicy | None]] = {
    "xumm.sign.created": None,  # the user sees it arrive in Xumm
    "xumm.sign.opened": PushPolicy("high", timedelta(minutes=5)),
    "xumm.sign.pre_signed": None,  # a step on the way to signed
    "xumm.sign.dispatched": None,  # likewise
    "xumm.sign.signed": PushPolicy("high", _HOUR),
    "xumm.sign.rejected": PushPolicy("normal", _HOUR),
    "xumm.sign.expired": PushPolicy("normal", _DAY),
    "xumm.sign.cancelled": PushPolicy("normal", _DAY),
    "xumm.sign.token_issued": None,  # between the services
    "xumm.resolve.signed": PushPolicy("high", _DAY),
    "xumm.resolve.validated": PushPolicy("high", 3 * _DAY),
    "xumm.resolve.failed": PushPolicy("high", 3 * _DAY),
    "xumm.resolve.rejected": None,  # its sign event said the same before
    "xumm.resolve.cancelled": None,  # likewise
    "xumm.resolve.expired": None,  # likewise
}
"""By event type, all of them; None: no notification."""
QUIET: Final = frozenset(event_type for event_type, policy in POLICIES.items() if policy is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """The text for one device, and the data with which an app opens the right screen."""

    id: str
    """The event's id: providers and devices collapse repetitions by it."""
    title: str
    body: str
    urgency: Urgency
    lifetime: timedelta
    data: Mapping[str, str]


def build_notification(
    event: CloudEvent, *, locale: str | None, fallback: str = "en", with_reference: bool = False
) -> Notification | None:
    """The notification of ``event`` for a device in ``locale``; None if there is none.

    ``with_reference`` adds the application's own identifier of the sign request, if the event has it.
    """
    policy = POLICIES.get(event.type)
    reference = _reference(event) if with_reference else None
    text = translate(event.type, locale=locale, fallback=fallback, reference=reference)
    if policy is None or text is None:
        return None
    data = {
        "event_id": event.id,
        "event_type": event.type,
        "payload": event.subject,
        "app": event.app,
        "sequence": event.sequence,
    }
    return Notification(
        id=event.id, title=text.title, body=text.body, urgency=policy.urgency, lifetime=policy.lifetime, data=data
    )


def _reference(event: CloudEvent) -> str | None:
    data = getattr(event, "data", None)
    meta = data.custom_meta if isinstance(data, SignData) else None
    named = meta.identifier if meta is not None else None
    return None if not named or named.startswith(RESERVED_IDENTIFIERS) else named
