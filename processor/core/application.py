"""An application as registered in Xumm's developer console, and the policy that its operator set for it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """One API secret, as the HMAC key made of it. During a rotation the old one stays valid until ``not_after``."""

    key: bytes = field(repr=False)
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator expects of payloads."""

    network: str = "MAINNET"
    """Where transactions must land: a payment on a test network never passes for a real one."""
    grace: timedelta = timedelta(hours=24)
    """How long a payload that was opened before it expired may still be signed before it counts as expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One application. ``name`` is the operator's, ``uuid`` is Xumm's (and the public API key)."""

    name: str
    uuid: str
    secrets: tuple[Secret, ...] = field(repr=False)
    policy: Policy = Policy()

    def keys(self, now: datetime) -> list[bytes]:
        """The HMAC keys that are valid at ``now``."""
        return [secret.key for secret in self.secrets if secret.not_after is None or now < secret.not_after]
