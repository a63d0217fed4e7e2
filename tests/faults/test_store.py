"""A running service whose database hangs, is locked, is full or fails: real databases, really broken."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

import aiohttp
import pytest

from processor.app import Processor
from processor.store.readiness import FRESH
from tests.api.stand import KEYS as ALL_KEYS
from tests.servers.disk import injected
from tests.servers.postgres import Postgres, be_read_only
from tests.support.settings import settings_for
from tests.support.webhooks import body_of, headers_of, new_payload
from tests.webhooks.test_express import answer, connect, request_of
from tests.webhooks.test_intake import Service, running

KEYS = {"backend": ALL_KEYS["backend"]}
IMPATIENT: dict[str, Any] = {"store_timeout": "2s"}
REHEARSAL_PAGES = 16
LOCKER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""
"""Another process that holds the file until its standard input ends."""


class Asked(NamedTuple):
    """What a service says while its database is broken."""

    lane: tuple[int, str]
    ordinary: tuple[int, str]
    api: tuple[int, str]
    ready: tuple[int, str]


async def asked_of(service: Service) -> Asked:
    """One webhook on the lane, one on the ordinary way, a call of the API and the probe, all at once."""
    return Asked(*await asyncio.gather(on_the_lane(service), ordinary(service), api(service), ready(service)))


async def on_the_lane(service: Service, body: bytes | None = None) -> tuple[int, str]:
    reader, writer = await connect(service)
    writer.write(request_of(body or body_of(new_payload())))
    async with asyncio.timeout(30):
        status, text = await answer(reader)
    writer.close()
    return status, json.loads(text).get("reason") or json.loads(text)["result"]


async def ordinary(service: Service) -> tuple[int, str]:
    body = body_of(new_payload())
    status, text, _ = await service.post(body, headers_of(body) | {"accept": "*/*"}, path="/webhooks/%73hop")
    return status, text.get("reason") or text["result"]


async def api(service: Service) -> tuple[int, str]:
    bearer = {"Authorization": "Bearer backend's key"}
    async with service.session.get(f"{service.processor.url}/v1/sign-requests", headers=bearer) as response:
        return response.status, (await response.json(content_type=None)).get("reason", "")


async def ready(service: Service) -> tuple[int, str]:
    async with service.session.get(f"{service.processor.url}/readyz") as response:
        return response.status, (await response.json())["store"]


async def until_ready(service: Service) -> None:
    await until_says(service, (200, "ok"))


async def until_says(service: Service, expected: tuple[int, str]) -> None:
    """The probe's answer becomes this."""
    async with asyncio.timeout(30):
        while await ready(service) != expected:  # noqa: ASYNC110  only asking tells
            await asyncio.sleep(0.05)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another process holds the write lock of an SQLite file meanwhile."""
    command = [sys.executable, "-c", LOCKER, str(file)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        yield
    finally:
        child.communicate()


async def longest_silence(of: Awaitable[Any]) -> int:
    """How often another thread had its turn, at most, between two turns of the event loop, until ``of`` is done.

    That thread takes a turn each hundredth of a second, and fewer where the whole process gets no CPU.
    """
    work = asyncio.ensure_future(of)
    turns = longest = last = 0

    def take_turns() -> None:
        nonlocal turns
        while not work.done():
            sleep(0.01)
            turns += 1

    other = asyncio.create_task(asyncio.to_thread(take_turns))
    while not work.done():
        await asyncio.sleep(0.01)
        longest, last = max(longest, turns - last), turns
    await other
    await work
    return longest


@pytest.mark.postgres
async def test_postgresql_that_hangs(tmp_path: Path, postgres: Postgres, postgres_url: str) -> None:
    """Everybody is answered 503 in time while the server stands still; when it goes on, what was sent is a duplicate or
    news, and nothing is stuck."""
    body = body_of(new_payload())
    async with running(tmp_path, database_url=postgres_url, service_keys=KEYS, **IMPATIENT) as service:
        assert (await on_the_lane(service))[0] == 200
        postgres.pause()
        refused = await on_the_lane(service, body)
        hung = await asked_of(service)
        postgres.resume()
        await until_ready(service)
        mended = await asked_of(service)
        again = [await on_the_lane(service, body) for _ in range(2)]

    unavailable = (503, "store_unavailable")
    assert (refused, hung.lane, hung.ordinary, hung.api) == (unavailable,) * 4
    assert hung.ready in {(503, "slow"), (503, "unreachable")}
    assert [status for status, _ in mended] == [200] * 4
    assert (again[0][0], again[1]) == (200, (200, "duplicate"))


@pytest.mark.postgres
@pytest.mark.parametrize(("wound", "fault"), [("gone", "unreachable"), ("read_only", "read_only")])
async def test_postgresql_that_takes_nothing(
    tmp_path: Path, postgres: Postgres, postgres_url: str, wound: str, fault: str
) -> None:
    """A server that is not there, or takes no writes, is told by the probe before any webhook meets it."""
    hurt, heal = {
        "gone": (postgres.kill, postgres.start),
        "read_only": (partial(be_read_only, postgres_url, "on"), partial(be_read_only, postgres_url, "off")),
    }[wound]
    async with running(tmp_path, database_url=postgres_url, service_keys=KEYS) as service:
        await until_ready(service)
        await asyncio.to_thread(hurt)
        await until_says(service, (503, fault))
        lane = await on_the_lane(service)
        await asyncio.to_thread(heal)
        await until_ready(service)
        mended = await asked_of(service)

    assert lane == (503, "store_unavailable")
    assert [status for status, _ in mended] == [200] * 4


async def test_sqlite_file_that_another_process_holds(tmp_path: Path) -> None:
    """Everybody is answered 503 in time while the file is locked, the event loop goes on meanwhile, and so does all
    when the lock is gone."""
    answers: list[Asked] = []

    async def ask() -> None:
        answers.append((await asked_of(service))._replace(ready=await ready(service)))

    async with running(tmp_path, service_keys=KEYS, **IMPATIENT) as service:
        assert (await on_the_lane(service))[0] == 200
        with locked(tmp_path / "processor.db"):
            silence = await longest_silence(ask())
        await until_ready(service)
        mended = await asked_of(service)

    assert answers[0][:3] == ((503, "store_unavailable"),) * 3
    assert answers[0].ready in {(503, "locked"), (503, "slow")}
    assert silence < 100
    assert [status for status, _ in mended] == [200] * 4


@pytest.mark.parametrize("wall", ["full", "io_error"])
async def test_disk_that_takes_nothing(tmp_path: Path, wall: str) -> None:
    """While the disk takes nothing webhooks get 503 and the probe says so, whichever is asked first; when it does
    again, both are well."""
    with WALLS[wall](tmp_path) as folder:
        async with running(folder, service_keys=KEYS) as service:
            assert (await on_the_lane(service))[0] == 200
            with BREAKS[wall](folder):
                quiet = await until_not_ready(service)
                webhook, way, _, then = await asked_of(service)
            await until_ready(service)
            mended = await asked_of(service)

    assert (quiet[0], webhook, way) == (503, (503, "store_unavailable"), (503, "store_unavailable"))
    assert then[0] == 503
    assert quiet[1] in {"disk_full", "disk_failed"}
    assert [status for status, _ in mended] == [200] * 4


async def until_not_ready(service: Service) -> tuple[int, str]:
    """What the probe says when it has noticed by itself: nothing else is written."""
    async with asyncio.timeout(10):
        while (said := await ready(service))[0] == 200:  # noqa: ASYNC110  only asking tells
            await asyncio.sleep(0.05)
    return said


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs takes root")
    place = folder / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Not a byte is free meanwhile."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2
    yield
    filler.unlink()


@contextmanager
def any_disk(folder: Path) -> Iterator[Path]:
    yield folder


def failing_syncs(folder: Path) -> AbstractContextManager[None]:
    """Each fsync of this process fails meanwhile, as that of a disk does that is dying."""
    return injected(os.getpid(), "fsync,fdatasync", "error=EIO", folder=folder)


WALLS: Mapping[str, Callable[[Path], Any]] = {"full": small_disk, "io_error": any_disk}
BREAKS: Mapping[str, Callable[[Path], Any]] = {"full": filled, "io_error": failing_syncs}


async def test_probes_share_one_write(tmp_path: Path) -> None:
    """However many probes come at once, they cost the store a write a second, and none where a webhook was stored."""
    async with running(tmp_path) as service:
        await until_ready(service)
        await asyncio.sleep(FRESH)
        before, began = pages_of(tmp_path), monotonic()
        probed = await asyncio.gather(*(ready(service) for _ in range(200)))
        written, later = pages_of(tmp_path) - before, int((monotonic() - began) / FRESH)
        began = monotonic()
        await on_the_lane(service)
        after_webhook = pages_of(tmp_path)
        await asyncio.gather(*(ready(service) for _ in range(50)))
        beside, later_beside = pages_of(tmp_path) - after_webhook, int((monotonic() - began) / FRESH)

    assert {(200, "ok")} == set(probed)
    assert REHEARSAL_PAGES <= written < (2 + 2 * later) * REHEARSAL_PAGES
    assert beside < (1 + 2 * later_beside) * REHEARSAL_PAGES


def pages_of(folder: Path) -> int:
    """How many pages the write-ahead log holds: it is not begun anew before it has 4,000."""
    return (folder / "processor.db-wal").stat().st_size // 4096


async def test_unpublished_is_counted_from_the_table(tmp_path: Path) -> None:
    """What the probe tells of the outbox is what stands in it, however it got there."""
    async with Processor(settings_for(tmp_path)) as processor, aiohttp.ClientSession() as session:
        service = Service(processor, session, [])  # nothing is published before it serves
        for _ in range(3):
            await on_the_lane(service)
        await until_unpublished(service, 3)
        await service.processor.writer.run(lambda db: db.exec_driver_sql("DELETE FROM outbox"))
        await until_unpublished(service, 0)


async def until_unpublished(service: Service, count: int) -> None:
    async with asyncio.timeout(10):
        while True:
            async with service.session.get(f"{service.processor.url}/readyz") as response:
                if (await response.json())["unpublished"] == count:
                    return
            await asyncio.sleep(0.05)
