"""What one application's flood costs another: counted by calls and turns, with the real store and the real budget."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from processor.core.application import Application
from processor.core.payload.entry import Commit, Reported
from processor.core.reports.report import LookupDue, Report, WebhookReport
from processor.lookups.tasks import ROUTINE, URGENT, Sources, Tasks
from processor.settings.sections import WatchingSettings
from processor.store import watches
from processor.store.adapters import StoredTasks
from processor.store.store import Store
from processor.store.writer import Writer
from processor.xumm.budget import Budget, Priority
from tests.core.payloads import NOW, POLICY
from tests.lookups.test_tasks import SIGNED, Nodes
from tests.support.watching import SHOPPER, Time, a_world, says, serving, until

FLOODED = replace(SHOPPER, name="flooded", uuid=str(uuid4()))
APPLICATIONS = {"flooded": FLOODED, "shop": SHOPPER}
BURST = 150
PLACES = 4


class StoppedClock:
    """Time in which no budget refills."""

    def time(self) -> float:
        return 0.0

    def call_later(self, delay: float, callback: object, /) -> "StoppedClock":
        return self

    def cancel(self) -> None:
        return None


class Xumm:
    """Answers each application within its budget, which is never more than its first burst."""

    def __init__(self) -> None:
        self.budgets = {name: Budget(clock=StoppedClock()) for name in APPLICATIONS}
        self.answered: Counter[str] = Counter()
        self.urgent: list[bool] = []

    async def payload(self, application: Application, uuid: str, *, urgent: bool) -> bytes:
        await self.budgets[application.name].acquire(Priority.URGENT if urgent else Priority.ROUTINE)
        self.answered[application.name] += 1
        self.urgent.append(urgent)
        answer = SIGNED | {
            "meta": SIGNED["meta"] | {"uuid": uuid},
            "application": {"uuidv4": application.uuid},
        }
        return json.dumps(answer).encode()


class System:
    """Both lanes of lookups for two applications over one store."""

    def __init__(self, writer: Writer, time: Time) -> None:
        self.writer, self.xumm, self.resolved = writer, Xumm(), list[str]()
        store = StoredTasks(writer, instance="one", clock=time.now)
        sources = Sources(payloads=self.xumm, transactions=Nodes())
        self.lanes = [
            Tasks(store, writer, sources, APPLICATIONS, clock=time.now, kinds=kinds, places=PLACES)
            for kinds in (URGENT, ROUTINE)
        ]
        writer.commits.subscribe(self.observe, *(lane.observe for lane in self.lanes))

    def observe(self, commit: Commit) -> None:
        resolved = (each.message for each in commit.messages if each.message.type == "xumm.resolve.signed")
        self.resolved.extend(message.app for message in resolved)

    async def report(self, *reports: Report) -> None:
        await asyncio.gather(*(self.writer.record(Reported(report=report, policy=POLICY)) for report in reports))
        for lane in self.lanes:
            lane.wake()


@asynccontextmanager
async def system(url: str) -> AsyncIterator[System]:
    time = Time()
    async with Writer(partial(Store.open, url), clock=time.now) as writer:
        built = System(writer, time)
        running = [asyncio.create_task(lane.run()) for lane in built.lanes]
        yield built
        for lane in running:
            lane.cancel()
        await asyncio.wait(running)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("postgres_url") if request.param == "postgresql" else f"sqlite:///{tmp_path}/f.db"


def signed(application: Application) -> Report:
    """Somebody signed a new payload of it."""
    return WebhookReport(
        app=application.name, application_uuid=application.uuid, payload=str(uuid4()), at=NOW, signed=True, txid=None
    )


def gap(application: Application) -> Report:
    """Nobody listened to a new payload of it for a while."""
    return LookupDue(
        app=application.name, application_uuid=application.uuid, payload=str(uuid4()), at=NOW, reason="gap"
    )


async def test_proof_does_not_wait_for_the_budget_of_another_application(url: str) -> None:
    """Signatures of one application wait for its budget, all of them; that of another is proven with its first call."""
    async with system(url) as running:
        await running.report(*(signed(FLOODED) for _ in range(BURST)))
        await until(lambda: running.xumm.budgets["flooded"].waiting > 0)
        await running.report(signed(SHOPPER))
        await until(lambda: "shop" in running.resolved)

    assert Counter(shop=1, flooded=10) == running.xumm.answered


async def test_look_does_not_wait_for_the_budget_of_another_application(url: str) -> None:
    """The same of routine lookups."""
    async with system(url) as running:
        await running.report(*(gap(FLOODED) for _ in range(BURST)))
        await until(lambda: running.xumm.budgets["flooded"].waiting > 0)
        await running.report(gap(SHOPPER))
        await until(lambda: "shop" in running.resolved)

    assert Counter(shop=1, flooded=10) == running.xumm.answered


async def test_handshake_does_not_wait_for_those_of_another_application(tmp_path: Path) -> None:
    """While one application's sockets take all handshakes that they may, the first of another is the next to begin."""
    async with serving(says()) as server:
        server.gate = asyncio.Event()
        async with a_world(tmp_path, server, applications=APPLICATIONS, limits=WatchingSettings(handshakes=8)) as world:
            await asyncio.gather(*(world.record(gap(FLOODED)) for _ in range(40)))
            await until(lambda: world.watcher.counts["watched"] == 40)
            await until(lambda: world.watcher.counts["opening"] == server.handshakes > 0)
            before = server.handshakes
            watched = gap(SHOPPER)
            await world.record(watched)
            await until(lambda: server.handshakes == before + 1)
            server.gate.set()

            await until(lambda: watched.payload in server.open)
            assert before < 8


