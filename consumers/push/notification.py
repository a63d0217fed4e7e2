"""What a user reads: one text for each event that is worth an interruption, in each language.

Quiet are the steps that the user takes or sees already (``created``, ``pre_signed``, ``dispatched``,
``token_issued``), and the resolve events whose sign event said the same before (``rejected``, ``cancelled``,
``expired``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.events import CloudEvent

Texts = Mapping[str, tuple[str, str]]

QUIET: Final = frozenset(
    {
        "xumm.sign.created",
        "xumm.sign.pre_signed",
        "xumm.sign.dispatched",
        "xumm.sign.token_issued",
        "xumm.resolve.rejected",
        "xumm.resolve.cancelled",
        "xumm.resolve.expired",
    }
)

ENGLISH: Final[Texts] = {
    "xumm.sign.opened": ("Sign request opened", "Check the details in Xumm before you sign."),
    "xumm.sign.signed": ("Signed", "Thank you. We are checking it now."),
    "xumm.sign.rejected": ("Sign request declined", "You declined the request. Nothing was signed."),
    "xumm.sign.expired": ("Sign request expired", "The request was not opened in time."),
    "xumm.sign.cancelled": ("Sign request withdrawn", "The request was withdrawn. There is nothing to do."),
    "xumm.resolve.signed": ("Confirmed", "Xumm confirmed your signature."),
    "xumm.resolve.validated": ("Transaction confirmed", "It is final on the ledger."),
    "xumm.resolve.failed": ("Transaction failed", "It was not carried out on the ledger."),
}
GERMAN: Final[Texts] = {
    "xumm.sign.opened": ("Anfrage geöffnet", "Prüfe die Angaben in Xumm, bevor du unterschreibst."),
    "xumm.sign.signed": ("Unterschrieben", "Danke. Wir prüfen es gerade."),
    "xumm.sign.rejected": ("Anfrage abgelehnt", "Du hast abgelehnt. Nichts wurde unterschrieben."),
    "xumm.sign.expired": ("Anfrage abgelaufen", "Die Anfrage wurde nicht rechtzeitig geöffnet."),
    "xumm.sign.cancelled": ("Anfrage zurückgezogen", "Die Anfrage wurde zurückgezogen. Es ist nichts zu tun."),
    "xumm.resolve.signed": ("Bestätigt", "Xumm hat deine Unterschrift bestätigt."),
    "xumm.resolve.validated": ("Transaktion bestätigt", "Sie ist endgültig im Ledger."),
    "xumm.resolve.failed": ("Transaktion fehlgeschlagen", "Sie wurde im Ledger nicht ausgeführt."),
}
LANGUAGES: Final[Mapping[str, Texts]] = {"en": ENGLISH, "de": GERMAN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One text for one device, and what an app needs to open the right screen."""

    id: str
    """The event's id: providers and devices collapse repetitions by it."""
    title: str
    body: str
    data: Mapping[str, str]


def notification_of(event: CloudEvent, *, locale: str | None, fallback: str = "en") -> Notification | None:
    """What a device in ``locale`` is told of ``event``; None if the user need not be disturbed."""
    texts = LANGUAGES.get((locale or "").partition("-")[0].partition("_")[0].lower())
    texts = texts or LANGUAGES.get(fallback, ENGLISH)
    found = texts.get(event.type)
    if found is None:
        return None
    title, body = found
    data = {
        "event_id": event.id,
        "event_type": event.type,
        "payload": event.subject,
        "app": event.app,
        "sequence": event.sequence,
    }
    return Notification(id=event.id, title=title, body=body, data=data)
