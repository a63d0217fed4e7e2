"""Tokens of Xumm's OAuth2 provider, verified with the keys that it publishes."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from processor.core.access.jwt import ProvenIdentity, Unproven, verify_identity
from processor.core.access.oauth2 import Client


class Keys(Protocol):
    """The public keys of one provider."""

    async def keys(self) -> tuple[RSAPublicKey, ...]:
        """Those in force. Raises `Unavailable` if there are none yet."""
        ...

    async def renewed(self) -> tuple[RSAPublicKey, ...]:
        """Those that the provider has now, as far as it may be asked. Raises `Unavailable` if there are none yet."""
        ...


class Identities:
    """Verifies; ``keys`` are those of each provider, by its address."""

    def __init__(self, keys: Mapping[str, Keys], *, clock: Callable[[], datetime]) -> None:
        self._keys = keys
        self._clock = clock

    async def verify(self, client: Client, token: str, *, nonce: str | None = None) -> ProvenIdentity:
        """What a token proves. Raises `Unproven`, or `Unavailable` if the provider's keys cannot be had.

        A signature that fits no known key may be of a new one: then the keys are read anew, within bounds.
        """
        provider = self._keys[client.provider]
        keys = await provider.keys()
        try:
            return verify_identity(token, keys, client.expected, self._clock(), nonce=nonce)
        except Unproven as unproven:
            if unproven.fault != "signature":
                raise
        renewed = await provider.renewed()
        if renewed == keys:
            raise Unproven("signature")
        return verify_identity(token, renewed, client.expected, self._clock(), nonce=nonce)
