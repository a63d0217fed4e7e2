from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from xrpl.core import binarycodec
from xrpl.core.addresscodec import classic_address_to_xaddress
from xrpl.core.keypairs import is_valid_message
from xrpl.wallet import Wallet

from processor.core.proof.codec import MAX_BLOB_DIGITS, address_of, prepare
from processor.core.proof.evidence import SignatureDoubt
from processor.core.proof.request_match import MAX_ASKED
from processor.core.proof.signed_blob import MAX_SIGNERS, SignatureClaim, SignedTransaction, prove, transaction_id
from tests.support.wallets import (
    ALICE,
    BOB,
    CAROL,
    KNOWN_ACCOUNT,
    KNOWN_SIGN_IN,
    SHOP,
    cosigned,
    payment,
    sign_in,
    signed,
)

ASKED = {"TransactionType": "Payment", "Destination": SHOP, "DestinationTag": 7, "Amount": "1000000"}
TRUE = SignatureClaim(
    blob=signed(payment()),
    txid=transaction_id(signed(payment())),
    account=ALICE.address,
    tx_type="Payment",
    signer=ALICE.address,
    signer_pubkey=ALICE.public_key,
    request=ASKED,
)
SIGN_IN = SignatureClaim(
    blob=KNOWN_SIGN_IN,
    txid=transaction_id(KNOWN_SIGN_IN),
    account=KNOWN_ACCOUNT,
    tx_type="SignIn",
    request={"TransactionType": "SignIn"},
)


def claim(blob: str, **changes: Any) -> SignatureClaim:
    """What the API would say of a payment with this blob."""
    plain = replace(TRUE, signer=None, signer_pubkey=None)
    return replace(plain, **({"blob": blob, "txid": transaction_id(blob)} | changes))


def proven(claimed: SignatureClaim) -> SignedTransaction:
    result = prove(claimed)
    assert isinstance(result, SignedTransaction), result
    return result


def doubt(claimed: SignatureClaim) -> tuple[str, str]:
    result = prove(claimed)
    assert isinstance(result, SignatureDoubt), result
    return result.field, result.reason


def test_a_blob_of_a_wallet_in_the_wild() -> None:
    """A SignIn, which has no TransactionType, proves its account."""
    transaction = proven(SIGN_IN)

    assert (KNOWN_ACCOUNT, KNOWN_ACCOUNT, "secp256k1", None) == (
        transaction.account,
        transaction.signature.account,
        transaction.signature.algorithm,
        transaction.signature.unauthorised,
    )


def test_a_payment_proves_what_it_says() -> None:
    """Signer, kind of key and last ledger come out of the blob, whichever case its digits have."""
    expected = proven(TRUE)

    assert (ALICE.address, "secp256k1", 90_000_020, None) == (
        expected.account,
        expected.signature.algorithm,
        expected.last_ledger_sequence,
        expected.network_id,
    )
    assert expected == proven(replace(TRUE, blob=str(TRUE.blob).lower()))


def test_a_key_of_the_other_curve() -> None:
    """Ed25519 proves as well."""
    blob = signed(payment(Account=BOB.address), BOB)

    assert "ed25519" == proven(claim(blob, account=BOB.address)).signature.algorithm


SIGNABLE: list[dict[str, Any]] = [
    payment(),
    payment(Amount={"currency": "USD", "issuer": SHOP, "value": "1.5"}, SendMax="5", NetworkID=21337),
    payment(TransactionType="AccountSet", Destination=None, DestinationTag=None, Amount=None, Domain="6578"),
    payment(Memos=[{"Memo": {"MemoData": "AB", "MemoType": "CD"}}], TicketSequence=4, Sequence=0),
    payment(
        TransactionType="TrustSet",
        Destination=None,
        DestinationTag=None,
        Amount=None,
        LimitAmount={"currency": "USD", "issuer": SHOP, "value": "100"},
    ),
    sign_in(),
]


