"""Networks by name and by number."""

import pytest

from processor.core.proof.networks import CHAINS, NETWORK_IDS, OFTEN_UNNUMBERED, network_names


@pytest.mark.parametrize(
    ("name", "number", "chain"),
    [
        ("MAINNET", 0, "XRPL"),
        ("TESTNET", 1, "XRPL"),
        ("DEVNET", 2, "XRPL"),
        ("XAHAU", 21337, "XAHAU"),
        ("XAHAUTESTNET", 21338, "XAHAU"),
        ("JSHOOKS", None, "XAHAU"),
    ],
)
def test_known_networks(name: str, number: int | None, chain: str) -> None:
    """Each has the number and the chain that its documentation gives it."""
    assert (number, chain) == (NETWORK_IDS.get(name), CHAINS[name])


def test_only_the_main_network_may_tell_no_number() -> None:
    """Older nodes of every other network tell theirs."""
    assert frozenset({"MAINNET"}) == OFTEN_UNNUMBERED


@pytest.mark.parametrize(
    ("names", "numbers", "expected"),
    [
        ([], [], []),
        ([None], [None], []),
        (["MAINNET"], [], ["MAINNET"]),
        (["mainnet"], [], ["MAINNET"]),
        (["LIVENET"], [0], ["MAINNET"]),
        (["livenet"], [], ["MAINNET"]),
        ([""], [], []),
        (["UNKNOWN"], [], []),
        (["unknown node"], [], []),
        (["UNKNOWN"], [1], ["TESTNET"]),
        ([], [21337], ["XAHAU"]),
        ([], [0, None, 0], ["MAINNET"]),
        ([], [4711], ["4711"]),
        ([], [4711, 4712], ["4711", "4712"]),
        (["MAINNET"], [1], ["MAINNET", "TESTNET"]),
        (["TESTNET", "MAINNET"], [], ["TESTNET", "MAINNET"]),
        (["MAINNET", None], [4711], ["MAINNET", "4711"]),
        (["CUSTOM"], [], ["CUSTOM"]),
        (["custom"], [4711], ["CUSTOM"]),
        (["CUSTOM", "OTHER"], [], ["CUSTOM"]),
        (["CUSTOM"], [4711, 4712], ["4711", "4712"]),
        (["CUSTOM"], [0], ["MAINNET"]),
        (["CUSTOM"], [0, 4711], ["MAINNET", "4711"]),
        (["CUSTOM", "TESTNET"], [], ["TESTNET"]),
        (["JSHOOKS"], [], ["JSHOOKS"]),
    ],
)
def test_names_and_numbers_are_joined(names: list[str | None], numbers: list[int | None], expected: list[str]) -> None:
    """Several are a contradiction; a name without a known number contradicts nothing and gives way."""
    assert expected == network_names(names, numbers)
