"""Tokens that Xumm itself gave to a user, as proof of who calls. Each kind is verified in its own way alone."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

from processor.api.sign_in.identities import Identities
from processor.core.access.caller import UserCaller
from processor.core.access.jwt import Proof, Unproven, algorithm_of, claimed_application, verify_xapp
from processor.core.access.oauth2 import Client
from processor.core.errors import Unavailable
from processor.core.payload.ids import user_reference
from processor.observability.loggers import sampled_log
from processor.web.problem import Problem


class XummJwtAuthenticator:
    """By the access token of Xumm's OAuth2 provider, RS256."""

    def __init__(self, clients: Mapping[str, Client], identities: Identities) -> None:
        self._clients = _Clients(clients)
        self._identities = identities

    async def user(self, app_hint: str | None, bearer: str) -> UserCaller | None:
        """As `Authenticator.user`: a problem if the provider's keys cannot be had."""
        client = self._clients.of(app_hint, bearer, "RS256")
        if client is None:
            return None
        try:
            proof = await self._identities.verify(client, bearer)
        except Unproven as unproven:
            sampled_log.warning("identity.refused", app=client.app, reason=unproven.fault)
            return None
        except Unavailable:
            raise Problem("identity_unavailable") from None
        return _caller(client, proof, "xumm_jwt")


class XAppJwtAuthenticator:
    """By an xApp's token, HS256 with the API secret, for applications whose operator switched that on."""

    def __init__(self, clients: Mapping[str, Client], *, clock: Callable[[], datetime]) -> None:
        self._clients = _Clients({name: client for name, client in clients.items() if client.xapp_tokens})
        self._clock = clock

    async def user(self, app_hint: str | None, bearer: str) -> UserCaller | None:
        """As `Authenticator.user`."""
        client = self._clients.of(app_hint, bearer, "HS256")
        if client is None:
            return None
        now = self._clock()
        try:
            proof = verify_xapp(bearer, client.secrets_at(now), client.expected, now)
        except Unproven as unproven:
            sampled_log.warning("identity.refused", app=client.app, reason=unproven.fault)
            return None
        return _caller(client, proof, "xapp_jwt")


def _caller(client: Client, proof: Proof, proven_by: Literal["xumm_jwt", "xapp_jwt"]) -> UserCaller:
    return UserCaller(
        app=client.app,
        account=proof.account,
        proven_by=proven_by,
        user=user_reference(client.api_key, proof.user_token) if proof.user_token else None,
        expires_at=proof.expires_at,
    )


class _Clients:
    """Against which application a token is to be verified."""

    def __init__(self, clients: Mapping[str, Client]) -> None:
        self._by_name = clients
        self._by_key = {client.api_key: client for client in clients.values()}

    def of(self, app_hint: str | None, token: str, algorithm: str) -> Client | None:
        if algorithm_of(token) != algorithm:
            return None
        if app_hint is not None:
            return self._by_name.get(app_hint)
        return self._by_key.get(claimed_application(token) or "")
