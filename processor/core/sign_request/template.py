"""The validation of transaction templates, before they are sent to Xumm and shown to a user.

Checked is what would be dangerous, and what a wallet refuses; the wallet and the ledger check the rest.

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

TemplateFaultReason = Literal[
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
"""Characters of a blob with a signature for a batch of eight transactions."""
MAX_BLOB: Final = 1500
"""Characters of JSON that Xumm accepts in ``custom_meta``."""
MAX_INSTRUCTION: Final = 280
"""Characters of text that Xumm shows the user."""
MAX_NAME: Final = 64
MAX_FAULTS: Final = 10
_MAX_INTEGER: Final = 2**32
_TYPES: Final = all_types() | OFF_LEDGER_TYPES
_ACCOUNTS: Final = frozenset(name for name, field in all_fields().items() if field.kind == "AccountID")
_LOWER_ACCOUNTS: Final = frozenset({"issuer"})
"""Names of accounts within an issued amount."""
_AMOUNTS: Final = frozenset(name for name, field in all_fields().items() if field.kind == "Amount")
_SECRET: Final = re.compile(
    r"secret(?!ar)|mnemonic|passphrase|password|(?:private|priv|master)key"
    r"|(?:^|family|master|wallet|account)seed(?:hex|phrase|words)?\Z"
)
"""Searched for in a name that is reduced to its letters, in lower case."""
_SEED: Final = re.compile(r"s[1-9A-HJ-NP-Za-km-z]{24,34}")
_XADDRESS: Final = re.compile(r"[XT][1-9A-HJ-NP-Za-km-z]{46}")
_SIGNATURES: Final = frozenset({"txnsignature", "signers"})
_UNSIGNED: Final[tuple[Any, ...]] = (None, "", [])
"""Values that say that nobody has signed yet."""
_DROPS: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_MAX_DROPS: Final = 10**17
"""All XRP that ever existed, in drops."""
_VALUE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,95})(?:\.[0-9]{1,96})?(?:[eE][+-]?[0-9]{1,2})?")
_CURRENCY: Final = re.compile(r"[A-Za-z0-9?!@#$%^&*<>(){}\[\]|]{3}|[0-9A-Fa-f]{40}")
_ISSUANCE: Final = re.compile(r"[0-9A-Fa-f]{48}")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class TemplateFault(NamedTuple):
    """A fault in one field."""

    field: str
    """The path of the field, such as ``txjson.Amount.issuer``; never a value."""
    reason: TemplateFaultReason


_Faults = Iterator[TemplateFault]


def faults_in(template: Mapping[str, Any]) -> tuple[TemplateFault, ...]:
    """The first few faults in a template; none if it may be sent."""
    found: list[TemplateFault] = []
    if not isinstance(template.get("TransactionType"), str):
        found.append(TemplateFault("txjson.TransactionType", "missing"))
    elif template["TransactionType"] not in _TYPES:
        found.append(TemplateFault("txjson.TransactionType", "unknown_type"))
    for fault in _check_value(template, "txjson", _Allowance()):
        found.append(fault)
        if len(found) == MAX_FAULTS or fault.reason in {"too_deep", "too_large"}:
            break
    return tuple(found)


def faults_in_blob(blob: Mapping[str, Any] | None) -> tuple[TemplateFault, ...]:
    """The faults in ``blob``: secrets, depth, size, and numbers that not every reader represents exactly."""
    if blob is None:
        return ()
    faults = tuple(islice(_check_blob(blob, "blob", _Allowance(), 1), MAX_FAULTS))
    text = json.dumps(blob, ensure_ascii=False, separators=(",", ":"))
    return faults or ((TemplateFault("blob", "too_large"),) if _length(text) > MAX_BLOB else ())


def faults_in_instruction(text: str | None) -> tuple[TemplateFault, ...]:
    """The faults in the instruction for the user."""
    return (TemplateFault("instruction", "too_large"),) if _length(text or "") > MAX_INSTRUCTION else ()


def _length(text: str) -> int:
    """The length in characters of JavaScript, as Xumm counts: one beyond U+FFFF counts as two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _check_blob(value: Any, place: str, allowance: "_Allowance", depth: int) -> _Faults:
    if not allowance.take():
        if allowance.left == -1:
            yield TemplateFault("blob", "too_large")
        return
    if isinstance(value, Mapping | list) and depth > MAX_DEPTH:
        yield TemplateFault(place, "too_deep")
    elif isinstance(value, Mapping):
        for name, each in value.items():
            where = f"{place}.{_printable_name(name)}"
            if _SECRET.search(_letters(name)):
                yield TemplateFault(where, "secret_forbidden")
            yield from _check_blob(each, where, allowance, depth + 1)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _check_blob(each, f"{place}.{number}", allowance, depth + 1)
    else:
        yield from _check_blob_value(value, place)


