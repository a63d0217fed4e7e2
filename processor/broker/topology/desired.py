"""The desired topology, as values.

::

    publisher -> xumm.events (topic) -> push-notifications, app-state, ...   by binding
                        |            -> xumm.log, a stream                   every event
                        '-> xumm.unrouted                                    messages without a bound queue
    publisher -> xumm.commands (direct) -> push-devices                  by its name: commands with device tokens
    a service -> xumm.watch                                              commands to watch a payload
    consumer  -> xumm.retry (direct) -> <queue>.retry.<delay>s               back to <queue> after the delay
              -> xumm.dead (direct)  -> <queue>.dead                         until an operator redrives it

Only a queue's type is an argument. Everything else is policy, one for each object, because a queue obeys a single
policy and because arguments cannot change without deleting the queue.

Sources: https://www.rabbitmq.com/docs/quorum-queues#dead-lettering (at-least-once needs ``reject-publish``),
https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling (delivery limits), https://www.rabbitmq.com/docs/ae,
https://www.rabbitmq.com/docs/streams#retention, https://www.rabbitmq.com/docs/policies.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final, Literal

from processor.broker.topology.objects import Binding, Exchange, Policy, Queue, Setting, Topology
from processor.settings.sections import TopologySettings
from schemas.topology import (
    COMMANDS,
    DEAD_LETTERS,
    DEFAULT_QUEUES,
    EXCHANGE,
    LOG,
    PUSH_DEVICES,
    RETRIES,
    RETRY_DELAYS_SECONDS,
    UNROUTED,
    WATCHES,
    dead_letter_queue,
    retry_queue,
)

_QUORUM: Final[Mapping[str, Setting]] = {"x-queue-type": "quorum"}
_STREAM: Final[Mapping[str, Setting]] = {"x-queue-type": "stream"}
_SAFE_DEAD_LETTERING: Final[Mapping[str, Setting]] = {
    "dead-letter-strategy": "at-least-once",
    "overflow": "reject-publish",
}
_NO_DELIVERY_LIMIT: Final[Mapping[str, Setting]] = {"delivery-limit": 1_000_000_000}
"""A limit that is never reached. Only this works on every version: from 4.0 a queue without a limit has one of 20,
3.10 refuses -1, and 4.1 does not take it from a policy (https://github.com/rabbitmq/rabbitmq-server/pull/14458).
"""
_DEFAULT_EXCHANGE: Final = ""
_PRIORITY: Final = 10
"""Above policies of others that match our names too: RabbitMQ applies only one."""
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,199}")


def desired(queues: Mapping[str, Sequence[str]] = DEFAULT_QUEUES, options: TopologySettings | None = None) -> Topology:
    """The topology for these consumer queues, each with its topic bindings. Raises `ValueError` for a bad name."""
    options = options or TopologySettings()
    _check(queues)
    parts = [_backbone(options), *(_consumer_queue(name, keys, options) for name, keys in queues.items())]
    parts += [_consumer_queue(PUSH_DEVICES, (PUSH_DEVICES,), options, exchange=COMMANDS), _commands(options)]
    if options.log:
        parts.append(_log(options))
    return Topology(
        policies=tuple(policy for part in parts for policy in part.policies),
        exchanges=tuple(exchange for part in parts for exchange in part.exchanges),
        queues=tuple(queue for part in parts for queue in part.queues),
        bindings=tuple(binding for part in parts for binding in part.bindings),
    )


def _check(queues: Mapping[str, Sequence[str]]) -> None:
    for name, keys in queues.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"queue name {name!r} is not made of letters, digits and _ . : - alone")
        if not keys:
            raise ValueError(f"queue {name} has no binding")
    made = [made for name in queues for made in _names(name)]
    taken = {name for name in made if made.count(name) > 1 or name in _OURS}
    if taken:
        raise ValueError(f"queue names collide: {', '.join(sorted(taken))}")


def _names(queue: str) -> Iterator[str]:
    yield queue
    yield dead_letter_queue(queue)
    yield from (retry_queue(queue, delay) for delay in RETRY_DELAYS_SECONDS)


_OURS: Final = frozenset({UNROUTED, LOG, WATCHES, dead_letter_queue(WATCHES), *_names(PUSH_DEVICES)})


def _backbone(options: TopologySettings) -> Topology:
    return Topology(
        policies=(
            _policy(EXCHANGE, {"alternate-exchange": UNROUTED}, apply_to="exchanges"),
            _policy(
                UNROUTED,
                {
                    **_NO_DELIVERY_LIMIT,
                    "max-length": options.unrouted_max_length,
                    "message-ttl": _milliseconds(options.unrouted_ttl),
                    "overflow": "drop-head",
                },
            ),
        ),
        exchanges=(
            Exchange(name=UNROUTED, type="fanout"),
            Exchange(name=DEAD_LETTERS, type="direct"),
            Exchange(name=RETRIES, type="direct"),
            Exchange(name=COMMANDS, type="direct"),
            Exchange(name=EXCHANGE, type="topic"),
        ),
        queues=(Queue(name=UNROUTED, arguments=_QUORUM),),
        bindings=(Binding(exchange=UNROUTED, queue=UNROUTED, routing_key=""),),
    )


def _consumer_queue(
    name: str, routing_keys: Sequence[str], options: TopologySettings, *, exchange: str = EXCHANGE
) -> Topology:
    """The queue, its dead letters and its retries. The way out is bound before the way in."""
    dead = dead_letter_queue(name)
    retries = [retry_queue(name, delay) for delay in RETRY_DELAYS_SECONDS]
    return Topology(
        policies=(
            _policy(dead, _dead_limits(options)),
            *(_policy(retry_queue(name, delay), _waits(name, delay)) for delay in RETRY_DELAYS_SECONDS),
            _policy(name, _consumer_limits(name, options)),
        ),
        queues=tuple(Queue(name=queue, arguments=_QUORUM) for queue in (dead, *retries, name)),
        bindings=(
            Binding(exchange=DEAD_LETTERS, queue=dead, routing_key=name),
            *(Binding(exchange=RETRIES, queue=retry, routing_key=retry) for retry in retries),
            *(Binding(exchange=exchange, queue=name, routing_key=key) for key in routing_keys),
        ),
    )


def _consumer_limits(name: str, options: TopologySettings) -> Mapping[str, Setting]:
    return {
        **_SAFE_DEAD_LETTERING,
        "dead-letter-exchange": DEAD_LETTERS,
        "dead-letter-routing-key": name,
        "delivery-limit": options.delivery_limit,  # high: a crash returns all that was delivered, guilty or not
        "max-length": options.queue_max_length,
    }


def _dead_limits(options: TopologySettings) -> Mapping[str, Setting]:
    return {
        **_NO_DELIVERY_LIMIT,
        "max-length": options.dead_max_length,
        "message-ttl": _milliseconds(options.dead_ttl),
        "overflow": "reject-publish",
    }


def _waits(queue: str, delay_seconds: int) -> Mapping[str, Setting]:
    return {
        **_SAFE_DEAD_LETTERING,
        **_NO_DELIVERY_LIMIT,
        "dead-letter-exchange": _DEFAULT_EXCHANGE,
        "dead-letter-routing-key": queue,
        "message-ttl": delay_seconds * 1000,
    }


def _commands(options: TopologySettings) -> Topology:
    """The queue of commands, and where those end that make no sense. Nothing is retried: it waits in the queue."""
    dead = dead_letter_queue(WATCHES)
    return Topology(
        policies=(
            _policy(dead, _dead_limits(options)),
            _policy(WATCHES, {**_consumer_limits(WATCHES, options), **_NO_DELIVERY_LIMIT}),
        ),
        queues=(Queue(name=dead, arguments=_QUORUM), Queue(name=WATCHES, arguments=_QUORUM)),
        bindings=(Binding(exchange=DEAD_LETTERS, queue=dead, routing_key=WATCHES),),
    )


def _log(options: TopologySettings) -> Topology:
    limits: Mapping[str, Setting] = {
        "max-age": f"{int(options.log_max_age.total_seconds())}s",
        "max-length-bytes": options.log_max_bytes,
    }
    return Topology(
        policies=(_policy(LOG, limits),),
        queues=(Queue(name=LOG, arguments=_STREAM),),
        bindings=(Binding(exchange=EXCHANGE, queue=LOG, routing_key="#"),),
    )


def _policy(
    name: str,
    definition: Mapping[str, Setting],
    *,
    apply_to: Literal["exchanges", "queues"] = "queues",
) -> Policy:
    return Policy(
        name=name,
        pattern=f"^{re.escape(name)}$",
        apply_to=apply_to,
        definition=definition,
        priority=_PRIORITY,
    )


def _milliseconds(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