@settings(max_examples=40, deadline=None)
@given(
    transaction=st.sampled_from(SIGNABLE),
    wallet=st.sampled_from([ALICE, BOB, CAROL]),
    sequence=st.integers(0, 2**32 - 1),
    flip=st.none() | st.integers(0, 10_000),
)
def test_the_verdict_is_that_of_the_ledger_s_library(
    transaction: dict[str, Any], wallet: Any, sequence: int, flip: int | None
) -> None:
    """A true blob is proven by both; with any bit changed it is not, though xrpl-py lets some spellings pass."""
    raw = bytearray.fromhex(signed(transaction | {"Account": wallet.address, "Sequence": sequence}, wallet))
    if flip is not None:
        at = flip % (len(raw) * 8)
        raw[at // 8] ^= 1 << at % 8
    blob = raw.hex().upper()
    tx_type = transaction.get("TransactionType", "SignIn")
    claimed = SignatureClaim(blob=blob, txid=transaction_id(blob), account=wallet.address, tx_type=tx_type, request={})
    result = prove(claimed)

    assert flip is not None or _valid_by_the_library(blob)
    assert isinstance(result, SignedTransaction) is (flip is None)


def _valid_by_the_library(blob: str) -> bool:
    try:
        decoded = binarycodec.decode(blob)
        message = bytes.fromhex(binarycodec.encode_for_signing(decoded))
        return is_valid_message(message, bytes.fromhex(decoded["TxnSignature"]), decoded["SigningPubKey"])
    except Exception:  # noqa: BLE001  it raises whatever comes
        return False


@given(blob=st.none() | st.text(max_size=300) | st.binary(max_size=300).map(bytes.hex))
def test_anything_at_all_is_judged(blob: str | None) -> None:
    """No text is proven by accident, and none raises."""
    assert isinstance(prove(replace(TRUE, blob=blob, txid=None)), SignatureDoubt)


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (None, "missing"),
        ("", "unreadable"),
        ("1 2", "unreadable"),
        ("123", "unreadable"),
        ("GG", "unreadable"),
        ("AB", "unreadable"),
        ("F1", "unreadable"),
        ("F9EA" * 4000, "unreadable"),
        ("00" * (MAX_BLOB_DIGITS // 2 + 1), "unreadable"),
        (f"{TRUE.blob}00", "unreadable"),
        (f"{TRUE.blob}E1", "unreadable"),
    ],
    ids=["none", "empty", "space", "odd", "no-hex", "field", "marker", "deep", "long", "trailing", "ended"],
)
def test_what_cannot_be_read_proves_nothing(blob: str | None, reason: str) -> None:
    """It disproves nothing either: a later look may."""
    result = prove(replace(TRUE, blob=blob, txid=None))

    assert SignatureDoubt(field="response.hex", reason=reason) == result  # type: ignore[arg-type]  given as text
    assert not result.disproves


FORGERIES: dict[str, tuple[SignatureClaim, tuple[str, str]]] = {
    "another hash": (replace(TRUE, txid="AB" * 32), ("response.txid", "differs")),
    "another account": (replace(TRUE, account=BOB.address), ("response.account", "differs")),
    "another signer": (replace(TRUE, signer=BOB.address), ("response.signer", "differs")),
    "another key": (replace(TRUE, signer_pubkey=BOB.public_key), ("response.signer_pubkey", "differs")),
    "cosigned for nobody": (replace(TRUE, multisign_account=BOB.address), ("response.multisign_account", "differs")),
    "another type": (replace(TRUE, tx_type="TrustSet"), ("TransactionType", "differs")),
    "a payment as sign-in": (replace(TRUE, tx_type="SignIn", request=None), ("TransactionType", "differs")),
    "a sign-in as payment": (
        replace(SIGN_IN, tx_type="Payment", request=None), ("TransactionType", "differs"),
    ),
    "unsigned": (claim(binarycodec.encode(payment(SigningPubKey=ALICE.public_key))), ("TxnSignature", "forged")),
    "keyless": (claim(binarycodec.encode(payment())), ("TxnSignature", "forged")),
    "without account": (claim(signed(payment(Account=None))), ("Account", "missing")),
    "signed for less": (
        claim(binarycodec.encode(binarycodec.decode(str(TRUE.blob)) | {"Amount": "9000000"})),
        ("TxnSignature", "forged"),
    ),
    "with another's key": (
        claim(binarycodec.encode(binarycodec.decode(str(TRUE.blob)) | {"SigningPubKey": CAROL.public_key})),
        ("TxnSignature", "forged"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_names_its_field(name: str) -> None:
    """What contradicts the API, or was signed by no such key, is told by field and reason, without a value."""
    forged, expected = FORGERIES[name]

    assert expected == doubt(forged)


def test_a_regular_key_is_not_proven_by_the_blob() -> None:
    """The address of the key stands apart from the account, for a ledger to judge."""
    blob = signed(payment(), BOB)
    transaction = proven(claim(blob, signer=BOB.address))

    assert (ALICE.address, BOB.address, BOB.address) == (
        transaction.account,
        transaction.signature.account,
        transaction.signature.unauthorised,
    )
    assert transaction == proven(claim(blob)) == proven(claim(blob, signer=ALICE.address))
    assert ("response.signer", "differs") == doubt(claim(blob, signer=CAROL.address))


@pytest.mark.parametrize("named_by", ["signer", "multisign_account", "signer_pubkey"])
@pytest.mark.parametrize("wallet", [BOB, CAROL])
def test_cosigners_are_all_checked(wallet: Wallet, named_by: str) -> None:
    """The API's account is the one that they act for; who signed is told by any of three fields."""
    name = wallet.public_key if named_by == "signer_pubkey" else wallet.address
    transaction = proven(claim(cosigned(payment(), BOB, CAROL), **{named_by: name}))

    assert (wallet.address, ALICE.address, "multisign", None) == (
        transaction.account,
        transaction.signature.account,
        transaction.signature.algorithm,
        transaction.signature.unauthorised,
    )


@pytest.mark.parametrize("multisign_account", [None, ALICE.address, BOB.address])
def test_either_spelling_of_the_cosigner_s_field(multisign_account: str | None) -> None:
    """It may name who signed, or for whom, or nobody."""
    plain = claim(cosigned(payment(), BOB), multisign_account=multisign_account)

    assert [BOB.address] * 2 == [proven(each).account for each in (plain, replace(plain, signer=BOB.address))]
    assert ALICE.address == proven(replace(TRUE, multisign_account=TRUE.account)).account


def test_several_cosigners_of_whom_none_is_named() -> None:
    """Whose payload it was is not known, which is no forgery."""
    blob = cosigned(payment(), BOB, CAROL)

    assert ("response.signer", "missing") == doubt(claim(blob, multisign_account=ALICE.address))


def test_the_account_of_several_signers_is_binding() -> None:
    """Nobody but who asked can say for whom it is to be signed."""
    blob = cosigned(payment(), BOB)

    assert ("Account", "differs") == doubt(claim(blob, request=ASKED | {"Account": CAROL.address}))
    assert BOB.address == proven(claim(blob, request=ASKED | {"Account": ALICE.address})).account


def test_a_cosigner_with_a_regular_key() -> None:
    """Signs for its own account with a key of another address."""
    transaction = proven(claim(cosigned(payment(), BOB, accounts=(SHOP,)), multisign_account=SHOP))

    assert (SHOP, BOB.address) == (transaction.account, transaction.signature.unauthorised)


def _spoilt_cosignature() -> str:
    decoded = binarycodec.decode(cosigned(payment(), BOB, CAROL))
    decoded["Signers"][1]["Signer"]["TxnSignature"] = decoded["Signers"][0]["Signer"]["TxnSignature"]
    return binarycodec.encode(decoded)


@pytest.mark.parametrize(
    ("blob", "expected", "changes"),
    [
        (_spoilt_cosignature(), ("Signers", "forged"), {}),
        (cosigned(payment(), BOB, BOB), ("Signers", "forged"), {}),
        (cosigned(payment()), ("Signers", "forged"), {}),
        (cosigned(payment(), *[BOB] * (MAX_SIGNERS + 1)), ("Signers", "forged"), {}),
        (cosigned(payment(TxnSignature="AB"), BOB), ("Signers", "forged"), {}),
        (cosigned(payment(), BOB), ("response.signer", "differs"), {"signer": CAROL.address}),
        (cosigned(payment(), BOB, CAROL), ("response.signer", "differs"), {"signer": SHOP}),
        (cosigned(payment(), BOB, CAROL), ("response.multisign_account", "differs"),
         {"signer": BOB.address, "multisign_account": CAROL.address}),
        (cosigned(payment(), BOB), ("response.account", "differs"), {"account": BOB.address}),
        (cosigned(payment(), BOB), ("response.multisign_account", "differs"), {"multisign_account": CAROL.address}),
        (cosigned(payment(), BOB), ("response.signer_pubkey", "differs"), {"signer_pubkey": CAROL.public_key}),
    ],
    ids=[
        "spoilt", "twice", "none", "many", "both", "stranger", "stranger-of-two", "two-names", "for-another",
        "other-spelling", "key",
    ],
)  # fmt: skip
def test_a_forged_cosignature(blob: str, expected: tuple[str, str], changes: dict[str, Any]) -> None:
    """One bad signature spoils them all, and nobody signs by being named."""
    assert expected == doubt(claim(blob, **changes))


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"Destination": BOB.address}, "Destination"),
        ({"DestinationTag": 8}, "DestinationTag"),
        ({"Amount": "1000001"}, "Amount"),
        ({"Amount": 1000001}, "Amount"),
        ({"Amount": {"currency": "USD", "issuer": SHOP, "value": "1"}}, "Amount"),
        ({"InvoiceID": "AB" * 32}, "InvoiceID"),
        ({"SourceTag": 1}, "SourceTag"),
        ({"Flags": 0x00020000}, "Flags"),
        ({"TransactionType": "TrustSet"}, "TransactionType"),
        ({"TransactionType": "SignIn"}, "TransactionType"),
        ({"TransactionType": ["Payment"]}, "TransactionType"),
        ({"Destination": classic_address_to_xaddress(SHOP, 8, is_test_network=False)}, "DestinationTag"),
        ({"Destination": classic_address_to_xaddress(BOB.address, 7, is_test_network=False)}, "Destination"),
    ],
)
def test_what_was_asked_differently(asked: dict[str, Any], field: str) -> None:
    """The signed transaction must have each field that the request named."""

    assert (field, "differs") == doubt(replace(TRUE, request=ASKED | asked))


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"Destination": "nobody"}, "Destination"),
        ({"Amount": 1000000.5}, "Amount"),
        ({"Amount": True}, "Amount"),
        ({"DestinationTag": 2**40}, "DestinationTag"),
        ({"InvoiceID": "short"}, "InvoiceID"),
    ],
)
def test_what_cannot_be_asked(asked: dict[str, Any], field: str) -> None:
    """A value that its field cannot have proves nothing, and is no forgery."""
    blob = signed(payment(InvoiceID="AB" * 32))

    assert (field, "unreadable") == doubt(claim(blob, request=ASKED | asked))


