"""What this service knows of users, put together: whose token a request bears, and how they sign in through Xumm."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from yarl import URL

from processor.api import oauth2
from processor.api.callers import Authenticator
from processor.api.identity_tokens import XAppJwtAuthenticator, XummJwtAuthenticator
from processor.clients import clients_of
from processor.core.oauth2 import Client
from processor.identities import Identities
from processor.intake import Limits
from processor.jwks import KeySet
from processor.outbound import Connections
from processor.settings import Settings
from processor.sign_ins import Sessions, SignIns
from processor.spent import SpentInMemory
from processor.web import Handler

Clock = Callable[[], datetime]
TIMEOUT: Final = timedelta(seconds=10)
"""For one call of Xumm's OAuth2 provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """What the rest of the service needs of it."""

    authenticators: Sequence[Authenticator]
    """By Xumm's own tokens."""
    routes: Mapping[str, Handler]


@asynccontextmanager
async def users_of(
    settings: Settings, limits: Limits, *, clock: Clock, sessions: Sessions | None = None
) -> AsyncIterator[Users]:
    """Ready for requests. Without ``sessions``, or a ``public_url``, nobody can sign in through the provider."""
    clients = clients_of(settings)
    async with AsyncExitStack() as stack:
        connections = await stack.enter_async_context(Connections(timeout=TIMEOUT))
        keys = {
            provider: await stack.enter_async_context(_keys_of(provider, connections, settings.identity_keys_ttl))
            for provider in {client.provider for client in clients.values()}
        }
        identities = Identities(keys, clock=clock)
        authenticators = (XummJwtAuthenticator(clients, identities), XAppJwtAuthenticator(clients, clock=clock))
        routes: dict[str, Handler] = {}
        if sessions is not None and settings.public_url is not None:
            sign_ins = _sign_ins(clients, settings.public_url, identities, connections, sessions, clock)
            routes |= oauth2.oauth2_handlers(sign_ins, limits)
        yield Users(authenticators=authenticators, routes=routes)


def _keys_of(provider: str, connections: Connections, ttl: timedelta) -> KeySet:
    return KeySet(URL(f"{provider}/certs"), connections, ttl=ttl, time=time.monotonic)


def _sign_ins(
    clients: Mapping[str, Client],
    public_url: str,
    identities: Identities,
    provider: Connections,
    sessions: Sessions,
    clock: Clock,
) -> SignIns:
    return SignIns(
        clients,
        redirect_uri=f"{public_url}{oauth2.CALLBACK_PATH}",
        identities=identities,
        provider=provider,
        sessions=sessions,
        spent=SpentInMemory(clock=clock),
        clock=clock,
    )
