"""The command ``consumers``: output, exit codes, and what it never prints."""

import asyncio
import io
import json
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select
from yarl import URL

from consumers.__main__ import main
from consumers.app_state import sign_requests
from consumers.runtime.database import ConsumerDatabase
from consumers.runtime.errors import SourceUnavailable
from consumers.runtime.source.dead_letters import DeadLetters
from schemas.base64url import decode
from schemas.topology import HEADER_ATTEMPTS, HEADER_FIRST_SEEN, HEADER_REASON
from tests.consumers.broker import Broker, until
from tests.consumers.events import USER, Message, event, message
from tests.consumers.push.channels.authority import key_file
from tests.consumers.push.channels.push_service import Browser
from tests.consumers.raw_publisher import RawPublisher, field, long, nested, short
from tests.servers.rabbitmq import RabbitMQ

TOKEN = "phone-registration-token-000001"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PROCESSOR_AMQP_URL", raising=False)


def run(*arguments: str, code: int = 0, stdin: str | None = None) -> str:
    """What the command prints, having ended with ``code``."""
    told = io.StringIO()
    with (
        redirect_stdout(told),
        redirect_stderr(told),
        mock.patch.object(sys, "stdin", io.StringIO(stdin)),
        pytest.raises(SystemExit) as ended,
    ):
        main(arguments)

    assert ended.value.code == code, told.getvalue()
    return told.getvalue()


def test_help_teaches() -> None:
    """Without arguments the first steps and the exit codes are told."""
    shown = run("--help")

    assert "app-state" in shown
    assert "Exit codes" in shown


def test_version_is_printed() -> None:
    """One line, for bug reports."""
    assert run("--version").startswith("consumers ")


def test_list_shows_the_reference_consumers() -> None:
    """Name, queue and bindings, for people and for programs."""
    rows = json.loads(run("list", "--json"))

    assert [(row["name"], row["queue"]) for row in rows] == [("app-state", "app-state"), ("push", "push-notifications")]
    assert [row["command_queues"] for row in rows] == [[], ["push-devices"]]
    assert {"push-notifications", "push-devices"} <= set(run("list").split())


def test_config_masks_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses with passwords are not shown."""
    monkeypatch.setenv("CONSUMERS_AMQP_URL", "amqp://user:pa55word@broker/")
    shown = run("config") + run("config", "--json")

    assert "pa55word" not in shown
    rows = {row["setting"]: (row["value"], row["from"]) for row in json.loads(run("config", "--json"))}
    assert rows["prefetch"] == (64, "default")
    assert rows["amqp_url"] == ("amqp://user:***@broker/", "environment")


def test_unknown_consumer_is_not_found() -> None:
    """Exit code 1, and the names there are."""
    assert "app-state" in run("run", "no-such", code=1)


def test_wrong_setting_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, and the name of the variable."""
    monkeypatch.setenv("CONSUMERS_PREFETCH", "0")

    assert "CONSUMERS_PREFETCH" in run("config", code=2)


def test_devices_are_added_listed_and_removed() -> None:
    """A token is never shown whole."""
    shown = run("devices", "add", USER, TOKEN, "--platform", "ios", "--locale", "de")
    listed = json.loads(run("devices", "list", USER, "--json"))
    shown += run("devices", "list") + run("devices", "remove", "-", stdin=f"{TOKEN}\n")

    told = {"owner": USER, "token": "…000001", "channel": "fcm", "platform": "ios", "locale": "de", "user": None}
    assert listed == [told]
    assert TOKEN not in shown
    assert "no such device" in run("devices", "remove", TOKEN, code=1)
    assert "printable" in run("devices", "add", USER, "a b", code=2)


def test_browser_is_added_by_its_subscription() -> None:
    """What the browser gave is read whole, and nothing of it is shown; a host that is no push service is refused."""
    subscription = Browser("one").subscription
    shown = run("devices", "add", USER, "-", "--channel", "webpush", "--locale", "ja-JP", stdin=f"{subscription}\n")
    listed = json.loads(run("devices", "list", USER, "--json"))
    refused = run("devices", "add", USER, subscription.replace("mozilla", "evil"), "--channel", "webpush", code=2)

    assert [(each["channel"], each["platform"], each["locale"]) for each in listed] == [("webpush", "web", "ja-JP")]
    assert "mozilla" not in shown + json.dumps(listed)
    assert "CONSUMERS_WEBPUSH_SERVICES" in refused


