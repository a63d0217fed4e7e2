"""The real store, on SQLite, and an API of Xumm's in memory, both by one clock that the test turns."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from processor.store.store import Store
from processor.store.writer import Writer
from tests.api.sign_requests.xumm import KEYRING, XummInMemory
from tests.sandbox.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def xumm(clock: FakeClock) -> XummInMemory:
    return XummInMemory(clock=clock)


@pytest.fixture
async def writer(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Writer]:
    async with Writer(partial(Store.open, f"sqlite:///{tmp_path}/s.db", KEYRING), clock=clock) as opened:
        yield opened
