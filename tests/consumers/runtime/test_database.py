"""The database behind one worker thread, and the inbox in it."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Column, Connection, Integer, MetaData, Table, Text, func, insert, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DatabaseError

from consumers.runtime.database import ConsumerDatabase
from consumers.runtime.errors import DatabaseUnavailable, SchemaTooNew
from consumers.runtime.inbox import Inbox, inbox
from processor.database import insert_into
from tests.servers.postgres import Postgres, be_read_only

METADATA = MetaData()
JSON_OR_JSONB = JSON().with_variant(JSONB(), "postgresql")
numbers = Table("numbers", METADATA, Column("number", Integer, primary_key=True))
texts = Table(
    "texts", METADATA, Column("number", Integer, primary_key=True), Column("text", Text), Column("json", JSON_OR_JSONB)
)


def add(number: int) -> Any:
    return lambda transaction: transaction.execute(insert(numbers).values(number=number))


def upsert(number: int) -> Any:
    return lambda db: db.execute(insert_into(db.dialect, numbers).values(number=number).on_conflict_do_nothing())


def all_numbers(transaction: Connection) -> list[int]:
    return list(transaction.scalars(select(numbers.c.number).order_by(numbers.c.number)))


async def test_failing_write_takes_no_other_with_it(database_url: str) -> None:
    """Writes that share a commit succeed and fail each on its own."""
    async with ConsumerDatabase(database_url) as database:
        await database.create(METADATA, name="numbers", version=1)
        writes = [database.write(add(number)) for number in (1, 2, 2, 3)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        left = await database.read(all_numbers)

    assert [isinstance(outcome, DatabaseError) for outcome in outcomes] == [False, False, True, False]
    assert left == [1, 2, 3]


@pytest.mark.parametrize("end", [Connection.commit, Connection.rollback, Connection.close])
@pytest.mark.parametrize("position", [0, 1, 2])
async def test_write_that_ends_the_shared_transaction_takes_no_other_with_it(
    database_url: str, end: Callable[[Connection], None], position: int
) -> None:
    """Whatever a handler does to the transaction, the others are told the truth, and nobody waits for ever."""
    async with ConsumerDatabase(database_url) as database:
        await database.create(METADATA, name="numbers", version=1)
        jobs = [upsert(1), upsert(2)]
        jobs.insert(position, end)
        async with asyncio.timeout(10):
            outcomes = await asyncio.gather(*map(database.write, jobs), return_exceptions=True)
        left = await database.read(all_numbers)

    assert [place == position for place in range(3)] == [isinstance(outcome, RuntimeError) for outcome in outcomes]
    assert [1, 2] == left


@pytest.mark.parametrize("unfit", ["\x00", "\ud800"])
async def test_text_that_no_database_holds_is_replaced(database_url: str, unfit: str) -> None:
    """In a row, in one of many rows, in JSON with its names, and in what is searched for."""

    def write(transaction: Connection) -> None:
        transaction.execute(insert(texts).values(number=1, text=f"a{unfit}", json={f"b{unfit}": [f"c{unfit}"]}))
        transaction.execute(insert(texts), [{"number": 2, "text": unfit}, {"number": 3, "text": "plain"}])

    found = select(texts.c.text, texts.c.json).where(texts.c.text == f"a{unfit}")
    async with ConsumerDatabase(database_url) as database:
        await database.create(METADATA, name="numbers", version=1)
        await database.write(write)
        rows = await database.read(lambda transaction: [tuple(row) for row in transaction.execute(found)])

    assert [("a\ufffd", {"b\ufffd": ["c\ufffd"]})] == rows


async def test_writes_at_the_same_time_share_commits(database_url: str) -> None:
    """A hundred writes need a few transactions, not a hundred."""
    async with ConsumerDatabase(database_url) as database:
        await database.create(METADATA, name="numbers", version=1)
        transactions = await asyncio.gather(*(database.write(_transaction_of) for _ in range(100)))

    assert len(set(transactions)) < 10


async def test_database_work_happens_in_one_other_thread(database_url: str) -> None:
    """The event loop is never blocked, and no two threads meet in the driver."""
    async with ConsumerDatabase(database_url) as database:
        threads = {await database.write(lambda _: threading.get_ident()) for _ in range(5)}

    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_locked_file_is_reported_as_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's lock is nobody's fault: the write may be tried again."""
    monkeypatch.setattr("consumers.runtime.engine.BUSY_SECONDS", 0.05)
    path = tmp_path / "numbers.db"
    async with ConsumerDatabase(f"sqlite:///{path}") as database:
        await database.create(METADATA, name="numbers", version=1)
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(DatabaseUnavailable, match="locked"):
                await database.write(add(1))
            other.execute("ROLLBACK")
        other.close()
        await database.write(add(1))

        assert await database.read(all_numbers) == [1]


