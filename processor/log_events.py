"""Every name that a log line can bear, with its level and what it tells. A test holds it against the code."""

from typing import Final, Literal, NamedTuple

Level = Literal["debug", "info", "warning", "error"]


class LogEvent(NamedTuple):
    """What a line of this name tells."""

    level: Level
    tells: str


LOG_EVENTS: Final[dict[str, LogEvent]] = {
    "delivery.accepted": LogEvent("info", "A webhook brought news, and it is stored."),
    "delivery.deferred": LogEvent("error", "An authentic webhook could not be stored and was answered 503."),
    "delivery.duplicate": LogEvent("info", "A webhook said what was known already."),
    "delivery.quarantined": LogEvent("error", "An authentic webhook makes no sense; its body is kept."),
    "delivery.refused": LogEvent("warning", "A webhook is not to be believed, or not acceptable."),
    "library.logged": LogEvent("info", "A library wrote to Python's own logging; the level is the library's."),
    "line.lost": LogEvent("error", "A log line could not be rendered; only that is told."),
    "node.failed": LogEvent("warning", "A ledger node did not answer; the next one is asked."),
    "outbox.caught_up": LogEvent("info", "Events that had waited for the broker were published."),
    "outbox.fell_behind": LogEvent("warning", "Events wait in the table, because the broker did not take one."),
    "outbox.publish_failed": LogEvent("error", "The broker refused an event, which will be tried again."),
    "outbox.unmarkable": LogEvent("error", "Published events could not be marked; they may be published twice."),
    "outbox.unreadable": LogEvent("error", "The table of waiting events could not be read."),
    "payload.advanced": LogEvent("info", "A lookup brought news of a payload, and it is stored."),
    "payload.flagged": LogEvent("error", "Reports of a payload contradict each other; somebody should look."),
    "process.crashed": LogEvent("error", "An exception that nobody caught ends the process or a thread."),
    "publisher.blocked": LogEvent("warning", "The broker takes nothing for now: it is short of memory or disk."),
    "publisher.closed": LogEvent("info", "The connection to the broker was closed as asked."),
    "publisher.connected": LogEvent("info", "The broker can take events."),
    "publisher.delivery_failed": LogEvent("error", "A consumer within this process raised."),
    "publisher.disconnected": LogEvent("warning", "The connection to the broker broke or could not be opened."),
    "publisher.exchange_missing": LogEvent("error", "The broker lacks the exchange: the topology was not applied."),
    "publisher.unblocked": LogEvent("info", "The broker takes events again."),
    "sandbox.webhook_sent": LogEvent("info", "The development sandbox made an attempt to deliver a webhook."),
    "service.drain_cut": LogEvent("warning", "Shutdown took too long; unpublished events go out after the next start."),
    "service.started": LogEvent("info", "The service takes webhooks."),
    "service.stopped": LogEvent("info", "The service has ended in good order."),
    "service.stopping": LogEvent("info", "A signal asked the service to end; it takes no more webhooks."),
    "store.callback_failed": LogEvent(
        "error", "Committed events could not be handed to the relay, which will find them."
    ),
    "store.entry_failed": LogEvent("error", "One entry could not be stored, whatever was tried: a defect."),
    "store.thread_failed": LogEvent("error", "The thread that writes to the database died."),
    "store.unavailable": LogEvent("error", "The database did not commit; nothing of the group was stored."),
    "store.unpruned": LogEvent("warning", "Old rows could not be deleted; it is tried again later."),
    "task.failed": LogEvent("warning", "A lookup got no answer; it is tried again, or given up in the end."),
    "task.orphaned": LogEvent("error", "A lookup waits for an application that is no longer configured."),
    "task.unclaimable": LogEvent("error", "The table of due lookups could not be read."),
    "task.unrecorded": LogEvent("error", "What a lookup found could not be stored; it is done again."),
    "topology.changed": LogEvent("info", "An object of the broker's topology was created or updated."),
    "topology.differed": LogEvent(
        "warning", "An object of the broker's topology differs, and only an operator can mend it."
    ),
}