@pytest.mark.parametrize(
    "asked",
    [
        {"Fee": "10", "Sequence": 1, "LastLedgerSequence": 20, "Account": BOB.address},
        {"Memos": [{"Memo": {"MemoData": "plain"}}], "Paths": [], "SendMax": "9"},
        {"Flags": 0x80000000},
        {"Flags": {"tfPartialPayment": True}},
        {"Flags": 0},
        {"Amount": 1000000, "DestinationTag": "7"},
        {"Destination": classic_address_to_xaddress(SHOP, 7, is_test_network=False), "DestinationTag": None},
        {"InvoiceID": None, "Unheard": 1, "lower": []},
    ],
)
def test_what_a_wallet_may_fill_in(asked: dict[str, Any]) -> None:
    """Fees, sequences, paths and notations are the wallet's, and what no transaction has is not missed."""
    assert ALICE.address == proven(replace(TRUE, request=ASKED | asked)).account


def test_what_was_asked_must_be_known() -> None:
    """Without it nothing says that this is what was asked; only a pseudo transaction asks for nothing."""
    assert ("payload.request_json", "missing") == doubt(replace(TRUE, request=None))
    assert KNOWN_ACCOUNT == proven(replace(SIGN_IN, request=None)).account


def test_a_forced_account_is_binding() -> None:
    """The wallet chooses who signs, unless the request forces it."""
    forced = replace(TRUE, request=ASKED | {"Account": BOB.address}, force_account=True)

    assert ("Account", "differs") == doubt(forced)
    assert ALICE.address == proven(replace(forced, request=ASKED | {"Account": ALICE.address})).account


