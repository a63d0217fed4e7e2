"""The faults that the sandbox can simulate, as switches, and the scope of each.

A fault is set for one payload, for one application, or for all. The narrowest scope wins, switch by switch. The type of
a switch describes each of its values; the module in brackets applies them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Literal

from pydantic import ConfigDict, TypeAdapter

from processor.sandbox.network import NetworkName

WebhookFault = Literal["lost", "doubled", "late", "reordered"]
"""The webhook is not sent; sent twice at once; sent ``late_by`` seconds later; sent behind the next one. (`sender`)"""

SocketFault = Literal[
    "silent", "flapping", "lying", "lying_rejected", "lying_expired", "lying_txid", "garbage", "huge", "refused"
]
"""The status socket sends nothing; is closed once accepted; says falsely that the payload is signed, rejected or
expired; names another transaction than was signed; sends no valid message; sends a message of a megabyte; is not
accepted. (`status`)"""

CancelFault = Literal["racing"]
"""The user opens the payload after Xumm checked that nobody has, and before Xumm notes the cancellation, which it does
unconditionally: the payload is cancelled, and can still be signed or rejected. (`payload_table`)"""

ApiFault = Literal["limited", "failing", "hanging", "garbage"]
"""Every call is answered 429; 500; never; 200 with half a JSON text. (`access`)"""

LedgerFault = Literal["tec", "lost", "unsubmitted", "unavailable", "down"]
"""The transaction takes the fee and does nothing else; never reaches the ledger, whose index passes its
``LastLedgerSequence``; the same, since the wallet told Xumm and did not submit; is found without the amount that it
delivered; the node answers 503, which has to be set for all. (`simulation`, `ledger`)"""

OAuth2Fault = Literal["failing", "hanging", "garbage", "nonce", "expired", "netless"]
"""The provider answers 503; never; half a JSON text (these three have to be set for all); its tokens have another nonce
than the request; are expired; have a network's id that is the text ``undefined`` or ``null``. (`oauth2_routes`,
`oauth2`)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The switches; None for a switch that is off."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    webhook: WebhookFault | None = None
    late_by: float | None = None
    """Seconds by which a ``late`` webhook is delayed; `LATE_BY` unless set."""
    socket: SocketFault | None = None
    api: ApiFault | None = None
    cancel: CancelFault | None = None
    dispatch_late_by: float | None = None
    """Seconds until the API knows the node's answer."""
    network: NetworkName | None = None
    """The network of the wallets, whatever network the payload asks for."""
    ledger: LedgerFault | None = None
    oauth2: OAuth2Fault | None = None

    @property
    def switches(self) -> dict[str, Any]:
        """The switches that are on."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def merge(self, others: "Faults") -> "Faults":
        """These switches; for a switch that is off here, that of ``others``."""
        return Faults(**{**others.switches, **self.switches})


LATE_BY: Final = 30.0
TEC: Final = "tecPATH_DRY"
"""The result of transactions in a ``tec`` ledger."""
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
    """The faults of each scope: a payload's uuid, an application's key, or None for all."""

    def __init__(self) -> None:
        self._table: dict[str | None, Faults] = {}

    def set(self, faults: Faults, scope: str | None = None) -> None:
        """Replace the faults of ``scope`` by ``faults``."""
        self._table[scope] = faults

    def clear(self, scope: str | None = None) -> None:
        """Clear the faults of ``scope``; all faults if it is None."""
        if scope is None:
            self._table.clear()
        else:
            self._table.pop(scope, None)

    def find(self, *scopes: str | None) -> Faults:
        """The faults of a call in all of ``scopes``, which are given the narrowest first."""
        found = self._table.get(None, Faults())
        for scope in reversed(scopes):
            found = self._table.get(scope, Faults()).merge(found)
        return found

    def as_json(self) -> dict[str, Any]:
        """The faults that are set, by scope, where ``all`` is the one for all."""
        return {scope or "all": faults.switches for scope, faults in self._table.items()}
