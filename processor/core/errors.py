"""Every error that this service raises on purpose.

    ProcessorError
    ├── NormalizeError           an authentic body, answer or message makes no sense
    ├── LookupFailed             Xumm's API or a ledger node did not say what was asked
    │   ├── Unavailable          ... now: time-out, 5xx, 429, refused connection; worth another try
    │   ├── NotFound             ... and says that there is no such payload; worth another try, it can be transient
    │   └── Denied               ... and never will: wrong credentials, a request that it does not understand
    ├── SealingError             a sealed user token cannot be opened
    │   ├── UnknownSealingKey    ... the key that it was sealed with is not configured
    │   └── SealBroken           ... it was changed, or is somebody else's
    └── StoreError
        ├── StoreUnavailable     the database did not commit: nothing was stored
        ├── StoreFull            the outbox is over its high-water mark: nothing was stored
        └── StoreLocked          another process has the database

`processor.broker.port.PublishError` stands beside its port, since a publisher can be used without the service.
"""

from datetime import timedelta
from typing import Literal


class ProcessorError(Exception):
    """The root."""


class NormalizeError(ProcessorError):
    """An authentic body, answer or message makes no sense. The message names the field, never its value."""


class LookupFailed(ProcessorError):
    """Xumm's API or a ledger node did not say what was asked."""


class Unavailable(LookupFailed):
    """Not now. ``retry_after`` is what the other side asked for, if it did.

    ``untouched`` if the other side certainly did nothing about it: even what must not happen twice may be repeated.
    """

    def __init__(self, message: str, *, retry_after: timedelta | None = None, untouched: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.untouched = untouched


class NotFound(LookupFailed):
    """The other side knows no such thing, which can be transient right after it was made."""


class Denied(LookupFailed):
    """Asking again will not help."""


class SealingError(ProcessorError):
    """A sealed user token cannot be opened. The message names the key's id, nothing else."""


class UnknownSealingKey(SealingError):
    """The key that it was sealed with is not configured (any more)."""


class SealBroken(SealingError):
    """It was changed, or belongs to another application, user or account."""


class StoreError(ProcessorError):
    """The store could not do what was asked; what was to be stored is not."""


StoreFault = Literal[
    "locked", "disk_full", "disk_failed", "read_only", "unreachable", "slow", "crowded", "closed", "failed"
]


class StoreUnavailable(StoreError):
    """The database did not commit. ``fault`` says why in a word that may be shown to anybody."""

    def __init__(self, message: str, fault: StoreFault = "failed") -> None:
        super().__init__(message)
        self.fault = fault


class StoreFull(StoreError):
    """The outbox is over its high-water mark: the broker has been gone for long."""


class StoreLocked(StoreError):
    """Another process has the database."""