def test_issued_amounts_compare_by_value() -> None:
    """``1.50`` and ``1.5`` are the same amount, as the ledger writes it."""
    amount = {"currency": "USD", "issuer": SHOP, "value": "1.5"}
    blob = signed(payment(Amount=amount))

    assert ALICE.address == proven(claim(blob, request=ASKED | {"Amount": amount | {"value": "1.50"}})).account


def test_a_request_is_bounded() -> None:
    """More fields than any transaction has are not compared."""
    many = {f"F{number}": 1 for number in range(MAX_ASKED + 1)}

    assert ("payload.request_json", "unreadable") == doubt(replace(TRUE, request=many))


def test_a_doubt_has_no_blob() -> None:
    """Neither what is claimed nor what is doubted shows the blob."""
    forged = replace(TRUE, account=BOB.address)

    assert TRUE.blob is not None
    assert TRUE.blob not in repr(forged) + repr(prove(forged))


def test_the_codec_can_be_loaded_early() -> None:
    """Loading it twice is loading it once."""
    prepare()
    prepare()

    assert KNOWN_ACCOUNT == proven(SIGN_IN).account


def test_as_many_signers_as_there_may_be() -> None:
    """32; a list of 33 is none."""
    accounts = [Wallet.from_entropy(f"{number:032x}").address for number in range(MAX_SIGNERS)]
    blob = cosigned(payment(), *[BOB] * MAX_SIGNERS, accounts=tuple(accounts))

    assert 32 == MAX_SIGNERS
    assert accounts[-1] == proven(claim(blob, multisign_account=accounts[-1])).account


