"""The networks by name, as Xumm has it, and by number, as ledger nodes have it.

Source: https://xrpl.org/docs/references/protocol/transactions/common-fields and https://docs.xahau.network
"""

from collections.abc import Iterable
from typing import Final

NETWORK_IDS: Final = {"MAINNET": 0, "TESTNET": 1, "DEVNET": 2, "XAHAU": 21337, "XAHAUTESTNET": 21338}
OFTEN_UNNUMBERED: Final = frozenset({"MAINNET"})
"""Networks whose older nodes tell no number."""

_NAMES: Final = {number: name for name, number in NETWORK_IDS.items()}


def network_names(names: Iterable[str | None], numbers: Iterable[int | None]) -> list[str]:
    """All networks that are named or numbered here, each once, in order; more than one is a contradiction.

    A number without a name stands as text.
    """
    named = [name.upper() for name in names if name is not None]
    numbered = [_NAMES.get(number, str(number)) for number in numbers if number is not None]
    return list(dict.fromkeys(named + numbered))