def test_token_must_fit_its_channel() -> None:
    """Apple's tokens are hexadecimal, and the path of a request is made of them."""
    assert "hexadecimal" in run("devices", "add", USER, "../../x", "--channel", "apns", code=2)
    assert "registered" in run("devices", "add", USER, "ab" * 32, "--channel", "apns")


def test_subscription_key_is_the_public_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers get a point of 65 bytes; without a key file the setting is named."""
    unset = run("devices", "subscription-key", code=2)
    key = ec.generate_private_key(ec.SECP256R1())
    monkeypatch.setenv("CONSUMERS_WEBPUSH_KEY", str(key_file(tmp_path / "vapid.pem", key)))
    shown = run("devices", "subscription-key").strip()
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    assert "CONSUMERS_WEBPUSH_KEY" in unset
    assert decode(shown) == point


@pytest.fixture
async def broker(amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Broker]:
    monkeypatch.setenv("CONSUMERS_AMQP_URL", amqp_url)
    async with Broker(amqp_url) as broker:
        for number in (1, 2, 3):
            await _bury(broker, number)
        yield broker


@pytest.mark.rabbitmq
async def test_looking_at_dead_letters_leaves_them_where_they_are(broker: Broker) -> None:
    """Listing and showing consume nothing, however often."""
    wanted = event("sign.opened", 2)
    for _ in range(3):
        listed = json.loads(await run_async("dead-letters", "list", "orders", "--json"))
        shown = json.loads(await run_async("dead-letters", "show", "orders", wanted.id, "--json"))

    assert [row["event_id"] for row in listed] == [event("sign.opened", number).id for number in (1, 2, 3)]
    assert (listed[0]["reason"], listed[0]["attempts"]) == ("shop 1 is closed", 5)
    assert shown["event"]["subject"] == wanted.subject
    assert await until(lambda: _has(broker, "orders.dead", 3))
    assert len(json.loads(await run_async("dead-letters", "list", "orders", "--limit", "1", "--json"))) == 1


@pytest.mark.rabbitmq
async def test_looking_often_destroys_nothing(broker: Broker, rabbitmq: RabbitMQ) -> None:
    """The limit here is RabbitMQ 4's for a queue without a policy: one return more drops a message without a word."""
    # https://github.com/rabbitmq/rabbitmq-server/pull/11937
    policy = {"pattern": "^orders\\.dead$", "apply-to": "queues", "definition": {"delivery-limit": 20}}
    vhost = URL(broker.url).path.removeprefix("/")
    await asyncio.to_thread(rabbitmq.api, "PUT", f"policies/{vhost}/as-in-4", policy)
    letters = DeadLetters(broker.url, "orders")
    wanted = event("sign.opened", 2).id
    seen = [len(await letters.first(100)) for _ in range(12)]
    found = [await letters.find(wanted) for _ in range(12)]
    missed = [await letters.redrive("no such event") for _ in range(12)]
    left = await letters.first(100)

    assert (seen, [letter is not None for letter in found], missed) == ([3] * 12, [True] * 12, [0] * 12)
    assert [(letter.event_id, letter.reason) for letter in left] == [
        (event("sign.opened", number).id, f"shop {number} is closed") for number in (1, 2, 3)
    ]


