"""What wallets sign is truly signed: checked here with the library that the ledger's own tools stand on."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from xrpl.core.binarycodec import (
    decode,
    encode,
    encode_for_multisigning,
    encode_for_signing,
    encode_for_signing_batch,
)
from xrpl.core.keypairs import derive_classic_address, is_valid_message

from processor.sandbox.network import NETWORKS
from processor.sandbox.payload import IllegalActionError, Payload
from processor.sandbox.server import Sandbox
from processor.sandbox.wallet import OTHER_TYPES, SIGN_IN_ACCOUNT, SIGNED_SIGN_IN, find_wallet, transaction_id
from tests.sandbox.clock import FakeClock
from tests.sandbox.world import ALICE, BOB, PAYMENT, SHOP, SIGN_IN, signature_of

CAROL = "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe"
MULTISIGN = {**PAYMENT, "options": {"multisign": True}, "custom_meta": {}}
MULTISIGN["txjson"] = {**PAYMENT["txjson"], "Account": CAROL}


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox([SHOP], clock=FakeClock())


def holds(blob: str) -> bool:
    """Whether the signature in ``blob`` is one of its transaction, by its own key."""
    transaction = decode(blob)
    signature, key = bytes.fromhex(transaction.pop("TxnSignature")), transaction["SigningPubKey"]
    return bool(is_valid_message(bytes.fromhex(encode_for_signing(transaction)), signature, key))


@pytest.mark.parametrize(("account", "curve"), [(ALICE, "0"), (BOB, "E")])
@pytest.mark.parametrize("request_body", [SIGN_IN, PAYMENT])
def test_users_sign_on_either_curve(sandbox: Sandbox, account: str, curve: str, request_body: Any) -> None:
    """The signature holds, its key belongs to the account, and the transaction's hash is its id."""
    signature = signature_of(sandbox.sign(sandbox.create(request_body).uuid, account=account))
    transaction = decode(signature.hex)

    assert holds(signature.hex)
    assert (account, account, account) == (
        derive_classic_address(transaction["SigningPubKey"]),
        transaction["Account"],
        signature.signer,
    )
    assert (transaction_id(signature.hex), curve) == (signature.txid, signature.public_key[0])


@settings(deadline=None, max_examples=20)
@given(amount=st.integers(1, 10**17 - 1), tag=st.integers(0, 2**32 - 1), ed25519=st.booleans())
def test_a_blob_that_was_changed_does_not_hold(amount: int, tag: int, *, ed25519: bool) -> None:
    """A signature is one of this very transaction: another amount, and it is none."""
    wallet = find_wallet(BOB if ed25519 else ALICE)
    blob = wallet.sign({**PAYMENT["txjson"], "Account": wallet.address, "Amount": str(amount), "DestinationTag": tag})
    other = {**decode(blob), "Amount": str(amount + 1)}

    assert (True, False) == (holds(blob), holds(encode(other)))


def test_what_the_request_leaves_out_is_filled_in(sandbox: Sandbox) -> None:
    """Account, fee, last ledger, and a sequence number that goes up; what was asked for stays."""
    transactions = [decode(signature_of(sandbox.sign(sandbox.create(SIGN_IN).uuid)).hex) for _ in range(2)]
    transactions.append(decode(signature_of(sandbox.sign(sandbox.create(PAYMENT).uuid)).hex))
    last = sandbox.ledger.validated_index + 20

    assert [1, 2, 3] == [transaction["Sequence"] for transaction in transactions]
    assert PAYMENT["txjson"].items() <= transactions[2].items()
    assert (ALICE, "12", last) == tuple(transactions[2][name] for name in ("Account", "Fee", "LastLedgerSequence"))


def test_a_sign_in_has_no_transaction_type(sandbox: Sandbox) -> None:
    """The pseudo transaction is signed without its name, so no ledger would ever take it."""
    assert "TransactionType" not in decode(signature_of(sandbox.sign(sandbox.create(SIGN_IN).uuid)).hex)


def test_the_blob_that_xumm_once_made_is_still_to_be_had(sandbox: Sandbox) -> None:
    """A true user of Xumm signs in with it, and it holds."""
    signature = signature_of(sandbox.sign(sandbox.create(SIGN_IN).uuid, account=SIGN_IN_ACCOUNT))

    assert (SIGNED_SIGN_IN, SIGN_IN_ACCOUNT, True) == (signature.hex, signature.signer, holds(signature.hex))


