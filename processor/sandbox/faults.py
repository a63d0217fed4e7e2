"""What can be made to go wrong: switches, and for whom each is set.

A fault is set for one payload, for one application, or for all; what is set for fewer comes first, switch by switch.
What a switch does is said at its kind, and decided in the one module named there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Literal

from pydantic import ConfigDict, TypeAdapter

from processor.sandbox.network import NetworkName

WebhookFault = Literal["lost", "doubled", "late", "reordered"]
"""Never sent; sent twice at once; sent ``late_by`` seconds later; sent behind the next one. (`webhooks`)"""

SocketFault = Literal[
    "silent", "flapping", "lying", "lying_rejected", "lying_expired", "lying_txid", "garbage", "huge", "refused"
]
"""Open, and nothing is sent; accepted and closed; says signed, rejected or expired while it is not; names another
transaction than was signed; sends what is no message; sends one of a megabyte; not accepted. (`status`)"""

CancelFault = Literal["racing"]
"""The user opens it between Xumm's look whether anybody has and its note of the cancellation, which has no condition:
it is cancelled, and can be signed or rejected. (`state`)"""

ApiFault = Literal["limited", "failing", "hanging", "garbage"]
"""429 for every call; 500; never an answer; 200 with half a JSON text. (`rest`)"""

LedgerFault = Literal["tec", "lost", "unsubmitted", "unavailable", "down"]
"""Takes the fee and does nothing; never gets the transaction, while its numbers pass ``LastLedgerSequence``; likewise,
since the phone died between telling Xumm and submitting; does not tell what a payment delivered; the node answers 503,
which has to be set for all. (`server`, `ledger`)"""

OAuth2Fault = Literal["failing", "hanging", "garbage", "nonce", "expired", "netless"]
"""The provider answers 503; never; half a JSON text, which all have to be set for all; its tokens have another nonce
than was asked for; they are over already; their network's id is the text of nothing. (`provider`, `oauth2`)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The switches; the default is that all is well."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    webhook: WebhookFault | None = None
    late_by: float | None = None
    """Seconds by which a ``late`` webhook is late; `LATE_BY` unless set."""
    socket: SocketFault | None = None
    api: ApiFault | None = None
    cancel: CancelFault | None = None
    dispatch_late_by: float | None = None
    """Seconds for which the API does not know yet what the node answered."""
    network: NetworkName | None = None
    """The network that wallets are on, whatever was asked for."""
    ledger: LedgerFault | None = None
    oauth2: OAuth2Fault | None = None

    @property
    def switches(self) -> dict[str, Any]:
        """Those that are set."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def over(self, others: "Faults") -> "Faults":
        """These switches; where one is not set, that of ``others``."""
        return Faults(**{**others.switches, **self.switches})


LATE_BY: Final = 30.0
TEC: Final = "tecPATH_DRY"
"""The result with which a ``tec`` ledger validates."""
_adapter: Final[TypeAdapter[Faults]] = TypeAdapter(Faults)


def parse_faults(body: bytes | Mapping[str, Any]) -> Faults:
    """The switches in a JSON object. Raises ``pydantic.ValidationError``."""
    return _adapter.validate_json(body) if isinstance(body, bytes) else _adapter.validate_python(dict(body))


def parse_switches(switches: Iterable[str]) -> Faults:
    """The switches in texts such as ``webhook=lost``. Raises ``ValueError``."""
    pairs = [switch.partition("=") for switch in switches]
    if wrong := [name for name, equals, value in pairs if not (name and equals and value)]:
        raise ValueError(f"a fault reads SWITCH=VALUE, not {wrong[0]!r}")
    return parse_faults({name: value for name, _, value in pairs})


class FaultTable:
    """Which faults are set for whom. A scope is a payload's uuid, an application's key, or None for all."""

    def __init__(self) -> None:
        self._table: dict[str | None, Faults] = {}

    def set(self, faults: Faults, scope: str | None = None) -> None:
        """Let ``faults`` be all that is wrong in ``scope``."""
        self._table[scope] = faults

    def clear(self, scope: str | None = None) -> None:
        """Let nothing be wrong: in ``scope``, or anywhere."""
        if scope is None:
            self._table.clear()
        else:
            self._table.pop(scope, None)

    def of(self, *scopes: str | None) -> Faults:
        """What is wrong for whoever is in all of ``scopes``, the narrowest first."""
        found = self._table.get(None, Faults())
        for scope in reversed(scopes):
            found = self._table.get(scope, Faults()).over(found)
        return found

    def as_json(self) -> dict[str, Any]:
        """All that is set, by scope; ``all`` stands for all."""
        return {scope or "all": faults.switches for scope, faults in self._table.items()}
