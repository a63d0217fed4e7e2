"""Lookups as they are run: from a doubt to the proof, or to giving up. Real store, sources of the test's own."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from processor.core.application import Application
from processor.core.errors import LookupFailed, NotFound, StoreUnavailable, Unavailable
from processor.core.payload.due_task import ClaimedTasks, DueTask, Lane
from processor.core.payload.entry import Commit, Recorded, Reported
from processor.core.payload.state import Flag, PayloadState
from processor.core.proof.signed_blob import transaction_id
from processor.core.reports.report import LedgerReport, LookupDue, Report, SnapshotReport
from processor.lookups.tasks import ROUTINE, URGENT, Sources, Tasks
from processor.store import payloads
from processor.store.adapters import StoredTasks
from processor.store.commits import CommitLog
from processor.store.store import Store
from processor.store.writer import Writer
from tests.core.payloads import APPLICATION, NOW, PAYLOAD, POLICY, ledger, snapshot, status, webhook
from tests.support.wallets import KNOWN_ACCOUNT, KNOWN_SIGN_IN
from tests.support.watching import SHOPPER, Time, until

OPEN: dict[str, Any] = {
    "meta": {
        "exists": True,
        "uuid": PAYLOAD,
        "submit": True,
        "resolved": False,
        "signed": False,
        "cancelled": False,
        "expired": False,
    },
    "application": {"uuidv4": APPLICATION},
    "payload": {
        "tx_type": "SignIn",
        "expires_at": (NOW + timedelta(hours=4)).isoformat(),
        "request_json": {"TransactionType": "SignIn"},
    },
    "response": {},
}
SIGNED = OPEN | {
    "meta": OPEN["meta"] | {"resolved": True, "signed": True},
    "response": {
        "hex": KNOWN_SIGN_IN,
        "txid": transaction_id(KNOWN_SIGN_IN),
        "account": KNOWN_ACCOUNT,
        "resolved_at": NOW.isoformat(),
    },
}
EXPIRED = OPEN | {"meta": OPEN["meta"] | {"expired": True}}


class Xumm:
    """Answers with what a test puts into ``says``."""

    def __init__(self) -> None:
        self.says: dict[str, Any] | LookupFailed = OPEN
        self.asked: list[bool] = []
        """Whether each call was urgent."""

    async def payload(self, application: Application, uuid: str, *, urgent: bool) -> bytes:
        self.asked.append(urgent)
        if isinstance(self.says, LookupFailed):
            raise self.says
        return json.dumps(self.says).encode()


class Nodes:
    async def transaction(self, application: Application, state: PayloadState) -> LedgerReport:
        return ledger()

    async def check_regular_key(self, application: Application, report: SnapshotReport) -> SnapshotReport:
        return report


class SlowStore(StoredTasks):
    """Commits what it is given, and then says, once for each call in ``slow``, that it took too long."""

    def __init__(self, writer: Writer, time: Time) -> None:
        super().__init__(writer, instance="one", clock=time.now)
        self.slow: set[str] = set()

    async def claim(self, rooms: Mapping[Lane, int]) -> ClaimedTasks:
        claim = await super().claim(rooms)
        if claim.tasks:
            self._tell_slow("claim")
        return claim

    async def finish(self, task: DueTask) -> None:
        self._tell_slow("finish")
        await super().finish(task)

    def record(self, entry: Reported) -> "asyncio.Future[Recorded]":
        self._tell_slow("record")
        return self._writer.record(entry)

    def _tell_slow(self, call: str) -> None:
        if call in self.slow:
            self.slow.remove(call)
            raise StoreUnavailable("the database did not commit within 10 s", "slow")


class Runner:
    """Both lanes of lookups over one store, whose clock the test has in hand."""

    def __init__(self, writer: Writer, time: Time) -> None:
        self.writer, self.time, self.xumm, self.events = writer, time, Xumm(), list[str]()
        self.store = store = SlowStore(writer, time)
        sources = Sources(payloads=self.xumm, transactions=Nodes())
        self.lanes = [
            Tasks(store, store, sources, {"shop": SHOPPER}, clock=time.now, kinds=kinds) for kinds in (URGENT, ROUTINE)
        ]
        writer.commits.subscribe(self.observe, *(lane.observe for lane in self.lanes), CommitLog().observe)

    def observe(self, commit: Commit) -> None:
        self.events.extend(each.message.type for each in commit.messages)

    def wake(self) -> None:
        for lane in self.lanes:
            lane.wake()

    async def advance(self, **duration: float) -> None:
        self.time.seconds += timedelta(**duration).total_seconds()
        self.wake()

    async def report(self, report: Report) -> None:
        await self.writer.record(Reported(report=report, policy=POLICY))
        self.wake()

    async def state(self) -> PayloadState:
        state = await self.writer.run(payloads.find, "shop", PAYLOAD)
        assert state is not None
        return state

    async def tasks(self, where: str = "true") -> int:
        def count(connection: Connection) -> int:
            statement = f"SELECT count(*) FROM tasks WHERE {where}"  # noqa: S608  the tests' own
            return int(connection.exec_driver_sql(statement).scalar_one())

        return await self.writer.run(count)

    async def asked_once(self) -> None:
        """Wait until the first call was made, and all is done that follows from it."""
        await until(lambda: len(self.xumm.asked) == 1)
        await until(lambda: _is(partial(self.tasks, "leased_until IS NOT NULL"), 0))


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Runner]:
    time = Time()
    async with Writer(partial(Store.open, f"sqlite:///{folder}/t.db"), clock=time.now) as writer:
        runner = Runner(writer, time)
        lanes = [asyncio.create_task(lane.run()) for lane in runner.lanes]
        yield runner
        for lane in lanes:
            lane.cancel()
        await asyncio.wait(lanes)


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[Runner]:
    async with running(tmp_path) as runner:
        yield runner


def due(because: Any = "gap") -> LookupDue:
    return LookupDue(app="shop", application_uuid=APPLICATION, payload=PAYLOAD, at=NOW, reason=because)


async def hourly(runner: Runner, condition: Callable[[], bool]) -> None:
    """Let hours pass until ``condition`` holds."""
    async with asyncio.timeout(10):
        while not condition():
            await runner.advance(hours=1)
            await asyncio.sleep(0.01)


async def test_look_finds_what_was_missed(runner: Runner) -> None:
    """A signature that nobody reported is found, proven and published; the call had no priority."""
    runner.xumm.says = SIGNED
    await runner.report(due())

    await until(lambda: "xumm.resolve.signed" in runner.events)
    assert runner.events == ["xumm.sign.signed", "xumm.resolve.signed"]
    assert runner.xumm.asked == [False]


@pytest.mark.parametrize("call", ["claim", "record", "finish"])
async def test_store_that_was_slow_keeps_no_task(runner: Runner, call: str) -> None:
    """What is leased to this process and in nobody's hand is taken up when the store is well, not after the lease."""
    runner.xumm.says = SIGNED
    runner.store.slow.add(call)
    with capture_logs() as lines:
        await runner.report(due())
        await until(lambda: {line["event"] for line in lines} & {"task.claim_failed", "task.store_failed"} != set())
    await until(lambda: not any(lane._running for lane in runner.lanes))
    await runner.advance(seconds=10)

    await until(lambda: "xumm.resolve.signed" in runner.events)
    await until(lambda: _is(runner.tasks, 0))
    assert runner.events == ["xumm.sign.signed", "xumm.resolve.signed"]


