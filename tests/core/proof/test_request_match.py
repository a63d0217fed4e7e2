"""What was asked, and what a wallet made of it by design."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xrpl.core import binarycodec
from xrpl.core.addresscodec import classic_address_to_xaddress
from xrpl.core.keypairs import sign

from processor.core.proof.evidence import SignatureDoubt
from processor.core.proof.request_match import MAX_ASKED
from processor.core.proof.signed_blob import SignatureClaim, SignedTransaction, prove, transaction_id
from processor.core.sign_request.template import faults_in
from tests.core.transactions import least_of
from tests.support.wallets import ALICE, BOB, CAROL, SHOP, cosigned, payment, signed, signed_as_it_is

Json = dict[str, Any]


def claim(blob: str, request: Json, **changes: Any) -> SignatureClaim:
    claimed = SignatureClaim(
        blob=blob,
        txid=transaction_id(blob),
        account=ALICE.address,
        tx_type=str(request.get("TransactionType")),
        request=request,
        network="MAINNET",
    )
    return replace(claimed, **changes)


def verdict(blob: str, request: Json, **changes: Any) -> tuple[str, str] | None:
    """What is doubted; None if all is proven."""
    result = prove(claim(blob, request, **changes))
    return None if isinstance(result, SignedTransaction) else (result.field, result.reason)


CODES = ["585250", "414243", "787870", "2E2E2E", "000000", "FF4243"]
"""Three bytes where a standard currency code has its letters: XRP, letters, marks that are no letters, none at all."""


@pytest.mark.parametrize("letters", CODES)
@pytest.mark.parametrize("spread", [False, True])
def test_currencies_that_look_like_standard_ones(letters: str, *, spread: bool) -> None:
    """Whatever the forty digits are, they are compared as they were signed."""
    code = f"{'01' if spread else '00'}{'00' * 11}{letters}0000000000"
    amount = {"currency": "USD", "issuer": SHOP, "value": "1.5"}
    usd = "0000000000000000000000005553440000000000"
    unsigned = binarycodec.encode(payment(Amount=amount) | {"SigningPubKey": ALICE.public_key})
    blob = signed_as_it_is(unsigned.replace(usd, code))
    other = f"{code[:-1]}1"
    asked = payment(Amount=amount | {"currency": code})

    assert verdict(blob, asked) is None
    assert ("Amount", "differs") == verdict(blob, payment(Amount=amount | {"currency": other}))


@settings(max_examples=25, deadline=None)
@given(value=st.integers(0, 2**63 - 1), other=st.integers(0, 2**63 - 1))
def test_amounts_of_tokens_are_decimal(value: int, other: int) -> None:
    """Also where the digits could be hexadecimal ones."""
    blob = signed(least_of("MPTokenIssuanceCreate", MaximumAmount=str(value)))
    asked = least_of("MPTokenIssuanceCreate", MaximumAmount=str(other))

    assert verdict(blob, asked | {"MaximumAmount": str(value)}) is None
    assert verdict(blob, asked) == (None if value == other else ("MaximumAmount", "differs"))


def part(account: str, **changes: Any) -> Json:
    inner = payment(Account=account, Fee="0", Flags=0x40000000, SigningPubKey="", LastLedgerSequence=None)
    return {"RawTransaction": inner | changes}


BATCH = {
    "TransactionType": "Batch",
    "Flags": 65536,
    "RawTransactions": [part(ALICE.address, Sequence=6), part(CAROL.address, Amount="7")],
}
SIGNED_BATCH = BATCH | {"Account": ALICE.address, "Fee": "60", "Sequence": 5}
BATCH_SIGNER = {"BatchSigner": {"Account": CAROL.address, "SigningPubKey": CAROL.public_key, "TxnSignature": "AB" * 64}}
BATCH_BLOB = signed(SIGNED_BATCH)
UUID = "8d9da6a3-ffdc-4e73-ae31-75ab74d290bd"


@pytest.mark.parametrize(
    "signers", [[UUID], ["12AB" * 3000], [UUID, "12AB"], [BATCH_SIGNER], [], None], ids=lambda each: str(each)[:20]
)
def test_a_batch_whose_signers_are_put_in_later(signers: list[Any] | None) -> None:
    """Signers asked by payload or by blob become the signatures in them, which the outer signature does not cover."""
    request = BATCH | ({} if signers is None else {"BatchSigners": signers})
    blob = signed(SIGNED_BATCH | {"BatchSigners": [BATCH_SIGNER]})

    assert () == faults_in(request)
    assert verdict(blob, request) is None


def test_a_batch_as_the_wallet_s_help_shows_it() -> None:
    """Its parts come with another spelling of a field, and without a sequence or a network."""
    shown = {"SigningPubkey": "", "Fee": "0", "Flags": 1073741824}
    inner = {"TransactionType": "Payment", "Account": ALICE.address, "Destination": SHOP, "Amount": "5"}
    request = BATCH | {"RawTransactions": [{"RawTransaction": inner | shown}] * 2}
    whole = {"RawTransaction": inner | {"SigningPubKey": "", "Fee": "0", "Flags": 1073741824, "Sequence": 6}}

    assert () == faults_in(request)
    assert verdict(signed(SIGNED_BATCH | {"RawTransactions": [whole, whole]}), request) is None


@pytest.mark.parametrize(
    "parts",
    [
        [part(ALICE.address, Sequence=6)],
        [part(ALICE.address, Sequence=6), part(CAROL.address, Amount="8")],
        [part(ALICE.address, Sequence=6), part(BOB.address, Amount="7")],
        [part(CAROL.address, Amount="7"), part(ALICE.address, Sequence=6)],
        [part(ALICE.address, Sequence=6), part(CAROL.address, Amount="7", SendMax="9")],
        [part(ALICE.address, Sequence=6), part(CAROL.address, Amount="7", DestinationTag=None)],
        [part(ALICE.address, Sequence=6), part(CAROL.address, Amount="7", TransactionType="CheckCash")],
    ],
    ids=["fewer", "amount", "account", "order", "more", "less", "type"],
)
def test_parts_of_a_batch_that_were_not_asked(parts: list[Json]) -> None:
    """What a part does must be what was asked of it."""
    kept = [{"RawTransaction": {k: v for k, v in each["RawTransaction"].items() if v is not None}} for each in parts]

    assert ("RawTransactions", "differs") == verdict(signed(SIGNED_BATCH | {"RawTransactions": kept}), BATCH)


def test_a_flag_within_a_batch() -> None:
    """Must be there if it was asked for."""
    parts = [part(ALICE.address, Sequence=6, Flags=0x40020000), part(CAROL.address, Amount="7")]

    assert ("Flags", "differs") == verdict(BATCH_BLOB, BATCH | {"RawTransactions": parts})


ISSUED = {"currency": "USD", "issuer": SHOP, "value": "1"}


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ({"LastLedgerSequence": 20}, {"LastLedgerSequence": 90_000_020}),
        ({"LastLedgerSequence": 80_000_000}, {"LastLedgerSequence": 90_000_150}),
        ({}, {"NetworkID": 21337}),
        ({"Amount": ISSUED}, {"Amount": ISSUED, "SendMax": "5", "Paths": [[{"currency": "USD", "issuer": SHOP}]]}),
        ({"Amount": ISSUED, "SendMax": "4"}, {"Amount": ISSUED, "SendMax": ISSUED | {"currency": "EUR"}}),
        ({"Fee": "10", "Sequence": 0, "SigningPubKey": ""}, {"Fee": "12"}),
        ({"Account": BOB.address}, {}),
        ({"Account": None}, {}),
        ({"Flags": 0x00010000}, {"Flags": 0x80010000}),
        ({"Memos": [{"Memo": {"MemoData": "plain"}}]}, {"Memos": [{"Memo": {"MemoData": "706C61696E"}}]}),
    ],
)
def test_what_the_wallet_fills_in_or_replaces(asked: Json, made: Json) -> None:
    """Ledger, network, path, fee, sequence and notation are the wallet's."""
    request = {"TransactionType": "Payment", "Destination": SHOP, "Amount": "1000000"} | asked

    assert verdict(signed(payment(**made)), request) is None


