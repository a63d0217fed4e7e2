"""What this service knows of users, put together: whose token a request bears, and how they sign in through Xumm."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from yarl import URL

from processor.api.callers import Authenticator
from processor.api.sign_in.clients import clients_of
from processor.api.sign_in.identities import Identities
from processor.api.sign_in.identity_tokens import XAppJwtAuthenticator, XummJwtAuthenticator
from processor.api.sign_in.oauth2 import SignIns
from processor.api.sign_in.oauth2_handlers import CALLBACK_PATH
from processor.settings.service import Settings
from processor.store.ports import SessionStore, UsedOnce
from processor.web.client import Connections
from processor.xumm.provider_keys import KeySet

Clock = Callable[[], datetime]
TIMEOUT: Final = timedelta(seconds=10)
"""For one call of Xumm's OAuth2 provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """What the rest of the service needs of it."""

    authenticators: Sequence[Authenticator]
    """By Xumm's own tokens."""
    sign_ins: SignIns | None
    """Through Xumm's provider; None where no browser could find the way back."""


@asynccontextmanager
async def users_of(
    settings: Settings, *, clock: Clock, sessions: SessionStore, spent: UsedOnce
) -> AsyncIterator[Users]:
    """Ready for requests. Without a ``public_url`` nobody can sign in through the provider."""
    clients = clients_of(settings)
    async with AsyncExitStack() as stack:
        connections = await stack.enter_async_context(Connections(timeout=TIMEOUT))
        keys = {
            provider: await stack.enter_async_context(_keys_of(provider, connections, settings.identity_keys_ttl))
            for provider in {client.provider for client in clients.values()}
        }
        identities = Identities(keys, clock=clock)
        authenticators = (XummJwtAuthenticator(clients, identities), XAppJwtAuthenticator(clients, clock=clock))
        sign_ins = None
        if settings.public_url is not None:
            sign_ins = SignIns(
                clients,
                redirect_uri=f"{settings.public_url}{CALLBACK_PATH}",
                identities=identities,
                provider=connections,
                sessions=sessions,
                spent=spent,
                clock=clock,
                session_ttl=settings.api.session_ttl,
            )
        yield Users(authenticators=authenticators, sign_ins=sign_ins)


def _keys_of(provider: str, connections: Connections, ttl: timedelta) -> KeySet:
    return KeySet(URL(f"{provider}/certs"), connections, ttl=ttl, time=time.monotonic)