async def test_lookup_that_another_one_forestalled_asks_nobody(runner: Runner) -> None:
    """Once the signature is proven only the ledger is asked, though a fetch and a look were due."""
    reports = (due(), webhook(), snapshot())
    await asyncio.gather(*(runner.writer.record(Reported(report=report, policy=POLICY)) for report in reports))
    runner.wake()

    await until(lambda: "xumm.resolve.validated" in runner.events)
    await until(lambda: _is(runner.tasks, 0))
    assert runner.xumm.asked == []


async def test_look_that_finds_nothing_ends(runner: Runner) -> None:
    """An open payload is left alone until it expires, and then looked up once more."""
    await runner.report(due())
    await runner.asked_once()
    await runner.advance(hours=3)
    await asyncio.sleep(0.05)
    assert len(runner.xumm.asked) == 1
    runner.xumm.says = EXPIRED
    await runner.advance(hours=2)

    await until(lambda: runner.events == ["xumm.sign.expired", "xumm.resolve.expired"])
    assert runner.xumm.asked == [False, False]


async def test_registered_payload_is_looked_up_a_little_later(runner: Runner) -> None:
    """Not at once, since most end soon and tell of it."""
    await runner.report(due("registered"))
    await asyncio.sleep(0.05)
    assert runner.xumm.asked == []
    await runner.advance(minutes=1)

    await until(lambda: runner.xumm.asked == [False])


async def test_payload_that_does_not_exist_is_given_up(runner: Runner) -> None:
    """After 24 hours it is flagged, the log says so, and nobody asks for it again."""
    runner.xumm.says = NotFound("there is no such payload")
    with capture_logs() as lines:
        await runner.report(due("registered"))
        await hourly(runner, lambda: any(line["event"] == "task.abandoned" for line in lines))
        await until(lambda: _is(runner.tasks, 0))

    assert (await runner.state()).flags == Flag.ABANDONED
    assert [line["flags"] for line in lines if line["event"] == "payload.flagged"] == ["ABANDONED"]
    assert runner.events == []


async def _is(count: Callable[[], Any], expected: int) -> bool:
    return bool(await count() == expected)


async def test_claim_is_proven_while_looks_wait(runner: Runner) -> None:
    """What somebody waits for has slots of its own: routine lookups without an answer do not stand in its way."""
    runner.xumm.says = Unavailable("not now")
    await runner.report(due())
    await runner.asked_once()
    runner.xumm.says = SIGNED
    await runner.report(webhook(txid=None))

    await until(lambda: "xumm.resolve.signed" in runner.events)
    assert runner.xumm.asked == [False, True]


async def test_settled_payload_is_not_asked_for(runner: Runner) -> None:
    """A task whose payload was resolved meanwhile ends without a call."""
    runner.xumm.says = Unavailable("not now")
    await runner.report(due())
    await runner.asked_once()
    runner.xumm.says = SIGNED
    await runner.report(webhook(txid=None))
    await until(lambda: "xumm.resolve.signed" in runner.events)
    await runner.advance(hours=1)

    await until(lambda: _is(runner.tasks, 0))
    assert runner.xumm.asked == [False, True]


async def test_expired_that_xumm_does_not_know_of_yet(runner: Runner) -> None:
    """The socket may be ahead of the API: the look is tried again until both agree."""
    await runner.report(status("expired"))
    await runner.asked_once()
    runner.xumm.says = EXPIRED
    await runner.advance(seconds=2)

    await until(lambda: "xumm.resolve.expired" in runner.events)
