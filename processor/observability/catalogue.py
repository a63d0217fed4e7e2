"""Every name that a log line can bear, with its level and what it tells. A test holds it against the code."""

from typing import Final, Literal, NamedTuple

Level = Literal["debug", "info", "warning", "error"]


class LogEvent(NamedTuple):
    """What a line of this name tells."""

    level: Level
    tells: str


LOG_EVENTS: Final[dict[str, LogEvent]] = {
    "consumer.drained": LogEvent(
        "info", "The consumer finished what it had in hand; `unfinished` messages return to their queue."
    ),
    "consumer.started": LogEvent("info", "The consumer takes messages as soon as its source has any."),
    "database.abandoned": LogEvent("error", "A consumer's database did not answer while it stopped, so it was left."),
    "database.unavailable": LogEvent(
        "warning", "A consumer's database is locked, full or unreachable; it is waited for."
    ),
    "delivery.accepted": LogEvent("info", "A webhook brought news, and it is stored."),
    "delivery.deferred": LogEvent("error", "An authentic webhook could not be stored and was answered 503."),
    "delivery.duplicate": LogEvent("info", "A webhook said what was known already."),
    "delivery.lost": LogEvent(
        "warning", "A message could not be settled any more and comes again; its effect stays single."
    ),
    "delivery.misaddressed": LogEvent(
        "warning", "An authentic webhook came to an address that is not quite the one to enter; it was taken."
    ),
    "delivery.quarantined": LogEvent("error", "An authentic webhook makes no sense; its body is kept."),
    "delivery.refused": LogEvent("warning", "A webhook is not to be believed, or not acceptable."),
    "delivery.unnoted": LogEvent(
        "warning", "A webhook with a right signature that is stale or makes no sense did not make a payload looked up."
    ),
    "demo.failed": LogEvent("error", "The demo of `processor dev` failed; everything keeps running."),
    "device.asked": LogEvent("info", "An app registered or removed a push device; the broker holds the command."),
    "device.doubted": LogEvent(
        "warning",
        "A provider does not take a device's token; the same for a day while it takes others removes the device.",
    ),
    "device.forgotten": LogEvent("info", "A user took a push device back, so it left the registry."),
    "device.outdated": LogEvent("info", "A command for a push device came after a newer one, and changed nothing."),
    "device.refused": LogEvent("warning", "A device that an app registered cannot be pushed to; the reason says why."),
    "device.registered": LogEvent("info", "A device is pushed to for an account from now on; `evicted` others went."),
    "device.removed": LogEvent("info", "The push provider knows a device no more, so it left the registry."),
    "device.unasked": LogEvent("error", "The broker did not take a command for a push device; its app was told 503."),
    "devices.disowned": LogEvent(
        "error", "A provider disowns a device and has taken none since the start: look at the channel's settings."
    ),
    "event.dead_lettered": LogEvent(
        "error", "A consumer gave up on a message; the reason says why, `dead-letters redrive` brings it back."
    ),
    "event.handled": LogEvent("info", "A consumer handled an event, for the first and only time."),
    "event.put_back": LogEvent(
        "warning", "A message that was held for long, as without a database, went back to its queue as a new one."
    ),
    "event.repeated": LogEvent("info", "An event came again after it had been handled, and was dropped."),
    "event.retried": LogEvent("warning", "A consumer failed on a message, which comes again after `wait` seconds."),
    "event.skipped": LogEvent("debug", "A consumer has no handler for an event."),
    "event.unknown": LogEvent("info", "An event of a type that this version has no model for was acknowledged."),
    "housekeeping.failed": LogEvent("warning", "A consumer could not forget what is old; it is tried again."),
    "identity.refused": LogEvent("warning", "A token of Xumm's proves nothing; the reason says what it lacks."),
    "identity_keys.fetched": LogEvent("info", "The keys that verify Xumm's identity tokens were read."),
    "identity_keys.unavailable": LogEvent(
        "warning", "The keys that verify Xumm's identity tokens could not be read; those that are known stay in force."
    ),
    "inbox.pruned": LogEvent("debug", "A consumer forgot events that it handled long ago."),
    "library.logged": LogEvent("info", "A library wrote to Python's own logging; the level is the library's."),
    "line.lost": LogEvent("error", "A log line could not be rendered; only that is told."),
    "node.failed": LogEvent("warning", "A ledger node did not answer; the next one is asked."),
    "node.misplaced": LogEvent(
        "error", "A ledger node belongs to another network than it is configured for; nothing it says counts."
    ),
    "outbox.caught_up": LogEvent("info", "Events that had waited for the broker were published."),
    "outbox.fell_behind": LogEvent(
        "warning", "Events wait in the table, because the connection broke or too many came at once."
    ),
    "outbox.publish_failed": LogEvent(
        "error", "Queues refuse events or give no answer; each is tried again. Told once a minute while it lasts."
    ),
    "outbox.queues_unknown": LogEvent(
        "info", "RabbitMQ's management API does not say which queues are bound; those of the settings count."
    ),
    "outbox.queues_unpermitted": LogEvent(
        "error", "Events cannot be handed to single queues, so a queue that gives no answer delays the others."
    ),
    "outbox.recovered": LogEvent("info", "All queues have taken the events that were refused."),
    "outbox.unmarkable": LogEvent("error", "Published events could not be marked; they may be published twice."),
    "outbox.unreadable": LogEvent("error", "The table of waiting events could not be read."),
    "outcomes.summarized": LogEvent(
        "info",
        "How the outcomes of the last hours were learned first; a rising share of `webhooks_missed` calls for a look.",
    ),
    "outcomes.unreadable": LogEvent("warning", "How outcomes were learned could not be read; it is tried again."),
    "payload.advanced": LogEvent("info", "A lookup brought news of a payload, and it is stored."),
    "payload.flagged": LogEvent(
        "error", "Sources contradict each other on a payload; somebody should look: see its flags."
    ),
    "payload.registered": LogEvent("info", "Somebody asked to follow a payload to its end."),
    "payload.released": LogEvent("info", "An operator took the flags off a payload: who, why, and which they were."),
    "process.crashed": LogEvent("error", "An exception that nobody caught ends the process or a thread."),
    "publisher.blocked": LogEvent("warning", "The broker takes nothing for now: it is short of memory or disk."),
    "publisher.closed": LogEvent("info", "The connection to the broker was closed as asked."),
    "publisher.connected": LogEvent("info", "The broker can take events."),
    "publisher.connection_failed": LogEvent("warning", "The broker could not be reached; the next one is tried."),
    "publisher.delivery_failed": LogEvent("error", "A consumer within this process raised."),
    "publisher.disconnected": LogEvent("warning", "The connection to the broker broke."),
    "publisher.exchange_missing": LogEvent("error", "The broker lacks the exchange: the topology was not applied."),
    "publisher.unblocked": LogEvent("info", "The broker takes events again."),
    "push.failed": LogEvent("warning", "One device was not pushed to; the event is retried or dead-lettered."),
    "push.logged": LogEvent("info", "What would be pushed to a device, if a provider were configured."),
    "registrations.connected": LogEvent("info", "Commands to watch payloads are taken from the queue."),
    "registrations.dead_lettered": LogEvent(
        "error", "A command to watch a payload can never be done; its reason says why."
    ),
    "registrations.deferred": LogEvent("error", "The store takes no commands; they wait, and are tried again."),
    "registrations.disconnected": LogEvent("warning", "The queue of commands is out of reach; it is tried again."),
    "registrations.returned": LogEvent(
        "warning", "Commands that the store has not taken for long went back to the queue as new ones."
    ),
    "request.adopted": LogEvent("warning", "A sign request that had broken off was found at Xumm, and is followed."),
    "request.cancelled": LogEvent("info", "A sign request was withdrawn before anybody opened it."),
    "request.created": LogEvent("info", "A sign request stands at Xumm, and is followed to its end."),
    "request.failed": LogEvent("error", "A defect: a request was answered 500; `places` says where it broke."),
    "request.lane_failed": LogEvent("error", "A defect on the way that webhooks take together: each goes by itself."),
    "request.malformed": LogEvent("warning", "Somebody sent what is no HTTP request, or one with over-long parts."),
    "request.refused": LogEvent("warning", "A request of another service was refused."),
    "request.unanswered": LogEvent("warning", "Xumm's API did not do what a caller asked for."),
    "request.unstored": LogEvent("error", "A request of a caller could not be stored and was answered 503."),
    "sandbox.webhook_sent": LogEvent("info", "The development sandbox made an attempt to deliver a webhook."),
    "service.drain_cut": LogEvent("warning", "Shutdown took too long; unpublished events go out after the next start."),
    "service.files_limited": LogEvent(
        "warning", "The system allows fewer open files than there may be sockets; some may not open."
    ),
    "service.requests_cut": LogEvent("warning", "Shutdown took too long; requests that were under way got no answer."),
    "service.started": LogEvent("info", "The service takes webhooks."),
    "service.stop_forced": LogEvent("error", "Shutdown did not end in time, so the process ended itself."),
    "service.stopped": LogEvent("info", "The service has ended in good order."),
    "service.stopping": LogEvent("info", "A signal asked the service to end; it takes no more webhooks."),
    "session.created": LogEvent("info", "A user proved to hold an account and got a session."),
    "session.ended": LogEvent("info", "A user signed out."),
    "settlement.failed": LogEvent(
        "warning", "A message could not be acknowledged, retried or dead-lettered; it is tried again."
    ),
    "sign_in.failed": LogEvent("warning", "A sign-in through Xumm ended in an error, which the app was told."),
    "sign_in.granted": LogEvent("info", "A user signed in through Xumm; the app gets a code for a session."),
    "sign_in.unredeemed": LogEvent("warning", "Xumm's provider gave no token for its own code."),
    "signature.doubted": LogEvent(
        "warning", "A payload's signature is not proven: `field` says where, `reason` why; disproven ones are flagged."
    ),
    "source.connected": LogEvent("info", "The consumer is connected to its queue."),
    "source.lost": LogEvent("warning", "The consumer lost its queue and connects again."),
    "source.unavailable": LogEvent("warning", "The broker or the queue is not there; it is tried again."),
    "store.abandoned": LogEvent(
        "error", "The database did not answer while the service stopped, so it was left; nothing acknowledged is lost."
    ),
    "store.callback_failed": LogEvent(
        "error", "Who was to hear of a commit failed on it; committed events are found in the outbox all the same."
    ),
    "store.entry_failed": LogEvent("error", "One entry could not be stored, whatever was tried: a defect."),
    "store.failed": LogEvent("error", "Writing to the database ended; the service takes nothing any more."),
    "store.unavailable": LogEvent("error", "The database did not commit; nothing of the group was stored."),
    "store.unpruned": LogEvent("warning", "Old rows could not be deleted; it is tried again later."),
    "task.abandoned": LogEvent("error", "A lookup was tried for 24 h in vain; the payload is flagged."),
    "task.failed": LogEvent("warning", "A lookup got no answer; it is tried again, or given up in the end."),
    "task.orphaned": LogEvent("error", "A lookup waits for an application that is no longer configured."),
    "task.unclaimable": LogEvent("error", "The table of due lookups could not be read."),
    "task.unrecorded": LogEvent("error", "What a lookup found could not be stored; it is done again."),
    "token.revoked": LogEvent("info", "A user revoked a token; it is deleted."),
    "token.unchecked": LogEvent(
        "warning", "Xumm's API did not say whether a user token is alive; it is tried all the same."
    ),
    "token.unopened": LogEvent("error", "A sealed user token does not open: its key is missing, or it was changed."),
    "topology.changed": LogEvent("info", "An object of the broker's topology was created or updated."),
    "topology.differed": LogEvent(
        "warning", "An object of the broker's topology differs, and only an operator can mend it."
    ),
    "watch.absent": LogEvent("warning", "A payload's socket says that there is no such payload; Xumm's API is asked."),
    "watch.crashed": LogEvent("error", "Watching a payload raised what nobody expected: a defect. It is tried again."),
    "watch.senseless": LogEvent("error", "A payload's socket sent what makes no sense; it changed nothing."),
    "watch.strange": LogEvent("info", "A message had a key that this version does not know; told once for each key."),
    "watch.unreachable": LogEvent("debug", "A payload's socket could not be opened; it is tried again."),
    "watch.unrecorded": LogEvent("error", "What a socket said could not be stored; the payload is looked up instead."),
    "watches.counted": LogEvent("info", "How many payloads are watched, and how many of their sockets are open."),
    "watches.full": LogEvent("warning", "So many payloads of these applications are watched that more have to wait."),
    "watches.unavailable": LogEvent("error", "The table of watches could not be read or written; it is tried again."),
}
