"""Transactions of chains that number types and fields in their own way."""

from dataclasses import replace
from typing import Any

import pytest
from xrpl.core import binarycodec

from processor.core.access.service_key import digest_of
from processor.core.proof.definitions import all_fields, all_types, definitions_of
from processor.core.proof.evidence import SignatureDoubt
from processor.core.proof.signed_blob import SignatureClaim, SignedTransaction, prove, transaction_id
from tests.support.wallets import (
    ALICE,
    KNOWN_XAHAU_ACCOUNT,
    KNOWN_XAHAU_PAYMENT,
    KNOWN_XAHAU_TXID,
    SHOP,
    payment,
    signed,
    signed_as_it_is,
)

XAHAU = 21337


def written(number: int, *, network: int | None = XAHAU, more: str = "", **fields: Any) -> str:
    """The signed blob of a transaction of any type number; ``more`` are fields that come behind all others."""
    base = payment(TransactionType="AccountSet", Destination=None, DestinationTag=None, Amount=None, NetworkID=network)
    unsigned = binarycodec.encode(base | {"SigningPubKey": ALICE.public_key} | fields)
    return signed_as_it_is(f"12{number:04X}{unsigned[6:]}{more}")


def claim(
    blob: str, tx_type: str, request: dict[str, Any] | None = None, network: str | None = "XAHAU"
) -> SignatureClaim:
    return SignatureClaim(
        blob=blob,
        txid=transaction_id(blob),
        account=ALICE.address,
        tx_type=tx_type,
        request={"TransactionType": tx_type} | (request or {}),
        network=network,
    )


def test_a_payment_on_another_chain_in_the_wild() -> None:
    """What the chains share is read for either."""
    result = prove(
        SignatureClaim(
            blob=KNOWN_XAHAU_PAYMENT,
            txid=KNOWN_XAHAU_TXID,
            account=KNOWN_XAHAU_ACCOUNT,
            tx_type="Payment",
            signer=KNOWN_XAHAU_ACCOUNT,
            request={
                "TransactionType": "Payment",
                "Destination": "rM9J9GskMWkDEU5yarJzYkqgXPwLQw4QqQ",
                "Amount": "1",
                "Account": KNOWN_XAHAU_ACCOUNT,
            },
            network="XAHAUTESTNET",
        )
    )

    assert isinstance(result, SignedTransaction)
    assert (KNOWN_XAHAU_ACCOUNT, 21338) == (result.account, result.network_id)


REMITTED = "F05CE05B614000000000000001E1F1"
"""``Amounts``, with one of one drop."""
OWN_TYPES: dict[str, tuple[int, dict[str, Any], dict[str, Any], str]] = {
    "URITokenMint": (45, {"URI": "AB"}, {"URI": "AB"}, ""),
    "URITokenBurn": (46, {"URITokenID": "AB" * 32}, {"ParentBatchID": "AB" * 32}, ""),
    "URITokenBuy": (
        47,
        {"URITokenID": "AB" * 32, "Amount": "5"},
        {"ParentBatchID": "AB" * 32, "Amount": "5"},
        "",
    ),
    "URITokenCreateSellOffer": (48, {"Amount": "5", "Destination": SHOP}, {"Amount": "5", "Destination": SHOP}, ""),
    "URITokenCancelSellOffer": (49, {"URITokenID": "AB" * 32}, {"ParentBatchID": "AB" * 32}, ""),
    "SetRemarks": (94, {}, {}, ""),
    "Remit": (
        95,
        {"Destination": SHOP, "Amounts": [{"AmountEntry": {"Amount": "1"}}]},
        {"Destination": SHOP},
        REMITTED,
    ),
    "ClaimReward": (98, {"Issuer": SHOP}, {"Issuer": SHOP}, ""),
    "Invoke": (99, {"Blob": "ABCD"}, {"DIDDocument": "ABCD"}, ""),
}
"""Type to its number, what is asked, what another chain calls the same, and what it cannot write."""


@pytest.mark.parametrize("network", ["XAHAU", "JSHOOKS", None])
@pytest.mark.parametrize("tx_type", OWN_TYPES)
def test_types_of_another_chain_are_proven(tx_type: str, network: str | None) -> None:
    """They share their numbers with other types; their own chain's definitions tell, be it by the signed number."""
    number, request, fields, more = OWN_TYPES[tx_type]
    result = prove(claim(written(number, more=more, **fields), tx_type, request, network))

    assert isinstance(result, SignedTransaction), result
    assert ALICE.address == result.account


@pytest.mark.parametrize(
    ("tx_type", "changes", "field"),
    [
        ("URITokenMint", {"URI": "AC"}, "URI"),
        ("URITokenBuy", {"URITokenID": "AC" * 32}, "URITokenID"),
        ("Remit", {"Amounts": [{"AmountEntry": {"Amount": "2"}}]}, "Amounts"),
        ("Remit", {"Amounts": []}, "Amounts"),
        ("Remit", {"Amounts": [{"AmountEntry": {"Amount": "1", "Flags": 1}}]}, "Amounts"),
        ("Remit", {"Amounts": [{"MintURIToken": {"Amount": "1"}}]}, "Amounts"),
        ("Remit", {"Amounts": {"AmountEntry": {"Amount": "1"}}}, "Amounts"),
        ("Remit", {"Inform": SHOP}, "Inform"),
        ("Invoke", {"Blob": "AB"}, "Blob"),
    ],
)
def test_other_fields_of_another_chain_differ(tx_type: str, changes: dict[str, Any], field: str) -> None:
    """What was asked is held against what was signed there as well."""
    number, request, fields, more = OWN_TYPES[tx_type]
    blob = written(number, more=more, **fields)

    assert SignatureDoubt(field=field, reason="differs") == prove(claim(blob, tx_type, request | changes))


