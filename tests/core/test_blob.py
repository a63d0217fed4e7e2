import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.blob import last_ledger_sequence

SIGN_IN = "2280000000240000000268400000000000000C"
PAYMENT = "1200002280000000230000002A2400000002201B055D4A9461400000000000000168400000000000000C"
NETWORK_FIRST = "1200002100005359240000000220" + "1B055D4A94"


def txid_of(blob: str) -> str:
    return hashlib.sha512(b"TXN\x00" + bytes.fromhex(blob)).digest()[:32].hex().upper()


@pytest.mark.parametrize(
    ("blob", "last"),
    [
        (PAYMENT, 0x055D4A94),
        (PAYMENT.lower(), 0x055D4A94),
        (NETWORK_FIRST, 0x055D4A94),
        (SIGN_IN, None),
        ("120000201B055D4A", None),
        ("12000020", None),
        ("", None),
        ("61400000000000000120" + "1B055D4A94", None),
    ],
    ids=["payment", "lower-case", "network-id", "sign-in", "cut", "cut-header", "empty", "not-in-order"],
)
def test_last_ledger_is_read_from_the_blob(blob: str, last: int | None) -> None:
    """The field is found among the whole numbers that a blob begins with, or it is not there."""
    assert last_ledger_sequence(blob, txid_of(blob)) == last


def test_blob_of_another_transaction_says_nothing() -> None:
    """A blob is only believed about the transaction that it is."""
    assert last_ledger_sequence(PAYMENT, txid_of(SIGN_IN)) is None


def test_what_is_no_blob_says_nothing() -> None:
    """Text that is not hexadecimal has no fields."""
    assert last_ledger_sequence("odd", "AB" * 32) is None


@given(blob=st.binary(max_size=64))
def test_any_bytes_can_be_read(blob: bytes) -> None:
    """Whatever the bytes are, they name a ledger or they do not."""
    last = last_ledger_sequence(blob.hex(), txid_of(blob.hex()))

    assert last is None or 0 <= last < 2**32
