"""What RabbitMQ is made of, as far as it concerns us. All of it is durable."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Setting = str | int | bool | None
"""A value in arguments and in policy definitions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Where messages come in."""

    name: str
    type: str
    arguments: Mapping[str, Setting] = field(default_factory=dict)
    durable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Where messages wait."""

    name: str
    arguments: Mapping[str, Setting] = field(default_factory=dict)
    """What only a declaration can say, so the queue's type; everything that may change is policy."""
    durable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What of an exchange goes to a queue."""

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