async def test_broken_statement_is_not_mistaken_for_an_unavailable_database(database_url: str) -> None:
    """A missing table will be missing in ten seconds too, so it counts as a failure of the handler."""
    async with ConsumerDatabase(database_url) as database:
        with pytest.raises(DatabaseError, match="nowhere"):
            await database.write(lambda transaction: transaction.execute(text("SELECT 1 FROM nowhere")))


@pytest.mark.postgres
async def test_unreachable_server_is_reported_as_unavailable(postgres: Any, postgres_url: str) -> None:
    """A server that went away is waited for, and works again once it is back."""
    async with ConsumerDatabase(postgres_url) as database:
        await database.create(METADATA, name="numbers", version=1)
        await asyncio.to_thread(postgres.stop)
        with pytest.raises(DatabaseUnavailable):
            await database.write(add(1))
        await asyncio.to_thread(postgres.start)
        await database.write(add(2))

        assert await database.read(all_numbers) == [2]


@pytest.mark.postgres
async def test_server_that_hangs_is_reported_as_unavailable(
    postgres: Postgres, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that stands still is given up in time, closing does not wait for it, and when it goes on all works."""
    monkeypatch.setattr("consumers.runtime.database.LONGEST_SECONDS", 0.5)
    monkeypatch.setattr("consumers.runtime.database.CLOSING_SECONDS", 0.5)
    async with ConsumerDatabase(postgres_url) as database:
        await database.create(METADATA, name="numbers", version=1)
        async with ConsumerDatabase(postgres_url) as other:
            await other.write(upsert(1))
            postgres.pause()
            closing = asyncio.create_task(other.write(upsert(2)))
            with pytest.raises(DatabaseUnavailable):
                await database.write(upsert(3))
        postgres.resume()
        with pytest.raises(DatabaseUnavailable):
            await closing
        await database.write(upsert(4))

        assert {1, 4} <= set(await database.read(all_numbers))


@pytest.mark.postgres
async def test_server_that_takes_no_writes_is_reported_as_unavailable(postgres_url: str) -> None:
    """What a server refuses because it is read-only, as one that another took over from, is tried again elsewhere."""
    async with ConsumerDatabase(postgres_url) as database:
        await database.create(METADATA, name="numbers", version=1)
        await asyncio.to_thread(be_read_only, postgres_url, "on")
        with pytest.raises(DatabaseUnavailable):
            await database.write(add(1))
        await asyncio.to_thread(be_read_only, postgres_url, "off", end_sessions=False)
        await database.write(add(2))

        assert await database.read(all_numbers) == [2]


@pytest.mark.postgres
async def test_behind_a_pooler(pooled_url: str) -> None:
    """Two instances work on sessions that a pooler gives them in turn, however often they ask the same."""
    async with ConsumerDatabase(pooled_url) as one, ConsumerDatabase(pooled_url) as other:
        await one.create(METADATA, name="numbers", version=1)
        await other.create(METADATA, name="numbers", version=1)
        for number in range(12):
            await asyncio.gather(one.write(add(number)), one.write(upsert(number)), other.write(add(100 + number)))
        limits = await one.read(lambda db: db.exec_driver_sql("SHOW statement_timeout").scalar())

        assert len(await other.read(all_numbers)) == 24
        assert limits == "30s"


async def test_error_does_not_show_parameters(database_url: str) -> None:
    """Rows hold device tokens and accounts, and exceptions end in logs."""
    async with ConsumerDatabase(database_url) as database:
        await database.create(METADATA, name="numbers", version=1)
        await database.write(add(123454321))
        with pytest.raises(DatabaseError) as raised:
            await database.write(add(123454321))

    assert "123454321" not in str(raised.value).split("DETAIL")[0]


async def test_database_of_a_later_version_is_refused(database_url: str) -> None:
    """An older program must not write into tables that it does not know."""
    async with ConsumerDatabase(database_url) as database:
        await database.create(METADATA, name="numbers", version=2)
        with pytest.raises(SchemaTooNew, match=r"newer version .* version 2, .* Run that version or"):
            await database.create(METADATA, name="numbers", version=1)


async def test_sqlite_file_has_no_write_ahead_log(tmp_path: Path) -> None:
    """Two connections to a write-ahead log can corrupt it in this version of SQLite."""
    async with ConsumerDatabase(f"sqlite:///{tmp_path}/numbers.db") as database:
        mode = await database.read(lambda db: db.scalar(text("PRAGMA journal_mode")))
        synchronous = await database.read(lambda db: db.scalar(text("PRAGMA synchronous")))

    assert (mode, synchronous) == ("truncate", 2)


async def test_event_is_handled_once(database_url: str) -> None:
    """The second note of an event runs no effect."""
    async with ConsumerDatabase(database_url) as database:
        box = await _inbox(database)
        first = await box.handle_once("event 1", add(1))
        second = await box.handle_once("event 1", add(2))
        left = await database.read(all_numbers)

        assert (first, second, left, await box.seen("event 1")) == (True, False, [1], True)


async def test_failed_effect_leaves_the_event_unhandled(database_url: str) -> None:
    """Note and effect live and die together."""
    async with ConsumerDatabase(database_url) as database:
        box = await _inbox(database)
        with pytest.raises(ZeroDivisionError):
            await box.handle_once("event 1", lambda _: 1 // 0)

        assert not await box.seen("event 1")


async def test_two_instances_handle_an_event_once(database_url: str) -> None:
    """Two processes on one database share one memory."""
    async with ConsumerDatabase(database_url) as one, ConsumerDatabase(database_url) as other:
        boxes = [await _inbox(one), await _inbox(other)]
        handled = await asyncio.gather(
            *(box.handle_once(f"event {number}", add(number)) for number in range(20) for box in boxes)
        )
        left = await one.read(all_numbers)

    assert sum(handled) == 20
    assert left == list(range(20))


async def test_inboxes_of_two_consumers_in_one_database_are_two(database_url: str) -> None:
    """What one consumer handled is news to the other."""
    async with ConsumerDatabase(database_url) as database:
        box = await _inbox(database)
        await box.handle_once("event 1", lambda _: None)

        assert not await Inbox(database, consumer="other").seen("event 1")


async def test_pruning_forgets_what_is_old_and_keeps_the_rest(database_url: str) -> None:
    """Rows older than the retention go, in several short transactions if need be."""
    now = 10_000_000.0
    async with ConsumerDatabase(database_url) as database:
        old = Inbox(database, consumer="orders", clock=lambda: now - 86_401)
        await old.create()
        await asyncio.gather(*(old.handle_once(f"old {number}", lambda _: None) for number in range(1500)))
        box = Inbox(database, consumer="orders", clock=lambda: now)
        await box.handle_once("new", lambda _: None)
        forgotten = await box.prune(timedelta(days=1))
        left = await database.read(lambda db: db.scalar(select(func.count()).select_from(inbox)))

    assert (forgotten, left) == (1500, 1)


async def _inbox(database: ConsumerDatabase) -> Inbox:
    await database.create(METADATA, name="numbers", version=1)
    box = Inbox(database, consumer="orders")
    await box.create()
    return box


def _transaction_of(transaction: Connection) -> int:
    return id(transaction.get_transaction())


async def test_file_is_private(tmp_path: Path) -> None:
    """Nobody but the consumer's own user reads what it keeps: device tokens are among it."""
    path = tmp_path / "consumers" / "push.db"
    async with ConsumerDatabase(f"sqlite:///{path}") as database:
        await database.create(METADATA, name="numbers", version=1)

    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
