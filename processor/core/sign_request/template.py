"""Transaction templates, checked before they are sent to Xumm and shown to a user.

What is checked is what must never be wrong, and what makes a wallet refuse: the rest is the wallet's and the ledger's.

Source: https://xrpl.org/docs/references/protocol/transactions/types
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, Literal, NamedTuple

from xrpl.constants import XRPLException
from xrpl.core.addresscodec import decode_seed, is_valid_xaddress

from processor.core.proof.codec import is_address
from processor.core.proof.definitions import all_fields, all_types
from processor.core.proof.evidence import OFF_LEDGER_TYPES
from processor.core.reports.custom_meta import SAFE_INTEGER
from schemas.text import replace_unprintable

FaultReason = Literal[
    "missing",
    "unknown_type",
    "not_an_address",
    "not_an_amount",
    "no_number_with_fraction",
    "number_too_large",
    "secret_forbidden",
    "signature_forbidden",
    "too_deep",
    "too_large",
    "control_character",
]
MAX_DEPTH: Final = 8
MAX_VALUES: Final = 512
MAX_TEXT: Final = 4096
MAX_SIGNED_TEXT: Final = 32 * 1024
"""Of a blob that holds somebody's signature for a batch of eight transactions."""
MAX_BLOB: Final = 1500
"""Characters of JSON that Xumm carries along."""
MAX_INSTRUCTION: Final = 280
"""Characters of text that Xumm shows the user."""
MAX_NAME: Final = 64
MAX_FAULTS: Final = 10
_MAX_INTEGER: Final = 2**32
_TYPES: Final = all_types() | OFF_LEDGER_TYPES
_ACCOUNTS: Final = frozenset(name for name, field in all_fields().items() if field.kind == "AccountID")
_LOWER_ACCOUNTS: Final = frozenset({"issuer"})
"""Within an issued amount."""
_AMOUNTS: Final = frozenset(name for name, field in all_fields().items() if field.kind == "Amount")
_SECRET: Final = re.compile(
    r"secret(?!ar)|mnemonic|passphrase|password|(?:private|priv|master)key"
    r"|(?:^|family|master|wallet|account)seed(?:hex|phrase|words)?\Z"
)
"""In a name of which only small letters are left."""
_SEED: Final = re.compile(r"s[1-9A-HJ-NP-Za-km-z]{24,34}")
_XADDRESS: Final = re.compile(r"[XT][1-9A-HJ-NP-Za-km-z]{46}")
_SIGNATURES: Final = frozenset({"txnsignature", "signers"})
_UNSIGNED: Final[tuple[Any, ...]] = (None, "", [])
"""A template for several signers may say that nobody has signed yet."""
_DROPS: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_MAX_DROPS: Final = 10**17
"""All XRP there ever was."""
_VALUE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,95})(?:\.[0-9]{1,96})?(?:[eE][+-]?[0-9]{1,2})?")
_CURRENCY: Final = re.compile(r"[A-Za-z0-9?!@#$%^&*<>(){}\[\]|]{3}|[0-9A-Fa-f]{40}")
_ISSUANCE: Final = re.compile(r"[0-9A-Fa-f]{48}")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Fault(NamedTuple):
    """What is wrong with one field."""

    field: str
    """Where, such as ``txjson.Amount.issuer``; never a value."""
    reason: FaultReason


def faults_in(template: Mapping[str, Any]) -> tuple[Fault, ...]:
    """What is wrong with a template: the first few faults, none if it may be sent."""
    found: list[Fault] = []
    if not isinstance(template.get("TransactionType"), str):
        found.append(Fault("txjson.TransactionType", "missing"))
    elif template["TransactionType"] not in _TYPES:
        found.append(Fault("txjson.TransactionType", "unknown_type"))
    for fault in _walk(template, "txjson", _Room()):
        found.append(fault)
        if len(found) == MAX_FAULTS or fault.reason in {"too_deep", "too_large"}:
            break
    return tuple(found)


def faults_in_blob(blob: Mapping[str, Any] | None) -> tuple[Fault, ...]:
    """What is wrong with what is to be carried along: secrets, depth, size, and numbers that others cannot read."""
    if blob is None:
        return ()
    faults = tuple(islice(_carried(blob, "blob", _Room(), 1), MAX_FAULTS))
    text = json.dumps(blob, ensure_ascii=False, separators=(",", ":"))
    return faults or ((Fault("blob", "too_large"),) if _length(text) > MAX_BLOB else ())


def faults_in_instruction(text: str | None) -> tuple[Fault, ...]:
    """What is wrong with what the user is to be told."""
    return (Fault("instruction", "too_large"),) if _length(text or "") > MAX_INSTRUCTION else ()


