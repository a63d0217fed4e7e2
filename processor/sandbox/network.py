"""The networks that a wallet can use."""

from dataclasses import dataclass
from typing import Final, Literal

NetworkName = Literal["MAINNET", "TESTNET", "DEVNET", "XAHAU", "XAHAUTESTNET"]

_NAMED_FROM: Final = 1025
"""The lowest id of a network whose transactions have to name it.

Source: https://xrpl.org/docs/references/protocol/transactions/common-fields#networkid-field
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerNetwork:
    """One network, and the node by which Xumm reaches it."""

    name: str = "MAINNET"
    id: int = 0
    node: str = "wss://xrplcluster.com"

    @property
    def is_named(self) -> bool:
        """Whether its transactions carry ``NetworkID``."""
        return self.id >= _NAMED_FROM


NETWORKS: Final[dict[str, LedgerNetwork]] = {
    "MAINNET": LedgerNetwork(),
    "TESTNET": LedgerNetwork(name="TESTNET", id=1, node="wss://s.altnet.rippletest.net:51233"),
    "DEVNET": LedgerNetwork(name="DEVNET", id=2, node="wss://s.devnet.rippletest.net:51233"),
    "XAHAU": LedgerNetwork(name="XAHAU", id=21337, node="wss://xahau.network"),
    "XAHAUTESTNET": LedgerNetwork(name="XAHAUTESTNET", id=21338, node="wss://xahau-test.net"),
}
