"""Why a webhook's signature does not match: the known mistakes in computing one, tried one after the other.

A signature that is computed in another way, or over another body, differs. Each mistake is tried alone, then each
mistake with the key together with each mistake with the body, until one explains the given signature.
"""

import hmac
import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from processor.core.delivery.authentication import TOLERANCE
from processor.core.delivery.signature import key_of

Finding = Literal[
    "valid",
    "timestamp_stale",
    "timestamp_milliseconds",
    "timestamp_malformed",
    "timestamp_unsigned",
    "signature_missing",
    "signature_malformed",
    "signature_upper_case",
    "signature_base64",
    "signature_prefixed",
    "algorithm",
    "secret_missing",
    "secret_empty",
    "secret_padded",
    "key_all_dashes",
    "key_no_dash",
    "key_case",
    "body_newline",
    "body_trimmed",
    "body_reformatted",
    "nothing_matches",
]

_ADVICE: Final[dict[Finding, str]] = {
    "valid": "The signature is right and recent.",
    "timestamp_stale": "The signature is right, but the timestamp is more than 300 s from now: set the clock, or give "
    "the time of the delivery with --now. Xumm signs each retry anew.",
    "timestamp_milliseconds": "The timestamp is in milliseconds; Xumm sends whole seconds.",
    "timestamp_malformed": "The timestamp is no Unix time in whole seconds: pass x-xumm-request-timestamp as it came.",
    "timestamp_unsigned": "The signature was made without the timestamp; the message is timestamp and body, joined.",
    "signature_missing": "There is no signature: pass x-xumm-request-signature as it came.",
    "signature_malformed": "The signature is not 40 hexadecimal digits.",
    "signature_upper_case": "The signature is right, but in upper case; Xumm sends lower case.",
    "signature_base64": "The signature is right, but in Base64; Xumm sends hexadecimal digits.",
    "signature_prefixed": "The signature has a prefix such as sha1=; Xumm sends the digits alone.",
    "algorithm": "The signature was made with another hash than SHA-1.",
    "secret_missing": "There is no secret to check with.",
    "secret_empty": "The signature was made with an empty secret: whoever signed has none configured.",
    "secret_padded": "The signature was made with white space or quotes around the secret.",
    "key_all_dashes": "The signature was made with all dashes removed from the secret; only the first is.",
    "key_no_dash": "The signature was made with all dashes of the secret; the first is to be removed.",
    "key_case": "The signature was made with the secret in another case; use it as the console shows it.",
    "body_newline": "The body has a line end that was not signed, or lacks one that was: pass the raw bytes.",
    "body_trimmed": "The body has white space around it that was not signed: pass the raw bytes.",
    "body_reformatted": "The body was parsed and written again: spaces, escapes or the order of keys differ from what "
    "was signed. Verify the raw bytes.",
    "nothing_matches": "No known mistake explains the signature: the secret is another application's or was replaced, "
    "or the body is not the one that was signed.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The result. ``findings`` are the causes that apply together; ``("valid",)`` if there are none."""

    findings: tuple[Finding, ...]

    @property
    def valid(self) -> bool:
        """Whether the service would accept the webhook."""
        return self.findings == ("valid",)

    @property
    def advice(self) -> tuple[str, ...]:
        """The advice for each finding: a sentence or two."""
        return tuple(_ADVICE[finding] for finding in self.findings)


def diagnose(secret: str, timestamp: str, signature: str, body: bytes, now: datetime) -> Diagnosis:
    """Why ``signature`` matches or not. ``timestamp``, ``signature`` and ``body`` are as they came."""
    if not signature.strip():
        return Diagnosis(findings=("signature_missing",))
    notation, raw = _read_signature(signature.strip())
    if raw is None:
        return Diagnosis(findings=("signature_malformed",))

    causes = _explain(secret, timestamp.strip(), raw, body)
    if causes is None:
        unreadable: tuple[Finding, ...] = () if _is_seconds(timestamp.strip()) else ("timestamp_malformed",)
        unset: tuple[Finding, ...] = () if secret else ("secret_missing",)
        return Diagnosis(findings=(*unset, *unreadable) or ("nothing_matches",))
    findings = (*notation, *causes, *_age(timestamp.strip(), now, signed="timestamp_unsigned" not in causes))
    return Diagnosis(findings=findings or ("valid",))


def _read_signature(signature: str) -> tuple[tuple[Finding, ...], bytes | None]:
    """The finding where ``signature`` is not written as Xumm writes it, and its bytes; None if it is no signature."""
    _, equals, rest = signature.partition("=")
    if equals and signature.lower().startswith(("sha1=", "sha256=")):
        return ("signature_prefixed",), _read_signature(rest)[1]
    try:
        raw = bytes.fromhex(signature)
    except ValueError:
        return ("signature_base64",), _parse_base64(signature)
    if len(raw) not in {20, 32, 64}:
        return (), None
    return (("signature_upper_case",) if signature != signature.lower() else ()), raw


def _parse_base64(signature: str) -> bytes | None:
    try:
        raw = b64decode(signature + "=" * (-len(signature) % 4), altchars=b"-_")
    except (Base64Error, ValueError):
        return None
    return raw if len(raw) in {20, 32, 64} else None


def _explain(secret: str, timestamp: str, raw: bytes, body: bytes) -> tuple[Finding, ...] | None:
    """The fewest mistakes that lead to the signature ``raw``; None if none do."""
    name = {20: "sha1", 32: "sha256", 64: "sha512"}[len(raw)]
    algorithm: tuple[Finding, ...] = () if name == "sha1" else ("algorithm",)
    best: tuple[Finding, ...] | None = None
    for key_cause, key in _keys(secret):
        for time_cause, prefix in _prefixes(timestamp):
            mac = hmac.new(key, prefix, name)
            for body_cause, text in _bodies(body):
                causes = tuple(cause for cause in (key_cause, time_cause, body_cause) if cause is not None)
                if best is not None and len(causes) >= len(best):
                    continue
                if hmac.compare_digest(_finish(mac, text), raw):
                    best = causes
    return None if best is None else (*algorithm, *best)


def _finish(mac: hmac.HMAC, text: bytes) -> bytes:
    copy = mac.copy()
    copy.update(text)
    return copy.digest()


def _keys(secret: str) -> Iterator[tuple[Finding | None, bytes]]:
    trimmed = secret.strip().strip("\"'")
    if not trimmed:
        yield "secret_empty", b""
        return
    yield None, key_of(secret)
    if trimmed != secret:
        yield "secret_padded", key_of(trimmed)
    for padding in ("\n", "\r\n", " "):
        yield "secret_padded", key_of(trimmed + padding)
    yield "key_all_dashes", trimmed.replace("-", "").encode()
    yield "key_no_dash", trimmed.encode()
    yield "key_case", key_of(trimmed.lower())
    yield "key_case", key_of(trimmed.upper())
    yield "secret_empty", b""


def _prefixes(timestamp: str) -> Iterator[tuple[Finding | None, bytes]]:
    yield None, timestamp.encode()
    yield "timestamp_unsigned", b""
    if _is_seconds(timestamp):
        yield "timestamp_milliseconds", f"{timestamp}000".encode()
        yield "timestamp_milliseconds", timestamp[:-3].encode()


def _bodies(body: bytes) -> Iterator[tuple[Finding | None, bytes]]:
    yield None, body
    stripped = body.rstrip(b"\r\n")
    yield from (("body_newline", text) for text in (stripped, stripped + b"\n", stripped + b"\r\n") if text != body)
    if body.strip() not in {body, stripped}:
        yield "body_trimmed", body.strip()
    yield from (("body_reformatted", text) for text in _rewrite(body))


def _rewrite(body: bytes) -> Iterator[bytes]:
    """The JSON in ``body`` as other serialisers write it."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    for separators, indent in (((",", ":"), None), ((", ", ": "), None), ((",", ": "), 2), ((",", ": "), 4)):
        for ascii_only in (False, True):
            for ordered in (False, True):
                text = json.dumps(
                    value, separators=separators, indent=indent, ensure_ascii=ascii_only, sort_keys=ordered
                )
                yield text.encode("utf-8", "surrogatepass")
                yield text.replace("/", "\\/").encode("utf-8", "surrogatepass")


def _age(timestamp: str, now: datetime, *, signed: bool) -> tuple[Finding, ...]:
    if not _is_seconds(timestamp):
        return ("timestamp_malformed",)
    seconds = int(timestamp)
    if abs(now.timestamp() - seconds / 1000) <= TOLERANCE.total_seconds():
        return ("timestamp_milliseconds",)
    if signed and abs(now.timestamp() - seconds) > TOLERANCE.total_seconds():
        return ("timestamp_stale",)
    return ()


def _is_seconds(timestamp: str) -> bool:
    return 0 < len(timestamp) <= 15 and timestamp.isascii() and timestamp.isdigit()  # noqa: PLR2004  milliseconds fit
