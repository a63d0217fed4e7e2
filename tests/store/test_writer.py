import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
import structlog
from sqlalchemy import Connection

from processor.core.application import PayloadPolicy
from processor.core.errors import StoreError, StoreFull, StoreLocked, StoreUnavailable
from processor.core.payload.entry import Commit, Recorded, Refused
from processor.core.publishing.message import OutboxMessage
from processor.store import deliveries, outbox, payloads, used_once
from processor.store.store import Store
from processor.store.work import JOB_LIMIT, Bounds
from processor.store.writer import Writer
from tests.servers.postgres import Postgres
from tests.store.samples import APP, NOW, impossible, payload, refused, snapshot, status, webhook

PATIENCE = 10.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/s.db"


@pytest.fixture
async def writer(url: str) -> AsyncIterator[Writer]:
    async with Writer(lambda: Store.open(url), clock=lambda: NOW) as opened:
        yield opened


@asynccontextmanager
async def held(writer: Writer) -> AsyncIterator[None]:
    """Let no commit through meanwhile."""
    gate = threading.Event()
    busy = writer._thread.call(lambda: gate.wait(PATIENCE))
    try:
        yield
    finally:
        gate.set()
        await busy


def collect(writer: Writer) -> list[list[OutboxMessage]]:
    """The groups of events that ``writer`` tells of from now on."""
    groups: list[list[OutboxMessage]] = []

    def observe(commit: Commit) -> None:
        if commit.messages or not commit.certain:
            groups.append(list(commit.messages))

    writer.commits.subscribe(observe)
    return groups


async def test_group_commit(writer: Writer) -> None:
    """A crowd goes into two commits, and ``commits`` tells once of each."""
    groups = collect(writer)
    async with held(writer):
        futures = [writer.record(webhook(number, signed=False)) for number in range(100)]
        assert writer.waiting == 100
    results = await asyncio.gather(*futures)
    halves = [[message for result in half for message in result.messages] for half in (results[:50], results[50:])]

    assert halves == groups
    assert writer.waiting == 0


async def test_committed_before_resolved(writer: Writer) -> None:
    """``commits`` tells of a group before the first future of the group resolves."""
    order: list[str] = []
    writer.commits.subscribe(lambda _commit: order.append("committed"))
    async with held(writer):
        future = writer.record(webhook(1))
        future.add_done_callback(lambda _future: order.append("resolved"))
    await future

    assert order == ["committed", "resolved"]


async def test_large_crowd(writer: Writer) -> None:
    """More entries than fit one group are all stored, in order, and a job sees all that came before it."""
    async with held(writer):
        before = [writer.record(webhook(number, signed=False)) for number in range(300)]
        depth = writer.run(outbox.count)
        after = [writer.record(webhook(number, signed=False)) for number in range(300, 310)]
    results = await asyncio.gather(*before, *after)
    positions = [message.position for result in results for message in result.messages]

    assert sorted(positions) == positions
    assert sum(len(future.result().messages) for future in before) <= await depth <= len(positions)
    assert writer.depth == len(positions)


