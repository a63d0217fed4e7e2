"""The errors of consumers, as one tree.

::

    ConsumerError
    ├── Retry                   raised by handlers: try again later; any exception outside this tree counts as one
    ├── Fatal                   raised by handlers: the message can never be handled: dead-letter it
    ├── SettleFailed            raised by sources: not settled, and still held: settle it again
    ├── DeliveryLost            raised by sources: no longer held: the message comes again
    ├── DatabaseUnavailable     the database is locked, full or unreachable
    ├── SchemaTooNew            the database was made by a later version
    ├── UnknownConsumer         no consumer of that name
    └── SourceUnavailable       the broker cannot be reached, or refuses a request

Messages name the thing and the limit, never a secret or a body.
"""

from datetime import timedelta


class ConsumerError(Exception):
    """Root of the tree."""


class Retry(ConsumerError):
    """Handle the message again later, at the earliest ``after`` from now if given."""

    def __init__(self, reason: str, *, after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Fatal(ConsumerError):
    """The message can never be handled."""


class SettleFailed(ConsumerError):
    """The delivery may not be settled, and is still held: settle it again."""


class DeliveryLost(ConsumerError):
    """The broker took the delivery back, or did not receive its settlement: the message comes again."""


class DatabaseUnavailable(ConsumerError):
    """The database is locked, full or unreachable. The same write may work a little later."""


class SchemaTooNew(ConsumerError):
    """The database was made by a later version of this software."""


class UnknownConsumer(ConsumerError):
    """There is no consumer of that name."""


class SourceUnavailable(ConsumerError):
    """The broker cannot be reached, or refuses a request."""
