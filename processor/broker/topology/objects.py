"""RabbitMQ's objects, as far as the topology uses them. All are durable."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Setting = str | int | bool | None
"""A value in arguments and in policy definitions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """An exchange."""

    name: str
    type: str
    arguments: Mapping[str, Setting] = field(default_factory=dict)
    durable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue."""

    name: str
    arguments: Mapping[str, Setting] = field(default_factory=dict)
    """Arguments that only a declaration can set, such as the queue's type; everything that may change is a policy."""
    durable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A binding of a queue to an exchange."""

    exchange: str
    queue: str
    routing_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Settings of one exchange or queue. RabbitMQ applies one policy to each, that with the highest priority."""

    name: str
    pattern: str
    apply_to: str
    """``queues`` or ``exchanges``; those of others may say more."""
    definition: Mapping[str, Setting]
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Everything of one virtual host; what comes first is made first."""

    policies: tuple[Policy, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Actual:
    """What a virtual host holds now, other people's objects included."""

    topology: Topology
    policy_of_exchange: Mapping[str, str | None]
    policy_of_queue: Mapping[str, str | None]
    """The policy that RabbitMQ really applies, by name of the object; None where it says none, or does not say."""