@pytest.mark.rabbitmq
async def test_dead_letters_are_shown_whatever_stands_in_them(broker: Broker) -> None:
    """Nothing that a terminal obeys is printed as it is, and no body, header or property stops a command."""
    hostile = b"\x1b]0;owned\x07\x1b[2J\xe2\x80\xae"
    bodies = (b"\xff\xfe\x00", b"[" * 100_000, b'{"a": NaN}', b'"\\ud800"', b"9" * 5000, hostile, b"", b"x" * 2_000_000)
    with RawPublisher(broker.url) as raw:
        for number, body in enumerate(bodies):
            table = field(b"x-reason", b"S" + long(hostile)) + field(b"deep", nested(b"A", 1000))
            names = {"message_id": short(hostile + b"%d" % number), "type": short(hostile)}
            raw.publish(b"orders.dead", body, headers=long(table), **names)
    letters = {letter.body: letter for letter in await DeadLetters(broker.url, "orders").first(100)}
    shown = await run_async("dead-letters", "list", "orders")
    rows = json.loads(await run_async("dead-letters", "list", "orders", "--json"))
    for body in bodies:
        event_id = letters[body].event_id
        assert event_id is not None
        shown += await run_async("dead-letters", "show", "orders", event_id)
        whole = json.loads(await run_async("dead-letters", "show", "orders", event_id, "--json"), parse_constant=fail)
        assert whole["event_id"] == event_id

    assert len(rows) == len(bodies) + 3
    assert "\\x1b]0;owned\\x07" in shown
    assert not {char for char in shown if not char.isprintable()} - {"\n"}


@pytest.mark.rabbitmq
async def test_token_stays_hidden_in_a_command_that_cannot_be_read(broker: Broker) -> None:
    """What was sent to register a device is a command also where it is cut short or strangely wrapped."""
    for number, body in enumerate((b'{"data": {"token": "s3cret"', b'[{"token": "s3cret"}]')):
        letter = Message(id=f"m{number}", type="xumm.device.registered", payload="p", routing_key="", body=body)
        await broker.publish_to("orders.dead", letter, {})
    shown = "".join([await run_async("dead-letters", "show", "orders", f"m{number}") for number in range(2)])

    assert "s3cret" not in shown


@pytest.mark.rabbitmq
async def test_listing_says_what_drops_dead_letters(broker: Broker) -> None:
    """How long they are kept is the operator's setting."""
    assert "PROCESSOR_TOPOLOGY__DEAD_TTL" in await run_async("dead-letters", "list", "orders")


@pytest.mark.rabbitmq
async def test_broker_that_falls_silent_is_given_up(broker: Broker) -> None:
    """At whatever step: each has its time, and then the command ends with one error of ours."""

    async def look(chunks: int) -> bool:
        async with silent_after(chunks, broker.url) as url:
            try:
                await DeadLetters(url, "orders", patience=timedelta(seconds=0.5)).first(100)
            except SourceUnavailable:
                return True
            return False

    async with asyncio.timeout(45):
        gave_up = [await look(1), *await asyncio.gather(*(look(chunks) for chunks in range(2, 8)))]

    assert gave_up == [True] * 7


@pytest.mark.rabbitmq
async def test_redriving_one_dead_letter_leaves_the_others(broker: Broker) -> None:
    """It returns to its queue with its attempts forgotten."""
    wanted = event("sign.opened", 2)
    await run_async("dead-letters", "redrive", "orders", wanted.id)
    again = await until(broker.take)

    assert (again.message_id, again.type) == (wanted.id, wanted.type)
    assert HEADER_ATTEMPTS not in again.headers
    assert await until(lambda: _has(broker, "orders.dead", 2))


@pytest.mark.rabbitmq
async def test_redriving_all_empties_the_dead_letters(broker: Broker) -> None:
    """All that lay there are in the queue again, in order."""
    answer = json.loads(await run_async("dead-letters", "redrive", "orders", "--all", "--json"))
    ids = [(await until(broker.take)).message_id for _ in range(3)]

    assert answer == {"redriven": 3}
    assert ids == [event("sign.opened", number).id for number in (1, 2, 3)]
    assert await broker.count("orders.dead") == 0


@pytest.mark.rabbitmq
async def test_redriving_to_a_missing_queue_keeps_the_dead_letters(broker: Broker) -> None:
    """What cannot be routed stays where it is, and the exit code says so."""
    await broker.channel.queue_delete("orders")
    await run_async("dead-letters", "redrive", "orders", "--all", code=3)

    assert await until(lambda: _has(broker, "orders.dead", 3))


