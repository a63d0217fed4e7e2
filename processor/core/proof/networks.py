"""The networks by name, as Xumm names them, and by number, as ledger nodes number them.

Both lists are open: an unknown name or number is kept as it is, and contradicts no other.

Source: https://xrpl.org/docs/references/protocol/transactions/common-fields and https://docs.xahau.network
"""

from collections.abc import Iterable
from typing import Final

NETWORK_IDS: Final = {"MAINNET": 0, "TESTNET": 1, "DEVNET": 2, "XAHAU": 21337, "XAHAUTESTNET": 21338}
OFTEN_UNNUMBERED: Final = frozenset({"MAINNET"})
"""Networks of which older nodes do not tell the number."""
CHAINS: Final = {
    "MAINNET": "XRPL",
    "TESTNET": "XRPL",
    "DEVNET": "XRPL",
    "XAHAU": "XAHAU",
    "XAHAUTESTNET": "XAHAU",
    "JSHOOKS": "XAHAU",
}
"""The chain whose transaction types and fields a network has."""

_NAMES: Final = {number: name for name, number in NETWORK_IDS.items()}
_ALIASES: Final = {"LIVENET": "MAINNET"}
_NOTHING: Final = frozenset({"", "UNKNOWN", "UNKNOWN NODE"})
"""Names that say that the network is unknown."""


def network_names(names: Iterable[str | None], numbers: Iterable[int | None]) -> list[str]:
    """The networks with one of ``names`` or ``numbers``, each once, in order; more than one is a contradiction.

    A name without a known number is dropped if another network is known. A number without a name is returned as text.
    """
    upper = [_ALIASES.get(name.upper(), name.upper()) for name in names if name is not None]
    strange = [name for name in upper if name not in NETWORK_IDS and name not in _NOTHING]
    known = [NETWORK_IDS[name] for name in upper if name in NETWORK_IDS]
    known += [number for number in numbers if number is not None]
    nameless = all(number not in _NAMES for number in known)
    if strange and nameless and len(set(known)) <= 1:
        return strange[:1]
    return list(dict.fromkeys(_NAMES.get(number, str(number)) for number in known))
