"""The RabbitMQ adapter against a broker that does as each test says."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pamqp import body, commands, header, heartbeat
from pamqp import frame as codec
from structlog.testing import capture_logs

from processor.broker.options import RabbitOptions
from processor.broker.port import Disconnected, Nacked, Unroutable
from processor.broker.rabbitmq import RabbitPublisher
from processor.core.retry import Backoff
from tests.broker.broker import Peer, confirm_everything, scripted, silence, speaking
from tests.broker.messages import a_message
from tests.broker.outcomes import outcomes_of, until

QUICK = RabbitOptions(
    exchange="events", backoff=Backoff(first=timedelta(milliseconds=10), cap=timedelta(milliseconds=20))
)


@asynccontextmanager
async def connected(url: str, options: RabbitOptions = QUICK) -> AsyncIterator[RabbitPublisher]:
    async with RabbitPublisher(url, options) as publisher:
        await asyncio.wait_for(publisher.ready(), 10)
        yield publisher


def _send_return(peer: Peer, message_id: str) -> None:
    properties = commands.Basic.Properties(message_id=message_id)
    peer.send(commands.Basic.Return(312, "NO_ROUTE", "events", "a.b"))
    peer.writer.write(codec.marshal(header.ContentHeader(body_size=1, properties=properties), 1))
    peer.writer.write(codec.marshal(body.ContentBody(b"x"), 1))


async def test_confirms_may_come_in_any_order() -> None:
    """Single and multiple confirms, acks and nacks, in any order settle exactly the publishes they mean."""

    async def script(peer: Peer) -> None:
        await peer.publishes(7)
        peer.send(commands.Basic.Ack(3))
        peer.send(commands.Basic.Nack(2, multiple=True))
        peer.send(commands.Basic.Ack(6))
        peer.send(commands.Basic.Nack(5))
        peer.send(commands.Basic.Ack(7, multiple=True))
        await silence(peer)

    async with scripted(script) as url, connected(url) as publisher:
        outcomes = await outcomes_of([publisher.publish(a_message(number)) for number in range(7)])

    assert outcomes == [Nacked, Nacked, None, None, Nacked, None, None]


async def test_tag_zero_confirms_all() -> None:
    """A multiple confirm of tag zero means everything outstanding."""

    async def script(peer: Peer) -> None:
        await peer.publishes(3)
        peer.send(commands.Basic.Ack(0, multiple=True))
        await silence(peer)

    async with scripted(script) as url, connected(url) as publisher:
        outcomes = await outcomes_of([publisher.publish(a_message(number)) for number in range(3)])

    assert outcomes == [None] * 3


async def test_a_message_published_twice_is_returned_twice() -> None:
    """Returns are counted by id: two unroutable copies of a message fail, and a third, routed, does not."""

    async def script(peer: Peer) -> None:
        await peer.publishes(3)
        _send_return(peer, a_message().id)
        _send_return(peer, a_message().id)
        peer.send(commands.Basic.Ack(2, multiple=True))
        peer.send(commands.Basic.Ack(3))
        await silence(peer)

    async with scripted(script) as url, connected(url) as publisher:
        outcomes = await outcomes_of([publisher.publish(a_message()) for _ in range(3)])

    assert outcomes == [Unroutable, Unroutable, None]


@pytest.mark.parametrize(
    "nonsense",
    [
        codec.marshal(commands.Basic.Ack(2**62, multiple=True), 1),
        codec.marshal(commands.Basic.Ack(0), 1),
        codec.marshal(commands.Connection.OpenOk(), 0),
        codec.marshal(commands.Basic.CancelOk("x"), 1),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff" * 50,
    ],
    ids=["unknown tag", "tag zero", "second welcome", "unasked method", "http", "noise"],
)
async def test_nonsense_costs_the_connection_and_no_more(nonsense: bytes) -> None:
    """After nonsense, what was in flight fails, and the publisher connects anew."""
    visits: list[Peer] = []

    async def script(peer: Peer) -> None:
        visits.append(peer)
        if len(visits) > 1:
            await confirm_everything(peer)
        await peer.publishes(1)
        peer.writer.write(nonsense)
        await silence(peer)

    with capture_logs() as logs:
        async with scripted(script) as url, connected(url) as publisher:
            outcomes = await outcomes_of([publisher.publish(a_message())])
            await asyncio.wait_for(publisher.ready(), 10)
            outcomes += await outcomes_of([publisher.publish(a_message())])

    assert outcomes == [Disconnected, None]
    assert [entry["reason"][:15] for entry in logs if entry["event"] == "publisher.disconnected"] == ["protocol error:"]


@pytest.mark.parametrize(
    "greeting",
    [
        b"AMQP\x00\x01\x00\x00",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        codec.marshal(commands.Connection.Tune(0, 0, 0), 0),
        codec.marshal(commands.Connection.Start(mechanisms="EXTERNAL", server_properties={}), 0),
    ],
    ids=["another version", "another protocol", "out of turn", "no password login"],
)
async def test_a_stranger_is_left_alone(greeting: bytes) -> None:
    """A server that is no AMQP 0-9-1 broker is reported and tried again, without a crash."""
    with capture_logs() as logs:
        async with speaking(greeting) as url, RabbitPublisher(url, QUICK):
            await until(lambda: len(logs) > 1)

    assert {entry["event"] for entry in logs} == {"publisher.connection_failed"}
    assert logs[0]["reason"].startswith("protocol error: ")


async def test_a_silent_server_times_out() -> None:
    """A server that takes the connection and never speaks is given up after the connect timeout."""
    options = replace(QUICK, connect_timeout=timedelta(milliseconds=50))
    with capture_logs() as logs:
        async with speaking(b"") as url, RabbitPublisher(url, options):
            await until(lambda: bool(logs))

    assert logs[0]["reason"] == "not open after 0.05 seconds"


async def test_credentials_and_tuning_are_negotiated() -> None:
    """PLAIN carries user and password; the smaller heartbeat and frame size win."""
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await silence(peer)

    async with scripted(script, frame_max=8192, heartbeat=5) as url, connected(url):
        (peer,) = peers

    assert peer.start_ok is not None
    assert peer.tune_ok is not None
    assert (peer.start_ok.mechanism, peer.start_ok.response) == ("PLAIN", "\0somebody\0secret")
    assert (peer.tune_ok.frame_max, peer.tune_ok.heartbeat) == (8192, 5)


async def test_frames_keep_to_the_agreed_size() -> None:
    """A long body leaves in frames no longer than the broker wants."""
    sizes: list[int] = []

    async def script(peer: Peer) -> None:
        while sum(sizes) < 30_000:
            size, frame = await peer.frame()
            sizes.extend([size] if isinstance(frame, body.ContentBody) else [])
        peer.send(commands.Basic.Ack(1))
        await silence(peer)

    async with scripted(script, frame_max=4096) as url, connected(url) as publisher:
        await asyncio.wait_for(publisher.publish(a_message(body=b"x" * 30_000)), 10)

    assert sizes == [4096] * 7 + [30_000 + 8 * 8 - 7 * 4096]


async def test_heartbeats_are_sent_in_silence() -> None:
    """A publisher with nothing to say shows that it lives."""
    heard: list[object] = []

    async def script(peer: Peer) -> None:
        heard.append((await peer.frame())[1])
        await silence(peer)

    options = replace(QUICK, heartbeat=timedelta(seconds=1))
    async with scripted(script) as url, connected(url, options):
        await until(lambda: bool(heard))

    assert isinstance(heard[0], heartbeat.Heartbeat)


async def test_one_tick_is_one_write() -> None:
    """Publishes of one tick of the loop leave together, in the order of the calls."""
    keys: list[str | None] = []

    async def script(peer: Peer) -> None:
        keys.extend(publish.routing_key for publish in await peer.publishes(50))
        peer.send(commands.Basic.Ack(50, multiple=True))
        await silence(peer)

    async with scripted(script) as url, connected(url) as publisher:
        futures = [publisher.publish(a_message(number, routing_key=f"k{number}")) for number in range(50)]
        waiting = publisher._connection._unsent  # type: ignore[union-attr]  # it is connected
        kept = len(waiting)
        await outcomes_of(futures)

    assert kept == 50
    assert keys == [f"k{number}" for number in range(50)]


async def test_a_slow_reader_bounds_what_waits() -> None:
    """While the broker does not read, messages wait in order up to the limit; beyond it they fail."""
    reading = asyncio.Event()
    keys: list[str | None] = []

    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport has it
        await reading.wait()
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]  # a socket's transport has it
        for tag in range(1, 10_000):
            keys.extend(publish.routing_key for publish in await peer.publishes(1))
            peer.send(commands.Basic.Ack(tag))

    options = replace(QUICK, unsent_bytes=2_000_000)
    body = b"x" * 100_000
    futures: list[asyncio.Future[None]] = []
    async with scripted(script) as url, connected(url, options) as publisher:
        while not any(future.done() for future in futures):
            number = len(futures)
            futures.append(publisher.publish(a_message(number, routing_key=f"k{number}", body=body)))
            await asyncio.sleep(0)
        reading.set()
        outcomes = await outcomes_of(futures)

    assert outcomes == [None] * (len(futures) - 1) + [Disconnected]
    assert keys == [f"k{number}" for number in range(len(futures) - 1)]


async def test_nothing_is_sent_while_blocked() -> None:
    """From ``connection.blocked`` on messages stay here, until the broker takes publishes again."""
    heard: list[object] = []

    async def script(peer: Peer) -> None:
        peer.send(commands.Connection.Blocked("low on memory"), 0)
        with suppress(TimeoutError):
            heard.append(await asyncio.wait_for(peer.frame(), 0.2))
        peer.send(commands.Connection.Unblocked(), 0)
        await confirm_everything(peer)

    with capture_logs() as logs:
        async with scripted(script) as url, RabbitPublisher(url, QUICK) as publisher:
            await until(lambda: any(entry["event"] == "publisher.blocked" for entry in logs))
            await until(lambda: any(entry["event"] == "publisher.connected" for entry in logs))
            outcome = await outcomes_of([publisher.publish(a_message())])

    assert (heard, outcome) == ([], [None])


async def test_futures_that_were_given_up_do_no_harm() -> None:
    """Futures cancelled in flight disturb neither confirms, refusals and returns nor a lost connection."""

    async def script(peer: Peer) -> None:
        await peer.publishes(5)
        _send_return(peer, a_message(2).id)
        peer.send(commands.Basic.Ack(2, multiple=True))
        peer.send(commands.Basic.Nack(3))
        peer.send(commands.Basic.Ack(5))

    async with scripted(script) as url, connected(url) as publisher:
        futures = [publisher.publish(a_message(number)) for number in range(1, 6)]
        for future in futures[:4]:
            future.cancel()
        outcome = await outcomes_of(futures[4:])
        await until(lambda: publisher._connection is None)

    assert outcome == [None]


async def test_a_broker_that_hangs_up_does_not_reset_the_pauses() -> None:
    """A connection that opened but did not last counts as one more failure."""
    failures = 0

    async def script(peer: Peer) -> None:
        return

    def chance() -> float:
        nonlocal failures
        failures += 1
        return 0.0

    options = replace(QUICK, backoff=Backoff(first=timedelta(milliseconds=5), cap=timedelta(milliseconds=20)))
    started = asyncio.get_running_loop().time()
    async with scripted(script) as url, RabbitPublisher(url, options, chance=chance):
        await until(lambda: failures > 4)

    assert asyncio.get_running_loop().time() - started >= 0.005 + 0.01 + 0.02 + 0.02


@pytest.mark.parametrize("seconds", [0.5, 70_000])
def test_a_heartbeat_that_amqp_cannot_express_is_refused(seconds: float) -> None:
    """Heartbeats are whole seconds in 16 bits, and zero would switch them off."""
    with pytest.raises(ValueError, match=r"^heartbeat is [0-9.]+ seconds; AMQP takes 1 to 65535$"):
        RabbitOptions(heartbeat=timedelta(seconds=seconds))


def test_it_runs_on_uvloop() -> None:
    """The transports of uvloop do as well as those of asyncio."""
    uvloop = pytest.importorskip("uvloop")

    async def publish() -> list[type | None]:
        async with scripted(confirm_everything) as url, connected(url) as publisher:
            return await outcomes_of([publisher.publish(a_message(number)) for number in range(3)])

    assert uvloop.run(publish()) == [None] * 3


async def test_tls_is_verified(certificate: Path) -> None:
    """Over ``amqps`` a broker is believed only with a certificate that the trusted authorities vouch for."""
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=certificate)
    with capture_logs() as logs:
        async with scripted(confirm_everything, tls=server_side) as url:
            async with RabbitPublisher(url, QUICK):
                await until(lambda: bool(logs))
            async with RabbitPublisher(url, QUICK, tls=trusting) as publisher:
                await asyncio.wait_for(publisher.ready(), 10)
                outcome = await outcomes_of([publisher.publish(a_message())])

    assert logs[0]["event"] == "publisher.connection_failed"
    assert "certificate verify failed" in logs[0]["reason"]
    assert outcome == [None]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Key and self-signed certificate of 127.0.0.1."""
    pem = tmp_path / "broker.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=broker -addext subjectAltName=IP:127.0.0.1"
    made = subprocess.run([*command.split(), "-keyout", "-", "-out", "-"], capture_output=True, check=True)
    pem.write_bytes(made.stdout)
    return pem
