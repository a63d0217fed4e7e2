import asyncio
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from pathlib import Path

import aio_pika
import psycopg
import pytest
import pytest_asyncio
from aio_pika import DeliveryMode, Message

from tests.servers.child import Child, ServerFailed, free_port, wait_until
from tests.servers.postgres import Postgres
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import RabbitMQ

_QUEUE = "kept"
_ORPHANED_SERVER = """
import time
from tests.servers.postgres import Postgres
with Postgres() as server:
    print(server.port, server.home, flush=True)
    time.sleep(60)
"""


@pytest.mark.rabbitmq
async def test_a_durable_message_survives_the_death_of_rabbitmq(rabbitmq: RabbitMQ, amqp_url: str) -> None:
    """RabbitMQ, SIGKILLed and started again, has the same address and the same confirmed messages."""
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        await channel.declare_queue(_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        message = Message(b"dear", delivery_mode=DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key=_QUEUE)
        rabbitmq.kill()
        assert not rabbitmq.running
    rabbitmq.start()
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        queue = await channel.declare_queue(_QUEUE, passive=True)
        kept = await queue.get(timeout=10, no_ack=True)

    assert kept.body == b"dear"


@pytest.mark.rabbitmq
async def test_each_virtual_host_is_a_world_of_its_own(rabbitmq: RabbitMQ, amqp_url: str) -> None:
    """A queue declared in one test's virtual host exists in no other's."""
    other = rabbitmq.vhost()
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        await channel.declare_queue(_QUEUE, durable=True)
    found = rabbitmq.api("GET", f"queues/{other.rpartition('/')[2]}")
    rabbitmq.drop_vhost(other)

    assert found == []


@pytest.mark.rabbitmq
async def test_a_paused_rabbitmq_answers_again_once_resumed(rabbitmq: RabbitMQ, amqp_url: str) -> None:
    """SIGSTOP leaves a client without an answer, and SIGCONT gives it the one it waited for."""
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        rabbitmq.pause()
        declaring = asyncio.create_task(channel.declare_queue(_QUEUE, durable=True))
        done, _ = await asyncio.wait([declaring], timeout=0.3)
        rabbitmq.resume()
        queue = await declaring

    assert (done, queue.name) == (set(), _QUEUE)


@pytest.mark.rabbitmq
def test_rabbitmqctl_speaks_to_the_suites_own_node(rabbitmq: RabbitMQ, amqp_url: str) -> None:
    """`ctl` lists the virtual host that this test was given."""
    vhost = amqp_url.rpartition("/")[2]

    assert vhost in rabbitmq.ctl("list_vhosts").split()


@pytest.mark.rabbitmq
def test_a_failing_rabbitmqctl_says_why(rabbitmq: RabbitMQ) -> None:
    """`ctl` raises with what the command printed."""
    with pytest.raises(ServerFailed, match="no_such_command"):
        rabbitmq.ctl("no_such_command")


@pytest.mark.postgres
def test_a_committed_row_survives_the_death_of_postgres(postgres: Postgres, postgres_url: str) -> None:
    """PostgreSQL, SIGKILLed with an open session and started again, has the row that was committed."""
    with psycopg.connect(_dsn(postgres_url), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'dear' AS word")
        postgres.kill()
        assert not postgres.running
    postgres.start()
    with psycopg.connect(_dsn(postgres_url)) as connection:
        kept = connection.execute("SELECT word FROM kept").fetchone()

    assert kept == ("dear",)


@pytest.mark.postgres
def test_a_paused_postgres_stops_its_workers_too(postgres: Postgres, postgres_url: str) -> None:
    """SIGSTOP holds an open session's query, and `heal` lets it go on."""
    with psycopg.connect(_dsn(postgres_url)) as connection:
        postgres.pause()
        connection.pgconn.send_query(b"SELECT 'late'")
        connection.pgconn.flush()
        held = _readable(connection.fileno(), timeout=0.3)
        postgres.heal()
        answered = _readable(connection.fileno(), timeout=10)
        connection.pgconn.get_result()
        connection.pgconn.get_result()

    assert (held, answered) == (False, True)


@pytest.mark.postgres
def test_a_killed_test_run_leaves_no_server_behind() -> None:
    """When the process that started a server is SIGKILLed, the server dies too."""
    with subprocess.Popen([sys.executable, "-c", _ORPHANED_SERVER], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        port, home = run.stdout.readline().split()
        run.send_signal(signal.SIGKILL)
    wait_until(lambda: not _listens(int(port)), timeout=10, otherwise=lambda: TimeoutError("it lives on"))
    shutil.rmtree(home)

    assert not _listens(int(port))


def test_a_server_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    """The error of a failed start carries the exit code and the end of the log."""
    child = Child(
        ["/bin/sh", "-c", "echo out of luck; exit 3"],
        log=tmp_path / "server.log",
        directory=tmp_path,
        env=os.environ,
    )

    with pytest.raises(ServerFailed, match=r"exit code 3(?s:.*)out of luck"):
        child.wait_ready(lambda: False, timeout=10)


def test_a_server_that_never_gets_ready_shows_its_log(tmp_path: Path) -> None:
    """The error of a start that takes too long says how long was waited."""
    child = Child(["/bin/sleep", "60"], log=tmp_path / "server.log", directory=tmp_path, env=os.environ)

    with pytest.raises(ServerFailed, match=r"sleep was not ready in 0 s"):
        child.wait_ready(lambda: False, timeout=0.1)
    child.kill()


@pytest_asyncio.fixture
async def echo() -> AsyncIterator[Proxy]:
    """A proxy in front of a server that sends back what it gets."""
    server = await asyncio.start_server(_send_back, "127.0.0.1", free_port())
    async with server, Proxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


async def test_a_proxy_forwards_both_ways(echo: Proxy) -> None:
    """What a client sends arrives, and so does the answer."""
    client = await _Client.connect(echo)
    answer = await client.ask(b"hello")
    await client.close()

    assert answer == b"hello"


async def test_a_proxy_forwards_the_end_of_a_stream(echo: Proxy) -> None:
    """A client that says it is done gets the rest of its answer and then the end."""
    client = await _Client.connect(echo)
    client.writer.write(b"bye")
    client.writer.write_eof()
    answer = await asyncio.wait_for(client.reader.read(), 5)
    await client.close()

    assert answer == b"bye"


async def test_a_cut_proxy_drops_and_refuses_until_restored(echo: Proxy) -> None:
    """`cut` ends open connections and refuses new ones; `restore` takes them on the same port."""
    client = await _Client.connect(echo)
    await client.ask(b"hello")
    await echo.cut()
    rest = await asyncio.wait_for(client.reader.read(), 5)
    with pytest.raises(ConnectionRefusedError):
        await _Client.connect(echo)
    await echo.restore()
    again = await _Client.connect(echo)
    answer = await again.ask(b"again")
    await client.close()
    await again.close()

    assert (rest, answer) == (b"", b"again")


async def test_a_reset_proxy_breaks_connections_hard(echo: Proxy) -> None:
    """`reset` is seen as a connection reset, not as an orderly end."""
    client = await _Client.connect(echo)
    await client.ask(b"hello")
    await echo.reset()

    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(client.reader.read(), 5)
    await client.close()


async def test_a_half_open_proxy_is_silent_until_restored(echo: Proxy) -> None:
    """`half_open` keeps the connection and holds its bytes; `restore` lets them through."""
    client = await _Client.connect(echo)
    await client.ask(b"hello")
    await echo.half_open()
    asking = asyncio.create_task(client.ask(b"anyone?"))
    done, _ = await asyncio.wait([asking], timeout=0.1)
    await echo.restore()
    answer = await asking
    await client.close()

    assert (done, answer) == (set(), b"anyone?")


async def test_a_delayed_proxy_is_late_both_ways(echo: Proxy) -> None:
    """An answer takes at least the delay of its way there and its way back."""
    client = await _Client.connect(echo)
    await echo.delay(0.1)
    asked_at = asyncio.get_running_loop().time()
    await client.ask(b"slow")
    took = asyncio.get_running_loop().time() - asked_at
    await client.close()

    assert took >= 0.19


class _Client:
    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, proxy: Proxy) -> "_Client":
        return cls(*await asyncio.open_connection("127.0.0.1", proxy.port))

    async def ask(self, words: bytes) -> bytes:
        self.writer.write(words)
        return await asyncio.wait_for(self.reader.readexactly(len(words)), 5)

    async def close(self) -> None:
        self.writer.transport.abort()


async def _send_back(reader: StreamReader, writer: StreamWriter) -> None:
    try:
        while chunk := await reader.read(1024):
            writer.write(chunk)
    except ConnectionError:
        return
    finally:
        writer.close()


def _dsn(url: str) -> str:
    return url.replace("postgresql+psycopg", "postgresql")


def _readable(descriptor: int, *, timeout: float) -> bool:
    return bool(select.select([descriptor], [], [], timeout)[0])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