def test_an_account_without_a_known_key_signs_with_a_regular_key(sandbox: Sandbox) -> None:
    """The signature holds, and the signer is another address than the account, the same each time."""
    signatures = []
    for _ in range(2):
        payload = sandbox.create({**PAYMENT, "custom_meta": {}})
        signatures.append(signature_of(sandbox.sign(payload.uuid, account=CAROL)))
    first, second = signatures

    assert (True, CAROL, first.signer) == (holds(first.hex), first.account, second.signer)
    assert CAROL != first.signer == derive_classic_address(first.public_key)


@pytest.mark.parametrize(
    ("request_body", "signer"),
    [
        ({**PAYMENT, "txjson": {**PAYMENT["txjson"], "Account": BOB}}, BOB),
        ({**PAYMENT, "options": {"signers": [BOB]}}, BOB),
        (PAYMENT, ALICE),
    ],
)
def test_the_account_that_was_asked_for_signs(sandbox: Sandbox, request_body: Any, signer: str) -> None:
    """The one in the transaction, or the first of the signers; else the usual user."""
    assert signer == signature_of(sandbox.sign(sandbox.create(request_body).uuid)).account


def test_whoever_is_not_among_the_signers_may_not_sign(sandbox: Sandbox) -> None:
    """The payload stays as it was."""
    payload = sandbox.create({**PAYMENT, "options": {"signers": [BOB]}})

    with pytest.raises(IllegalActionError):
        sandbox.sign(payload.uuid, account=ALICE)
    assert "opened" == sandbox.payloads.get(payload.uuid).situation


@pytest.mark.parametrize("signer", [ALICE, BOB])
def test_a_multisigned_blob_has_a_signer_and_is_not_submitted(sandbox: Sandbox, signer: str) -> None:
    """The transaction is the account's, the signature the signer's, and no ledger hears of it."""
    signature = signature_of(sandbox.sign(sandbox.create(MULTISIGN).uuid, account=signer))
    transaction = decode(signature.hex)
    (entry,) = transaction.pop("Signers")
    message = bytes.fromhex(encode_for_multisigning(transaction, signer))

    assert (CAROL, signer, "", None) == (
        transaction["Account"],
        entry["Signer"]["Account"],
        transaction["SigningPubKey"],
        signature.dispatch,
    )
    key, signed = entry["Signer"]["SigningPubKey"], bytes.fromhex(entry["Signer"]["TxnSignature"])
    assert is_valid_message(message, signed, key)
    assert (CAROL, signer, key) == (signature.account, signature.signer, signature.public_key)


def test_what_several_sign_has_the_sequence_that_was_asked(sandbox: Sandbox) -> None:
    """The wallet leaves it to who asks: all signers must sign the same."""
    asked = {**MULTISIGN, "txjson": {**MULTISIGN["txjson"], "Sequence": 77}}
    signed = [decode(signature_of(sandbox.sign(sandbox.create(request).uuid)).hex) for request in (MULTISIGN, asked)]

    assert [None, 77] == [transaction.get("Sequence") for transaction in signed]


@pytest.mark.parametrize(
    ("asked", "ahead"), [({}, 20), ({"LastLedgerSequence": 5}, 5), ({"LastLedgerSequence": 40_000}, 20)]
)
def test_a_last_ledger_that_is_low(sandbox: Sandbox, asked: dict[str, Any], ahead: int) -> None:
    """Counts from the current ledger, and one that has passed is replaced."""
    payload = sandbox.create({"txjson": PAYMENT["txjson"] | asked})
    transaction = decode(signature_of(sandbox.sign(payload.uuid)).hex)

    assert sandbox.ledger.validated_index + ahead == transaction["LastLedgerSequence"]


def test_a_batch_is_left_as_it_was_asked(sandbox: Sandbox) -> None:
    """Others may have signed it already: neither a last ledger nor a network is put in."""
    part = {**PAYMENT["txjson"], "Account": ALICE, "Fee": "0", "Sequence": 6, "SigningPubKey": "", "Flags": 0x40000000}
    batch = {"TransactionType": "Batch", "Flags": 65536, "RawTransactions": [{"RawTransaction": part}] * 2}
    transaction = decode(signature_of(sandbox.sign(sandbox.create({"txjson": batch}).uuid, network="XAHAU")).hex)

    assert {"LastLedgerSequence", "NetworkID"}.isdisjoint(transaction)
    assert batch.items() <= transaction.items()


