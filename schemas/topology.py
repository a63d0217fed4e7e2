"""The names that publisher, broker and consumers must agree on. RabbitMQ's objects themselves are built elsewhere."""

from typing import Final

EXCHANGE: Final = "xumm.events"
"""Topic exchange that every event is published to."""

UNROUTED: Final = "xumm.unrouted"
"""Alternate exchange (fanout) and bounded queue of the same name: events that no queue was bound for."""

DEAD_LETTERS: Final = "xumm.dead"
"""Direct exchange; a message that failed for good is routed by ``<queue>`` to ``<queue>.dead``."""

RETRIES: Final = "xumm.retry"
"""Direct exchange; a message to be retried later is routed by ``<queue>.retry.<delay>`` to that TTL queue."""

WATCHES: Final = "xumm.watch"
"""Queue of commands to watch a payload, as of `schemas.commands.WatchCommand`; publish to the default exchange."""

COMMANDS: Final = "xumm.commands"
"""Direct exchange for what this service asks of consumers; each command's routing key is the queue it is for."""

PUSH_DEVICES: Final = "push-devices"
"""Queue of commands to register and remove push devices. They carry device tokens, so no event's way is theirs."""

LOG: Final = "xumm.log"
"""Stream that keeps every event for a time, so that a new consumer can replay the past."""

RETRY_DELAYS_SECONDS: Final = (10, 60, 600)
"""How long a message waits before its first, second and third retry; the last delay serves all later ones."""

MAX_DELIVERIES: Final = 15
"""How often a message may come without being settled, as after crashes, before who consumes it puts it aside with a
reason. Below the broker's own limit, which gives none."""

DEFAULT_QUEUES: Final[dict[str, tuple[str, ...]]] = {
    "push-notifications": ("*.sign.#", "*.resolve.#"),
    "app-state": ("*.resolve.#",),
}
"""Queue name to its topic bindings."""

CONTENT_TYPE: Final = "application/cloudevents+json"

HEADER_TRACEPARENT: Final = "traceparent"
HEADER_REASON: Final = "x-reason"
"""Why the message was retried or dead-lettered: one line, no secret."""
HEADER_ATTEMPTS: Final = "x-attempts"
"""How often handling was tried, an integer from 1."""
HEADER_FIRST_SEEN: Final = "x-first-seen"
"""When a consumer first met the message, ISO 8601 UTC."""
HEADER_QUEUE: Final = "x-queue"
"""The queue whose consumer retried or dead-lettered the message."""
HEADER_DROPPED: Final = "x-dropped"
"""Names of the headers that the message came with and that its copy could not carry, with commas."""


def routing_key(app: str, family: str, name: str) -> str:
    """``<app>.<family>.<name>``, so that ``shop.resolve.*``, ``*.sign.rejected`` and ``#`` are natural bindings."""
    return f"{app}.{family}.{name}"


def dead_letter_queue(queue: str) -> str:
    """Where messages of ``queue`` land that failed for good."""
    return f"{queue}.dead"


def retry_queue(queue: str, delay_seconds: int) -> str:
    """The TTL queue in which messages of ``queue`` wait ``delay_seconds`` before they return to it."""
    return f"{queue}.retry.{delay_seconds}s"
