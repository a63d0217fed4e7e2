"""Consumers of the event stream: a runtime that makes them short, and two that are ready to use.

A new consumer is one file and one name. ``consumers/shipping.py``::

    \"\"\"Ships what was paid for.\"\"\"

    class Shipping(Consumer):
        bindings = ("*.resolve.validated",)

        def ship(self, event: ResolveValidated, transaction: Connection) -> None:
            transaction.execute(insert(shipments).values(payload=event.subject))

and ``consumers run shipping``. One that outgrows its file becomes a package of that name, with the class in its module
``consumer``, as `push` is. The runtime decodes, drops what was handled before, runs the handler whose annotation
names the event, and acknowledges, retries later or dead-letters.
"""

from consumers.runtime.consumer import Consumer, Context, Resources
from consumers.runtime.errors import Fatal, Retry
from consumers.runtime.settings import ConsumerSettings

__all__ = ("Consumer", "ConsumerSettings", "Context", "Fatal", "Resources", "Retry")
