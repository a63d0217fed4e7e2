"""The binary form of single values, as xrpl-py encodes it, and addresses.

xrpl-py is imported with the first use, which takes half a second: `prepare` imports it at the start of the service.

Source: https://xrpl.org/docs/references/protocol/binary-format
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from processor.core.errors import ProcessorError

MAX_BLOB_DIGITS: Final = 256 * 1024
"""Hexadecimal digits of a blob. The largest transactions, which install the code of hooks, have fewer."""
_ADDRESS: Final = re.compile(r"r[1-9A-HJ-NP-Za-km-z]{24,34}")

Json = Mapping[str, Any]

_WITH_TAGS: Final = {"Account": "SourceTag", "Destination": "DestinationTag"}
"""Fields whose X-address becomes an address and a tag."""
_CURRENCY_AT: Final = {"Amount": 8, "Issue": 0}
"""The offset of the twenty bytes of a currency."""
_ANY_CURRENCY: Final = "01" + "00" * 19
_CURRENCY: Final = re.compile(r"[0-9A-Fa-f]{40}")


class Unreadable(ProcessorError):
    """A value is none of the field's type, or this version cannot encode it."""


class _Library(NamedTuple):
    types: Any
    by_name: frozenset[str]
    """Fields whose notation depends on their name."""
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
    """Import the library: better at the start than with the first payload."""
    _library()


def encode_value(name: str, kind: str, value: Any, types: Mapping[str, int]) -> bytes:
    """Encode ``value`` for the field ``name`` of type ``kind``, without header and length. Raises `Unreadable`.

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
    except Exception:  # noqa: BLE001  the library raises KeyError, ValueError, OverflowError and others
        raise Unreadable from None


def _is_spelt_out(currency: Any) -> bool:
    return isinstance(currency, str) and currency != _ANY_CURRENCY and _CURRENCY.fullmatch(currency) is not None


def _encode_with_currency(name: str, kind: str, value: Json) -> bytes:
    """Encode a value with the given bytes of the currency: the library refuses some that the ledger accepts."""
    start = _CURRENCY_AT[kind]
    other = encode_value(name, kind, {**value, "currency": _ANY_CURRENCY}, {})
    return other[:start] + bytes.fromhex(value["currency"]) + other[start + 20 :]


def split_xaddress(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The fields of a transaction for ``value``: an X-address becomes an address, and a tag if it has one."""
    if name not in _WITH_TAGS or not isinstance(value, str) or not _library().is_xaddress(value):
        yield name, value
        return
    address, tag, _ = _library().from_xaddress(value)
    yield name, address
    if tag is not None:
        yield _WITH_TAGS[name], tag


def address_of(key: bytes) -> str:
    """The classic address that is derived from a public key."""
    return str(_library().address_of_key(key.hex().upper()))


def address_of_id(account: bytes) -> str:
    """The classic address of an account's 20 bytes."""
    return str(_library().address_of_id(account))


def is_address(text: str) -> bool:
    """Whether ``text`` is a classic address with a valid checksum. The library alone would ignore trailing blanks."""
    return _ADDRESS.fullmatch(text) is not None and bool(_library().is_address(text))