@pytest.mark.rabbitmq
async def test_wrong_use_of_dead_letters_is_told(broker: Broker) -> None:
    """Unknown event, neither one nor all, unknown queue: each has its exit code."""
    await run_async("dead-letters", "show", "orders", "no-such", code=1)
    await run_async("dead-letters", "redrive", "orders", "no-such", code=1)
    await run_async("dead-letters", "redrive", "orders", code=2)
    await run_async("dead-letters", "list", "no-such", code=3)


def test_unreachable_broker_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3, host and port, and nothing secret."""
    monkeypatch.setenv("CONSUMERS_AMQP_URL", "amqp://user:pa55word@127.0.0.1:1/")
    shown = run("dead-letters", "list", "orders", code=3)

    assert "127.0.0.1:1" in shown
    assert "pa55word" not in shown


def test_silent_database_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("CONSUMERS_DATABASE_URL", f"postgresql://user:pa55word@{place}/devices?connect_timeout=1")
        shown = run("devices", "list", code=3)

    assert "timeout" in shown
    assert "pa55word" not in shown


def test_command_that_nothing_stops_ends_all_the_same() -> None:
    """A driver that waits in a thread of its own for ever costs a minute and no more."""
    program = """
import datetime, threading
from consumers.commands.devices import bounded
with bounded(datetime.timedelta(seconds=0.2)):
    threading.Event().wait()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )

    assert (done.returncode, done.stderr) == (3, "consumers: the database gave no answer within 0.2 s\n")


@pytest.mark.rabbitmq
async def test_run_consumes_until_sigterm(amqp_url: str, tmp_path: Path) -> None:
    """The real process: an event becomes state, logs are JSON lines, and SIGTERM ends it in good order."""
    environment = {**os.environ, "CONSUMERS_AMQP_URL": amqp_url, "PYTHONPATH": str(ROOT)}
    async with Broker(amqp_url, "app-state") as broker:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "consumers", "run", "app-state",
            cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await until(broker.consumer_count)
        await broker.publish(message(event("resolve.validated")))
        await until(lambda: _knows_state(tmp_path))
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        left = await broker.count()

    names = [json.loads(line)["event"] for line in output.splitlines()]
    assert (process.returncode, left) == (0, 0)
    assert names == ["consumer.started", "source.connected", "event.handled", "consumer.drained"]


async def run_async(*arguments: str, code: int = 0) -> str:
    return await asyncio.to_thread(run, *arguments, code=code)


@asynccontextmanager
async def silent_after(chunks: int, url: str) -> AsyncIterator[str]:
    """An address of the broker's that passes on so many of its answers and then, on every connection, no more."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: float = math.inf) -> None:
        while left and (data := await reader.read(65536)):
            writer.write(data)
            left -= 1
        if not left:
            await ended.wait()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_broker, to_broker = await asyncio.open_connection(URL(url).host, URL(url).port)
        with suppress(OSError):
            await asyncio.gather(carry(reader, to_broker), carry(from_broker, writer, chunks))
        for each in (writer, to_broker):
            each.close()

    ended = asyncio.Event()
    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield str(URL(url).with_port(server.sockets[0].getsockname()[1]))
        ended.set()


def fail(constant: str) -> None:
    pytest.fail(f"{constant} is not JSON")


async def _bury(broker: Broker, number: int) -> None:
    headers = {
        HEADER_ATTEMPTS: 5,
        HEADER_REASON: f"shop {number} is closed",
        HEADER_FIRST_SEEN: f"2026-03-01T12:00:0{number}.000+00:00",
    }
    buried = message(event("sign.opened", number))
    await broker.publish_to("orders.dead", buried, headers)


async def _has(broker: Broker, queue: str, count: int) -> bool:
    return await broker.count(queue) == count


async def _knows_state(directory: Path) -> bool:
    path = directory / "var" / "consumers" / "app-state.db"
    if not path.exists():
        return False
    async with ConsumerDatabase(f"sqlite:///{path}") as database:
        return await database.read(lambda db: db.scalar(select(sign_requests.c.state)) == "validated")
