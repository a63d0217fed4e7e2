import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from processor.core.errors import StoreError, StoreLocked, StoreUnavailable
from processor.store import deliveries, outbox, payloads, tasks
from processor.store.store import Store
from tests.store.samples import APP, NOW, payload, quarantined, rooms, webhook


def test_one_process_only(tmp_path: Path) -> None:
    """A second writer of an SQLite file is told who has it; when that one closes it, it is free."""
    url = f"sqlite:///{tmp_path}/s.db"
    with Store.open(url), pytest.raises(StoreLocked, match=f"{tmp_path}/s.db is in use by process {os.getpid()}"):
        Store.open(url)

    Store.open(url).close()


def test_private(tmp_path: Path) -> None:
    """Nobody else can read the directory and the files."""
    with Store.open(f"sqlite:///{tmp_path}/new/s.db") as store:
        store.record([webhook(1)], NOW)
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()}

    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert {"s.db", "s.db-wal", "s.db-shm", "s.db.lock"} == set(modes)
    assert {0o600} == set(modes.values())


def test_durable(tmp_path: Path) -> None:
    """SQLite keeps a write-ahead log and waits for the disk."""
    with Store.open(f"sqlite:///{tmp_path}/s.db") as store, store.database.transaction() as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]

    assert pragmas == ["wal", 2]


def test_log_beside_a_long_reader(tmp_path: Path) -> None:
    """The write-ahead log grows while somebody reads, and gives its room back when they are gone."""
    url, log = f"sqlite:///{tmp_path}/s.db", tmp_path / "s.db-wal"
    bodies = [replace(quarantined(number), body=b"x" * 65_536) for number in range(256)]
    with Store.open(url) as store:
        with Store.open_read_only(url) as reader, reader.database.transaction():
            reader.run(deliveries.list_quarantine)
            for _ in range(3):
                store.record(bodies, NOW)
            beside_reader = log.stat().st_size
        for number in range(3):
            store.record([webhook(number)], NOW)
        after = log.stat().st_size

    assert beside_reader > 48 << 20
    assert after <= 32 << 20


@pytest.mark.parametrize("name", ["s.db", "what?.db", "50%20.db", "a#b.db", "ä b.db"])
def test_read_only(tmp_path: Path, name: str) -> None:
    """A store can be looked at while another process writes to it, and after, but not written to."""
    url = f"sqlite:///{tmp_path}/{name.replace('?', '%3F')}"
    with Store.open(url) as store:
        store.record([webhook(1)], NOW)
        with Store.open_read_only(url) as reader:
            assert store.run(payloads.find, APP, payload(1)) == reader.run(payloads.find, APP, payload(1))
            with pytest.raises(StoreUnavailable, match="readonly"):
                reader.run(outbox.mark_published, [1])
    with Store.open_read_only(url) as reader:
        assert reader.run(payloads.find, APP, payload(1)) is not None


@pytest.mark.postgres
def test_read_only_postgres(postgres_url: str) -> None:
    """A PostgreSQL store opened for looking at it is not written to."""
    with Store.open(postgres_url) as store, Store.open_read_only(postgres_url) as reader:
        store.record([webhook(1)], NOW)

        assert store.run(payloads.find, APP, payload(1)) == reader.run(payloads.find, APP, payload(1))
        with pytest.raises(StoreUnavailable, match="read-only transaction"):
            reader.run(outbox.mark_published, [1])


def test_nothing_to_read(tmp_path: Path) -> None:
    """Looking at a database that is not there makes none."""
    with pytest.raises(StoreUnavailable, match="there is no database"):
        Store.open_read_only(f"sqlite:///{tmp_path}/s.db")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["mysql://localhost/x", "sqlite://", "sqlite:///:memory:", "no url"])
def test_unusable_url(url: str) -> None:
    """What the store does not run on is refused."""
    with pytest.raises(StoreError):
        Store.open(url)


def test_unusable_path(tmp_path: Path) -> None:
    """A path that cannot be made is an unavailable store."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="file"):
        Store.open(f"sqlite:///{tmp_path}/file/s.db")


def test_no_database(tmp_path: Path) -> None:
    """A file that is no database is an unavailable store, and the lock on it is given back."""
    (tmp_path / "s.db").write_text("something else" * 100)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="not a database"):
            Store.open(f"sqlite:///{tmp_path}/s.db")


def test_no_server() -> None:
    """A PostgreSQL that does not answer is an unavailable store; the message tells no password."""
    with pytest.raises(StoreUnavailable) as caught:
        Store.open("postgresql://user:geheim@127.0.0.1:1/x")

    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 65, 127, 200])
def test_groups_of_any_size(tmp_path: Path, count: int) -> None:
    """However many rows go in with one statement, each is there once, and in order."""
    with Store.open(f"sqlite:///{tmp_path}/s.db") as store:
        recorded = store.record([webhook(number) for number in range(count)], NOW)
        waiting = store.run(outbox.read, 2 * count + 1)
        lines = store.run(deliveries.list_latest, limit=count + 1)
        due = store.run(tasks.claim, NOW, rooms(count + 1), "x", timedelta(minutes=1)).tasks

    assert [message for each in recorded for message in each.messages] == waiting
    assert [payload(number) for number in range(count) for _ in range(2)] == [each.message.payload for each in waiting]
    assert [payload(number) for number in reversed(range(count))] == [line.payload for line in lines]
    assert sorted(payload(number) for number in range(count)) == sorted(task.state.payload for task in due)