def test_signers_of_a_batch_are_put_in_for_the_payloads_that_hold_them(sandbox: Sandbox) -> None:
    """Asked by uuid, each becomes the signature of one whose part is in it."""
    part = {**PAYMENT["txjson"], "Fee": "0", "Sequence": 6, "SigningPubKey": "", "Flags": 0x40000000}
    parts = [{"RawTransaction": part | {"Account": account}} for account in (ALICE, CAROL, BOB)]
    batch = {"TransactionType": "Batch", "Flags": 65536, "RawTransactions": parts, "BatchSigners": [SHOP.key, "AB"]}
    transaction = decode(signature_of(sandbox.sign(sandbox.create({"txjson": batch}).uuid, account=ALICE)).hex)
    signers = [each["BatchSigner"] for each in transaction["BatchSigners"]]

    assert {BOB, CAROL} == {signer["Account"] for signer in signers}
    assert all(
        is_valid_message(
            _approval(transaction, each["Account"]), bytes.fromhex(each["TxnSignature"]), each["SigningPubKey"]
        )
        for each in signers
    )


def _approval(batch: dict[str, Any], account: str) -> bytes:
    ids = [transaction_id(encode(each["RawTransaction"])) for each in batch["RawTransactions"]]
    asked: Any = {"account": ALICE, "sequence": 1, "flags": 65536, "transaction_ids": ids, "batch_account": account}
    return bytes.fromhex(encode_for_signing_batch(asked))


def test_a_path_is_what_the_user_chose(sandbox: Sandbox) -> None:
    """With path finding on, the wallet says what is paid with, whatever was asked."""
    request = {"txjson": {**PAYMENT["txjson"], "SendMax": "5"}, "options": {"pathfinding": True}}
    transaction = decode(signature_of(sandbox.sign(sandbox.create(request).uuid)).hex)

    assert ("USD", PAYMENT["txjson"]["Amount"]) == (transaction["SendMax"]["currency"], transaction["Amount"])
    assert [[{"currency": "USD", "issuer": BOB}]] == transaction["Paths"]


@pytest.mark.parametrize("tx_type", OTHER_TYPES)
def test_types_that_the_library_does_not_know_are_signed(sandbox: Sandbox, tx_type: str) -> None:
    """The wallet learns the types of a network from its nodes."""
    payload = sandbox.create({"txjson": {"TransactionType": tx_type, "URI": "AB"}})
    blob = signature_of(sandbox.sign(payload.uuid)).hex
    stand_in = f"120003{blob[6:]}"
    transaction = decode(stand_in)
    signature, key = bytes.fromhex(transaction.pop("TxnSignature")), transaction["SigningPubKey"]
    message = encode_for_signing(transaction).replace("120003", blob[:6], 1)

    assert f"12{OTHER_TYPES[tx_type]:04X}" == blob[:6]
    assert is_valid_message(bytes.fromhex(message), signature, key)


def test_a_transaction_can_come_as_a_blob(sandbox: Sandbox) -> None:
    """It is read, told in JSON, filled in and signed anew."""
    asked = {"TransactionType": "Payment", "Destination": BOB, "Amount": "5", "TxnSignature": "00"}
    payload = sandbox.create({"txblob": encode(asked)})
    signature = signature_of(sandbox.sign(payload.uuid))

    assert (asked, True, "5") == (payload.request.txjson, holds(signature.hex), decode(signature.hex)["Amount"])


@pytest.mark.parametrize(
    "request_body",
    [
        {"txblob": "00"},
        {"txblob": "AB12"},
        {"txjson": {"TransactionType": "Nonsense"}},
        {"txjson": {"TransactionType": "Payment", "Destination": "nobody"}},
        {"txjson": {"TransactionType": "Payment", "Amount": 1.5}},
        {"txjson": {"TransactionType": "SignIn", "Nonsense": 1}},
    ],
)
def test_what_no_wallet_could_sign_is_no_payload(sandbox: Sandbox, request_body: Any) -> None:
    """It is refused when it is created."""
    with pytest.raises(ValidationError):
        sandbox.create(request_body)


def test_a_transaction_names_its_network_where_the_ledger_wants_it(sandbox: Sandbox) -> None:
    """Networks with high ids want it; the main network refuses it."""

    def signed_on(network: str) -> dict[str, Any]:
        payload: Payload = sandbox.create({**PAYMENT, "custom_meta": {}})
        return decode(signature_of(sandbox.sign(payload.uuid, network=network)).hex)

    assert NETWORKS["XAHAU"].id == signed_on("XAHAU")["NetworkID"]
    assert "NetworkID" not in signed_on("MAINNET")


def test_a_partial_payment_says_so_in_what_is_signed(sandbox: Sandbox) -> None:
    """The flag stands in the blob: the ledger may deliver less only where the user agreed."""
    payload = sandbox.create(PAYMENT)

    assert 0x00020000 == decode(signature_of(sandbox.sign(payload.uuid, delivered="1")).hex)["Flags"]