@pytest.mark.parametrize(
    "request_json",
    [
        {"TransactionType": "Payment", "Account": CAROL.address, "Destination": SHOP, "Amount": "1000000",
         "Fee": "36", "Sequence": 5, "SigningPubKey": ""},
        {"TransactionType": "Payment", "Account": CAROL.address, "Destination": SHOP, "Amount": "1000000",
         "Signers": [], "TxnSignature": ""},
    ],
)  # fmt: skip
def test_a_template_for_several_signers(request_json: Json) -> None:
    """An empty key and no signatures yet, as the ledger's own manual has it."""
    blob = cosigned(payment(Account=CAROL.address), BOB)

    assert () == faults_in(request_json)
    assert verdict(blob, request_json, account=CAROL.address, multisign_account=BOB.address) is None


@pytest.mark.parametrize("asked", [{"TransactionType": "SignIn", "SignIn": True}, {"SignIn": True}])
def test_a_sign_in_is_asked_with_a_mark(asked: Json) -> None:
    """The API may show the mark that the wallet's signer library sets."""
    blob = signed({"Account": ALICE.address, "Fee": "0", "Flags": 0, "Sequence": 0})

    assert verdict(blob, asked, tx_type="SignIn") is None


CHANNEL = {"TransactionType": "PaymentChannelAuthorize", "Channel": "AB" * 32, "Amount": "1000000"}
CLAIMED = bytes.fromhex(binarycodec.encode_for_signing_claim({"channel": "AB" * 32, "amount": "1000000"}))


