"""Templates of transactions, and what is carried along."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xrpl.core.addresscodec import classic_address_to_xaddress

from processor.core.sign_request.template import (
    MAX_BLOB,
    MAX_DEPTH,
    MAX_FAULTS,
    MAX_INSTRUCTION,
    MAX_NAME,
    MAX_SIGNED_TEXT,
    MAX_TEXT,
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


def test_limits() -> None:
    """Eight levels, 512 values, texts of 4,096 characters or 32 K of signatures, ten faults."""
    assert (8, 512, 4096, 32_768, 10) == (MAX_DEPTH, MAX_VALUES, MAX_TEXT, MAX_SIGNED_TEXT, MAX_FAULTS)
    assert (1500, 280, 64) == (MAX_BLOB, MAX_INSTRUCTION, MAX_NAME)


def listed(depth: int) -> Any:
    inner: Any = 1
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize("nest", [lambda depth: {"a": nested(depth, 1)}, lambda depth: {"a": listed(depth)}])
def test_deepest_template(nest: Any) -> None:
    """Objects and arrays count alike; the template is the first level, and nothing is looked at below the last."""
    assert () == faults_in(PAYMENT | nest(7))
    for depth in (8, 9, 300):
        (fault,) = faults_in(PAYMENT | nest(depth) | {"Flags": 1.5})
        assert ("too_deep", 8) == (fault.reason, fault.field.count("."))


@pytest.mark.parametrize("nest", [lambda depth: nested(depth, 1), lambda depth: {"a": listed(depth - 1)}])
def test_deepest_blob(nest: Any) -> None:
    """Likewise what is carried along."""
    assert () == faults_in_blob(nest(8))
    for depth in (9, 300):
        (fault,) = faults_in_blob(nest(depth))
        assert ("too_deep", 8) == (fault.reason, fault.field.count("."))


def test_most_values() -> None:
    """512 with the template, its type and its containers; of more nothing is looked at."""
    assert () == faults_in(PAYMENT | {"a": [1] * 509})
    assert (TemplateFault("txjson", "too_large"),) == faults_in(PAYMENT | {"a": [1] * 510, "b": 1.5})
    assert () == faults_in_blob({"a": [1] * 510})
    assert (TemplateFault("blob", "too_large"),) == faults_in_blob({"a": [1] * 511})
    assert (TemplateFault("blob", "too_large"),) == faults_in_blob({"a": [1] * 600 + [2**70]})


def test_longest_names_and_texts() -> None:
    """At the limit, and one character beyond."""
    assert () == faults_in(PAYMENT | {"x" * 64: "y" * 4096})
    assert () == faults_in(PAYMENT | {"BatchSigners": ["A" * 32_768]})
    assert (TemplateFault("txjson.Domain", "too_large"),) == faults_in(PAYMENT | {"Domain": "y" * 4097})
    assert (TemplateFault("txjson.BatchSigners.0", "too_large"),) == faults_in(
        PAYMENT | {"BatchSigners": ["A" * 32_769]}
    )
    assert (TemplateFault(f"txjson.{'x' * 64}", "too_large"),) == faults_in(PAYMENT | {"x" * 65: 1})


@pytest.mark.parametrize(
    ("name", "shown", "reason"),
    [
        ("a\nb", "a?b", None),
        ("a\x00b", "a?b", "control_character"),
        ("a\u202eb", "a?b", "control_character"),
        ("\x07" + "x" * 64, "?" + "x" * 63, "too_large"),
    ],
)
def test_names_are_shown_fit_for_a_log_line(name: str, shown: str, reason: Any) -> None:
    """Cut, and with nothing that cannot be printed; line ends may stand in a name."""
    expected = TemplateFault(f"txjson.{shown}", "no_number_with_fraction" if reason is None else reason)

    assert (expected,) == faults_in(PAYMENT | {name: 1.5 if reason is None else 1})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (2**32 - 1, None),
        (-(2**32) + 1, None),
        (2**32, "number_too_large"),
        (-(2**32), "number_too_large"),
        (0.0, "no_number_with_fraction"),
        ("a\tb\nc\rd", None),
        ("a\x0bb", "control_character"),
        ("a\x1fb", "control_character"),
        ("a\x7fb", "control_character"),
        ("a\u2066b", "control_character"),
        ("a\ud800b", "control_character"),
        (True, None),
        (None, None),
    ],
)
def test_values(value: Any, reason: Any) -> None:
    """Numbers of 32 bits, and texts that a wallet can show."""
    expected = () if reason is None else (TemplateFault("txjson.Other.0", reason),)

    assert expected == faults_in(PAYMENT | {"Other": [value]})


X_ADDRESS = "XVLhHMPHU98es4dbozjVtdWzVrDjtV5kAsixQTdMjbWi39u"


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        (ALICE, True),
        (X_ADDRESS, False),
        (classic_address_to_xaddress(ALICE, 7, is_test_network=False), True),
        (classic_address_to_xaddress(ALICE, None, is_test_network=True), True),
        (classic_address_to_xaddress(ALICE, 7, is_test_network=False)[:-1] + "x", False),
        (f" {ALICE}", False),
        ("", False),
        (None, False),
    ],
)
def test_addresses(address: Any, *, is_one: bool) -> None:
    """Classic ones and X-addresses, with their checksum."""
    expected = () if is_one else (TemplateFault("txjson.Destination", "not_an_address"),)

    assert expected == faults_in(PAYMENT | {"Destination": address})


@pytest.mark.parametrize(
    ("amount", "field"),
    [
        ("0", None),
        ("99999999999999999", None),
        ("1000000000000000000", ""),
        ("", ""),
        (ISSUED | {"value": "-1.5e-10"}, None),
        (ISSUED | {"value": "1" * 96 + "." + "1" * 96}, None),
        (ISSUED | {"value": "1" * 97}, ".value"),
        (ISSUED | {"value": "1e100"}, ".value"),
        (ISSUED | {"value": ".5"}, ".value"),
        (ISSUED | {"value": "1."}, ".value"),
        (ISSUED | {"value": ""}, ".value"),
        (ISSUED | {"currency": "a" * 40}, None),
        (ISSUED | {"currency": "a" * 41}, ".currency"),
        (ISSUED | {"currency": "US"}, ".currency"),
        (ISSUED | {"currency": "USDT"}, ".currency"),
        (ISSUED | {"currency": "a|["}, None),
        (ISSUED | {"currency": "a.b"}, ".currency"),
        ({"mpt_issuance_id": "A" * 47, "value": "1"}, ".mpt_issuance_id"),
        ({"mpt_issuance_id": "A" * 49, "value": "1"}, ".mpt_issuance_id"),
        ({"mpt_issuance_id": "A" * 48}, ""),
        ({"currency": "USD", "value": "1"}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_amounts(amount: Any, field: str | None) -> None:
    """Drops as text, or an object of texts of one of two shapes."""
    expected = () if field is None else (TemplateFault(f"txjson.Amount{field}", "not_an_amount"),)

    assert expected == faults_in(PAYMENT | {"Amount": amount})


@pytest.mark.parametrize(
    "name",
    [
        *("secret", "Secret_Key", "mnemonic", "passphrase", "password", "privateKey", "priv_key", "masterkey"),
        *("seed", "familySeed", "master_seed", "walletseed", "accountSeed", "seedhex", "seed_phrase", "seed words"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    """In a template and in what is carried along, however they are written."""
    assert (TemplateFault(f"txjson.{name}", "secret_forbidden"),) == faults_in(PAYMENT | {name: "x"})
    assert (TemplateFault(f"blob.a.0.{name}", "secret_forbidden"),) == faults_in_blob({"a": [{name: "x"}]})


@pytest.mark.parametrize("name", ["secretary", "birdseed", "seedling", "publickey", "key", "pass", "seeds"])
def test_names_of_no_secrets(name: str) -> None:
    """Words that only look alike."""
    assert () == faults_in(PAYMENT | {name: "x"})
    assert () == faults_in_blob({name: "x"})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (2**53 - 1, None),
        (-(2**53) + 1, None),
        (2**53, "number_too_large"),
        (-(2**53), "number_too_large"),
        (1e300, "number_too_large"),
        (float("nan"), "number_too_large"),
        (float("inf"), "number_too_large"),
        (1.5, None),
        (SEED, "secret_forbidden"),
        (SEED[:-1] + "x", None),
        ("s" + "1" * 23, None),
        (f" {SEED}", None),
        (None, None),
    ],
)
def test_values_that_are_carried_along(value: Any, reason: Any) -> None:
    """Numbers that every reader takes, and no seed."""
    assert (() if reason is None else (TemplateFault("blob.a.1.b", reason),)) == faults_in_blob(
        {"a": [0, {"b": value}]}
    )


def test_nothing_is_carried_along_without_a_fault() -> None:
    """Null is no blob, and an empty one is fine; the list of faults is short."""
    assert ((), ()) == (faults_in_blob(None), faults_in_blob({}))
    assert 10 == len(faults_in_blob({f"a{number}": 2**70 for number in range(50)}))


@pytest.mark.parametrize(
    ("blob", "is_large"),
    [
        ({"a": "é" * 1492}, False),
        ({"a": "é" * 1493}, True),
        ({"a": "🙂" * 746}, False),
        ({"a": "🙂" * 747}, True),
        ({"a": "\ud800" * 1492}, False),
        ({"a": [1] * 500, "b": "x" * 486}, False),
        ({"a": [1] * 500, "b": "x" * 487}, True),
    ],
)
def test_size_is_that_of_compact_json(blob: dict[str, Any], *, is_large: bool) -> None:
    """Without blanks and escapes, as Xumm counts."""
    assert (() if not is_large else (TemplateFault("blob", "too_large"),)) == faults_in_blob(blob)


def test_fault_of_an_instruction() -> None:
    """One character too many; a text that is half a character is counted, too."""
    assert (TemplateFault("instruction", "too_large"),) == faults_in_instruction("x" * 281)
    assert ((), ()) == (faults_in_instruction("\ud800" * 280), faults_in_instruction(""))


@pytest.mark.parametrize("nothing", [None, "", []])
def test_nobody_has_signed_yet(nothing: Any) -> None:
    """A template may say so."""
    assert () == faults_in(PAYMENT | {"TxnSignature": nothing, "Signers": nothing})


@pytest.mark.parametrize("name", ["txnsignature", "Txn_Signature", "SIGNERS"])
def test_signatures_are_found_however_they_are_written(name: str) -> None:
    """A template is not signed."""
    assert (TemplateFault(f"txjson.{name}", "signature_forbidden"),) == faults_in(PAYMENT | {name: "AB"})
