"""What is kept of a secret that somebody will present: enough to know it again, and nothing to present.

A plain hash suffices for what is long and random: there is nothing to guess.
"""

import hashlib


def digest_of(secret: str) -> bytes:
    """Its SHA-256."""
    return hashlib.sha256(secret.encode()).digest()
