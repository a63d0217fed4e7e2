"""Which webhook leaves when: one for each resolved payload, unless a fault is set."""

from typing import Final

from processor.sandbox.attempt import Outgoing
from processor.sandbox.faults import LATE_BY, FaultTable
from processor.sandbox.javascript import stringify
from processor.sandbox.payload import Payload
from processor.sandbox.sender import Sender
from processor.sandbox.views import webhook_body

BEHIND: Final = 0.2
"""Seconds by which one that is held back follows the one that overtook it."""


class Webhooks:
    """Makes the webhook of a payload and hands it to the sender."""

    def __init__(self, sender: Sender, faults: FaultTable) -> None:
        self._sender = sender
        self._faults = faults
        self._held: list[Outgoing] = []

    def send(self, payload: Payload) -> None:
        """Send the webhook of ``payload``, which is resolved; nowhere if its application names no URL."""
        webhook = _webhook(payload)
        if webhook is None:
            return
        faults = self._faults.of(payload.uuid, payload.application.key)
        match faults.webhook:
            case None:
                self._release(webhook)
            case "lost":
                return
            case "doubled":
                self._release(webhook, webhook)
            case "late":
                self._sender.send(webhook, after=LATE_BY if faults.late_by is None else faults.late_by)
            case "reordered":
                self._held.append(webhook)

    def _release(self, *webhooks: Outgoing) -> None:
        """Send ``webhooks``, and behind them those that were held back for them to overtake."""
        held, self._held = self._held, []
        for webhook in webhooks:
            self._sender.send(webhook)
        for webhook in held:
            self._sender.send(webhook, after=BEHIND)


def _webhook(payload: Payload) -> Outgoing | None:
    application = payload.application
    if application.webhook_url is None:
        return None
    return Outgoing(
        url=application.webhook_url,
        secret=application.secret,
        payload=payload.uuid,
        body=stringify(webhook_body(payload)).encode(),
    )