def channel_claim(wallet: Any = ALICE, **changes: Any) -> SignatureClaim:
    blob = sign(CLAIMED, wallet.private_key)
    plain = claim(blob, CHANNEL, txid=None, account=wallet.address, signer_pubkey=wallet.public_key)
    return replace(plain, **changes)


@pytest.mark.parametrize("txid", [None, "AB" * 32])
@pytest.mark.parametrize("wallet", [ALICE, BOB])
def test_a_claim_on_a_payment_channel(wallet: Any, txid: str | None) -> None:
    """Its blob is the bare signature of what was asked, by the key that the API names; it has no hash to compare."""
    result = prove(channel_claim(wallet, txid=txid))

    assert isinstance(result, SignedTransaction)
    assert (wallet.address, wallet.address, None) == (
        result.account,
        result.signature.account,
        result.signature.unauthorised,
    )


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"request": CHANNEL | {"Amount": "1000001"}}, SignatureDoubt(field="response.hex", reason="forged")),
        ({"request": CHANNEL | {"Channel": "AC" * 32}}, SignatureDoubt(field="response.hex", reason="forged")),
        ({"signer_pubkey": CAROL.public_key}, SignatureDoubt(field="response.hex", reason="forged")),
        ({"signer": CAROL.address}, SignatureDoubt(field="response.signer", reason="differs")),
        ({"signer_pubkey": None}, SignatureDoubt(field="response.signer_pubkey", reason="missing")),
        (
            {"request": CHANNEL | {"Amount": "9" * 20}},
            SignatureDoubt(field="payload.request_json", reason="unreadable"),
        ),
        ({"request": CHANNEL | {"Amount": str(2**63)}}, None),
        ({"request": {}}, SignatureDoubt(field="payload.request_json", reason="unreadable")),
        ({"blob": signed(payment())}, SignatureDoubt(field="response.hex", reason="forged")),
    ],
)
def test_a_claim_that_proves_nothing(changes: Json, doubt: SignatureDoubt | None) -> None:
    """Another channel, amount or key signed nothing of the kind, and what the API leaves out is only missing."""
    assert (doubt or SignatureDoubt(field="response.hex", reason="forged")) == prove(channel_claim(**changes))


