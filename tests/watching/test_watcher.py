"""The watcher against a real WebSocket server, with the real store behind it and time in the test's hand."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.server import ServerConnection

from processor.core.errors import StoreUnavailable
from processor.core.payload.learning import FIRST_LOOKUP
from processor.core.payload.state import Fact, Flag
from processor.core.payload.status_socket import ABSENT_LIMIT, EXPIRY_SLACK, LATE_AFTER, SILENCE, Watch
from processor.settings.sections import WatchingSettings
from processor.store.adapters import WATCH_LEASE, StoredWatches
from processor.watching.watcher import RENEW_SECONDS
from tests.core.payloads import EXPIRY, NOW, PAYLOAD, POLICY, TXID, abandoned, request, snapshot, webhook
from tests.support.watching import Time, a_process, a_world, denies, says, serving, slams, until, watching, welcome

SIGNED = f'{{"payload_uuidv4":"PAYLOAD","reference_call_uuidv4":"PAYLOAD","signed":true,"txid":"{TXID}"}}'
EXPIRES_SOON = '{"expires_in_seconds":60}'


async def test_status_becomes_events(tmp_path: Path) -> None:
    """What the user does is published as it happens; the signature makes a fetch due, and ends the watch."""
    story = ['{"opened":true}', '{"opened":true}', '{"pre_signed":true}', '{"dispatched":true}', SIGNED]
    with capture_logs() as lines:
        async with serving(says(EXPIRES_SOON, *story)) as server, a_world(tmp_path, server) as world:
            await world.register(PAYLOAD)
            await until(lambda: "xumm.sign.signed" in world.events and not server.open)

            await until(lambda: _is_zero(world.watched()))
            expected = [f"xumm.sign.{name}" for name in ("opened", "pre_signed", "dispatched", "signed")]
            assert expected == world.events
            assert await world.due() == ["fetch"]
            assert (await world.state(PAYLOAD)).resolved is None
            assert world.woken > 0
    told = [line["events"] for line in lines if line["event"] == "payload.advanced"]
    assert told == [[name] for name in expected]


async def _is_zero(count: "asyncio.Future[int] | object") -> bool:
    return await count == 0  # type: ignore[misc]  # any awaitable of a number


async def test_webhook_ends_the_watch(tmp_path: Path) -> None:
    """A payload whose end came by webhook needs no socket any more."""
    async with serving(says(EXPIRES_SOON)) as server, a_world(tmp_path, server) as world:
        await world.register(PAYLOAD)
        await until(lambda: PAYLOAD in server.open)
        await world.record(webhook())

        await until(lambda: not server.open)
        await until(lambda: _is_zero(world.watched()))


async def test_webhook_of_another_instance_ends_the_watch(tmp_path: Path) -> None:
    """Whoever recorded the end, the next renewal of the lease sees it."""
    async with serving(says(EXPIRES_SOON)) as server, a_world(tmp_path, server) as world:
        await world.register(PAYLOAD)
        await until(lambda: PAYLOAD in server.open)
        world.deaf = True
        await world.record(webhook())
        await world.advance(RENEW_SECONDS)

        await until(lambda: not server.open)


async def test_reconnects_and_looks(tmp_path: Path) -> None:
    """A socket that closes is opened again after a wait, and what was missed meanwhile is looked up once."""
    async with serving(says(close=True), says()) as server, a_world(tmp_path, server) as world:
        await world.record(snapshot("open"))
        await until(lambda: world.watcher.counts["waiting"] == 1)
        assert await world.due() == []
        await world.advance(1)

        await until(lambda: server.connections[PAYLOAD] == 2)
        await until(lambda: _equals(world.due(), ["poll"]))


async def _equals(found: object, expected: object) -> bool:
    return await found == expected  # type: ignore[misc]  # any awaitable


@pytest.mark.parametrize(
    ("waited", "tasks"), [(LATE_AFTER.total_seconds() - 1, []), (LATE_AFTER.total_seconds(), ["poll"])]
)
async def test_late_socket_of_a_created_payload(tmp_path: Path, waited: float, tasks: list[str]) -> None:
    """What a user did before a late first socket is looked up once; one that is there soon costs nothing."""
    async with serving(says('{"opened":true}')) as server:
        server.gate = asyncio.Event()
        async with a_world(tmp_path, server) as world:
            await world.record(request("created", expires_at=EXPIRY))
            await until(lambda: server.handshakes == 1)
            await world.advance(waited)
            server.gate.set()
            await until(lambda: "xumm.sign.opened" in world.events)

            assert await world.due() == tasks


async def test_late_socket_of_a_registered_payload(tmp_path: Path) -> None:
    """Its first look is due anyway, and stands for this one."""
    async with serving(says('{"opened":true}')) as server:
        server.gate = asyncio.Event()
        async with a_world(tmp_path, server) as world:
            await world.register(PAYLOAD)
            await until(lambda: server.handshakes == 1)
            await world.advance(LATE_AFTER.total_seconds())
            server.gate.set()
            await until(lambda: "xumm.sign.opened" in world.events)

            assert await world.due(FIRST_LOOKUP.total_seconds()) == ["poll"]


async def test_watchdog(tmp_path: Path) -> None:
    """A socket that has been silent for three keepalives is dropped and opened again."""
    async with serving(says()) as server, a_world(tmp_path, server) as world:
        await world.register(PAYLOAD)
        await until(lambda: world.watcher.counts["open"] == 1)
        await world.advance(SILENCE.total_seconds() - 1)
        await asyncio.sleep(0.05)
        assert server.connections[PAYLOAD] == 1
        await world.advance(1)
        await until(lambda: world.watcher.counts["waiting"] == 1)
        await world.advance(1)

        await until(lambda: server.connections[PAYLOAD] == 2)


async def test_flapping_server_is_no_stampede(tmp_path: Path) -> None:
    """A server that accepts and closes is tried ever more rarely: a connection that merely opened resets nothing."""
    async with serving(slams) as server, a_world(tmp_path, server) as world:
        await world.register(PAYLOAD)
        for _ in range(63):
            await until(lambda: world.watcher.counts["waiting"] == 1 and world.watcher.counts["opening"] == 0)
            await world.advance(1)
            await asyncio.sleep(0.02)

        assert 6 <= server.connections[PAYLOAD] <= 7


async def test_flapping_costs_one_look(tmp_path: Path) -> None:
    """However often the socket comes back, looks do not pile up."""
    async with serving(says(close=True)) as server, a_world(tmp_path, server) as world:
        await world.record(snapshot("open"))
        for count in range(1, 6):
            await until(lambda count=count: server.connections[PAYLOAD] == count)  # type: ignore[misc]  # bound now
            await until(lambda: world.watcher.counts["waiting"] == 1)
            await world.advance(120)

        assert await world.due() == ["poll"]


@pytest.mark.parametrize(
    "message",
    [
        "nonsense",
        "[]",
        "null",
        '"opened"',
        "[" * 10_000,
        '{"opened":"yes"}',
        '{"expires_in_seconds":"soon"}',
        '{"expires_in_seconds":1e999}',
        '{"payload_uuidv4":"8f5b1d3a-0000-4000-8000-00000000dead","signed":true}',
        '{"payload_uuidv4":"x","signed":true}',
        '{"signed":1,"payload_uuidv4":"PAYLOAD"}',
        '{"txid":"short","opened":true}',
    ],
)
async def test_senseless_message_does_nothing(tmp_path: Path, message: str) -> None:
    """What makes no sense is an error in the log, and what comes after it on the same socket still counts."""
    with capture_logs() as lines:
        async with (
            serving(says(message, '{"pre_signed":true}')) as server,
            a_world(tmp_path, server) as world,
        ):
            await world.register(PAYLOAD)
            await until(lambda: bool(world.events))

            assert world.events == ["xumm.sign.pre_signed"]
            assert server.connections[PAYLOAD] == 1
            assert (await world.state(PAYLOAD)).facts == Fact.OPENED | Fact.PRE_SIGNED
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["watch.invalid"]


@pytest.mark.parametrize("abuse", ["x" * (1024 * 1024), b"\xff\xfe{}"])
async def test_abuse_costs_the_connection(tmp_path: Path, abuse: str | bytes) -> None:
    """A megabyte closes the socket, bytes that are no text are no message: both are errors, and tried again."""
    with capture_logs() as lines:
        async with (
            serving(says(abuse, close=True), says('{"opened":true}')) as server,
            a_world(tmp_path, server) as world,
        ):
            await world.register(PAYLOAD)
            await until(lambda: world.watcher.counts["waiting"] == 1)
            await world.advance(1)
            await until(lambda: bool(world.events))

            assert world.events == ["xumm.sign.opened"]
    assert "watch.invalid" in [line["event"] for line in lines if line["log_level"] == "error"]


async def test_unknown_keys_are_told_once(tmp_path: Path) -> None:
    """A key of the future is worth one line, however often it comes, and what else the message says counts."""
    future = ['{"hologram":true}'] * 3 + ['{"opened":true,"hologram":2}', '{"devapp_fetched":true}']
    with capture_logs() as lines:
        async with serving(says(*future)) as server, a_world(tmp_path, server) as world:
            await world.register(PAYLOAD)
            await until(lambda: bool(world.events))

    assert [line["key"] for line in lines if line["event"] == "watch.unknown_key"] == ["hologram"]


async def test_lie_settles_nothing(tmp_path: Path) -> None:
    """A socket that says *signed* makes a fetch due; an API that says otherwise is looked at again, and settles it."""
    async with serving(says(SIGNED)) as server, a_world(tmp_path, server) as world:
        await world.register(PAYLOAD)
        await until(lambda: bool(world.events))
        await world.record(snapshot("rejected"))
        unsettled = (await world.state(PAYLOAD)).resolved
        await world.record(snapshot("rejected", at=NOW + timedelta(hours=1)))

        assert unsettled is None
        assert world.events == ["xumm.sign.signed", "xumm.sign.rejected", "xumm.resolve.rejected"]
        assert (await world.state(PAYLOAD)).flags == Flag.OUTCOMES_DISAGREE


async def test_payload_that_does_not_exist_yet(tmp_path: Path) -> None:
    """Just after it was created a payload may be unknown: it is tried again, and asked for nowhere."""
    async with serving(denies, says('{"opened":true}')) as server, a_world(tmp_path, server) as world:
        await world.register(PAYLOAD)
        await until(lambda: world.watcher.counts["waiting"] == 1)
        await world.advance(1)
        await until(lambda: bool(world.events))

        assert await world.due() == []


async def test_payload_that_does_not_exist(tmp_path: Path) -> None:
    """After a few tries Xumm's API is to decide; once the lookup is given up, so is the watch."""
    async with serving(denies) as server, a_world(tmp_path, server) as world:
        await world.record(snapshot("open"))
        for count in range(1, ABSENT_LIMIT + 1):
            await until(lambda count=count: server.connections[PAYLOAD] == count)  # type: ignore[misc]  # bound now
            await until(lambda: world.watcher.counts["waiting"] == 1)
            assert await world.due() == [] or count == ABSENT_LIMIT
            await world.advance(20)
        await until(lambda: _equals(world.due(), ["poll"]))
        await world.record(abandoned())
        await world.advance(RENEW_SECONDS)

        await until(lambda: _is_zero(world.watched()))