def _length(text: str) -> int:
    """As Xumm counts: characters of JavaScript, where one beyond U+FFFF is two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _carried(value: Any, place: str, room: "_Room", depth: int) -> Iterator[Fault]:
    if not room.take():
        if room.left == -1:
            yield Fault("blob", "too_large")
        return
    if isinstance(value, Mapping | list) and depth > MAX_DEPTH:
        yield Fault(place, "too_deep")
    elif isinstance(value, Mapping):
        for name, each in value.items():
            where = f"{place}.{_shown(name)}"
            if _SECRET.search(_letters(name)):
                yield Fault(where, "secret_forbidden")
            yield from _carried(each, where, room, depth + 1)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _carried(each, f"{place}.{number}", room, depth + 1)
    else:
        yield from _carried_plainly(value, place)


def _carried_plainly(value: Any, place: str) -> Iterator[Fault]:
    if isinstance(value, int | float) and not abs(value) <= SAFE_INTEGER:
        yield Fault(place, "number_too_large")
    elif isinstance(value, str) and _is_seed(value):
        yield Fault(place, "secret_forbidden")


class _Room:
    """How many values may still come."""

    def __init__(self) -> None:
        self.left = MAX_VALUES

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0


def _walk(value: Any, place: str, room: _Room, depth: int = 1, *, signed: bool = False) -> Iterator[Fault]:
    """``signed`` is what may hold signatures: those of others, which a batch is put together with."""
    if not room.take():
        yield Fault("txjson", "too_large")
    elif isinstance(value, Mapping):
        yield from _walk_object(value, place, room, depth, signed=signed)
    elif isinstance(value, list):
        if depth > MAX_DEPTH:
            yield Fault(place, "too_deep")
            return
        for number, each in enumerate(value):
            yield from _walk(each, f"{place}.{number}", room, depth + 1, signed=signed)
    else:
        yield from _plain(value, place, MAX_SIGNED_TEXT if signed else MAX_TEXT)


def _walk_object(value: Mapping[str, Any], place: str, room: _Room, depth: int, *, signed: bool) -> Iterator[Fault]:
    if depth > MAX_DEPTH:
        yield Fault(place, "too_deep")
        return
    for name, each in value.items():
        where = f"{place}.{_shown(name)}"
        letters = _letters(name)
        if len(name) > MAX_NAME or _CONTROL.search(name):
            yield Fault(where, "too_large" if len(name) > MAX_NAME else "control_character")
        elif _SECRET.search(letters):
            yield Fault(where, "secret_forbidden")
        elif letters in _SIGNATURES and each not in _UNSIGNED and not signed:
            yield Fault(where, "signature_forbidden")
        elif name in _ACCOUNTS or name in _LOWER_ACCOUNTS:
            if not _is_address(each):
                yield Fault(where, "not_an_address")
        elif name in _AMOUNTS:
            yield from _amount(each, where)
        else:
            yield from _walk(each, where, room, depth + 1, signed=signed or name == "BatchSigners")


def _plain(value: Any, place: str, longest: int) -> Iterator[Fault]:
    if isinstance(value, float):
        yield Fault(place, "no_number_with_fraction")
    elif isinstance(value, int) and not -_MAX_INTEGER < value < _MAX_INTEGER:
        yield Fault(place, "number_too_large")
    elif isinstance(value, str):
        if len(value) > longest:
            yield Fault(place, "too_large")
        elif _CONTROL.search(value):
            yield Fault(place, "control_character")
        elif _is_seed(value):
            yield Fault(place, "secret_forbidden")


def _amount(value: Any, place: str) -> Iterator[Fault]:
    """Drops as text, or an issued or multi-purpose token as an object of texts. A number would be read as XRP by some
    and as drops by others.
    """
    if isinstance(value, str):
        if not _DROPS.fullmatch(value) or int(value) > _MAX_DROPS:
            yield Fault(place, "not_an_amount")
        return
    if not isinstance(value, Mapping):
        yield Fault(place, "not_an_amount")
        return
    shapes = ({"currency", "issuer", "value"}, {"mpt_issuance_id", "value"})
    if set(value) not in shapes:
        yield Fault(place, "not_an_amount")
        return
    for name, part in value.items():
        if not isinstance(part, str) or not _PARTS[name](part):
            yield Fault(f"{place}.{name}", "not_an_address" if name == "issuer" else "not_an_amount")


def _is_address(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    return is_address(value) or (_XADDRESS.fullmatch(value) is not None and is_valid_xaddress(value))


_PARTS: Final[dict[str, Callable[[str], bool]]] = {
    "currency": lambda text: _CURRENCY.fullmatch(text) is not None and text != "XRP",
    "issuer": _is_address,
    "value": lambda text: _VALUE.fullmatch(text) is not None,
    "mpt_issuance_id": lambda text: _ISSUANCE.fullmatch(text) is not None,
}


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _is_seed(text: str) -> bool:
    """Whether this is the seed of a wallet, whatever its field is called: its checksum tells."""
    if not _SEED.fullmatch(text):
        return False
    try:
        decode_seed(text)
    except (XRPLException, ValueError):
        return False
    return True


def _shown(name: str) -> str:
    """A name as it may stand in an answer."""
    return replace_unprintable(name[:MAX_NAME])