@pytest.mark.parametrize(
    ("blob", "tx_type", "network", "field"),
    [
        (written(250, network=None), "FutureSet", "MAINNET", "TransactionType"),
        (written(250), "FutureSet", "XAHAU", "TransactionType"),
        (written(45, network=None, URI="AB"), "URITokenMint", "CUSTOM", "TransactionType"),
        (written(45, network=4711, URI="AB"), "URITokenMint", None, "TransactionType"),
        (written(45, network=4711, URI="AB"), "XChainAddClaimAttestation", "CUSTOM", "TransactionType"),
        (written(3, network=None, more="F0FAEA7D01ABE1F1"), "AccountSet", "MAINNET", "response.hex"),
        (written(3, MPTokenIssuanceID="00" * 24), "AccountSet", "XAHAU", "response.hex"),
        (written(3, network=4711, ParentBatchID="AB" * 32), "AccountSet", None, "response.hex"),
    ],
)
def test_what_no_definitions_tell_is_unreadable(blob: str, tx_type: str, network: str | None, field: str) -> None:
    """A type or a field of a chain or a version that is not known here is not called a forgery."""
    assert SignatureDoubt(field=field, reason="unreadable") == prove(claim(blob, tx_type, network=network))


def test_a_forgery_of_what_cannot_be_read_is_one() -> None:
    """Signature, account, key and hash are checked without any definitions."""
    true = claim(written(250), "FutureSet", network="CUSTOM")
    assert true.blob is not None
    spoilt = true.blob.replace("1200FA", "1200FB")

    assert [("TxnSignature", "forged"), ("response.txid", "differs"), ("response.account", "differs")] == [
        (doubt.field, doubt.reason)
        for doubt in map(
            prove,
            (
                replace(true, blob=spoilt, txid=transaction_id(spoilt)),
                replace(true, txid="AB" * 32),
                replace(true, account=SHOP),
            ),
        )
        if isinstance(doubt, SignatureDoubt)
    ]


@pytest.mark.parametrize("network", ["CUSTOM", "4711", "JSHOOKS", "MAINNET"])
def test_what_all_chains_share_is_read_for_any(network: str) -> None:
    """A payment is one everywhere."""
    blob = signed(payment())
    request = {"Destination": SHOP, "Amount": "1000000"}

    assert isinstance(prove(claim(blob, "Payment", request, network)), SignedTransaction)
    assert SignatureDoubt(field="Amount", reason="differs") == prove(
        claim(blob, "Payment", request | {"Amount": "1"}, network)
    )


def test_one_name_for_each_number() -> None:
    """Within a chain neither types nor fields are ambiguous, and what all share is part of each."""
    chains = [definitions_of(network) for network in ("MAINNET", "XAHAU", "CUSTOM")]

    assert [[], [], []] == [_doubled(each.types.values()) + _doubled(each.fields.values()) for each in chains]
    assert {"Payment", "URITokenMint", "Batch"} <= all_types()
    assert {"URITokenID", "Inform", "RawTransactions"} <= all_fields().keys()
    assert all(chains[2].fields.items() <= each.fields.items() for each in chains[:2])


def _doubled(values: Any) -> list[Any]:
    seen = list(values)
    return [value for value in set(seen) if seen.count(value) > 1]


def test_chain_of_a_network() -> None:
    """No network is the XRP Ledger; of an unknown network only what all chains share is known."""
    xrpl, xahau, common = (definitions_of(network) for network in ("MAINNET", "XAHAU", "CUSTOM"))

    assert [xrpl, xrpl, xrpl, xahau, xahau] == [
        definitions_of(network) for network in (None, "TESTNET", "DEVNET", "XAHAUTESTNET", "JSHOOKS")
    ]
    assert dict(xrpl.types.items() & xahau.types.items()) == common.types
    assert dict(xrpl.fields.items() & xahau.fields.items()) == common.fields
    assert "Batch" in xrpl.types.keys() - common.types.keys()
    assert "URITokenMint" in xahau.types.keys() - common.types.keys()


def test_definitions_of_the_ledger_are_the_library_s() -> None:
    """Every type and every field that a transaction can have."""
    known = binarycodec.definitions.definitions.load_definitions()
    types = {name: number for name, number in known["TRANSACTION_TYPES"].items() if number >= 0}
    names = {name for name, field in known["FIELDS"].items() if field["isSerialized"] and field["nth"] > 0}

    assert types == definitions_of("MAINNET").types
    assert names == definitions_of("MAINNET").fields.keys()
    assert types.keys() | definitions_of("XAHAU").types.keys() == all_types()
    assert names | definitions_of("XAHAU").fields.keys() == all_fields().keys()
    assert definitions_of("MAINNET").fields["Account"] == all_fields()["Account"]


def test_definitions_of_the_other_chain_stay_what_they_are() -> None:
    """They are copied from its own, by hand: what an edit changes is noticed."""
    xahau = definitions_of("XAHAU")
    types = sorted(xahau.types.items())
    fields = sorted((name, *shape.id, shape.kind) for name, shape in xahau.fields.items())

    assert "8492d7900e67a696" == digest_of(repr(types)).hex()[:16]
    assert "8684d1edb1ea6e07" == digest_of(repr(fields)).hex()[:16]