async def test_expiry_of_a_payload_that_nobody_opened(tmp_path: Path) -> None:
    """It cannot be resolved any more, so watching ends a little after; the deadline looks it up."""
    async with serving(says(EXPIRES_SOON)) as server, a_world(tmp_path, server) as world:
        await world.register(PAYLOAD)
        await until(lambda: _is_known(world.state(PAYLOAD)))
        await world.advance(60)
        await asyncio.sleep(0.05)
        assert await world.watched() == 1
        await world.advance(EXPIRY_SLACK.total_seconds())

        await until(lambda: _is_zero(world.watched()))
        await until(lambda: not server.open)
        assert "deadline" in await world.due()


async def _is_known(state: object) -> bool:
    return (await state).expires_at is not None  # type: ignore[misc]  # an awaitable state


async def test_expiry_of_an_opened_payload(tmp_path: Path) -> None:
    """It can still be signed for its grace, and is watched for so long."""
    async with (
        serving(says(EXPIRES_SOON, '{"opened":true}', '{"expired":true}')) as server,
        a_world(tmp_path, server) as world,
    ):
        await world.register(PAYLOAD)
        await until(lambda: "xumm.sign.expired" in world.events)
        for _ in range(5):
            await world.advance(RENEW_SECONDS - 1)
            await asyncio.sleep(0.02)
        assert await world.watched() == 1
        await world.advance(POLICY.grace.total_seconds())

        await until(lambda: _is_zero(world.watched()))


