"""What flows and the API ask of the store. Every method raises `StoreError`."""

from asyncio import Future
from typing import Protocol

from processor.core.payload.entry import Recorded, Reported


class Recorder(Protocol):
    """Where reports become durable."""

    def record(self, entry: Reported) -> "Future[Recorded]":
        """Apply a report. Durable when it resolves. Raises `StoreError`, at once or through the future."""
        ...