def test_a_claim_with_a_regular_key() -> None:
    """The address of the key stands apart, for a ledger to judge."""
    result = prove(channel_claim(ALICE, account=SHOP))

    assert isinstance(result, SignedTransaction)
    assert (SHOP, ALICE.address) == (result.account, result.signature.unauthorised)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from([SHOP, "AB", "USD"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["RawTransaction", "Memo", "Account", "value", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = [
    "Amount",
    "Destination",
    "RawTransactions",
    "Flags",
    "Paths",
    "Asset",
    "InvoiceID",
    "Signers",
    "Fee",
    "x",
    "Account",
]


@given(request=st.dictionaries(st.sampled_from(NAMES), json_values, max_size=4), force_account=st.booleans())
def test_whatever_was_asked_is_judged(request: Json, *, force_account: bool) -> None:
    """No JSON raises, be it what no template could be."""
    whole = BATCH | request
    result = prove(claim(BATCH_BLOB, whole, force_account=force_account))

    assert isinstance(result, SignedTransaction | SignatureDoubt)


def test_a_request_of_as_many_fields_as_can_be_compared() -> None:
    """64 are, one more is not."""
    blob = signed(payment())
    fields = payment() | {f"F{number}": 1 for number in range(64 - len(payment()))}

    assert 64 == MAX_ASKED == len(fields)
    assert verdict(blob, fields) is None
    assert ("payload.request_json", "unreadable") == verdict(blob, fields | {"F": 1})


SIGNER_LIST = {
    "TransactionType": "SignerListSet",
    "SignerQuorum": 1,
    "SignerEntries": [{"SignerEntry": {"Account": BOB.address, "SignerWeight": 1}}],
}
SIGNER_LIST_BLOB = signed(SIGNER_LIST | {"Account": ALICE.address, "Fee": "12", "Sequence": 5})


@pytest.mark.parametrize(
    "entries",
    [
        [],
        {},
        "SignerEntry",
        ["SignerEntry"],
        [None],
        [{}],
        [{"SignerEntry": {"Account": BOB.address, "SignerWeight": 1}, "Memo": {}}],
        [{"SignerEntry": {"Account": BOB.address}}],
        [{"SignerEntry": {"Account": BOB.address, "SignerWeight": 2}}],
        [{"SignerEntry": {"Account": BOB.address, "SignerWeight": 1, "WalletLocator": "AB" * 32}}],
        [{"SignerEntry": [BOB.address]}],
        [{"Memo": {"Account": BOB.address, "SignerWeight": 1}}],
        [{"Unheard": {"Account": BOB.address, "SignerWeight": 1}}],
        [{"SignerEntry": {"Account": BOB.address, "SignerWeight": 1}}] * 2,
    ],
    ids=str,
)
def test_an_array_must_be_as_asked(entries: Any) -> None:
    """Element by element, each an object of one name with what was asked and no more."""
    assert verdict(SIGNER_LIST_BLOB, SIGNER_LIST) is None
    assert ("SignerEntries", "differs") == verdict(SIGNER_LIST_BLOB, SIGNER_LIST | {"SignerEntries": entries})


def test_nothing_is_asked_of_an_element_by_saying_nothing() -> None:
    """Null and empty text ask for nothing, also within an array; what is no field of the ledger is not missed."""
    entry = {"Account": BOB.address, "SignerWeight": 1, "WalletLocator": None, "unheard": 1}

    assert verdict(SIGNER_LIST_BLOB, SIGNER_LIST | {"SignerEntries": [{"SignerEntry": entry}]}) is None


def test_an_unreadable_value_within_an_array() -> None:
    """Proves nothing, and is named by its own field."""
    entry = {"Account": BOB.address, "SignerWeight": 2**40}

    assert ("SignerWeight", "unreadable") == verdict(
        SIGNER_LIST_BLOB, SIGNER_LIST | {"SignerEntries": [{"SignerEntry": entry}]}
    )


def test_a_type_that_was_not_asked_by_name() -> None:
    """The type that the API names is held against the signed one, though the request names none."""
    request = {"Destination": SHOP, "Amount": "1000000"}
    blob = signed(payment())

    assert verdict(blob, request, tx_type="Payment") is None
    assert ("TransactionType", "differs") == verdict(blob, request, tx_type="TrustSet")
    assert ("TransactionType", "unreadable") == verdict(blob, request, tx_type="Unheard")
    assert ("TransactionType", "differs") == verdict(
        signed(payment(TransactionType="TicketCreate")), request, tx_type="Payment"
    )


def test_a_signature_that_no_signature_covers() -> None:
    """A field ``Signature`` can be put into a blob by anybody: it counts only if it was asked for."""
    blob = signed(payment())
    at = blob.index("8114")
    whole = f"{blob[:at]}7602ABCD{blob[at:]}"
    request = {"TransactionType": "Payment", "Amount": "1000000"}

    assert ("Signature", "differs") == verdict(whole, request)
    assert ("Signature", "differs") == verdict(whole, request | {"Signature": ""})
    assert ("Signature", "differs") == verdict(whole, request | {"Signature": "ABCE"})
    assert verdict(whole, request | {"Signature": "ABCD"}) is None


@pytest.mark.parametrize(
    ("asked", "signed_flags", "expected"),
    [
        (1, 1, None),
        (1, 3, None),
        (3, 1, ("Flags", "differs")),
        (1, None, ("Flags", "differs")),
        (0, None, None),
        (True, 0, None),
        ("1", 0, None),
    ],
)
def test_flags_that_were_asked_by_number(asked: Any, signed_flags: int | None, expected: Any) -> None:
    """Each must be set; more may be, and what is no number asks for none."""
    blob = signed(payment(Flags=signed_flags))

    assert expected == verdict(blob, {"TransactionType": "Payment", "Flags": asked})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [({"DestinationTag": True}, "DestinationTag"), ({"DestinationTag": 1}, None), ({"DestinationTag": "1"}, None)],
)
def test_a_truth_is_no_number(asked: Json, expected: str | None) -> None:
    """Where a number was signed, true is none."""
    blob = signed(payment(DestinationTag=1))
    found = verdict(blob, {"TransactionType": "Payment"} | asked)

    assert (None if expected is None else (expected, "unreadable")) == found


def test_an_x_address_without_a_tag() -> None:
    """Asks for the address alone."""
    bare = classic_address_to_xaddress(SHOP, None, is_test_network=False)

    assert verdict(signed(payment()), {"TransactionType": "Payment", "Destination": bare}) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Account", BOB.address),
        ("Fee", "1"),
        ("Sequence", 1),
        ("TicketSequence", 1),
        ("LastLedgerSequence", 1),
        ("NetworkID", 1),
        ("SigningPubKey", "AB"),
        ("TxnSignature", "AB"),
        ("Signers", [BATCH_SIGNER]),
        ("BatchSigners", [BATCH_SIGNER]),
        ("CounterpartySignature", {}),
        ("SponsorSignature", {}),
        ("Paths", [[{"account": BOB.address}]]),
        ("SendMax", "1"),
        ("DeliverMin", "1"),
        ("Memos", [{"Memo": {"MemoData": "AB"}}]),
        ("Flags", "tfPartialPayment"),
    ],
)
def test_each_field_that_is_left_to_the_wallet(name: str, value: Any) -> None:
    """It may be another, or not be there at all."""
    whole, bare = signed(payment()), signed(payment(LastLedgerSequence=None, Flags=None))

    assert [None, None] == [verdict(blob, {"TransactionType": "Payment", name: value}) for blob in (whole, bare)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Fee": "5"}, None),
        ({"Sequence": 99}, None),
        ({"TicketSequence": 99}, None),
        ({"NetworkID": 99}, None),
        ({"SigningPubKey": "AB"}, None),
        ({"Flags": 0}, None),
        ({"Flags": "none"}, None),
        ({"Destination": None}, None),
        ({"SourceTag": 1}, ("RawTransactions", "differs")),
        ({"SourceTag": None}, None),
        ({"Memos": [{"Memo": {"MemoData": "AB"}}]}, ("RawTransactions", "differs")),
        ({"Amount": 1.5}, ("Amount", "unreadable")),
    ],
)
def test_each_field_that_is_left_in_a_part(changes: Json, expected: Any) -> None:
    """Fewer than in a whole transaction: a batch is signed as it was put together."""
    parts = [part(ALICE.address, Sequence=6), part(CAROL.address, Amount="7")]
    parts[1] = {"RawTransaction": parts[1]["RawTransaction"] | changes}

    assert expected == verdict(BATCH_BLOB, BATCH | {"RawTransactions": parts})