async def test_opened_after_all(tmp_path: Path) -> None:
    """A payload that turns out to have been opened is watched again, for its grace."""
    async with serving(says(EXPIRES_SOON)) as server, a_world(tmp_path, server) as world:
        await world.register(PAYLOAD)
        await until(lambda: _is_known(world.state(PAYLOAD)))
        await world.advance(60 + EXPIRY_SLACK.total_seconds())
        await until(lambda: _is_zero(world.watched()))
        await world.record(snapshot("expired", opened=True, at=world.time.now()))

        await until(lambda: server.connections[PAYLOAD] == 2)


@pytest.mark.parametrize("status", [HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.FOUND, HTTPStatus.BAD_GATEWAY])
async def test_refused_handshake_is_tried_again(tmp_path: Path, status: HTTPStatus) -> None:
    """Neither a rate limit nor an outage nor a redirect is fatal."""
    async with serving(says('{"opened":true}')) as server:
        server.statuses = [status]
        async with a_world(tmp_path, server) as world:
            await world.register(PAYLOAD)
            await until(lambda: world.watcher.counts["waiting"] == 1)
            await world.advance(1)

            await until(lambda: world.events == ["xumm.sign.opened"])


async def test_restart_is_no_stampede(tmp_path: Path) -> None:
    """However many watches there are, a bounded number of sockets is being opened."""
    async with serving(says()) as server:
        server.gate = asyncio.Event()
        async with a_world(tmp_path, server, limits=WatchingSettings(handshakes=5)) as world:
            for _ in range(40):
                await world.register(str(uuid4()))
            await until(lambda: server.handshakes == 5)
            await asyncio.sleep(0.05)
            assert world.watcher.counts == {"watched": 40, "open": 0, "opening": 5, "waiting": 35}
            server.gate.set()

            await until(lambda: world.watcher.counts["open"] == 40)
            assert server.most_handshakes == 5


