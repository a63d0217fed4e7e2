"""A service with a sandbox as its Xumm, and a client that speaks to it over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from multidict import CIMultiDictProxy

from processor.app import Processor
from processor.core.access.service_key import digest_of
from processor.sandbox.access import RateLimits
from processor.sandbox.ledger import ValidationPace
from processor.sandbox.server import Sandbox
from processor.sandbox.simulation import SandboxSettings
from processor.settings.service import Settings
from processor.xumm.budget import Budget
from tests.sandbox.world import OTHER, SHOP
from tests.servers.child import free_port
from tests.support.settings import settings_for

KEYS = {
    "backend": {
        "sha256": digest_of("backend's key").hex(),
        "scopes": ["sign-requests:read", "sign-requests:write"],
        "apps": ["shop"],
    },
    "reader": {"sha256": digest_of("reader's key").hex(), "scopes": ["sign-requests:read"]},
    "stranger": {
        "sha256": digest_of("stranger's key").hex(),
        "scopes": ["sign-requests:read", "sign-requests:write"],
        "apps": ["other"],
    },
}
TOKEN_KEY = "bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4="
RETURN = "shopapp://signed"
WEB_RETURN = "https://app.example.com/signed"


class Answer(NamedTuple):
    status: int
    json: Any
    headers: CIMultiDictProxy[str]


class Stand:
    """What a test holds in its hands."""

    def __init__(self, processor: Processor, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.processor = processor
        self.sandbox = sandbox
        self.session = session

    async def call(
        self, method: str, path: str, body: Any = None, *, bearer: str | None = "backend's key", **headers: str
    ) -> Answer:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        named = {"Content-Type": "application/json"} if body is not None else {}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        if bearer is not None:
            named["Authorization"] = f"Bearer {bearer}"
        url = f"{self.processor.url}{path}"
        async with self.session.request(method, url, data=content, headers=named) as response:
            raw = await response.read()
            return Answer(response.status, json.loads(raw) if raw else None, response.headers)

    async def sign_in(self, **how: Any) -> tuple[dict[str, Any], str]:
        """A sign-in that was signed and proven, and its session's token."""
        begun = (await self.call("POST", "/v1/sign-in", {"app": "shop"}, bearer=None)).json
        self.sandbox.sign(begun["id"], **how)
        await self.outcome(begun["status_url"], begun["exchange_secret"])
        session = await self.call("POST", begun["session_url"], bearer=begun["exchange_secret"])
        assert session.status == 201
        return begun, session.json["token"]

    async def outcome(self, path: str, bearer: str) -> Any:
        """The status, once there is an outcome."""
        async with asyncio.timeout(20):
            while (status := (await self.call("GET", path, bearer=bearer)).json)["outcome"] is None:  # noqa: ASYNC110  only asking tells
                await asyncio.sleep(0.05)
        return status

    @property
    def payloads(self) -> int:
        """How many the sandbox has."""
        return len(self.sandbox.payloads._payloads)


def settings_at(folder: Path, sandbox: Sandbox, **changes: Any) -> Settings:
    shop: dict[str, Any] = {
        "api_key": SHOP.key,
        "api_secret": SHOP.secret,
        "return_urls": [RETURN, WEB_RETURN],
        "apple_app_ids": ["ABCDE12345.com.example.shop"],
        "android_package": "com.example.shop",
        "android_fingerprints": [":".join(["AB"] * 32)],
    } | changes.pop("shop", {})
    values: dict[str, Any] = {
        "applications": {"shop": shop, "other": {"api_key": OTHER.key, "api_secret": OTHER.secret}},
        "service_keys": KEYS,
        "xumm_url": sandbox.base_url,
        "ledger_urls": {"MAINNET": [sandbox.ledger_url]},
        "token_keys": [TOKEN_KEY],
        "api": {"calls_per_minute": 10_000, "service_calls_per_minute": 10_000, "requests_per_minute": 1000},
    }
    return settings_for(folder, **values | changes)


@asynccontextmanager
async def standing(folder: Path, *, budget: Callable[[], Budget] = Budget, **changes: Any) -> AsyncIterator[Stand]:
    """A service that serves, until the end of the block."""
    pace = ValidationPace(asks_not_found=0, asks_unvalidated=0, close_time=timedelta(microseconds=1))
    xumm = SandboxSettings(limits=RateLimits(calls=10_000, creations=1000), ledger=pace)
    port = free_port()
    shop = replace(SHOP, webhook_url=f"http://127.0.0.1:{port}/webhooks/shop")
    async with Sandbox([shop, OTHER], xumm) as sandbox:
        stop = asyncio.Event()
        settings = settings_at(folder, sandbox, http_port=port, **changes)
        async with Processor(settings, budget=budget) as processor, aiohttp.ClientSession() as session:
            serving = asyncio.create_task(processor.serve(stop))
            try:
                yield Stand(processor, sandbox, session)
            finally:
                stop.set()
                await serving
