"""The bytes of transactions, taken apart."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xrpl.core import binarycodec

from processor.core.proof.definitions import definitions_of
from processor.core.proof.serialized import MAX_DEPTH, NOT_SIGNED, FieldId, Malformed, parse_serialized
from tests.core.transactions import TYPES, least_of
from tests.support.wallets import ALICE, BOB, KNOWN_SIGN_IN, cosigned, payment, signed

PATHS = [[{"account": BOB.address}], [{"currency": "USD", "issuer": BOB.address}, {"currency": "XRP"}]]


@pytest.mark.parametrize("tx_type", TYPES)
def test_what_was_signed_is_cut_out(tx_type: str) -> None:
    """As xrpl-py would write it for signing, and all fields together are the blob again."""
    whole = least_of(tx_type) | {"SigningPubKey": ALICE.public_key}
    blob = bytes.fromhex(signed(whole))
    transaction = parse_serialized(blob)

    assert binarycodec.encode_for_signing(whole) == (b"STX\x00" + transaction.signed).hex().upper()
    assert blob == b"".join(field.serialized for field in transaction.fields)
    assert definitions_of("MAINNET").types[tx_type] == transaction.number(FieldId(1, 2))


def test_fields_of_every_shape_are_read() -> None:
    """Paths, several signers and a long blob have their bounds where xrpl-py has them."""
    whole = payment(Paths=PATHS, SendMax="9", Memos=[{"Memo": {"MemoData": "AB" * size}} for size in (192, 193, 12481)])
    transaction = parse_serialized(bytes.fromhex(cosigned(whole, ALICE, BOB)))
    memos, signers = (transaction.field(FieldId(15, number)) for number in (9, 3))

    assert memos is not None
    assert signers is not None
    assert [192, 193, 12481] == [len(each.inner[0].value) for each in memos.inner]
    assert [bytes.fromhex(wallet.public_key) for wallet in (ALICE, BOB)] == [
        each.get(FieldId(7, 3)) for each in signers.inner
    ]
    assert FieldId(18, 1) in set(transaction.ids)


def test_the_fields_that_no_signature_covers() -> None:
    """Are those that the library leaves out when it writes for signing."""
    fields = binarycodec.definitions.definitions.load_definitions()
    expected = {
        FieldId(fields["TYPES"][each["type"]], each["nth"])
        for each in fields["FIELDS"].values()
        if each["isSerialized"] and not each["isSigningField"]
    }

    assert expected == NOT_SIGNED


SEQUENCE, FEE, FLAGS = "2400000005", "68400000000000000C", "2200000000"


@pytest.mark.parametrize(
    "blob",
    [
        FLAGS + FLAGS,
        SEQUENCE + FLAGS,
        f"{FLAGS}E1",
        f"{FLAGS}F1",
        "22000000",
        "20022200000000",
        "0022",
        "00",
        "20",
        "7403ABCD",
        "74FF",
        "8113" + "AB" * 19,
        "031321" + "AB" * 33,
        "F9EA7D01ABE1",
        "F9EA",
        "F97D01AB",
        "F9E1F1",
        "EA" * (MAX_DEPTH + 1) + "E1" * (MAX_DEPTH + 1),
        "EA7E01AB7D01ABE1",
        "EA7D01AB7D01ABE1",
        "0112800000",
        "01122100",
        "01FF",
        "C0",
        "60",
        "011904",
    ],
)
def test_what_is_not_the_canonical_form(blob: str) -> None:
    """Order, repetition, headers, lengths, ends and depth are those that a ledger writes, or nothing is read."""
    with pytest.raises(Malformed):
        parse_serialized(bytes.fromhex(blob))


def test_the_deepest_nesting_that_is_read() -> None:
    """Is the ledger's own."""
    nested = parse_serialized(bytes.fromhex("EA" * MAX_DEPTH + "E1" * MAX_DEPTH))

    assert [FieldId(14, 10)] * MAX_DEPTH == list(nested.ids)


@given(blob=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(blob: bytes) -> None:
    """Whatever they are, they are malformed or the very fields that they are read as."""
    _is_what_it_is_read_as(blob)


@given(edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3), cut=st.integers(0, 400))
def test_any_spoilt_blob_is_read_or_refused(edits: list[tuple[int, int]], cut: int) -> None:
    """Likewise what was once a transaction."""
    whole: Any = bytearray.fromhex(cosigned(payment(Paths=PATHS), ALICE, BOB) if cut % 2 else KNOWN_SIGN_IN)
    for at, value in edits:
        whole[at % len(whole)] = value
    _is_what_it_is_read_as(bytes(whole[: len(whole) - cut // 20]))


def _is_what_it_is_read_as(blob: bytes) -> None:
    try:
        transaction = parse_serialized(blob)
    except Malformed:
        return
    ids = [field.id for field in transaction.fields]

    assert blob == b"".join(field.serialized for field in transaction.fields)
    assert ids == sorted(set(ids))
    assert all(each.value in each.serialized for each in transaction.fields)