async def test_limit_on_watches(tmp_path: Path) -> None:
    """More than the limit wait, and are watched when others end."""
    async with (
        serving(says()) as server,
        a_world(tmp_path, server, limits=WatchingSettings(max_watches=1)) as world,
    ):
        await world.register(PAYLOAD)
        await until(lambda: PAYLOAD in server.open)
        other = str(uuid4())
        await world.register(other)
        await asyncio.sleep(0.05)
        assert other not in server.connections
        await world.record(webhook())

        await until(lambda: other in server.open)


async def test_restart_resumes_and_looks(tmp_path: Path) -> None:
    """A new process on the same file watches at once what the last one did, and looks up what was missed."""
    time, url = Time(), f"sqlite:///{tmp_path}/w.db"
    async with serving(says()) as server:
        async with a_process(url, server, time, instance="before") as world, watching(world):
            await world.record(snapshot("open"))
            await until(lambda: PAYLOAD in server.open)
        await until(lambda: not server.open)
        async with a_process(url, server, time, instance="after") as world, watching(world):
            await until(lambda: server.connections[PAYLOAD] == 2)

            await until(lambda: _equals(world.due(), ["poll"]))


async def test_crash_without_a_word_resumes_too(tmp_path: Path) -> None:
    """With SQLite nobody else can hold a lease, so one that a killed process left behind is not waited for."""
    time, url = Time(), f"sqlite:///{tmp_path}/w.db"
    async with serving(says()) as server:
        async with a_process(url, server, time, instance="before") as world:
            await world.register(PAYLOAD)
            assert len(await world.watches.claim({"shop": 10})) == 1
        async with a_process(url, server, time, instance="after") as world, watching(world):
            await until(lambda: PAYLOAD in server.open)


