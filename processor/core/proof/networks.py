"""The networks by name, as Xumm has it, and by number, as ledger nodes have it.

Both lists are open: a name or a number that is not known here is kept as it is, and contradicts nothing.

Source: https://xrpl.org/docs/references/protocol/transactions/common-fields and https://docs.xahau.network
"""

from collections.abc import Iterable
from typing import Final

NETWORK_IDS: Final = {"MAINNET": 0, "TESTNET": 1, "DEVNET": 2, "XAHAU": 21337, "XAHAUTESTNET": 21338}
OFTEN_UNNUMBERED: Final = frozenset({"MAINNET"})
"""Networks whose older nodes tell no number."""
CHAINS: Final = {
    "MAINNET": "XRPL",
    "TESTNET": "XRPL",
    "DEVNET": "XRPL",
    "XAHAU": "XAHAU",
    "XAHAUTESTNET": "XAHAU",
    "JSHOOKS": "XAHAU",
}
"""Whose transaction types and fields a network has."""

_NAMES: Final = {number: name for name, number in NETWORK_IDS.items()}
_ALIASES: Final = {"LIVENET": "MAINNET"}
_NOTHING: Final = frozenset({"", "UNKNOWN", "UNKNOWN NODE"})
"""Names that say that the network is not known."""


def network_names(names: Iterable[str | None], numbers: Iterable[int | None]) -> list[str]:
    """The networks that are named or numbered here, each once, in order; more than one is a contradiction.

    A name without a known number contradicts no other, and gives way to what is known. A number without a name stands
    as text.
    """
    told = [_ALIASES.get(name.upper(), name.upper()) for name in names if name is not None]
    strange = [name for name in told if name not in NETWORK_IDS and name not in _NOTHING]
    known = [NETWORK_IDS[name] for name in told if name in NETWORK_IDS]
    known += [number for number in numbers if number is not None]
    nameless = all(number not in _NAMES for number in known)
    if strange and nameless and len(set(known)) <= 1:
        return strange[:1]
    return list(dict.fromkeys(_NAMES.get(number, str(number)) for number in known))
