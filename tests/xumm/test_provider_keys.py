"""The keys of a provider, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from processor.core.errors import Unavailable
from processor.web.client import Connections
from processor.xumm.provider_keys import MAX_BYTES, KeyCache
from tests.support.peer import Peer, Reply, says, serving
from tests.support.tokens import jwk, public_key

TTL = timedelta(hours=1)


@dataclass(slots=True)
class Stopwatch:
    """Time that passes when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True, kw_only=True)
class Stand:
    """A provider and the keys that are taken from it."""

    peer: Peer
    keys: KeyCache
    time: Stopwatch = field(default_factory=Stopwatch)

    @property
    def fetches(self) -> int:
        return len(self.peer.asked)


@asynccontextmanager
async def standing(reply: Reply) -> AsyncIterator[Stand]:
    time = Stopwatch()
    async with (
        serving(reply) as peer,
        Connections(timeout=timedelta(seconds=5)) as connections,
        KeyCache(peer.url / "certs", connections, ttl=TTL, time=time) as keys,
    ):
        yield Stand(peer=peer, keys=keys, time=time)


ONE = says({"keys": [jwk()]})
TWO = says({"keys": [jwk(), jwk(public_key("new"))]})


async def test_keys_are_fetched_once_and_kept() -> None:
    """Until their time is over."""
    async with standing(ONE) as stand:
        assert [len(await stand.keys.keys()) for _ in range(5)] == [1] * 5
        assert stand.fetches == 1
        assert stand.peer.asked[0].path == "/certs"

        stand.peer.reply = TWO
        stand.time.now += TTL.total_seconds() - 1
        assert len(await stand.keys.keys()) == 1
        stand.time.now += 1
        assert len(await stand.keys.keys()) == 2


async def test_ten_thousand_waiters_share_one_fetch() -> None:
    """However many ask for newer keys at once, and however often within a minute."""
    async with standing(ONE) as stand:
        found = await asyncio.gather(*(stand.keys.renew() for _ in range(10_000)))
        assert ({len(keys) for keys in found}, stand.fetches) == ({1}, 1)

        stand.time.now += 59.9
        await asyncio.gather(*(stand.keys.renew() for _ in range(1000)))
        assert stand.fetches == 1

        stand.time.now += 0.1
        await asyncio.gather(*(stand.keys.renew() for _ in range(1000)))
        assert stand.fetches == 2


async def test_waiter_that_leaves_takes_nobody_along() -> None:
    """Who waits for the fetch does not own it, and however long it takes there is one."""
    answering = asyncio.Event()

    async def slowly(request: object) -> object:
        await answering.wait()
        return await ONE(request)  # type: ignore[arg-type]  # handed through

    async with standing(slowly) as stand:  # type: ignore[arg-type]  # likewise
        first, second = (asyncio.create_task(stand.keys.keys()) for _ in range(2))
        async with asyncio.timeout(5):
            while not stand.fetches:  # noqa: ASYNC110  the peer tells nobody
                await asyncio.sleep(0.005)
        first.cancel()
        stand.time.now += 3600
        third = asyncio.create_task(stand.keys.renew())
        await asyncio.sleep(0)
        answering.set()

        assert (len(await second), len(await third)) == (1, 1)
        assert stand.fetches == 1


@pytest.mark.parametrize(
    "reply",
    [
        says({"error": "down"}, status=503),
        says({"keys": [jwk()]}, status=302, headers={"Location": "https://evil.com/certs"}),
        says(b"<html>"),
        says(b'{"keys":['),
        says({"keys": []}),
        says({"keys": [jwk(n="AQAB")]}),
        says({"keys": [{"kty": "RSA"}] * 10_000}),
        says({"keys": [jwk(public_key("new"))], "padding": "x" * MAX_BYTES}),
    ],
)
async def test_known_keys_stay_when_the_provider_fails(reply: Reply) -> None:
    """Neither an outage nor nonsense nor a set of ten thousand locks anybody out."""
    async with standing(ONE) as stand:
        known = await stand.keys.keys()
        stand.peer.reply = reply
        stand.time.now += TTL.total_seconds()

        with capture_logs() as lines:
            assert await stand.keys.keys() == known
        assert [queue["event"] for queue in lines] == ["identity_keys.unavailable"]
        assert await stand.keys.keys() == known
        assert stand.fetches == 2


async def test_without_any_keys_it_is_unavailable() -> None:
    """Which is not the same as a wrong token; and the provider is left alone for a minute."""
    async with standing(says({}, status=500)) as stand:
        for _ in range(3):
            with pytest.raises(Unavailable, match="keys"):
                await stand.keys.keys()
        assert stand.fetches == 1

        stand.peer.reply = ONE
        stand.time.now += 60
        assert len(await stand.keys.keys()) == 1


async def test_fetch_under_way_ends_with_its_owner() -> None:
    """Nothing is left running."""

    async def never(_request: object) -> object:
        return await asyncio.Event().wait()

    async with asyncio.timeout(5), standing(never) as stand:  # type: ignore[arg-type]  # it never returns anything
        waiting = asyncio.create_task(stand.keys.keys())
        while not stand.fetches:  # noqa: ASYNC110  the peer tells nobody
            await asyncio.sleep(0.005)
    with pytest.raises(Unavailable):
        await waiting
