"""Xumm's OAuth2 provider as configured: its clients, the verification of its tokens, and signing in through it."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from yarl import URL

from processor.api.callers import TokenAuthenticator
from processor.api.operations import build_path
from processor.api.sign_in.identity_tokens import IdentityVerifier, XAppJwtAuthenticator, XummJwtAuthenticator
from processor.api.sign_in.oauth2_flow import OAuth2Flow
from processor.core.access.oauth2 import Client, ClientSecret
from processor.settings.applications import ApplicationSettings
from processor.settings.service import Settings
from processor.store.ports import SessionStore, UsedOnce
from processor.web.client import Connections
from processor.xumm.provider_keys import KeyCache

TIMEOUT: Final = timedelta(seconds=10)
"""For one call of the provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityProvider:
    """The provider, ready for requests."""

    authenticators: Sequence[TokenAuthenticator]
    """For Xumm's own tokens."""
    flow: OAuth2Flow | None
    """None without a ``public_url``: the provider could not send a browser back."""


@asynccontextmanager
async def open_provider(
    settings: Settings, *, clock: Callable[[], datetime], sessions: SessionStore, spent: UsedOnce
) -> AsyncIterator[IdentityProvider]:
    """Connect to the provider of each application; its keys are fetched when the first token comes."""
    clients = {name: build_client(name, application) for name, application in settings.applications.items()}
    async with AsyncExitStack() as stack:
        connections = await stack.enter_async_context(Connections(timeout=TIMEOUT))
        keys = {
            address: await stack.enter_async_context(
                KeyCache(URL(f"{address}/certs"), connections, ttl=settings.identity_keys_ttl, time=time.monotonic)
            )
            for address in {client.provider for client in clients.values()}
        }
        verifier = IdentityVerifier(keys, clock=clock)
        authenticators = (XummJwtAuthenticator(clients, verifier), XAppJwtAuthenticator(clients, clock=clock))
        flow = None
        if settings.public_url is not None:
            flow = OAuth2Flow(
                clients=clients,
                redirect_uri=settings.public_url + build_path("finishOAuth2"),
                verifier=verifier,
                provider=connections,
                sessions=sessions,
                spent=spent,
                clock=clock,
                session_ttl=settings.api.session_ttl,
            )
        yield IdentityProvider(authenticators=authenticators, flow=flow)


def build_client(name: str, settings: ApplicationSettings) -> Client:
    """Build the provider's client of a configured application."""
    previous = (
        ClientSecret(text=old.secret.get_secret_value(), not_after=old.not_after) for old in settings.previous_secrets
    )
    return Client(
        app=name,
        api_key=settings.api_key,
        secrets=(ClientSecret(text=settings.api_secret.get_secret_value()), *previous),
        network=settings.network,
        provider=settings.oauth2_url,
        deep_links=frozenset(settings.deep_links),
        xapp_tokens=settings.xapp_tokens,
    )
