"""The names that publisher, broker and consumers share. `processor.broker.topology` creates RabbitMQ's objects."""

from typing import Final

EXCHANGE: Final = "xumm.events"
"""Topic exchange that every event is published to."""

UNROUTED: Final = "xumm.unrouted"
"""Alternate exchange (fanout) and bounded queue of the same name, for events that no queue is bound for."""

DEAD_LETTERS: Final = "xumm.dead"
"""Direct exchange. A message that failed for good is routed by ``<queue>`` to ``<queue>.dead``."""

RETRIES: Final = "xumm.retry"
"""Direct exchange. A message to retry is routed by ``<queue>.retry.<delay>`` to the TTL queue of that name."""

WATCHES: Final = "xumm.watch"
"""Queue of commands to watch a payload, as of `schemas.commands.WatchCommand`; publish to the default exchange."""

COMMANDS: Final = "xumm.commands"
"""Direct exchange for commands to consumers. The routing key of a command is the name of its queue."""

PUSH_DEVICES: Final = "push-devices"
"""Queue of commands to register and remove push devices. They contain device tokens, so no event exchange gets them."""

LOG: Final = "xumm.log"
"""Stream that keeps every event for a time, so that a new consumer can replay it."""

RETRY_DELAYS_SECONDS: Final = (10, 60, 600)
"""How long a message waits before its first, second and third retry; the last delay serves all later ones."""

MAX_DELIVERIES: Final = 15
"""How often a message may be delivered without being settled, as after crashes, before its consumer dead-letters it
with a reason. Below the limit of the broker, which gives no reason."""

DEFAULT_QUEUES: Final[dict[str, tuple[str, ...]]] = {
    "push-notifications": ("*.sign.#", "*.resolve.#"),
    "app-state": ("*.resolve.#",),
}
"""Queue name to its topic bindings."""

CONTENT_TYPE: Final = "application/cloudevents+json"

HEADER_TRACEPARENT: Final = "traceparent"
HEADER_REASON: Final = "x-reason"
"""Why the message was retried or dead-lettered: one line, without secrets."""
HEADER_ATTEMPTS: Final = "x-attempts"
"""The number of attempts to handle the message, from 1."""
HEADER_FIRST_SEEN: Final = "x-first-seen"
"""When a consumer first received the message, ISO 8601 UTC."""
HEADER_QUEUE: Final = "x-queue"
"""The queue whose consumer retried or dead-lettered the message."""
HEADER_DROPPED: Final = "x-dropped"
"""The names of headers that the copy of the message lacks, since it could not contain them, separated by commas."""


def routing_key(app: str, family: str, name: str) -> str:
    """``<app>.<family>.<name>``, so that ``shop.resolve.*``, ``*.sign.rejected`` and ``#`` are natural bindings."""
    return f"{app}.{family}.{name}"


def dead_letter_queue(queue: str) -> str:
    """The queue for messages of ``queue`` that failed for good."""
    return f"{queue}.dead"


def retry_queue(queue: str, delay_seconds: int) -> str:
    """The TTL queue in which messages of ``queue`` wait ``delay_seconds`` before they return to it."""
    return f"{queue}.retry.{delay_seconds}s"
