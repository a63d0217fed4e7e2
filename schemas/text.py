"""The small shapes that several wire formats share, and the base of Xumm's answers.

A UUID travels as canonical lower-case text: it is compared, stored and routed as text, never computed with.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    JsonValue,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

_HEX = "[0-9a-fA-F]"
_UUID: Final = rf"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}"
_uuid: Final = re.compile(_UUID)

Uuid = Annotated[str, StringConstraints(to_lower=True, pattern=rf"^{_UUID}$")]
"""A UUID of any version, 36 characters, lower case after parsing."""

TransactionHash = Annotated[str, StringConstraints(to_upper=True, pattern=r"^[0-9a-fA-F]{64}$")]
"""The hash of a ledger transaction (Xumm's *txid*), 64 hexadecimal digits, upper case after parsing."""

Account = Annotated[str, StringConstraints(pattern=r"^r[1-9A-HJ-NP-Za-km-z]{24,34}$")]
"""A classic XRP Ledger address. The alphabet is checked here, the checksum where a signature is."""

ApplicationName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""The name an operator gave an application: a URL path segment and a word of a routing key, so no dots."""


def _whole(value: object) -> object:
    return int(value) if isinstance(value, str) and _digits.fullmatch(value) else value


_digits: Final = re.compile(r"[0-9]{1,10}")
Whole = Annotated[int, Field(strict=True, ge=0, lt=2**32), BeforeValidator(_whole)]
"""A number as in ledgers: sequences, tags, networks. Decimal text is accepted; fractions and booleans are not."""


_NOTHING: Final = frozenset({"", "null", "undefined"})


def nothing_is_none(value: object) -> object:
    """None for a text that stands for nothing: Xumm sends an empty one, and JavaScript its names of absent values."""
    return None if isinstance(value, str) and value in _NOTHING else value


NothingIsNone: Final = BeforeValidator(nothing_is_none)
"""For optional fields: a text that stands for nothing counts as absent."""


def is_uuid(text: str) -> bool:
    """Whether ``text`` is a UUID in its canonical form."""
    return _uuid.fullmatch(text) is not None


def escape_unprintable(text: str, keep: str = "") -> str:
    """``text`` with Python's escape for each character that is not printable, except those in ``keep``."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)


def replace_unprintable(text: str) -> str:
    """``text`` with ``?`` for each character that is not printable."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


Instant = Annotated[
    datetime, WithJsonSchema({"type": ["integer", "string"], "description": "Unix seconds or ISO 8601."})
]
"""An instant: Unix seconds or an ISO 8601 string on the wire. Without a time zone it is UTC: see `aware`."""


def aware(moment: datetime | None) -> datetime | None:
    """``moment`` with a time zone: UTC if it had none."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


class XummAnswer(BaseModel):
    """The base of the answers of Xumm's API. Unknown keys are ignored, and errors do not quote the input."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True, hide_input_in_errors=True)


class _Lenient:
    """The validator itself does this, without a call back into Python, since every webhook needs it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_default_schema(handler(source), default=None, on_error="default")


Lenient: Final = _Lenient()
"""For fields on which no outcome depends: an invalid value becomes ``None``."""


RESERVED_IDENTIFIERS: Final = ("xwp-", "xwu-")
"""The prefixes of identifiers that this service makes: for a request without one, and for one that a user chose."""
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
Attached = Annotated[
    JsonValue,
    WithJsonSchema(
        {
            "type": ["object", "null"],
            "description": "What the application attached to the payload when it created it.",
            "properties": {"identifier": _TEXT_OR_NULL, "blob": {}, "instruction": _TEXT_OR_NULL},
        }
    ),
]
"""``custom_meta`` as Xumm sends it. Which members are kept is decided apart from the rest of the message."""


class CustomMeta(BaseModel):
    """The data that the application attached to the payload when it created it, unchanged."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    identifier: str | None = None
    """The application's own name for the payload, unique within the application."""
    blob: JsonValue = None
    """Any JSON value."""
    instruction: str | None = None
    """The text that the user was shown."""
    dropped: tuple[str, ...] = ()
    """The members that were dropped, since not every reader of JSON accepts them; ``custom_meta`` if it was no object.
    A member that is named here is null in the event, and was not null at Xumm."""
