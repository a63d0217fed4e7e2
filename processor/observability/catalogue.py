"""Every name that a log line can bear, with its level and its meaning. A test compares it with the code."""

from typing import Final, Literal, NamedTuple

Level = Literal["debug", "info", "warning", "error"]


class LogEvent(NamedTuple):
    """The level and the meaning of the lines of one name."""

    level: Level
    meaning: str


LOG_EVENTS: Final[dict[str, LogEvent]] = {
    "consumer.drained": LogEvent(
        "info", "The consumer finished the messages it held; `unfinished` messages return to their queue."
    ),
    "consumer.started": LogEvent("info", "The consumer takes messages as soon as its source delivers any."),
    "database.abandoned": LogEvent("error", "A consumer's database did not answer at shutdown; the consumer ended."),
    "database.unavailable": LogEvent(
        "warning", "A consumer's database is locked, full or unreachable; the consumer waits for it."
    ),
    "delivery.accepted": LogEvent("info", "A webhook brought news, which is stored."),
    "delivery.deferred": LogEvent("error", "An authentic webhook could not be stored and was answered 503."),
    "delivery.duplicate": LogEvent("info", "A webhook repeated what was known already."),
    "delivery.lookup_failed": LogEvent(
        "warning", "A signed webhook is stale or invalid, and looking its payload up could not be recorded."
    ),
    "delivery.misaddressed": LogEvent(
        "warning", "An authentic webhook came to an address that differs slightly from the configured one; accepted."
    ),
    "delivery.quarantined": LogEvent("error", "An authentic webhook has an invalid body, which is kept."),
    "delivery.refused": LogEvent("warning", "A webhook is not authentic or not acceptable."),
    "device.outdated": LogEvent("info", "A command for a push device came after a newer one, and changed nothing."),
    "device.refused": LogEvent("warning", "A device that an app registered cannot be pushed to; see the reason."),
    "device.registered": LogEvent("info", "A device is pushed to for an account; `evicted` older ones were removed."),
    "device.removed": LogEvent("info", "The push provider no longer knows a device, which was removed."),
    "device.request_failed": LogEvent(
        "error", "The broker did not take a command for a push device; the app was answered 503."
    ),
    "device.requested": LogEvent("info", "An app registered or removed a push device; the broker holds the command."),
    "device.token_rejected": LogEvent(
        "warning",
        "A provider rejects a device's token. A day of rejections, while others are accepted, removes the device.",
    ),
    "device.unregistered": LogEvent("info", "A user removed a push device."),
    "event.dead_lettered": LogEvent(
        "error", "A consumer gave up on a message, see the reason; `dead-letters redrive` returns it to its queue."
    ),
    "event.duplicate": LogEvent("info", "An event came again after it had been handled, and was dropped."),
    "event.handled": LogEvent("info", "A consumer handled an event, for the first and only time."),
    "event.requeued": LogEvent(
        "warning", "A message that was held for long, as without a database, went back to its queue as a new one."
    ),
    "event.retried": LogEvent("warning", "A consumer failed on a message, which comes again after `wait` seconds."),
    "event.skipped": LogEvent("debug", "A consumer has no handler for an event."),
    "event.unknown": LogEvent("info", "An event of a type that this version has no model for was acknowledged."),
    "housekeeping.failed": LogEvent("warning", "A consumer could not delete old rows; it tries again."),
    "identity.refused": LogEvent("warning", "An identity token of Xumm's is invalid; see the reason."),
    "identity_keys.fetched": LogEvent("info", "The keys that verify Xumm's identity tokens were fetched."),
    "identity_keys.unavailable": LogEvent(
        "warning", "The keys that verify Xumm's identity tokens could not be fetched; the known ones stay in force."
    ),
    "inbox.pruned": LogEvent("debug", "A consumer deleted the ids of events that it handled long ago."),
    "library.logged": LogEvent("info", "A library wrote to Python's own logging; the level is the library's."),
    "log_line.failed": LogEvent("error", "A log line could not be rendered, and is lost."),
    "node.failed": LogEvent("warning", "A ledger node did not answer; the next one is asked."),
    "node.wrong_network": LogEvent(
        "error", "A ledger node serves another network than it is configured for; its answers are ignored."
    ),
    "outbox.caught_up": LogEvent("info", "Events that had waited for the broker were published."),
    "outbox.fell_behind": LogEvent(
        "warning", "Events wait in the table, because the connection broke or too many came at once."
    ),
    "outbox.mark_failed": LogEvent("error", "Published events could not be marked; they may be published twice."),
    "outbox.publish_failed": LogEvent(
        "error", "Queues refuse events or do not answer; each event is tried again. Logged once a minute."
    ),
    "outbox.queue_access_denied": LogEvent(
        "error", "The broker forbids publishing to single queues, so a queue that does not answer delays the others."
    ),
    "outbox.queues_unknown": LogEvent(
        "info", "RabbitMQ's management API does not list the bound queues; those of the settings are used."
    ),
    "outbox.read_failed": LogEvent("error", "The table of waiting events could not be read."),
    "outbox.recovered": LogEvent("info", "All queues have taken the events that were refused."),
    "outcomes.read_failed": LogEvent("warning", "The hourly summary of outcomes could not be read; tried again."),
    "outcomes.summarized": LogEvent(
        "info",
        "Which source reported the outcomes of the last hours first. Investigate if `webhooks_missed` rises.",
    ),
    "payload.advanced": LogEvent("info", "A lookup brought news of a payload, which is stored."),
    "payload.flagged": LogEvent(
        "error", "Sources contradict each other on a payload; an operator should see its flags."
    ),
    "payload.released": LogEvent("info", "An operator removed a payload's flags: who, why, and which."),
    "process.crashed": LogEvent("error", "An uncaught exception ends the process or a thread."),
    "publisher.blocked": LogEvent("warning", "The broker takes no events for now: it is short of memory or disk."),
    "publisher.closed": LogEvent("info", "The connection to the broker was closed at shutdown."),
    "publisher.connected": LogEvent("info", "The broker can take events."),
    "publisher.connection_failed": LogEvent("warning", "The broker could not be reached; the next one is tried."),
    "publisher.delivery_failed": LogEvent("error", "A consumer within this process raised."),
    "publisher.disconnected": LogEvent("warning", "The connection to the broker broke."),
    "publisher.exchange_missing": LogEvent("error", "The broker lacks the exchange: the topology was not applied."),
    "publisher.unblocked": LogEvent("info", "The broker takes events again."),
    "push.failed": LogEvent("warning", "A push to one device failed; the event is retried or dead-lettered."),
    "push.logged": LogEvent("info", "The message that would be pushed to a device, if a provider were configured."),
    "push.misconfigured": LogEvent(
        "error", "A provider rejects a device and has accepted none since the start: check the channel's settings."
    ),
    "request.cancelled": LogEvent("info", "A sign request was cancelled before anybody opened it."),
    "request.created": LogEvent("info", "A sign request was created at Xumm, and its payload is watched."),
    "request.express_failed": LogEvent(
        "error", "A defect in handling webhooks as a batch: each of the batch is handled by itself."
    ),
    "request.failed": LogEvent("error", "A defect: a request was answered 500; `places` are the lines of code."),
    "request.malformed": LogEvent("warning", "A client sent no valid HTTP request, or one with over-long parts."),
    "request.recovered": LogEvent("warning", "A sign request that was interrupted was found at Xumm, and is watched."),
    "request.refused": LogEvent("warning", "A request of another service was refused."),
    "request.store_failed": LogEvent("error", "A caller's request could not be stored and was answered 503."),
    "request.xumm_failed": LogEvent("warning", "Xumm's API did not do what a caller asked for."),
    "sandbox.webhook_sent": LogEvent("info", "The development sandbox attempted to deliver a webhook."),
    "service.drain_timed_out": LogEvent(
        "warning", "Shutdown took too long; unpublished events go out after the next start."
    ),
    "service.files_limited": LogEvent(
        "warning", "The system allows fewer open files than there may be sockets; some may not open."
    ),
    "service.requests_aborted": LogEvent("warning", "Shutdown took too long; open requests got no answer."),
    "service.started": LogEvent("info", "The service takes webhooks."),
    "service.stop_forced": LogEvent("error", "Shutdown did not end in time, so the process ended itself."),
    "service.stopped": LogEvent("info", "The service has shut down in order."),
    "service.stopping": LogEvent("info", "A signal asked the service to stop; it takes no more webhooks."),
    "session.created": LogEvent("info", "A user proved to hold an account and got a session."),
    "session.ended": LogEvent("info", "A user signed out."),
    "settlement.failed": LogEvent(
        "warning", "A message could not be acknowledged, retried or dead-lettered; the consumer tries again."
    ),
    "settlement.lost": LogEvent(
        "warning", "A message can no longer be settled and comes again; its effect stays single."
    ),
    "sign_in.failed": LogEvent("warning", "A sign-in through Xumm ended in an error, which the app was told."),
    "sign_in.granted": LogEvent("info", "A user signed in through Xumm; the app gets a code for a session."),
    "sign_in.token_refused": LogEvent("warning", "Xumm's provider exchanged its own code for no token."),
    "signature.unproven": LogEvent(
        "warning", "A payload's signature is not proven: see `field` and `reason`; a disproven one is flagged."
    ),
    "source.connected": LogEvent("info", "The consumer is connected to its queue."),
    "source.lost": LogEvent("warning", "The consumer lost its queue and connects again."),
    "source.unavailable": LogEvent("warning", "The broker or the queue is not there; the consumer tries again."),
    "store.abandoned": LogEvent(
        "error", "The database did not answer at shutdown; the service ended. No acknowledged webhook is lost."
    ),
    "store.callback_failed": LogEvent(
        "error", "A defect in what follows a commit; the relay finds the committed events all the same."
    ),
    "store.entry_failed": LogEvent("error", "A defect: one entry could not be stored, neither in a group nor alone."),
    "store.failed": LogEvent("error", "Writing to the database ended; the service takes no more webhooks."),
    "store.prune_failed": LogEvent("warning", "Old rows could not be deleted; tried again later."),
    "store.unavailable": LogEvent("error", "The database did not commit; nothing of the group was stored."),
    "task.abandoned": LogEvent("error", "A lookup failed for 24 h; the payload is flagged."),
    "task.claim_failed": LogEvent("error", "The table of due lookups could not be read."),
    "task.failed": LogEvent("warning", "A lookup got no answer; it is tried again, or abandoned after 24 h."),
    "task.orphaned": LogEvent("error", "A lookup waits for an application that is no longer configured."),
    "task.store_failed": LogEvent("error", "The result of a lookup could not be stored; the lookup is repeated."),
    "token.check_failed": LogEvent(
        "warning", "Xumm's API did not say whether a user token is valid; the token is used all the same."
    ),
    "token.revoked": LogEvent("info", "A user revoked a token; it is deleted."),
    "token.unseal_failed": LogEvent(
        "error", "A sealed user token cannot be opened: its key is missing, or the token was changed."
    ),
    "topology.changed": LogEvent("info", "An object of the broker's topology was created or updated."),
    "topology.differed": LogEvent(
        "warning", "An object of the broker's topology differs, and only an operator can mend it."
    ),
    "walkthrough.failed": LogEvent(
        "error", "The guided walk of `processor dev` failed; everything else keeps running."
    ),
    "watch.crashed": LogEvent("error", "A defect in watching a payload; the socket is opened again."),
    "watch.invalid": LogEvent("error", "A payload's socket sent an invalid message, which changed nothing."),
    "watch.payload_missing": LogEvent(
        "warning", "A payload's socket says that there is no such payload; Xumm's API is asked."
    ),
    "watch.requested": LogEvent("info", "A service asked to watch a payload to its end."),
    "watch.store_failed": LogEvent(
        "error", "A message of a payload's socket could not be stored; the payload is looked up instead."
    ),
    "watch.unknown_key": LogEvent("info", "A socket's message has a key unknown to this version; once for each key."),
    "watch.unreachable": LogEvent("debug", "A payload's socket could not be opened; tried again."),
    "watch_commands.connected": LogEvent("info", "Commands to watch payloads are taken from the queue."),
    "watch_commands.dead_lettered": LogEvent(
        "error", "A command to watch a payload can never be carried out; see its reason."
    ),
    "watch_commands.delayed": LogEvent("error", "The store takes no commands; they wait, and are tried again."),
    "watch_commands.disconnected": LogEvent("warning", "The queue of commands cannot be reached; tried again."),
    "watch_commands.requeued": LogEvent(
        "warning", "Commands that the store has not taken for long went back to the queue as new ones."
    ),
    "watches.counted": LogEvent("info", "How many payloads are watched, and how many of their sockets are open."),
    "watches.full": LogEvent("warning", "These applications have so many watched payloads that more have to wait."),
    "watches.unavailable": LogEvent("error", "The table of watches could not be read or written; tried again."),
}
