"""Templates of transactions, and what is carried along."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.sign_request.template import (
    MAX_DEPTH,
    MAX_FAULTS,
    MAX_VALUES,
    TemplateFault,
    faults_in,
    faults_in_blob,
    faults_in_instruction,
)
from tests.sandbox.world import ALICE, BOB

PAYMENT: dict[str, Any] = {"TransactionType": "Payment", "Destination": BOB, "Amount": "1"}
SEED = "sn3nxiW7v8KXzPzAqzyHXbSSKNuN9"
"""Of a wallet in the documentation of the XRP Ledger, which is nobody's."""
ISSUED = {"currency": "USD", "issuer": ALICE, "value": "1.5"}


def nested(depth: int, inner: Any) -> Any:
    for _ in range(depth):
        inner = {"a": inner}
    return inner


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"TransactionType": "SignIn"},
        {"TransactionType": "NFTokenMint", "NFTokenTaxon": 0},
        {"Amount": ISSUED},
        {"Amount": {"mpt_issuance_id": "A" * 48, "value": "1"}},
        {"Memos": [{"Memo": {"MemoData": "00"}}]},
        {"Paths": [[{"currency": "USD", "issuer": ALICE}]]},
        {"DestinationTag": 2**32 - 1, "Flags": 131072},
        {"Amount": "100000000000000000"},
        {"Amount2": ISSUED, "Asset": {"currency": "XRP"}},
        {"Domain": SEED[:-1] + "x"},
        {"TransactionType": "URITokenMint", "URI": "AB"},
        {"TransactionType": "PaymentChannelAuthorize", "Channel": "AB" * 32},
        {"SigningPubKey": "", "Signers": [], "TxnSignature": ""},
        {"BatchSigners": [{"BatchSigner": {"Account": ALICE, "Signers": [{"Signer": {"TxnSignature": "AB"}}]}}]},
    ],
)
def test_good_templates(changes: dict[str, Any]) -> None:
    """What a wallet can make a transaction of passes."""
    assert faults_in(PAYMENT | changes) == ()


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"TransactionType": None}, "TransactionType", "missing"),
        ({"TransactionType": "Nonsense"}, "TransactionType", "unknown_type"),
        ({"TransactionType": "Invalid"}, "TransactionType", "unknown_type"),
        ({"Destination": BOB[:-1] + "x"}, "Destination", "not_an_address"),
        ({"Destination": 1}, "Destination", "not_an_address"),
        ({"Destination": f"{BOB} "}, "Destination", "not_an_address"),
        ({"Destination": f"{BOB}\n"}, "Destination", "not_an_address"),
        ({"Destination": "XVLhHMPHU98es4dbozjVtdWzVrDjtV5kAsixQTdMjbWi39u\n"}, "Destination", "not_an_address"),
        ({"Amount": ISSUED | {"issuer": f"{ALICE}\n"}}, "Amount.issuer", "not_an_address"),
        ({"Amount": 1}, "Amount", "not_an_amount"),
        ({"Amount": 1.5}, "Amount", "not_an_amount"),
        ({"Amount": "1.5"}, "Amount", "not_an_amount"),
        ({"Amount": "-1"}, "Amount", "not_an_amount"),
        ({"Amount": "01"}, "Amount", "not_an_amount"),
        ({"Amount": "1\n"}, "Amount", "not_an_amount"),
        ({"Amount": "100000000000000001"}, "Amount", "not_an_amount"),
        ({"Amount": ISSUED | {"value": 1.5}}, "Amount.value", "not_an_amount"),
        ({"Amount": ISSUED | {"currency": "XRP"}}, "Amount.currency", "not_an_amount"),
        ({"Amount": ISSUED | {"issuer": "rX"}}, "Amount.issuer", "not_an_address"),
        ({"Amount": ISSUED | {"secret": "s"}}, "Amount", "not_an_amount"),
        ({"Weight": 1.5}, "Weight", "no_number_with_fraction"),
        ({"Flags": 2**32}, "Flags", "number_too_large"),
        ({"a": {"b": [{"private_key": "s"}]}}, "a.b.0.private_key", "secret_forbidden"),
        ({"Seed": "s"}, "Seed", "secret_forbidden"),
        ({"master-seed": "s"}, "master-seed", "secret_forbidden"),
        ({"secretKey": "s"}, "secretKey", "secret_forbidden"),
        ({"wallet_seed": "s"}, "wallet_seed", "secret_forbidden"),
        ({"Domain": SEED}, "Domain", "secret_forbidden"),
        ({"NFTokenMinter": "rX"}, "NFTokenMinter", "not_an_address"),
        ({"Delegate": BOB[:-1] + "x"}, "Delegate", "not_an_address"),
        ({"Amount2": 7}, "Amount2", "not_an_amount"),
        ({"NFTokenBrokerFee": "1.5"}, "NFTokenBrokerFee", "not_an_amount"),
        ({"LPTokenOut": ISSUED | {"issuer": "rX"}}, "LPTokenOut.issuer", "not_an_address"),
        ({"TxnSignature": "00"}, "TxnSignature", "signature_forbidden"),
        ({"Signers": [{}]}, "Signers", "signature_forbidden"),
        (
            {"RawTransactions": [{"RawTransaction": {"TxnSignature": "00"}}]},
            "RawTransactions.0.RawTransaction.TxnSignature",
            "signature_forbidden",
        ),
        (
            {"BatchSigners": [{"BatchSigner": {"Account": "rX"}}]},
            "BatchSigners.0.BatchSigner.Account",
            "not_an_address",
        ),
        ({"BatchSigners": [SEED]}, "BatchSigners.0", "secret_forbidden"),
        ({"BatchSigners": ["AB" * 20_000]}, "BatchSigners.0", "too_large"),
        ({"Inform": "rX"}, "Inform", "not_an_address"),
        ({"Domain": "x" * 5000}, "Domain", "too_large"),
        ({"Domain": "a\x00"}, "Domain", "control_character"),
        ({"x" * 65: 1}, "x" * 64, "too_large"),
    ],
)
def test_faults(changes: dict[str, Any], field: str, reason: Any) -> None:
    """What is wrong is told by its field, never by its value."""
    assert faults_in(PAYMENT | changes) == (TemplateFault(f"txjson.{field}", reason),)


