"""An application as registered in Xumm's developer console, with the policy for its payloads."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """The HMAC key of one API secret. During a rotation the old secret stays valid until ``not_after``."""

    key: bytes = field(repr=False)
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadPolicy:
    """The operator's rules for the outcome of payloads."""

    network: str = "MAINNET"
    """The network that transactions must be validated on: a payment on a test network never counts as a real one."""
    grace: timedelta = timedelta(hours=24)
    """How long after its expiry a payload that was opened in time may still be signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One application. The operator chose ``name``; ``uuid`` is Xumm's, and the public API key."""

    name: str
    uuid: str
    secrets: tuple[Secret, ...] = field(repr=False)
    policy: PayloadPolicy = PayloadPolicy()

    def keys(self, now: datetime) -> list[bytes]:
        """The HMAC keys that are valid at ``now``."""
        return [secret.key for secret in self.secrets if secret.not_after is None or now < secret.not_after]
