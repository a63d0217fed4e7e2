"""Tokens that Xumm issued to a user, as proof of who calls. Each kind is verified with its own kind of key alone."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

from processor.core.access.caller import UserCaller
from processor.core.access.jwt import (
    ProvenIdentity,
    Unproven,
    algorithm_of,
    claimed_application,
    verify_identity,
    verify_xapp,
)
from processor.core.access.oauth2 import Client
from processor.core.errors import Unavailable
from processor.core.payload.ids import user_reference
from processor.observability.loggers import sampled_log
from processor.web.problem import Problem
from processor.xumm.provider_keys import KeyCache


class IdentityVerifier:
    """Verifies tokens of OAuth2 providers; ``keys`` are by the provider's address."""

    def __init__(self, keys: Mapping[str, KeyCache], *, clock: Callable[[], datetime]) -> None:
        self._keys = keys
        self._clock = clock

    async def verify(self, client: Client, token: str, *, nonce: str | None = None) -> ProvenIdentity:
        """Return what the token proves. Raises `Unproven`, or `Unavailable` if the provider's keys cannot be fetched.

        If no known key fits the signature, the keys are fetched again, at most as often as the key set allows.
        """
        provider = self._keys[client.provider]
        keys = await provider.keys()
        try:
            return verify_identity(token, keys, client.expected, self._clock(), nonce=nonce)
        except Unproven as unproven:
            if unproven.fault != "signature":
                raise
        renewed = await provider.renew()
        if renewed == keys:
            raise Unproven("signature")
        return verify_identity(token, renewed, client.expected, self._clock(), nonce=nonce)


class XummJwtAuthenticator:
    """A `TokenAuthenticator` for access tokens of Xumm's OAuth2 provider (RS256)."""

    def __init__(self, clients: Mapping[str, Client], verifier: IdentityVerifier) -> None:
        self._clients = clients
        self._verifier = verifier

    async def authenticate(self, app_hint: str | None, bearer: str) -> UserCaller | None:
        """As `TokenAuthenticator.authenticate`. Raises `Problem` if the provider's keys cannot be fetched."""
        client = _find_client(self._clients, app_hint, bearer, "RS256")
        if client is None:
            return None
        try:
            proof = await self._verifier.verify(client, bearer)
        except Unproven as unproven:
            sampled_log.warning("identity.refused", app=client.app, reason=unproven.fault)
            return None
        except Unavailable:
            raise Problem("identity_unavailable") from None
        return _build_caller(client, proof, "xumm_jwt")


class XAppJwtAuthenticator:
    """A `TokenAuthenticator` for xApps' tokens (HS256, with the API secret), of applications that allow them."""

    def __init__(self, clients: Mapping[str, Client], *, clock: Callable[[], datetime]) -> None:
        self._clients = {name: client for name, client in clients.items() if client.xapp_tokens}
        self._clock = clock

    async def authenticate(self, app_hint: str | None, bearer: str) -> UserCaller | None:
        """As `TokenAuthenticator.authenticate`."""
        client = _find_client(self._clients, app_hint, bearer, "HS256")
        if client is None:
            return None
        now = self._clock()
        try:
            proof = verify_xapp(bearer, client.secrets_at(now), client.expected, now)
        except Unproven as unproven:
            sampled_log.warning("identity.refused", app=client.app, reason=unproven.fault)
            return None
        return _build_caller(client, proof, "xapp_jwt")


def _find_client(clients: Mapping[str, Client], app_hint: str | None, token: str, algorithm: str) -> Client | None:
    """Return the client to verify the token for: that of ``app_hint``, else the one that the token names."""
    if algorithm_of(token) != algorithm:
        return None
    if app_hint is not None:
        return clients.get(app_hint)
    api_key = claimed_application(token)
    return next((client for client in clients.values() if client.api_key == api_key), None)


def _build_caller(client: Client, proof: ProvenIdentity, proven_by: Literal["xumm_jwt", "xapp_jwt"]) -> UserCaller:
    return UserCaller(
        app=client.app,
        account=proof.account,
        proven_by=proven_by,
        user=build_user_reference(client, proof),
        expires_at=proof.expires_at,
    )


def build_user_reference(client: Client, proof: ProvenIdentity) -> str | None:
    """Build the opaque reference by which events name the user; None if the token names no user token."""
    return user_reference(client.api_key, proof.user_token) if proof.user_token else None
