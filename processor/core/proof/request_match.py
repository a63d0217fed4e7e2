"""Whether a signed transaction is the requested one.

Each field of the request is encoded and compared with the signed bytes, so that the notation of the request does not
matter.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from processor.core.proof.codec import Json, Unreadable, encode_value, split_xaddress
from processor.core.proof.definitions import Definitions
from processor.core.proof.evidence import OFF_LEDGER_TYPES, DoubtFound, SignatureDoubt, fail
from processor.core.proof.serialized import FLAGS, SIGNATURE, TRANSACTION_TYPE, Field, Serialized

MAX_ASKED: Final = 64
"""The largest number of fields in a request."""

_LEFT_TO_THE_WALLET: Final = frozenset(
    {
        "Account",  # ignored by Xumm unless forced: the signer fills it in
        "Fee",
        "Sequence",
        "TicketSequence",
        "LastLedgerSequence",  # below 32570 it counts from the current ledger, and one that is too low is replaced
        "NetworkID",
        "SigningPubKey",
        "TxnSignature",
        "Signers",
        "BatchSigners",  # may come as payload uuids or as blobs, which become the signatures in them
        "CounterpartySignature",
        "SponsorSignature",
        "Paths",  # these three come from path finding, by the user's choice
        "SendMax",
        "DeliverMin",
        "Memos",  # plain text becomes hexadecimal
        "Flags",  # compared by `_check_flags`
    }
)
"""Fields that a wallet fills in or rewrites. Source: https://xumm.readme.io/docs/payload-transaction-data"""
_PART: Final = "RawTransaction"
_LEFT_IN_PART: Final = frozenset({"Fee", "Sequence", "TicketSequence", "NetworkID", "SigningPubKey", "Flags"})
"""The same within a part of a batch."""

_NOTHING_ASKED: Final = (None, "")


def difference(
    tx_type: str, request: Json | None, transaction: Serialized, definitions: Definitions, *, force_account: bool
) -> SignatureDoubt | None:
    """The first field that differs from the request, or cannot be read; None if the transaction is the requested one.

    ``force_account``: whether the request's ``Account`` is binding.
    """
    asked = request or {}
    try:
        if len(asked) > MAX_ASKED:
            fail("payload.request_json", "unreadable")
        _check_type(tx_type, asked, transaction, definitions)
        if request is None and tx_type not in OFF_LEDGER_TYPES:
            fail("payload.request_json", "missing")
        if not definitions.ids.issuperset(transaction.ids):
            fail("response.hex", "unreadable")
        if transaction.field(SIGNATURE) is not None and not asked.get("Signature"):
            fail("Signature", "differs")  # no signature covers this field, so it must be as requested
        _check_flags(asked, transaction.number(FLAGS))
        for name, value in _binding(asked, force_account=force_account):
            _compare(name, value, transaction.fields, definitions)
    except DoubtFound as found:
        return found.doubt
    return None


def _check_type(tx_type: str, request: Json, transaction: Serialized, definitions: Definitions) -> None:
    """Compare the types. A pseudo transaction is signed without a type."""
    name, signed = "TransactionType", transaction.number(TRANSACTION_TYPE)
    if request.get(name) not in (*_NOTHING_ASKED, tx_type):
        fail(name, "differs")
    if tx_type in OFF_LEDGER_TYPES:
        if signed is not None:
            fail(name, "differs")
        return
    if signed is None:
        fail(name, "differs")
    if tx_type not in definitions.types or signed not in definitions.types.values():
        fail(name, "unreadable")
    if definitions.types[tx_type] != signed:
        fail(name, "differs")


def _check_flags(request: Json, signed: int | None) -> None:
    """Compare flags that were requested as a number: each must be set. A wallet may set more."""
    asked = request.get("Flags")
    if isinstance(asked, int) and not isinstance(asked, bool) and asked & (signed or 0) != asked:
        fail("Flags", "differs")


def _binding(request: Json, *, force_account: bool) -> Iterator[tuple[str, Any]]:
    """The fields of a request that a wallet must keep."""
    for name, value in request.items():
        free = name == "TransactionType" or (name in _LEFT_TO_THE_WALLET and not (name == "Account" and force_account))
        if value not in _NOTHING_ASKED and not free:
            yield from split_xaddress(name, value)


def _compare(name: str, asked: Any, fields: tuple[Field, ...], definitions: Definitions) -> None:
    """Compare one field. A name that no transaction has is ignored: no wallet can sign it."""
    shape = definitions.fields.get(name)
    if shape is None:
        return
    field = next((field for field in fields if field.id == shape.id), None)
    if field is None or not _is_equal(name, asked, field, definitions):
        fail(name, "differs")


def _is_equal(name: str, asked: Any, field: Field, definitions: Definitions) -> bool:
    match definitions.fields[name].kind:
        case "STObject":
            return isinstance(asked, Mapping) and _is_equal_object(name, asked, field, definitions)
        case "STArray":
            return isinstance(asked, list) and _is_equal_array(asked, field, definitions)
        case kind:
            try:
                return encode_value(name, kind, asked, definitions.types) == field.value
            except Unreadable:
                fail(name, "unreadable")


def _is_equal_object(name: str, asked: Json, field: Field, definitions: Definitions) -> bool:
    """Whether an object has the requested fields and no others; in a part of a batch, a wallet may add some."""
    left = frozenset[str]()
    if name == _PART:
        left = _LEFT_IN_PART
        _check_flags(asked, int.from_bytes(field.get(FLAGS) or b""))
    shapes, signed = definitions.fields, {each.id: each for each in field.inner}
    named = {shapes[key].id: (key, value) for key, value in asked.items() if key in shapes}
    if not signed.keys() <= named.keys() | {shapes[key].id for key in left if key in shapes}:
        return False
    return all(
        value in _NOTHING_ASKED
        or key in left
        or (number in signed and _is_equal(key, value, signed[number], definitions))
        for number, (key, value) in named.items()
    )


def _is_equal_array(asked: list[Any], field: Field, definitions: Definitions) -> bool:
    return len(asked) == len(field.inner) and all(
        _is_equal_element(wanted, element, definitions) for wanted, element in zip(asked, field.inner, strict=True)
    )


def _is_equal_element(asked: Any, element: Field, definitions: Definitions) -> bool:
    if not isinstance(asked, Mapping) or len(asked) != 1:
        return False
    ((name, value),) = asked.items()
    shape = definitions.fields.get(name)
    return shape is not None and shape.id == element.id and _is_equal(name, value, element, definitions)