def _remembering(digits: int) -> tuple[str, str]:
    """The account and the blob of a payment with a long memo, written and signed by hand: xrpl-py takes minutes."""
    secret = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    key = f"ED{secret.public_key().public_bytes_raw().hex().upper()}"
    account = address_of(bytes.fromhex(key))
    length = (0xF10000 + digits // 2 - 12481).to_bytes(3).hex()
    plain = binarycodec.encode(payment(Account=account, SigningPubKey=key))
    unsigned = f"{plain}F9EA7D{length}{'AB' * (digits // 2)}E1F1".upper()
    signature = secret.sign(b"STX\x00" + bytes.fromhex(unsigned)).hex().upper()
    return account, unsigned.replace(f"7321{key}", f"7321{key}7440{signature}", 1)


def test_longest_blob_that_is_read() -> None:
    """256 K hexadecimal digits, and not two more."""
    spare = MAX_BLOB_DIGITS - len(_remembering(100_000)[1])
    (account, longest), (_, longer) = _remembering(100_000 + spare), _remembering(100_002 + spare)

    assert 262_144 == MAX_BLOB_DIGITS == len(longest)
    assert account == proven(claim(longest, account=account)).account
    assert ("response.hex", "unreadable") == doubt(claim(longer, account=account))


def with_field(blob: str, field: str, *, before: str) -> str:
    """``blob`` with another field in its place."""
    at = blob.index(before)
    return blob[:at] + field + blob[at:]


def test_a_second_signature_that_nothing_covers() -> None:
    """A field that no transaction has, and that the signature does not cover, was put in by somebody else."""
    assert ("response.hex", "forged") == doubt(claim(with_field(str(TRUE.blob), "701202ABCD", before="8114")))


@pytest.mark.parametrize("signers", [(), (BOB,)])
def test_transaction_of_nobody(signers: tuple[Wallet, ...]) -> None:
    """Is told before its signatures are looked at."""
    nobody = payment(Account=None)
    blob = cosigned(nobody, *signers) if signers else binarycodec.encode(nobody)

    assert ("Account", "missing") == doubt(claim(blob))


def _signers_of(change: Any) -> str:
    decoded = binarycodec.decode(cosigned(payment(), BOB))
    return binarycodec.encode(decoded | {"Signers": [change(decoded["Signers"][0])]})


@pytest.mark.parametrize(
    "change",
    [
        lambda signer: {"SignerEntry": signer["Signer"]},
        lambda signer: {"Signer": signer["Signer"] | {"SignerWeight": 1}},
        lambda signer: {"Signer": {k: v for k, v in signer["Signer"].items() if k != "Account"}},
        lambda signer: {"Signer": {k: v for k, v in signer["Signer"].items() if k != "SigningPubKey"}},
        lambda signer: {"Signer": {k: v for k, v in signer["Signer"].items() if k != "TxnSignature"}},
    ],
    ids=["name", "more", "account", "key", "signature"],
)
def test_cosigner_of_another_form(change: Any) -> None:
    """Account, key and signature, and nothing else."""
    assert ("Signers", "forged") == doubt(claim(_signers_of(change)))


def test_cosigner_without_an_account() -> None:
    """An empty one is missing, whatever it signed."""
    blob = cosigned(payment(), BOB)
    at = blob.index("8114", blob.index("F3E010"))

    assert ("Signers", "missing") == doubt(claim(f"{blob[:at]}8100{blob[at + 44 :]}"))


def test_cosigned_transaction_with_a_key_of_its_own() -> None:
    """Has either one signature or several."""
    decoded = binarycodec.decode(cosigned(payment(), BOB))

    assert ("Signers", "forged") == doubt(claim(binarycodec.encode(decoded | {"SigningPubKey": ALICE.public_key})))
    assert ("Signers", "forged") == doubt(
        claim(binarycodec.encode({k: v for k, v in decoded.items() if k != "SigningPubKey"}))
    )


def test_only_one_of_several_signers_cosigns() -> None:
    """A wallet submits what one signature suffices for."""
    assert [False, True] == [proven(each).cosigned for each in (TRUE, claim(cosigned(payment(), BOB)))]


@pytest.mark.parametrize(
    ("network_id", "network", "expected"),
    [
        (None, "MAINNET", None),
        (21337, "MAINNET", 21337),
        (None, None, None),
    ],
)
def test_network_that_was_signed_for(network_id: int | None, network: str | None, expected: int | None) -> None:
    """A transaction may name it, and says nothing otherwise."""
    assert expected == proven(claim(signed(payment(NetworkID=network_id)), network=network)).network_id


def test_last_ledger_may_be_open() -> None:
    """A transaction need not name one."""
    assert proven(claim(signed(payment(LastLedgerSequence=None)))).last_ledger_sequence is None


def test_a_claim_says_nothing_by_default() -> None:
    """What the API does not tell is not made up."""
    bare = SignatureClaim(blob=None, txid=None, account=None, tx_type="Payment")

    assert (None, None, None, None, False, None) == (
        bare.signer,
        bare.signer_pubkey,
        bare.multisign_account,
        bare.request,
        bare.force_account,
        bare.network,
    )
