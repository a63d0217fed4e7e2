"""An app's way of signing in: what the app holds, and what browsers do."""

import base64
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from yarl import URL

from processor.sandbox.payload import Application
from processor.sandbox.server import Sandbox
from processor.sandbox.wallet import ALICE
from tests.core.payloads import APPLICATION, SECRET

PUBLIC_URL = "https://service.example"
CALLBACK = f"{PUBLIC_URL}/v1/oauth2/callback"
APP_LINK = "shopapp://signin"
WEB_LINK = "https://shop.example/app/signin?from=xumm"
SHOP = Application(key=APPLICATION, secret=SECRET, name="Shop", redirect_uris=(CALLBACK,))
BAR = Application(
    key="8f5b1d3a-0000-4000-8000-00000000a002",
    secret="22345678-90ab-4cde-8f01-234567890abc",
    name="Bar",
    redirect_uris=(CALLBACK,),
)


@dataclass(slots=True)
class SessionsInMemory:
    """Sessions as the store keeps them: told once, and bound to whom they are of."""

    held: dict[str, tuple[str, str, str | None, timedelta]] = field(default_factory=dict)

    async def create(self, app: str, account: str, user: str | None, ttl: timedelta) -> str:
        token = "xws_" + secrets.token_urlsafe(32)
        self.held[token] = (app, account, user, ttl)
        return token


@dataclass(slots=True, kw_only=True)
class UsedOnceInMemory:
    """Values that count once, as the store keeps them."""

    clock: Callable[[], datetime]
    used: dict[str, datetime] = field(default_factory=dict)

    async def use(self, value: str, until: datetime) -> bool:
        now = self.clock()
        self.used = {each: over for each, over in self.used.items() if now < over}
        first = value not in self.used
        self.used.setdefault(value, until)
        return first


@dataclass(frozen=True, slots=True)
class Pair:
    """A verifier, and the challenge that the app shows of it."""

    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def challenge(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def approved(sandbox: Sandbox, url: str, account: str = ALICE.address, **changes: str) -> dict[str, str]:
    """What the provider sends the browser back with, after the user pressed the button."""
    where = URL(url)
    assert str(where.with_query(None)) == f"{sandbox.base_url}/auth"
    asked = sandbox.provider.parse(dict(where.query) | changes)
    back = URL(sandbox.provider.approve(asked, account, issuer=sandbox.base_url))
    assert str(back.with_query(None)) == CALLBACK
    return dict(back.query)


def declined(sandbox: Sandbox, url: str) -> dict[str, str]:
    """What a provider that keeps to RFC 6749, section 4.1.2.1, sends it back with. Xumm's leaves the state out."""
    asked = sandbox.provider.parse(URL(url).query)
    return dict(URL(sandbox.provider.deny(asked)).query) | {"state": asked.state or ""}
