"""The networks that a wallet can be on."""

from dataclasses import dataclass
from typing import Final, Literal

NetworkName = Literal["MAINNET", "TESTNET", "DEVNET", "XAHAU", "XAHAUTESTNET"]

_NAMED_FROM: Final = 1025
"""From this id on a transaction has to name its network.

Source: https://xrpl.org/docs/references/protocol/transactions/common-fields#networkid-field
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One network, and the node through which Xumm reaches it."""

    name: str = "MAINNET"
    id: int = 0
    node: str = "wss://xrplcluster.com"

    @property
    def is_named(self) -> bool:
        """Whether its transactions carry ``NetworkID``."""
        return self.id >= _NAMED_FROM


NETWORKS: Final[dict[str, Network]] = {
    "MAINNET": Network(),
    "TESTNET": Network(name="TESTNET", id=1, node="wss://s.altnet.rippletest.net:51233"),
    "DEVNET": Network(name="DEVNET", id=2, node="wss://s.devnet.rippletest.net:51233"),
    "XAHAU": Network(name="XAHAU", id=21337, node="wss://xahau.network"),
    "XAHAUTESTNET": Network(name="XAHAUTESTNET", id=21338, node="wss://xahau-test.net"),
}
