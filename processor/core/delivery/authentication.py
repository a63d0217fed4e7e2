"""The authentication of a webhook: holding a `Delivery` proves that its signature was checked.

A stranger gets the same refusal, in the same time, whether the application exists or not: the signature for an unknown
application is checked against a decoy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple, Protocol

from processor.core.application import Application
from processor.core.delivery.signature import HEADER_SIGNATURE, HEADER_TIMESTAMP, HEX_DIGITS, key_of, matches

TOLERANCE: Final = timedelta(seconds=300)
"""The largest difference between the sender's clock and ours, in either direction."""

_TOLERANCE_SECONDS: Final = TOLERANCE.total_seconds()
HEADER_ATTEMPT: Final = "x-xumm-attempt"
HEADER_PAYLOAD: Final = "x-xumm-payload"
_MAX_TIMESTAMP_DIGITS: Final = 12
_DECOY: Final = key_of("00000000-0000-4000-8000-000000000000")

RefusalReason = Literal[
    "signature_missing", "signature_malformed", "timestamp_malformed", "timestamp_stale", "signature_invalid"
]
"""The reason of a refusal, as the caller is told. Stable: part of the interface."""


class Matches(Protocol):
    """Checks a signature, as `processor.core.delivery.signature.matches` does."""

    def __call__(self, keys: Sequence[bytes], timestamp: str, body: bytes, signature: bytes) -> bool:
        """Whether one of ``keys`` made the signature. Takes the time of all of them."""


class Delivery(NamedTuple):
    """An authentic webhook: the raw body was signed recently with a secret of ``application``."""

    application: Application
    body: bytes
    received_at: datetime
    attempt: int | None
    """1 to 5, from an unsigned header: for the log, never for a decision."""

    def __repr__(self) -> str:
        """Without the body, which holds a user token."""
        return f"Delivery({self.application.name}, {len(self.body)} bytes, {self.received_at}, {self.attempt})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A webhook that is not authentic."""

    reason: RefusalReason
    verdict: str
    """For the delivery log: ``unknown_application``, which no caller is told, or the reason."""
    authentic: bool = False
    """The signature is valid and only the timestamp is stale: the clock of one side is wrong."""


def authenticate(
    application: Application | None,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    *,
    keys: int = 1,
    matches: Matches = matches,
) -> Delivery | Refusal:
    """Check the signature over the raw ``body``, then its age. ``headers`` must look names up case-insensitively.

    A signature that matches no key is checked with ``keys`` keys in all, filled up with decoys. ``keys`` is the largest
    number that an application has, so that a refusal takes the same time for every application, and for none.
    """
    signature, timestamp = headers.get(HEADER_SIGNATURE), headers.get(HEADER_TIMESTAMP)
    if signature is None or timestamp is None:
        return Refusal(reason="signature_missing", verdict="signature_missing")
    raw_signature = _parse_hex(signature)
    if raw_signature is None:
        return Refusal(reason="signature_malformed", verdict="signature_malformed")
    if not _is_unix_seconds(timestamp):
        return Refusal(reason="timestamp_malformed", verdict="timestamp_malformed")

    own = [] if application is None else application.keys(now)
    authentic = matches(own, timestamp, body, raw_signature)
    if not authentic:
        matches([_DECOY] * (keys - len(own)), timestamp, body, raw_signature)
    stale = abs(now.timestamp() - int(timestamp)) > _TOLERANCE_SECONDS
    if application is not None and authentic and not stale:
        return Delivery(application, body, now, attempt_of(headers))
    reason: RefusalReason = "timestamp_stale" if stale else "signature_invalid"
    verdict = reason if application is not None else "unknown_application"
    return Refusal(reason=reason, verdict=verdict, authentic=authentic)


def attempt_of(headers: Mapping[str, str]) -> int | None:
    """The number of the attempt, 1 to 99, that the sender claims; None if there is none."""
    text = headers.get(HEADER_ATTEMPT, "")
    return int(text) if len(text) in {1, 2} and text.isascii() and text.isdigit() and text != "0" else None


def _parse_hex(signature: str) -> bytes | None:
    if len(signature) != HEX_DIGITS or not signature.isascii() or not signature.isalnum():
        return None
    try:
        return bytes.fromhex(signature)
    except ValueError:
        return None


def _is_unix_seconds(timestamp: str) -> bool:
    return 0 < len(timestamp) <= _MAX_TIMESTAMP_DIGITS and timestamp.isascii() and timestamp.isdigit()