class SlowWatches(StoredWatches):
    """Commits the first claim, and says that it took too long."""

    slow = True

    async def claim(self, rooms: Mapping[str, int]) -> Sequence[Watch]:
        claimed = await super().claim(rooms)
        if claimed and self.slow:
            self.slow = False
            raise StoreUnavailable("the database did not commit within 10 s", "slow")
        return claimed


async def test_store_that_was_slow_keeps_no_watch(tmp_path: Path) -> None:
    """What was claimed in a commit that was told as failed is watched when the store is well, not after the lease."""
    async with serving(says()) as server, a_world(tmp_path, server, stored=SlowWatches) as world:
        await world.register(PAYLOAD)
        world.watcher.wake()

        await until(lambda: PAYLOAD in server.open)


@pytest.mark.postgres
async def test_takeover_after_a_crash(tmp_path: Path, postgres_url: str) -> None:
    """Watches of an instance that died are taken over when their lease has run out, and looked up."""
    time = Time()
    async with (
        serving(says()) as server,
        a_process(postgres_url, server, time, instance="dead") as dead,
        a_process(postgres_url, server, time, instance="alive") as alive,
    ):
        await dead.record(snapshot("open"))
        assert len(await dead.watches.claim({"shop": 10})) == 1
        async with watching(alive):
            await asyncio.sleep(0.1)
            assert not server.connections
            await alive.advance(WATCH_LEASE.total_seconds())

            await until(lambda: PAYLOAD in server.open)
            await until(lambda: _equals(alive.due(), ["poll"]))
            assert await dead.watches.renew([(PAYLOAD, "shop")]) == []


@pytest.mark.postgres
async def test_two_instances_share(tmp_path: Path, postgres_url: str) -> None:
    """Each payload is watched by one instance; one that stops in good order leaves its watches to the other at once."""
    time, limits = Time(), WatchingSettings(max_watches=20)
    async with (
        serving(says()) as server,
        a_process(postgres_url, server, time, instance="a", limits=limits) as first,
        a_process(postgres_url, server, time, instance="b") as second,
        watching(second),
    ):
        async with watching(first):
            payloads = [str(uuid4()) for _ in range(20)]
            for payload in payloads:
                await first.register(payload)
            await until(lambda: len(server.open) == 20)
            assert set(server.connections.values()) == {1}
        await until(lambda: second.watcher.counts["open"] == 20)


async def test_store_that_fails_is_looked_up_later(tmp_path: Path) -> None:
    """A message that could not be stored costs the connection: the reconnect looks the payload up."""
    async with (
        serving(says('{"opened":true}'), says()) as server,
        a_process(f"sqlite:///{tmp_path}/w.db", server) as world,
    ):
        await world.record(snapshot("open"))
        real = world.writer._bounds
        async with watching(world):
            await until(lambda: _equals(world.watched(), 1))
            object.__setattr__(real, "entries", 0)
            await until(lambda: world.watcher.counts["waiting"] == 1)
            object.__setattr__(real, "entries", 10_000)
            await world.advance(1)

            await until(lambda: _equals(world.due(), ["poll"]))


async def test_close_says_goodbye(tmp_path: Path) -> None:
    """When the watcher stops, every server sees its socket closed in good order."""
    codes: list[int | None] = []

    async def script(connection: ServerConnection, payload: str) -> None:
        await connection.send(welcome(payload))
        await connection.wait_closed()
        codes.append(connection.close_code)

    async with serving(script) as server:
        async with a_world(tmp_path, server) as world:
            for _ in range(5):
                await world.register(str(uuid4()))
            await until(lambda: world.watcher.counts["open"] == 5)
        await until(lambda: len(codes) == 5)

    assert set(codes) == {1000}