def test_bounds() -> None:
    """Neither depth nor number of values is without end, and the list of faults is short."""
    assert faults_in(PAYMENT | nested(MAX_DEPTH - 1, 1)) == ()
    assert faults_in(PAYMENT | nested(MAX_DEPTH + 1, 1))[0].reason == "too_deep"
    assert faults_in(PAYMENT | {"a": [1] * MAX_VALUES}) == (TemplateFault("txjson", "too_large"),)
    assert len(faults_in(PAYMENT | {f"F{number}": 0.5 for number in range(50)})) == MAX_FAULTS
    assert faults_in_blob(nested(MAX_DEPTH + 1, 1))[0].reason == "too_deep"
    assert faults_in_blob({"a": [1] * 1000}) == (TemplateFault("blob", "too_large"),)


@pytest.mark.parametrize(("text", "faults"), [("x" * 1492, ()), ("x" * 1493, (TemplateFault("blob", "too_large"),))])
def test_longest_blob(text: str, faults: tuple[TemplateFault, ...]) -> None:
    """Xumm takes 1,500 characters of JSON."""
    assert faults_in_blob({"a": text}) == faults


@pytest.mark.parametrize(
    ("text", "faulty"), [("é" * 280, False), ("🙂" * 140, False), ("🙂" * 141, True), (None, False)]
)
def test_longest_instruction(text: str | None, *, faulty: bool) -> None:
    """Xumm takes 280 characters, and counts some as two."""
    assert bool(faults_in_instruction(text)) is faulty


@pytest.mark.parametrize(
    ("blob", "faulty"),
    [
        ({"seedlings": 3, "secretary": "Ann", "order": "s1"}, False),
        ({"note": SEED}, True),
        ({"client-secret": "x"}, True),
        ({"recovery": {"seed_phrase": "x"}}, True),
    ],
)
def test_what_is_carried_along(blob: dict[str, Any], *, faulty: bool) -> None:
    """A secret is found by its name or by what it is; words that only begin like one are no secret."""
    assert bool(faults_in_blob(blob)) is faulty


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON), st.sampled_from(["seed", "SECRET", "privateKey", "private_key", "mnemonic"]))
def test_no_secret_passes(template: dict[str, Any], name: str) -> None:
    """Whatever stands round it, a secret is found, and nothing makes the check fail."""
    faults_in(template)
    inner = {name: "x"}

    assert faults_in({"TransactionType": "SignIn", "a": inner} | {"b": template})[0].reason == "secret_forbidden"
    assert "secret_forbidden" in {fault.reason for fault in faults_in_blob({"a": inner} | {"b": template})}