async def test_job_fails_beside_entries(writer: Writer) -> None:
    """What shares a transaction with a job that fails is stored all the same, and so are the other jobs."""
    async with held(writer):
        before = writer.record(webhook(1))
        failing = writer.run(lambda _connection: 1 // 0)
        depth = writer.run(outbox.count)
        after = writer.record(webhook(2))
    first, second, error = await asyncio.gather(before, after, failing, return_exceptions=True)

    assert isinstance(first, Recorded)
    assert isinstance(second, Recorded)
    assert isinstance(error, ZeroDivisionError)
    assert await depth == len(first.messages) + len(second.messages) == writer.depth


async def test_many_jobs_hold_nobody_up(writer: Writer) -> None:
    """However many jobs wait, an entry behind them is stored with the jobs of its turn, before the last of them."""
    order: list[str] = []
    async with held(writer):
        jobs = [writer.run(outbox.count) for _ in range(3 * JOB_LIMIT)]
        entry = writer.record(webhook(1))
        jobs += [writer.run(outbox.count) for _ in range(3 * JOB_LIMIT)]
        for name, future in (("entry", entry), ("first", jobs[0]), ("last", jobs[-1])):
            future.add_done_callback(lambda _future, name=name: order.append(name))
    await asyncio.gather(entry, *jobs)

    assert order == ["first", "entry", "last"]


async def test_guilty_alone(writer: Writer) -> None:
    """An entry that cannot be stored fails alone: its neighbours are stored."""
    async with held(writer):
        futures = [writer.record(webhook(1)), writer.record(impossible(2)), writer.record(webhook(3))]
    first, second, third = await asyncio.gather(*futures, return_exceptions=True)

    assert isinstance(first, Recorded)
    assert isinstance(second, StoreError)
    assert isinstance(third, Recorded)


async def test_error_tells_no_value(writer: Writer) -> None:
    """An error in the code fails the entry with a `StoreError`, and neither it nor the log quotes what came in."""
    entry = snapshot(1)._replace(
        policy=cast("PayloadPolicy", None), report=replace(snapshot(1).report, custom_meta=b"geheim")
    )
    with structlog.testing.capture_logs() as lines, pytest.raises(StoreError) as caught:
        await writer.record(entry)

    assert ["store.entry_failed"] == [line["event"] for line in lines]
    assert "geheim" not in f"{caught.value} {lines}"


async def test_job_fails(writer: Writer) -> None:
    """What a job raises reaches its caller, what it did is undone, and the thread goes on."""

    def fail(connection: Connection) -> None:
        used_once.use(connection, "value", NOW)
        raise LookupError

    with pytest.raises(LookupError):
        await writer.run(fail)

    assert await writer.run(used_once.use, "value", NOW)


async def test_outbox_full(url: str) -> None:
    """While too many events wait for the broker no delivery is taken, but what lookups found is."""
    async with Writer(lambda: Store.open(url), bounds=Bounds(outbox=1)) as writer:
        first = await writer.record(webhook(1))
        with pytest.raises(StoreFull):
            writer.record(webhook(2))
        await writer.record(snapshot(1))
        positions = [message.position for message in first.messages]
        await writer.run(outbox.mark_published, positions)

        assert (await writer.record(webhook(2))).messages != ()


async def test_too_many_wait(url: str) -> None:
    """While too many entries wait for their commit no more are taken."""
    async with Writer(lambda: Store.open(url), bounds=Bounds(entries=2)) as writer:
        async with held(writer):
            futures = [writer.record(webhook(number)) for number in range(2)]
            with pytest.raises(StoreUnavailable, match="2 entries wait"):
                writer.record(webhook(3))
        await asyncio.gather(*futures)
        await writer.record(webhook(3))


async def test_drains(url: str) -> None:
    """Leaving stores what waits, log lines included; after that nothing is taken."""
    async with Writer(lambda: Store.open(url)) as writer:
        await writer.run(outbox.count)
        future = writer.record(webhook(1))
        await writer.run(outbox.count)
        writer.log(refused(2))

    assert future.result().messages
    with Store.open(url) as store:
        assert {payload(1), payload(2)} == {line.payload for line in store.run(deliveries.list_latest)}
    with pytest.raises(StoreUnavailable):
        writer.record(webhook(3))
    with pytest.raises(StoreUnavailable):
        writer.run(outbox.count)
    writer.log(refused(4))
    assert writer.dropped_log_lines == 1


async def test_nobody_waits_any_more(writer: Writer) -> None:
    """An entry whose caller went away is stored all the same."""
    async with held(writer):
        gone = writer.record(webhook(1))
        gone.cancel()
        stayed = writer.record(webhook(2))
    await stayed

    assert await writer.run(payloads.find, APP, payload(1)) is not None


async def test_callback_fails(writer: Writer) -> None:
    """An observer that fails keeps no caller waiting, and nothing from the other observers."""

    def fail(_commit: object) -> None:
        raise LookupError

    writer.commits.subscribe(fail)
    groups = collect(writer)

    recorded = await writer.record(webhook(1))

    assert [list(recorded.messages)] == groups


async def test_writing_ends(writer: Writer) -> None:
    """When something ends the writing, everybody who waits is told, and nothing is taken any more."""
    async with held(writer):
        at_hand = writer.record(webhook(1))
        await asyncio.sleep(0)
        waiting = writer.run(outbox.count)
        writer._serving.cancel()
    for future in (at_hand, waiting):
        with pytest.raises(StoreUnavailable):
            await future

    assert not writer.running


async def test_nobody_waits_for_ever(url: str) -> None:
    """Entries and jobs that the database keeps waiting fail in time, under way or not; what was under way may be
    stored after all.
    """
    async with Writer(lambda: Store.open(url), bounds=Bounds(patience=timedelta(milliseconds=300))) as writer:
        groups = collect(writer)
        async with held(writer):
            under_way = writer.record(webhook(1))
            await asyncio.sleep(0.01)
            later, job = writer.record(webhook(2)), writer.run(outbox.count)
            told = await asyncio.gather(under_way, later, job, return_exceptions=True)
            waiting = writer.waiting
        again = await writer.record(webhook(1))

    assert [("slow", StoreUnavailable)] * 3 == [(getattr(each, "fault", None), type(each)) for each in told]
    assert waiting == 1
    assert (again.messages, len(groups)) == ((), 1)


async def test_closing_beside_a_database_that_hangs(url: str) -> None:
    """A thread that never comes back keeps no service from ending."""
    gate = threading.Event()
    with structlog.testing.capture_logs() as lines:
        async with Writer(lambda: Store.open(url), bounds=Bounds(patience=timedelta(milliseconds=100))) as writer:
            writer._thread.call(lambda: gate.wait(PATIENCE))
            entry = writer.record(webhook(1))
    gate.set()

    assert isinstance(entry.exception(), StoreUnavailable)
    assert ["store.abandoned"] == [line["event"] for line in lines]


async def test_disk_that_was_slow(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a transaction that took long not even a statement runs on the event loop, which it could keep waiting."""
    threads: list[int] = []

    def clock() -> datetime:
        threads.append(threading.get_ident())
        return NOW

    async with Writer(lambda: Store.open(url), clock=clock) as writer:
        await writer.record(webhook(1))
        monkeypatch.setattr("processor.store.group_commit._SLOW", 0.0)
        await writer.record(webhook(2))
        await writer.record(webhook(3))

    here = threading.get_ident()
    assert [each == here for each in threads] == [True, True, False]


async def test_depth_follows_the_outbox(writer: Writer) -> None:
    """Events that are taken out of the outbox count no more, once; whoever counts them meanwhile spoils nothing."""
    recorded = await writer.record(webhook(1))
    positions = [message.position for message in recorded.messages]
    async with held(writer):
        jobs = [writer.run(outbox.mark_published, positions[:1]) for _ in range(2)]
        jobs += [writer.run(outbox.count), writer.run(outbox.mark_published, positions[1:])]
        later = writer.record(webhook(2, signed=False))
        failing = writer.run(lambda _connection: 1 // 0)
    await asyncio.gather(later, *jobs)

    assert isinstance(failing.exception(), ZeroDivisionError)
    assert len(positions) == 2
    assert writer.depth == len(later.result().messages) == await writer.run(outbox.count)


async def test_miscounted_outbox(writer: Writer) -> None:
    """The outbox is counted anew after a transaction whose commit is in doubt."""

    def lose_count(_connection: Connection) -> None:
        raise StoreUnavailable("the disk is gone")

    recorded = await writer.record(webhook(1))
    positions = [message.position for message in recorded.messages]
    await writer.run(lambda connection: outbox.mark_published(connection, positions))
    with pytest.raises(StoreUnavailable):
        await writer.run(lose_count)
    counted_late = writer.depth
    await writer.run(lambda _connection: None)
    await writer.run(lambda _connection: None)

    assert (counted_late, writer.depth) == (len(positions), 0)


async def test_log_lines(writer: Writer) -> None:
    """A log line goes with the next group, or after a while without one."""
    writer.log(refused(1))
    await writer.record(webhook(2))

    assert await lines(writer) == {payload(1), payload(2)}

    writer.log(refused(3))
    async with asyncio.timeout(PATIENCE):
        while await lines(writer) != {payload(1), payload(2), payload(3)}:
            pass


async def lines(writer: Writer) -> set[str | None]:
    logged = await writer.run(deliveries.list_latest)
    return {line.payload for line in logged}


async def test_flood_of_log_lines(url: str) -> None:
    """Of too many log lines some are dropped, and counted."""
    async with Writer(lambda: Store.open(url), bounds=Bounds(log_lines=3)) as writer:
        async with held(writer):
            for number in range(5):
                writer.log(refused(number))
        await writer.record(webhook(9))

        assert writer.dropped_log_lines == 2
        assert len(await lines(writer)) == 3 + 1


async def test_lost_log_lines(writer: Writer) -> None:
    """A log line that cannot be stored is counted, and costs nobody else anything."""
    writer.log(Refused(delivery=impossible(1).delivery))
    await writer.record(webhook(2))

    assert writer.dropped_log_lines == 1


async def test_cannot_open(writer: Writer, url: str) -> None:
    """Why the store cannot be opened is raised where it was to be."""
    with pytest.raises(StoreLocked):
        async with Writer(lambda: Store.open(url)):
            pass


@pytest.mark.postgres
async def test_connection_lost(postgres: Postgres, postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """When the database goes away the entry fails and the outbox is to be looked at; when it is back all goes on. No
    library has more to tell of it.
    """
    async with Writer(lambda: Store.open(postgres_url)) as writer:
        groups = collect(writer)
        await writer.record(status(1, "opened"))
        postgres.kill()
        with pytest.raises(StoreUnavailable):
            await writer.record(webhook(1))
        with pytest.raises(StoreUnavailable):
            await writer.run(outbox.read, 10)
        postgres.start()
        recorded = await writer.record(webhook(1))

        assert [1, 0, len(recorded.messages)] == [len(group) for group in groups]
        assert writer.depth == 1 + len(recorded.messages)
        assert caplog.records == []
