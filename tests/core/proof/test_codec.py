"""The binary form of single values, and addresses."""

from typing import Any

import pytest
from xrpl.core.addresscodec import classic_address_to_xaddress, decode_classic_address

from processor.core.proof.codec import (
    MAX_BLOB_DIGITS,
    Unreadable,
    address_of,
    address_of_id,
    encode_value,
    is_address,
    split_xaddress,
)
from tests.support.wallets import ALICE, BOB, SHOP

TYPES = {"Payment": 7}
HEX = "0158415500000000C1F76FF6ECB0BAC600000000"
TAGGED = classic_address_to_xaddress(SHOP, 7, is_test_network=False)
ID = decode_classic_address(SHOP).hex()


@pytest.mark.parametrize(
    ("name", "kind", "value", "expected"),
    [
        ("Fee", "Amount", "12", "400000000000000c"),
        ("Fee", "Amount", 12, "400000000000000c"),
        ("Destination", "AccountID", SHOP, ID),
        ("TransactionType", "UInt16", "Payment", "0007"),
        ("Sequence", "UInt32", 5, "00000005"),
        ("Sequence", "UInt32", "5", "00000005"),
        ("PermissionValue", "UInt32", "Payment", "00000001"),
        ("PermissionValue", "UInt32", 1, "00000001"),
        ("MaximumAmount", "UInt64", "10", "000000000000000a"),
        ("OwnerNode", "UInt64", "10", "0000000000000010"),
        ("Domain", "Blob", "ABcd", "abcd"),
        ("Asset", "Issue", {"currency": "XRP"}, "00" * 20),
        ("Asset", "Issue", {"currency": HEX, "issuer": SHOP}, HEX.lower() + ID),
        ("Asset", "Issue", {"currency": HEX.lower(), "issuer": SHOP}, HEX.lower() + ID),
        ("Asset", "Issue", {"currency": "01" + "00" * 19, "issuer": SHOP}, "01" + "00" * 19 + ID),
        ("Amount", "Amount", {"currency": HEX, "issuer": SHOP, "value": "1"}, "d4838d7ea4c68000" + HEX.lower() + ID),
        (
            "Amount",
            "Amount",
            {"currency": "00" * 12 + "585250" + "00" * 5, "issuer": SHOP, "value": "1"},
            "d4838d7ea4c68000" + "00" * 12 + "585250" + "00" * 5 + ID,
        ),
    ],
)
def test_values(name: str, kind: str, value: Any, expected: str) -> None:
    """By the type of their field, some by its name; a currency in hexadecimal keeps its very bytes."""
    assert expected == encode_value(name, kind, value, TYPES).hex()


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("Sequence", "UInt32", True),
        ("Sequence", "UInt32", False),
        ("Sequence", "UInt32", -1),
        ("Sequence", "UInt32", 2**32),
        ("Sequence", "UInt32", None),
        ("TransactionType", "UInt16", "Unheard"),
        ("TransactionType", "UInt16", ["Payment"]),
        ("PermissionValue", "UInt32", "Unheard"),
        ("Fee", "Amount", "1.5"),
        ("Fee", "Amount", []),
        ("Amount", "Amount", {"currency": HEX}),
        ("Amount", "Amount", {"currency": HEX, "issuer": "nobody", "value": "1"}),
        ("Destination", "AccountID", "nobody"),
        ("Unheard", "Unheard", "1"),
        ("Domain", "Blob", "no hex"),
    ],
)
def test_what_is_no_value(name: str, kind: str, value: Any) -> None:
    """Is one kind of error, whatever the library says of it."""
    with pytest.raises(Unreadable):
        encode_value(name, kind, value, TYPES)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Destination", TAGGED, [("Destination", SHOP), ("DestinationTag", 7)]),
        ("Account", classic_address_to_xaddress(SHOP, 0, is_test_network=True), [("Account", SHOP), ("SourceTag", 0)]),
        ("Destination", classic_address_to_xaddress(SHOP, None, is_test_network=False), [("Destination", SHOP)]),
        ("Destination", SHOP, [("Destination", SHOP)]),
        ("Destination", 7, [("Destination", 7)]),
        ("Owner", TAGGED, [("Owner", TAGGED)]),
    ],
)
def test_x_addresses(name: str, value: Any, expected: list[tuple[str, Any]]) -> None:
    """Of two fields an X-address becomes an address and a tag, if it has one; all else is left as it is."""
    assert expected == list(split_xaddress(name, value))


def test_addresses() -> None:
    """Of a key and of an account's bytes."""
    assert [ALICE.address, BOB.address] == [address_of(bytes.fromhex(each.public_key)) for each in (ALICE, BOB)]
    assert SHOP == address_of_id(bytes.fromhex(ID))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SHOP, True),
        ("rrrrrrrrrrrrrrrrrrrrrhoLvTp", True),
        ("rrrrrrrrrrrrrrrrrrrrrhoLvTx", False),
        (f"{SHOP} ", False),
        (f" {SHOP}", False),
        (f"{SHOP}\n", False),
        (TAGGED, False),
        ("r" * 26, False),
        ("", False),
    ],
)
def test_classic_addresses(text: str, *, expected: bool) -> None:
    """With their checksum, and nothing around them."""
    assert expected == is_address(text)


def test_longest_blob() -> None:
    """256 K digits."""
    assert 262_144 == MAX_BLOB_DIGITS