async def test_watch_does_not_wait_for_those_of_another_application(tmp_path: Path) -> None:
    """While one application's watches take all sockets that they may, another has places of its own."""
    async with (
        serving(says()) as server,
        a_world(tmp_path, server, applications=APPLICATIONS, limits=WatchingSettings(max_watches=20)) as world,
    ):
        await asyncio.gather(*(world.record(gap(FLOODED)) for _ in range(40)))
        await until(lambda: world.watcher.counts["open"] >= 14)
        await asyncio.gather(*(world.record(gap(SHOPPER)) for _ in range(10)))
        await until(lambda: world.watcher.counts["open"] >= 19)
        held = Counter(watch.state.app for watch in await world.writer.run(watches.list_oldest) if watch.holder)

    assert held["flooded"] <= 15
    assert held["shop"] >= 5


async def test_proof_goes_before_the_looks_of_its_own_application(tmp_path: Path) -> None:
    """However many routine lookups wait for a budget, its next call is for the proof that somebody waits for."""
    async with system(f"sqlite:///{tmp_path}/f.db") as running:
        budget = running.xumm.budgets["shop"]
        await running.report(*(gap(SHOPPER) for _ in range(BURST)))
        await until(lambda: budget.waiting == PLACES)
        await running.report(signed(SHOPPER))
        await until(lambda: budget.waiting == PLACES + 1)
        budget.give_back()
        await until(lambda: running.xumm.answered["shop"] == 11)

    assert [False] * 10 + [True] == running.xumm.urgent


async def test_proof_does_not_wait_for_names_that_are_not_resolved(tmp_path: Path) -> None:
    """Threads that look up hosts hang for long where a name server does: a proof has threads of its own."""
    released = threading.Event()
    loop = asyncio.get_running_loop()
    try:
        hung = [loop.run_in_executor(None, released.wait) for _ in range(64)]
        async with system(f"sqlite:///{tmp_path}/f.db") as running:
            await running.report(signed(SHOPPER))
            await until(lambda: "shop" in running.resolved)
    finally:
        released.set()
        await asyncio.gather(*hung)
