"""The scalar shapes that several wire formats share.

A UUID travels as canonical lower-case text: it is compared, stored and routed as text, never computed with.
"""

from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, StringConstraints

Uuid = Annotated[
    str,
    StringConstraints(
        to_lower=True,
        pattern=r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
    ),
]
"""A UUID of any version, 36 characters, lower case after parsing."""

TransactionHash = Annotated[str, StringConstraints(to_upper=True, pattern=r"^[0-9a-fA-F]{64}$")]
"""The hash of a ledger transaction (Xumm's *txid*), 64 hexadecimal digits, upper case after parsing."""

Account = Annotated[str, StringConstraints(pattern=r"^r[1-9A-HJ-NP-Za-km-z]{24,34}$")]
"""A classic XRP Ledger address. The alphabet is checked here, the checksum where a signature is."""

ApplicationName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""The name an operator gave an application: a URL path segment and a word of a routing key, so no dots."""


def _naive_is_utc(value: Any) -> Any:
    return f"{value}Z" if isinstance(value, str) and len(value) == len("2024-01-01T00:00:00") else value


Instant = Annotated[AwareDatetime, BeforeValidator(_naive_is_utc)]
"""A moment: Unix seconds or an ISO 8601 string on the way in, an aware datetime here."""
