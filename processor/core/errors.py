"""The errors of the processor. Defined here are those that several rooms raise or handle; the others stand beside
their subject, in the module that the tree names.

    ProcessorError
    ├── SettingsError            settings are missing or wrong: settings/program.py
    ├── NormalizeError           an authentic body, answer or message is invalid
    ├── LookupFailed             Xumm's API or a ledger node did not give the answer
    │   ├── Unavailable          ... for now: time-out, 5xx, 429, refused connection; worth a retry
    │   │   └── WrongNetwork     ... since the node is of another network: ledger/nodes.py
    │   ├── NotFound             ... since it knows no such payload; worth a retry, this can be transient
    │   └── Denied               ... and will not: wrong credentials, a request that it does not accept
    ├── SealingError             a sealed user token cannot be opened
    │   ├── UnknownSealingKey    ... since its key is not configured
    │   └── SealBroken           ... since it was changed, or belongs to somebody else
    ├── StoreError               the store did nothing
    │   ├── StoreUnavailable     ... since the database did not commit
    │   ├── StoreFull            ... since the outbox is over its high-water mark
    │   └── StoreLocked          ... since another process has the database
    ├── Unproven                 a JSON Web Token proves nothing: core/access/jwt.py
    ├── BadDevice                a device cannot be pushed to: core/sign_request/device.py
    ├── BindingsUnknown          the broker does not tell its bindings: core/publishing/debts.py
    ├── DoubtFound               a signature is in doubt: core/proof/evidence.py
    ├── Malformed                bytes are no transaction: core/proof/serialized.py
    └── Unreadable               a value cannot be encoded: core/proof/codec.py

    Exception                    each handled by its room and by the callers of its port
    ├── PublishError             an event was not published: broker/port.py
    │   ├── Unroutable, Nacked, Unanswered, Unsendable, Unpermitted, Disconnected
    ├── SessionUnavailable       a broker gives no session: broker/session.py
    ├── CopyFailed               a copy of a message was not published: broker/copy_publisher.py
    │   └── CopyTooLarge         ... since it is too large: broker/copy_publisher.py
    ├── ProtocolError            the broker breaks AMQP: broker/amqp.py
    ├── TopologyError            the management API fails: broker/topology/management.py
    ├── SocketClosed             a status socket is closed: xumm/sockets.py
    ├── BudgetQueueFull          too many calls wait for Xumm's API: xumm/budget.py
    ├── UnknownApplication       a command names no configured application: watching/watch_requests.py
    ├── Problem                  an HTTP request is refused: web/problem.py
    └── CommandError             a command of an operator fails: observability/terminal.py
"""

from datetime import timedelta
from typing import Literal


class ProcessorError(Exception):
    """The root of the errors that one handler may treat alike."""


class NormalizeError(ProcessorError):
    """An authentic body, answer or message is invalid. The message names the field, never its value."""


class LookupFailed(ProcessorError):
    """Xumm's API or a ledger node did not give the answer."""


class Unavailable(LookupFailed):
    """No answer for now. ``retry_after`` is the delay that the other side asked for, if it did.

    ``untouched``: whether the call certainly had no effect, so that even a call that creates something may be repeated.
    """

    def __init__(self, message: str, *, retry_after: timedelta | None = None, untouched: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.untouched = untouched


class NotFound(LookupFailed):
    """The other side knows no such payload, which can be transient right after its creation."""


class Denied(LookupFailed):
    """A retry will not help."""


class SealingError(ProcessorError):
    """A sealed user token cannot be opened. The message names the key's id and nothing else."""


class UnknownSealingKey(SealingError):
    """The key that sealed the token is not configured."""


class SealBroken(SealingError):
    """The sealed token was changed, or belongs to another application, user or account."""


class StoreError(ProcessorError):
    """The store failed, and stored nothing."""


StoreFault = Literal[
    "locked", "disk_full", "disk_failed", "read_only", "unreachable", "slow", "crowded", "closed", "failed"
]


class StoreUnavailable(StoreError):
    """The database did not commit. ``fault`` names the cause in a word that may be shown to anybody."""

    def __init__(self, message: str, fault: StoreFault = "failed") -> None:
        super().__init__(message)
        self.fault = fault


class StoreFull(StoreError):
    """The outbox is over its high-water mark: the broker has been unavailable for long."""


class StoreLocked(StoreError):
    """Another process has the database."""
