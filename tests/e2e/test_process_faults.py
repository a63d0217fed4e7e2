"""What becomes of acknowledged webhooks when the service itself dies, or is asked to end."""

import asyncio
import signal
import sqlite3
from contextlib import closing
from random import SystemRandom

import psycopg
import pytest

from tests.consumers.broker import until
from tests.e2e.service import ServiceProcess, Stage
from tests.e2e.stand import Stand
from tests.e2e.tap import ambiguous, disordered, ids_of
from tests.e2e.traffic import TYPES, Load, Sender, telling_body
from tests.servers.proxy import Proxy
from tests.support.webhooks import new_payload

pytestmark = pytest.mark.rabbitmq

ROUNDS = 4
LOOKUPS = 10
SIGN_IN_ALONE = {"txjson": {"TransactionType": "SignIn"}}


async def test_sigkill_at_any_moment_loses_nothing(stage: Stage, sender: Sender) -> None:
    """However often it is killed under load, what was answered 200 arrives; what was not can be sent again."""
    await stage.apply_topology()
    service, tap = stage.service(), stage.tap()
    acknowledged: set[str] = set()
    unacknowledged: list[bytes] = []
    for _ in range(ROUNDS):
        await service.start()
        async with Load(service.webhook_url) as load:
            await load.reaches(SystemRandom().randrange(20, 200))
            await service.kill()
            await load.ends()
        acknowledged |= load.acknowledged
        unacknowledged += load.unacknowledged
    await service.start()
    await tap.until_types_of(acknowledged, *TYPES)

    again = await sender.send_all(service.webhook_url, unacknowledged)
    code = await service.stop()
    events = await tap.take()

    assert (set(again), code) == ({200}, 0)
    assert len(ids_of(events)) == len(TYPES) * (len(acknowledged) + len(unacknowledged))
    assert (ambiguous(events), disordered(events)) == ([], [])


async def test_sigterm_under_load_drains(stage: Stage) -> None:
    """Asked to end, it finishes what is in flight and exits with 0; the queue then holds all that was answered 200."""
    await stage.apply_topology()
    service = stage.service()
    await service.start()
    await until(lambda: service.health()["outbox"] == "live")
    async with Load(service.webhook_url) as load:
        await load.reaches(100)
        code = await service.stop(signal.SIGTERM)
        await load.ends()

    events = await stage.tap().take()

    told = {event["subject"] for event in events if event["type"] == "xumm.sign.token_issued"}
    assert (code, load.acknowledged - told, disordered(events)) == (0, set(), [])
    assert [line["unpublished"] for line in service.logged("service.stopped")] == [0]
    assert "Traceback" not in service.output


async def test_sigkill_in_the_middle_of_lookups_delays_no_outcome(stage: Stage) -> None:
    """Ten lookups wait for Xumm's API when it is killed: the next process takes them up at once, not after a lease."""
    await stage.apply_topology()
    stand = Stand()
    async with stand.sandbox, Proxy(stand.sandbox.port) as xumm:
        service = stage.service(**stand.settings(xumm_url=f"http://127.0.0.1:{xumm.port}"))
        await service.start()
        await xumm.half_open()
        signed = [stand.sandbox.sign(stand.sandbox.create(SIGN_IN_ALONE).uuid).uuid for _ in range(LOOKUPS)]
        await until(lambda: leased(service) == LOOKUPS)
        await service.kill()
        left = leased(service)
        await xumm.restore()
        await service.start()
        events = await stage.tap().until_types_of(signed, "xumm.resolve.signed")

    assert (left, ambiguous(events)) == (LOOKUPS, [])


def leased(service: ServiceProcess) -> int:
    """How many lookups are somebody's."""
    with closing(sqlite3.connect(f"file:{service.folder}/processor.db?mode=ro", uri=True)) as reader:
        found: int = reader.execute("SELECT count(*) FROM tasks WHERE leased_until IS NOT NULL").fetchone()[0]
    return found


@pytest.mark.postgres
async def test_two_services_share_the_work(stage: Stage, sender: Sender, postgres_url: str) -> None:
    """Two processes on one database tell each fact under one id and in order; when the one that publishes is
    killed, the other takes over.
    """
    await stage.apply_topology()
    services = [stage.service(name=name, database_url=postgres_url) for name in ("first", "second")]
    await asyncio.gather(*(service.start() for service in services))
    payloads = [new_payload() for _ in range(60)]
    bodies = [telling_body(payload) for payload in payloads]

    answers = await asyncio.gather(*(sender.send_all(service.webhook_url, bodies) for service in services))
    tap = stage.tap()
    await tap.until_types_of(payloads, *TYPES)
    leader, other = leading_first(services, postgres_url)
    async with Load(leader.webhook_url, other.webhook_url) as load:
        await load.reaches(100)
        await leader.kill()
        await load.grows(100)
    await tap.until_types_of(load.acknowledged, *TYPES)
    code = await other.stop()
    events = await tap.take()

    assert ({status for statuses in answers for status in statuses}, set(load.statuses), code) == ({200}, {200}, 0)
    assert (ambiguous(events), disordered(events)) == ([], [])
    assert [line for service in services for line in service.lines if line["event"].startswith("store.")] == []


def leading_first(services: list[ServiceProcess], postgres_url: str) -> list[ServiceProcess]:
    """The service whose process holds the relay's lease, then the other."""
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        row = connection.execute("select holder from leases where name = 'relay'").fetchone()
    assert row is not None
    return sorted(services, key=lambda service: not row[0].endswith(f":{service.child.pid}"))
