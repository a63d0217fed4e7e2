"""What is promised of things that count once, whoever remembers them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from processor.settings.sections import RetentionSettings
from processor.store import retention
from processor.store.adapters import StoredUsedOnce
from processor.store.ports import UsedOnce
from processor.store.store import Store
from processor.store.writer import Writer
from tests.sandbox.clock import FakeClock
from tests.support.signing_in import UsedOnceInMemory

MINUTE = timedelta(minutes=1)
STORES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", *STORES])
async def spent(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[UsedOnce]:
    if request.param == "memory":
        yield UsedOnceInMemory(clock=clock)
        return
    async with Writer(partial(Store.open, _url(request, tmp_path))) as writer:
        yield StoredUsedOnce(writer)


def _url(request: pytest.FixtureRequest, folder: Path) -> str:
    return request.getfixturevalue("postgres_url") if request.param == "postgresql" else f"sqlite:///{folder}/s.db"


async def test_each_thing_is_used_once(spent: UsedOnce, clock: FakeClock) -> None:
    """The first gets it, everybody after that does not, and one thing is not another."""
    until = clock() + MINUTE

    assert [await spent.use(used, until) for used in ("a", "a", "b", "a")] == [True, False, True, False]


async def test_of_many_at_once_one_is_the_first(spent: UsedOnce, clock: FakeClock) -> None:
    """However many ask at the same time."""
    until = clock() + MINUTE
    found = await asyncio.gather(*(spent.use("a", until) for _ in range(50)))

    assert sum(found) == 1


@pytest.mark.postgres
async def test_instances_remember_for_each_other(postgres_url: str, clock: FakeClock) -> None:
    """What one instance let through, no other does, not even at the same time."""
    until = clock() + MINUTE
    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(Writer(partial(Store.open, postgres_url))) for _ in range(3)]
        found = await asyncio.gather(
            *(StoredUsedOnce(writer).use(f"{n}", until) for n in range(20) for writer in writers)
        )

    assert sum(found) == 20


@pytest.mark.parametrize("kind", STORES)
async def test_what_is_over_is_pruned(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """What nobody can use any more is forgotten by the ordinary pruning, and nothing else is."""
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else f"sqlite:///{tmp_path}/s.db"
    now = FakeClock()()
    async with Writer(partial(Store.open, url)) as writer:
        spent = StoredUsedOnce(writer)
        await spent.use("over", now)
        await spent.use("open", now + MINUTE)
        removed = await writer.run(retention.prune, RetentionSettings(), now + MINUTE / 2)

        assert removed == 1
        assert [await spent.use(used, now + MINUTE) for used in ("over", "open")] == [True, False]
