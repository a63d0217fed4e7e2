"""The binary form of transactions, as xrpl-py reads and writes it.

The library is loaded with the first use: it takes half a second, which no command line should wait for.

Source: https://xrpl.org/docs/references/protocol/binary-format
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

MAX_BLOB_DIGITS: Final = 32 * 1024
"""Hexadecimal digits of a blob: a batch of eight transactions with all its signers has fewer."""
_ADDRESS: Final = re.compile(r"r[1-9A-HJ-NP-Za-km-z]{24,34}")

Json = Mapping[str, Any]


class Unreadable(Exception):
    """No transaction, or none that this version can read."""


class _Codec(NamedTuple):
    decode: Any
    encode: Any
    for_signing: Any
    for_multisigning: Any
    address_of: Any
    is_address: Any


@cache
def _codec() -> _Codec:
    from xrpl.core import binarycodec
    from xrpl.core.addresscodec import is_valid_classic_address
    from xrpl.core.keypairs import derive_classic_address

    return _Codec(
        decode=binarycodec.decode,
        encode=binarycodec.encode,
        for_signing=binarycodec.encode_for_signing,
        for_multisigning=binarycodec.encode_for_multisigning,
        address_of=derive_classic_address,
        is_address=is_valid_classic_address,
    )


def prepare() -> None:
    """Load the library: better at the start than with the first payload."""
    _codec()


def decode(blob: str) -> Json:
    """The transaction of which ``blob``, in upper-case hexadecimal, is the one and only form. Raises `Unreadable`."""
    if len(blob) > MAX_BLOB_DIGITS:
        raise Unreadable
    try:
        transaction: Json = _codec().decode(blob)
        again = _codec().encode(transaction)
    except Exception:  # noqa: BLE001  KeyError, IndexError, RecursionError and others, at whatever is no blob
        raise Unreadable from None
    if again != blob:
        raise Unreadable
    return transaction


def as_decoded(name: str, value: Any) -> Json:
    """One field as a decoded blob has it: an X-address, for one, becomes an address and a tag.

    Empty if there is no such field in any transaction; ``value`` as it is if the field cannot have it.
    """
    whole = isinstance(value, int) and not isinstance(value, bool) and name == "Amount"
    try:
        fields: Json = _codec().decode(_codec().encode({name: str(value) if whole else value}))
    except Exception as error:  # noqa: BLE001  as above
        return {} if isinstance(error, KeyError) and error.args == (name,) else {name: value}
    return fields


def message_of(transaction: Json, *, cosigner: str | None = None) -> bytes:
    """What the sole signer, or ``cosigner``, puts its signature under."""
    codec = _codec()
    text = codec.for_signing(transaction) if cosigner is None else codec.for_multisigning(transaction, cosigner)
    return bytes.fromhex(text)


def address_of(key: str) -> str:
    """The classic address that a public key, in hexadecimal, derives to."""
    return str(_codec().address_of(key))


def is_address(text: str) -> bool:
    """Whether this is a classic address, its checksum included, and nothing else: the library ignores blanks behind."""
    return _ADDRESS.fullmatch(text) is not None and bool(_codec().is_address(text))
