"""The bytes of transactions, taken apart."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xrpl.core import binarycodec

from processor.core.proof.definitions import definitions_of
from processor.core.proof.serialized import (
    ACCOUNT,
    BATCH_SIGNERS,
    COUNTERPARTY_SIGNATURE,
    LAST_LEDGER_SEQUENCE,
    MASTER_SIGNATURE,
    MAX_DEPTH,
    NETWORK_ID,
    NOT_SIGNED,
    SIGNATURE,
    SIGNER,
    SIGNERS,
    SIGNING_PUB_KEY,
    TRANSACTION_TYPE,
    TXN_SIGNATURE,
    FieldId,
    Malformed,
    parse_serialized,
)
from processor.core.proof.serialized import FLAGS as FLAGS_ID
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


def fields_of(blob: str) -> list[tuple[FieldId, str, str]]:
    return [
        (each.id, each.serialized.hex().upper(), each.value.hex().upper())
        for each in parse_serialized(bytes.fromhex(blob)).fields
    ]


A, B, ZERO = "AB" * 20, "CD" * 20, "00" * 20
TOKEN_ISSUER = "00" * 19 + "01"


@pytest.mark.parametrize(
    ("header", "size", "kind", "number"),
    [
        ("12", 2, 1, 2),
        ("24", 4, 2, 4),
        ("31", 8, 3, 1),
        ("41", 16, 4, 1),
        ("51", 32, 5, 1),
        ("91", 12, 9, 1),
        ("A1", 4, 10, 1),
        ("B1", 8, 11, 1),
        ("0110", 1, 16, 1),
        ("0111", 20, 17, 1),
        ("0114", 12, 20, 1),
        ("0115", 24, 21, 1),
        ("0116", 48, 22, 1),
        ("0117", 64, 23, 1),
        ("011A", 20, 26, 1),
        ("001010", 1, 16, 16),
        ("2010", 4, 2, 16),
        ("20FF", 4, 2, 255),
    ],
)
def test_types_of_fixed_size(header: str, size: int, kind: int, number: int) -> None:
    """Headers of one, two and three bytes, and values that are read in full or not at all."""
    blob = header + "AB" * size

    assert [(FieldId(kind, number), blob, "AB" * size)] == fields_of(blob)
    for wrong in (blob[:-2], blob + "AB" * size):
        with pytest.raises(Malformed):
            fields_of(wrong)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("61", "4" + "0" * 15),
        ("61", "00" + "AB" * 7),
        ("61", "20" + "AB" * 32),
        ("61", "60" + "AB" * 32),
        ("61", "80" + "AB" * 47),
        ("61", "D5" + "AB" * 47),
        ("61", "A0" + "AB" * 47),
        ("0112", "00"),
        ("0112", f"01{A}00"),
        ("0112", f"10{A}00"),
        ("0112", f"20{A}00"),
        ("0112", f"40{A}ABABABAB00"),
        ("0112", f"31{A}{A}{A}00"),
        ("0112", f"01{A}10{A}FF30{A}{A}00"),
        ("0112", "FF00"),
        ("0118", ZERO),
        ("0118", A + B),
        ("0118", f"{A}{TOKEN_ISSUER}ABABABAB"),
        ("0119", f"14{A}{ZERO}14{B}{A}{B}"),
        ("0119", f"14{A}{ZERO}14{B}{A}{TOKEN_ISSUER}ABABABAB"),
    ],
)
def test_types_that_say_how_long_they_are(header: str, value: str) -> None:
    """Amounts of three kinds, paths, issues and bridges; what follows is not theirs, what lacks is missed."""
    after = "011A" + A

    assert header + value == fields_of(header + value)[0][1]
    assert value == fields_of(header + value + after)[0][2]
    with pytest.raises(Malformed):
        fields_of((header + value)[:-2])


@pytest.mark.parametrize(
    "blob",
    [
        "200200000000",
        "0F0200000000",
        "02020000000000",
        "020200000000",
        "200F00000000",
        f"011202{A}00",
        f"011280{A}00",
        f"011219{A}00",
        f"011913{A[:-2]}{ZERO}14{B}{A}{B}",
        f"011915{A}AB{ZERO}14{B}{A}{B}",
        f"011914{A}{ZERO}15{B}AB{A}{B}",
        "8115" + "AB" * 21,
        "011F00",
        "E0",
        "D1",
        "C1",
        "71",
    ],
)
def test_more_that_is_not_the_canonical_form(blob: str) -> None:
    """Headers that are longer than they need be, unknown steps, types and sizes."""
    with pytest.raises(Malformed):
        parse_serialized(bytes.fromhex(blob))


@pytest.mark.parametrize(
    ("length", "written"),
    [
        (0, "00"),
        (1, "01"),
        (192, "C0"),
        (193, "C100"),
        (194, "C101"),
        (448, "C1FF"),
        (449, "C200"),
        (12480, "F0FF"),
        (12481, "F10000"),
        (12482, "F10001"),
        (12737, "F10100"),
        (78017, "F20000"),
        (918744, "FED417"),
    ],
)
def test_lengths(length: int, written: str) -> None:
    """Of one, two and three bytes, at their bounds."""
    blob = f"71{written}{'AB' * length}"

    assert [(FieldId(7, 1), length)] == [
        (each.id, len(each.value)) for each in parse_serialized(bytes.fromhex(blob)).fields
    ]
    with pytest.raises(Malformed):
        parse_serialized(bytes.fromhex(f"{blob}71"))


def test_no_length_begins_with_all_bits_set() -> None:
    """However many bytes follow."""
    with pytest.raises(Malformed):
        parse_serialized(bytes.fromhex("71FF0000") + bytes(12481 + 14 * 65536))


@pytest.mark.parametrize(("header", "sizes"), [("81", (0, 20)), ("0113", (0, 32, 64))])
def test_lengths_of_accounts_and_vectors(header: str, sizes: tuple[int, ...]) -> None:
    """An account has 20 bytes or none, a vector whole hashes."""
    found = []
    for length in range(70):
        try:
            parse_serialized(bytes.fromhex(f"{header}{length:02X}{'AB' * length}"))
        except Malformed:
            continue
        found.append(length)

    assert list(sizes) == found


def test_inner_fields() -> None:
    """An object knows its fields, an array its objects, and neither counts its end marker as a value."""
    (array,) = parse_serialized(bytes.fromhex("F9EA7D01AB7E01CDE1EA7D01EFE1F1")).fields
    first, second = array.inner

    assert (FieldId(15, 9), "EA7D01AB7E01CDE1EA7D01EFE1") == (array.id, array.value.hex().upper())
    assert ("EA7D01AB7E01CDE1", "7D01AB7E01CD") == (first.serialized.hex().upper(), first.value.hex().upper())
    assert (b"\xab", b"\xcd", None) == tuple(first.get(FieldId(7, number)) for number in (13, 14, 15))
    assert (b"\xef", None) == tuple(second.get(FieldId(7, number)) for number in (13, 14))


def test_objects_of_an_array_come_in_any_order() -> None:
    """Also twice; those of an object do not."""
    assert 3 == len(parse_serialized(bytes.fromhex("F9EBE1EAE1EAE1F1")).fields[0].inner)


def test_depth_is_the_ledger_s() -> None:
    """Ten objects in each other."""
    assert 10 == MAX_DEPTH


def test_fields_by_their_id() -> None:
    """With their value, as a number, or not at all."""
    transaction = parse_serialized(bytes.fromhex("12000021000012342280000000"))

    assert (0, 0x1234, 0x80000000, None) == tuple(
        transaction.number(each) for each in (TRANSACTION_TYPE, NETWORK_ID, FLAGS_ID, LAST_LEDGER_SEQUENCE)
    )
    assert (b"\x00\x00\x12\x34", None) == (transaction.get(NETWORK_ID), transaction.get(ACCOUNT))
    assert transaction.field(SIGNERS) is None


@pytest.mark.parametrize(
    ("name", "field_id"),
    [
        ("TransactionType", TRANSACTION_TYPE),
        ("NetworkID", NETWORK_ID),
        ("Flags", FLAGS_ID),
        ("LastLedgerSequence", LAST_LEDGER_SEQUENCE),
        ("SigningPubKey", SIGNING_PUB_KEY),
        ("TxnSignature", TXN_SIGNATURE),
        ("Signature", SIGNATURE),
        ("MasterSignature", MASTER_SIGNATURE),
        ("Account", ACCOUNT),
        ("Signer", SIGNER),
        ("Signers", SIGNERS),
        ("BatchSigners", BATCH_SIGNERS),
        ("CounterpartySignature", COUNTERPARTY_SIGNATURE),
    ],
)
def test_ids_are_those_of_the_library(name: str, field_id: FieldId) -> None:
    """By the name that the ledger has for them."""
    assert definitions_of("MAINNET").fields[name].id == field_id
