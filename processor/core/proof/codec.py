"""The binary form of single values, as xrpl-py writes it, and addresses.

The library is loaded with the first use: it takes half a second, which no command line should wait for.

Source: https://xrpl.org/docs/references/protocol/binary-format
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

MAX_BLOB_DIGITS: Final = 256 * 1024
"""Hexadecimal digits of a blob: a transaction that installs the code of hooks has fewer, and no other has so many."""
_ADDRESS: Final = re.compile(r"r[1-9A-HJ-NP-Za-km-z]{24,34}")

Json = Mapping[str, Any]

_WITH_TAGS: Final = {"Account": "SourceTag", "Destination": "DestinationTag"}
"""Fields whose X-address becomes an address and a tag."""
_CURRENCY_AT: Final = {"Amount": 8, "Issue": 0}
"""Where the twenty bytes of a currency stand."""
_ANY_CURRENCY: Final = "01" + "00" * 19
_CURRENCY: Final = re.compile(r"[0-9A-Fa-f]{40}")


class Unreadable(Exception):
    """No value that a field of this type can have, or none that this version can write."""


class _Library(NamedTuple):
    types: Any
    by_name: frozenset[str]
    """Fields of which the notation depends on their name."""
    permission: Any
    address_of_key: Any
    address_of_id: Any
    is_address: Any
    is_xaddress: Any
    from_xaddress: Any


@cache
def _library() -> _Library:
    from xrpl.core import addresscodec, keypairs
    from xrpl.core.binarycodec import types
    from xrpl.core.binarycodec.definitions.definitions import get_permission_value_type_code
    from xrpl.core.binarycodec.types.amount import SIGNED_XRP_FIELDS
    from xrpl.core.binarycodec.types.uint64 import SPECIAL_FIELDS

    return _Library(
        types=types,
        by_name=frozenset(SPECIAL_FIELDS | SIGNED_XRP_FIELDS),
        permission=get_permission_value_type_code,
        address_of_key=keypairs.derive_classic_address,
        address_of_id=addresscodec.encode_classic_address,
        is_address=addresscodec.is_valid_classic_address,
        is_xaddress=addresscodec.is_valid_xaddress,
        from_xaddress=addresscodec.xaddress_to_classic_address,
    )


def prepare() -> None:
    """Load the library: better at the start than with the first payload."""
    _library()


def encode_value(name: str, kind: str, value: Any, types: Mapping[str, int]) -> bytes:
    """``value`` as the field ``name`` of type ``kind`` has it, without header and length. Raises `Unreadable`.

    ``types`` are the transaction types of the chain.
    """
    library = _library()
    if isinstance(value, bool):
        raise Unreadable
    if kind in _CURRENCY_AT and isinstance(value, Mapping) and _is_spelt_out(value.get("currency")):
        return _encode_with_currency(name, kind, value)
    try:
        if name == "TransactionType":
            value = types[value]
        elif name == "PermissionValue" and isinstance(value, str):
            value = library.permission(value)
        elif kind == "Amount" and isinstance(value, int):
            value = str(value)
        arguments = (value, name) if name in library.by_name else (value,)
        return bytes(getattr(library.types, kind).from_value(*arguments))
    except Exception:  # noqa: BLE001  KeyError, ValueError, OverflowError and others, at whatever is no value
        raise Unreadable from None


def _is_spelt_out(currency: Any) -> bool:
    return isinstance(currency, str) and currency != _ANY_CURRENCY and _CURRENCY.fullmatch(currency) is not None


def _encode_with_currency(name: str, kind: str, value: Json) -> bytes:
    """With the very bytes of a currency: the library refuses some that the ledger takes."""
    start = _CURRENCY_AT[kind]
    other = encode_value(name, kind, {**value, "currency": _ANY_CURRENCY}, {})
    return other[:start] + bytes.fromhex(value["currency"]) + other[start + 20 :]


def split_xaddress(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The field as a transaction has it: of an X-address the address, and the tag if there is one."""
    if name not in _WITH_TAGS or not isinstance(value, str) or not _library().is_xaddress(value):
        yield name, value
        return
    address, tag, _ = _library().from_xaddress(value)
    yield name, address
    if tag is not None:
        yield _WITH_TAGS[name], tag


def address_of(key: bytes) -> str:
    """The classic address that a public key derives to."""
    return str(_library().address_of_key(key.hex().upper()))


def address_of_id(account: bytes) -> str:
    """The classic address of an account's 20 bytes."""
    return str(_library().address_of_id(account))


def is_address(text: str) -> bool:
    """Whether this is a classic address, its checksum included, and nothing else: the library ignores blanks behind."""
    return _ADDRESS.fullmatch(text) is not None and bool(_library().is_address(text))
