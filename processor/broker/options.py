"""How a publisher to RabbitMQ and its connection behave."""

from dataclasses import dataclass
from datetime import timedelta

from processor.core.retry import CONNECT, Backoff
from schemas.topology import EXCHANGE


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitOptions:
    """How a `RabbitPublisher` behaves. The defaults suit production."""

    exchange: str = EXCHANGE
    name: str = "publisher"
    """Shown as the connection's name in RabbitMQ's management."""
    connect_timeout: timedelta = timedelta(seconds=10)
    """For TCP, TLS and the whole handshake, each."""
    confirm_timeout: timedelta = timedelta(seconds=30)
    """A broker that confirms nothing, and does not say for so long that it still reads, counts as hung."""
    patience: timedelta = timedelta(seconds=3)
    """How long a queue may take to answer for a message while the broker itself is well."""
    heartbeat: timedelta = timedelta(seconds=15)
    """Whole seconds; after two of them without a byte the connection counts as dead."""
    backoff: Backoff = CONNECT
    """How long to pause after each failure in a row."""
    healthy_after: timedelta = timedelta(seconds=30)
    """A connection that lived this long makes earlier failures forgotten."""
    unsent_bytes: int = 64 * 1024 * 1024
    """Most bytes that wait for a broker that reads slowly or blocks; beyond, publishes fail."""

    def __post_init__(self) -> None:
        """Raises `ValueError` for a heartbeat that AMQP cannot express."""
        if not timedelta(seconds=1) <= self.heartbeat < timedelta(seconds=65_536):
            raise ValueError(f"heartbeat is {self.heartbeat.total_seconds()} seconds; AMQP takes 1 to 65535")