@pytest.mark.parametrize("field", ["Fee", "Sequence", "SigningPubKey", "Flags"])
def test_part_that_was_asked_without_what_is_filled_in(field: str) -> None:
    """The wallet completes it."""
    bare = [
        {"RawTransaction": {k: v for k, v in each["RawTransaction"].items() if k != field}}
        for each in (part(ALICE.address, Sequence=6), part(CAROL.address, Amount="7"))
    ]

    assert verdict(BATCH_BLOB, BATCH | {"RawTransactions": bare}) is None


@pytest.mark.parametrize("field", ["TicketSequence", "NetworkID"])
def test_part_that_was_signed_with_more_that_is_filled_in(field: str) -> None:
    """Likewise."""
    parts = [part(ALICE.address, Sequence=6, **{field: 4711}), part(CAROL.address, Amount="7")]

    assert verdict(signed(SIGNED_BATCH | {"RawTransactions": parts}), BATCH) is None


def test_part_without_flags_has_none() -> None:
    """What was asked must be set there, too."""
    parts = [part(ALICE.address, Sequence=6), part(CAROL.address, Amount="7")]
    bare = [{"RawTransaction": {k: v for k, v in each["RawTransaction"].items() if k != "Flags"}} for each in parts]
    blob = signed(SIGNED_BATCH | {"RawTransactions": bare})

    assert ("Flags", "differs") == verdict(blob, BATCH)
    assert verdict(blob, BATCH | {"RawTransactions": bare}) is None