def _check_blob_value(value: Any, place: str) -> _Faults:
    if isinstance(value, int | float) and not abs(value) <= SAFE_INTEGER:
        yield TemplateFault(place, "number_too_large")
    elif isinstance(value, str) and _is_seed(value):
        yield TemplateFault(place, "secret_forbidden")


class _Allowance:
    """The number of values that may still follow."""

    def __init__(self) -> None:
        self.left = MAX_VALUES

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0


def _check_value(value: Any, place: str, allowance: _Allowance, depth: int = 1, *, signed: bool = False) -> _Faults:
    """``signed``: within an object that may contain signatures of others, as of a batch."""
    if not allowance.take():
        yield TemplateFault("txjson", "too_large")
    elif isinstance(value, Mapping):
        yield from _check_object(value, place, allowance, depth, signed=signed)
    elif isinstance(value, list):
        if depth > MAX_DEPTH:
            yield TemplateFault(place, "too_deep")
            return
        for number, each in enumerate(value):
            yield from _check_value(each, f"{place}.{number}", allowance, depth + 1, signed=signed)
    else:
        yield from _check_plain(value, place, MAX_SIGNED_TEXT if signed else MAX_TEXT)


def _check_object(value: Mapping[str, Any], place: str, allowance: _Allowance, depth: int, *, signed: bool) -> _Faults:
    if depth > MAX_DEPTH:
        yield TemplateFault(place, "too_deep")
        return
    for name, each in value.items():
        where = f"{place}.{_printable_name(name)}"
        letters = _letters(name)
        if len(name) > MAX_NAME or _CONTROL.search(name):
            yield TemplateFault(where, "too_large" if len(name) > MAX_NAME else "control_character")
        elif _SECRET.search(letters):
            yield TemplateFault(where, "secret_forbidden")
        elif letters in _SIGNATURES and each not in _UNSIGNED and not signed:
            yield TemplateFault(where, "signature_forbidden")
        elif name in _ACCOUNTS or name in _LOWER_ACCOUNTS:
            if not _is_address(each):
                yield TemplateFault(where, "not_an_address")
        elif name in _AMOUNTS:
            yield from _check_amount(each, where)
        else:
            yield from _check_value(each, where, allowance, depth + 1, signed=signed or name == "BatchSigners")


def _check_plain(value: Any, place: str, longest: int) -> _Faults:
    if isinstance(value, float):
        yield TemplateFault(place, "no_number_with_fraction")
    elif isinstance(value, int) and not -_MAX_INTEGER < value < _MAX_INTEGER:
        yield TemplateFault(place, "number_too_large")
    elif isinstance(value, str):
        if len(value) > longest:
            yield TemplateFault(place, "too_large")
        elif _CONTROL.search(value):
            yield TemplateFault(place, "control_character")
        elif _is_seed(value):
            yield TemplateFault(place, "secret_forbidden")


def _check_amount(value: Any, place: str) -> _Faults:
    """An amount is drops as text, or an issued or multi-purpose token as an object of texts. A number is refused: some
    readers would take it for XRP, and others for drops.
    """
    if isinstance(value, str):
        if not _DROPS.fullmatch(value) or int(value) > _MAX_DROPS:
            yield TemplateFault(place, "not_an_amount")
        return
    if not isinstance(value, Mapping):
        yield TemplateFault(place, "not_an_amount")
        return
    shapes = ({"currency", "issuer", "value"}, {"mpt_issuance_id", "value"})
    if set(value) not in shapes:
        yield TemplateFault(place, "not_an_amount")
        return
    for name, part in value.items():
        if not isinstance(part, str) or not _PARTS[name](part):
            yield TemplateFault(f"{place}.{name}", "not_an_address" if name == "issuer" else "not_an_amount")


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
    """Whether ``text`` is the seed of a wallet, by its checksum."""
    if not _SEED.fullmatch(text):
        return False
    try:
        decode_seed(text)
    except (XRPLException, ValueError):
        return False
    return True


def _printable_name(name: str) -> str:
    """A name, cut and made printable for an answer."""
    return replace_unprintable(name[:MAX_NAME])
