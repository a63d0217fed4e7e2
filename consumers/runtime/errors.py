"""The errors of consumers, as one tree.

::

    ConsumerError
    ├── HandlerError            raised by handlers: what happens to the message
    │   ├── Retry               try again later; any exception outside this tree counts as one
    │   └── Fatal               the message can never be handled: dead-letter it
    ├── SettleError             raised by sources
    │   ├── SettleFailed        not settled, and still held: settle it again
    │   └── DeliveryLost        no longer held: the message comes again
    ├── DatabaseUnavailable     the database is locked, full or unreachable
    ├── SchemaTooNew            the database was made by a later version
    ├── UnknownConsumer         no consumer of that name
    └── SourceUnavailable       the broker cannot be reached, or refuses a request

Messages name the thing and the limit, never a secret or a body.
"""

from datetime import timedelta


class ConsumerError(Exception):
    """Root of the tree."""


class HandlerError(ConsumerError):
    """A handler's verdict on a message it could not handle."""


class Retry(HandlerError):
    """Handle the message again later, at the earliest ``after`` from now if given."""

    def __init__(self, reason: str, *, after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Fatal(HandlerError):
    """The message can never be handled."""


class SettleError(ConsumerError):
    """A delivery could not be settled."""


class SettleFailed(SettleError):
    """The delivery may not be settled, and is still held: settle it again."""


class DeliveryLost(SettleError):
    """The broker took the delivery back, or did not receive its settlement: the message comes again."""


class DatabaseUnavailable(ConsumerError):
    """The database is locked, full or unreachable. The same write may work a little later."""


class SchemaTooNew(ConsumerError):
    """The database was made by a later version of this software."""


class UnknownConsumer(ConsumerError):
    """There is no consumer of that name."""


class SourceUnavailable(ConsumerError):
    """The broker cannot be reached, or refuses a request."""
