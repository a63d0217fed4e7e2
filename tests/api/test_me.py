"""``GET /v1/me`` with each kind of Xumm's tokens, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from processor.api.endpoint import build_endpoint
from processor.api.me import MeHandlers
from processor.api.sign_in.identity_tokens import IdentityVerifier, XAppJwtAuthenticator, XummJwtAuthenticator
from processor.app import Processor
from processor.core.access.caller import UserCaller
from processor.core.access.oauth2 import Client, ClientSecret
from processor.core.errors import StoreUnavailable
from processor.core.payload.ids import user_reference
from processor.web.client import Connections
from processor.web.problem import Problem
from processor.xumm.provider_keys import KeyCache
from tests.core.payloads import APPLICATION, SECRET
from tests.sandbox.clock import until
from tests.support.peer import Peer, says, serving
from tests.support.settings import settings_for
from tests.support.tokens import ISSUER, NOW, USER_TOKEN, identity, jwk, public_key, xapp
from tests.support.wallets import ALICE

BAR = {"api_key": "8f5b1d3a-0000-4000-8000-00000000a002", "api_secret": "22345678-90ab-4cde-8f01-234567890abc"}
CLIENT = Client(
    app="shop", api_key=APPLICATION, secrets=(ClientSecret(text=SECRET),), network="MAINNET", provider=ISSUER
)


@dataclass(slots=True, kw_only=True)
class Stand:
    """A running processor and the provider whose keys it reads."""

    processor: Processor
    provider: Peer
    session: aiohttp.ClientSession

    def identity(self, **changes: Any) -> str:
        return identity(now=datetime.now(UTC), **{"iss": str(self.provider.url).rstrip("/")} | changes)

    async def me(self, token: str | None) -> tuple[int, dict[str, Any]]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with self.session.get(f"{self.processor.url}/v1/me", headers=headers) as response:
            self.headers = dict(response.headers)
            return response.status, json.loads(await response.read())

    async def reason(self, token: str | None) -> tuple[int, str]:
        status, said = await self.me(token)
        return status, said["reason"]

    headers: dict[str, str] = None  # type: ignore[assignment]  # of the last answer


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with serving(says({"keys": [jwk()]})) as provider:
        url = str(provider.url)
        applications = {
            "shop": {"api_key": APPLICATION, "api_secret": SECRET, "oauth2_url": url, "xapp_tokens": True},
            "bar": {**BAR, "oauth2_url": url},
        }
        settings = settings_for(tmp_path, applications=applications)
        async with Processor(settings) as processor, aiohttp.ClientSession() as session:
            yield Stand(processor=processor, provider=provider, session=session)


async def test_token_of_the_provider_tells_who_calls(stand: Stand) -> None:
    """Application, account, how that was proven and until when it counts."""
    status, me = await stand.me(stand.identity())
    expires_at = datetime.fromisoformat(me.pop("expires_at"))

    assert (status, me) == (200, {"app": "shop", "account": ALICE.address, "proven_by": "xumm_jwt"})
    assert timedelta(hours=23) < expires_at - datetime.now(UTC) <= timedelta(hours=24)
    assert stand.headers["Cache-Control"] == "no-store"
    assert [request.path for request in stand.provider.asked] == ["/certs"]


async def test_token_of_an_xapp_counts_where_it_is_switched_on(stand: Stand) -> None:
    """The other application did not ask for it."""
    status, me = await stand.me(xapp(now=datetime.now(UTC)))
    assert (status, me["app"], me["proven_by"]) == (200, "shop", "xapp_jwt")

    bar = {"client_id": BAR["api_key"], "aud": BAR["api_key"], "app_uuidv4": BAR["api_key"]}
    others = xapp(now=datetime.now(UTC), secret=BAR["api_secret"], **bar)
    assert await stand.reason(others) == (401, "key_invalid")
    assert stand.provider.asked == []


async def test_refusals_tell_what_is_missing(stand: Stand) -> None:
    """As RFC 6750 has it."""
    assert await stand.reason(None) == (401, "key_missing")
    assert stand.headers["WWW-Authenticate"] == "Bearer"
    assert await stand.reason(stand.identity(key="thief")) == (401, "key_invalid")
    assert stand.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert await stand.reason("x" * 5000) == (401, "key_invalid")


async def test_provider_that_is_down_is_no_wrong_token(stand: Stand) -> None:
    """The user may come again; without keys nothing is believed."""
    stand.provider.reply = says({}, status=503)

    assert await stand.reason(stand.identity()) == (503, "identity_unavailable")
    assert stand.headers["Retry-After"] == "10"


async def test_logs_bear_no_token(stand: Stand) -> None:
    """Neither good ones nor wrong ones, nor their parts."""
    tokens = [stand.identity(), stand.identity(key="thief"), stand.identity(exp=1), "eyJ.x.y", "canary-of-a-token"]
    with capture_logs() as lines:
        for token in tokens:
            await stand.me(token)
        await until(lambda: len([line for line in lines if line["event"] == "identity.refused"]) == 2)

    parts = [part for token in tokens for part in token.split(".") if len(part) > 10]
    assert [line["reason"] for line in lines if line["event"] == "identity.refused"] == ["signature", "expired"]
    assert [part for part in parts if part in str(lines)] == []


class NoSessions:
    """A store that keeps none."""

    async def end(self, token: str) -> bool:
        return False


async def test_store_that_is_gone_is_told() -> None:
    """Where sessions are looked up in it, nobody is refused for that."""

    async def identify(_request: web.Request) -> UserCaller:
        raise StoreUnavailable("gone")

    handlers = MeHandlers(admit=identify, sessions=NoSessions())
    async with (
        serving(build_endpoint("/v1/me", {"GET": handlers.get_me}, ())) as peer,
        aiohttp.ClientSession() as session,
        session.get(peer.url / "v1/me") as response,
    ):
        said = await response.json(content_type=None)

    assert (response.status, said["reason"]) == (503, "store_unavailable")


@dataclass(slots=True, kw_only=True)
class Gate:
    """Authenticators with the time in the test's hand."""

    provider: Peer
    xumm: XummJwtAuthenticator
    xapps: XAppJwtAuthenticator
    seconds: float = 0.0


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with serving(says({"keys": [jwk()]})) as provider, Connections(timeout=timedelta(seconds=5)) as connections:
        clients = {"shop": CLIENT}

        def time() -> float:
            return found.seconds

        async with KeyCache(provider.url / "certs", connections, ttl=timedelta(hours=1), time=time) as keys:
            found = Gate(
                provider=provider,
                xumm=XummJwtAuthenticator(clients, IdentityVerifier({ISSUER: keys}, clock=lambda: NOW)),
                xapps=XAppJwtAuthenticator(clients, clock=lambda: NOW),
            )
            yield found


