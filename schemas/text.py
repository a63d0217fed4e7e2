"""The small shapes that several wire formats share.

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
"""A number as ledgers count: sequences, tags, networks. Decimal text is read too; fractions and booleans are none."""


_NOTHING: Final = frozenset({"", "null", "undefined"})


def nothing_is_none(value: object) -> object:
    """None for a text that stands for nothing: Xumm's own is empty, JavaScript's names what it does not have."""
    return None if isinstance(value, str) and value in _NOTHING else value


NothingIsNone: Final = BeforeValidator(nothing_is_none)
"""For optional fields: a text that stands for nothing is absent, not wrong."""


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
"""A moment: Unix seconds or an ISO 8601 string on the wire. One without a time zone is UTC: see `aware`."""


def aware(moment: datetime | None) -> datetime | None:
    """``moment`` with its time zone, UTC unless it had one."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


class _Lenient:
    """Done by the validator itself, without a call back into Python: it stands on the hot path."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_default_schema(handler(source), default=None, on_error="default")


Lenient: Final = _Lenient()
"""For fields that merely accompany an outcome: what makes no sense turns into ``None``."""


RESERVED_IDENTIFIERS: Final = ("xwp-", "xwu-")
"""How identifiers begin that this service makes: of a request that has none, and of one that a user named."""
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
"""``custom_meta`` as Xumm sends it: what of it can be carried is decided apart from what it came with."""


class CustomMeta(BaseModel):
    """What the application attached to the payload when it created it; carried as it is."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    identifier: str | None = None
    """The application's own name for the payload, unique within the application."""
    blob: JsonValue = None
    """Any JSON value."""
    instruction: str | None = None
    """What the user was told."""
    dropped: tuple[str, ...] = ()
    """Which of these could not be carried, since not every reader of JSON would take them; ``custom_meta`` if it was no
    object at all. What is named here is null, and was not."""
