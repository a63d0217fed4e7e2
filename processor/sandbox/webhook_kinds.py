"""The kinds of webhooks that can be triggered; apart from `processor.sandbox.trigger`, which is slow to import."""

from typing import Literal

WebhookKind = Literal[
    "signed",
    "rejected",
    "duplicate",
    "badsig",
    "stale",
    "future",
    "tampered",
    "malformed",
    "contradictory",
    "unknown-app",
    "oversized",
    "compressed",
]