async def test_ten_thousand_wrong_tokens_cost_one_fetch(gate: Gate) -> None:
    """Whoever sends them cannot make this service call the provider in their stead."""
    wrong = identity(key="thief")
    with capture_logs():
        found = await asyncio.gather(*(gate.xumm.authenticate(None, wrong) for _ in range(10_000)))
    assert (set(found), len(gate.provider.asked)) == ({None}, 1)

    gate.seconds += 60
    with capture_logs():
        await asyncio.gather(*(gate.xumm.authenticate(None, wrong) for _ in range(100)))
    assert len(gate.provider.asked) == 2


async def test_new_key_of_the_provider_is_found(gate: Gate) -> None:
    """Once a minute at most; until then its tokens have to wait."""
    assert await gate.xumm.authenticate(None, identity()) is not None
    gate.provider.reply = says({"keys": [jwk(public_key("new"))]})
    assert await gate.xumm.authenticate(None, identity(key="new")) is None
    gate.seconds += 60
    found = await gate.xumm.authenticate(None, identity(key="new"))

    assert found is not None
    assert found.account == ALICE.address


async def test_unsigned_nonsense_costs_no_fetch(gate: Gate) -> None:
    """What is for no application of ours, or of another kind, asks nobody."""
    for token in ("x", xapp(), identity(aud="other", client_id="other"), "a.b.c", "x" * 10_000):
        assert await gate.xumm.authenticate(None, token) is None

    assert gate.provider.asked == []


async def test_hint_decides_the_application(gate: Gate) -> None:
    """A token of another application than the request is for proves nothing."""
    assert await gate.xumm.authenticate("shop", identity()) is not None
    assert await gate.xumm.authenticate("bar", identity()) is None
    assert await gate.xumm.authenticate("shop", identity(aud=BAR["api_key"], client_id=BAR["api_key"])) is None


async def test_caller_is_known_by_the_reference_of_the_events(gate: Gate) -> None:
    """It is made of the user token that Xumm's own token names; one that names none leaves it open."""
    named, unnamed = [
        await gate.xumm.authenticate("shop", identity(usertoken_uuidv4=each)) for each in (USER_TOKEN, None)
    ]

    assert named is not None
    assert unnamed is not None
    assert (named.user, unnamed.user) == (user_reference(APPLICATION, USER_TOKEN), None)


async def test_xapp_token_needs_the_switch(gate: Gate) -> None:
    """Off unless the operator says so."""
    assert await gate.xapps.authenticate(None, xapp()) is None
    assert await gate.xapps.authenticate("shop", xapp()) is None


async def test_unavailable_provider_is_a_problem(gate: Gate) -> None:
    """Not a wrong token."""
    gate.provider.reply = says({}, status=500)
    with pytest.raises(Problem, match="identity_unavailable"):
        await gate.xumm.authenticate(None, identity())
