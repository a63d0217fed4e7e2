import asyncio
import hashlib
import hmac
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processor.sandbox.javascript import stringify
from processor.sandbox.sender import Sender, SenderTiming
from processor.sandbox.webhook_attempt import (
    Answered,
    Attempt,
    ConnectionFailed,
    CutOff,
    OutgoingWebhook,
    TimedOut,
    Withheld,
    sign,
)
from tests.sandbox.clock import FakeClock
from tests.sandbox.service import Service

SECRET = "12345678-90ab-4cde-8f01-234567890abc"
PAYLOAD = "6f1e2d3c-4b5a-4978-8a6b-5c4d3e2f1a0b"
GOLDEN_BODY = '{"custom_meta":{"instruction":"Hey ❤️ ..."}}'.encode()
FIVE_ATTEMPTS = [10.0, 60.0, 600.0, 600.0]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def unused_url() -> Iterator[str]:
    with socket.socket() as bound:  # bound but not listening: connections are refused
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/webhooks/shop"


@asynccontextmanager
async def talking(*answers: bytes, hangs: bool = False) -> AsyncIterator[str]:
    """Where a server gives these answers in turn, byte by byte as they stand, and closes unless it ``hangs``."""
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(GOLDEN_BODY))
        writer.write(left.pop(0))
        await writer.drain()
        if hangs:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhooks/shop"


def webhook(url: str) -> OutgoingWebhook:
    return OutgoingWebhook(url=url, secret=SECRET, payload=PAYLOAD, body=GOLDEN_BODY)


def statuses(attempts: list[Attempt]) -> list[int]:
    return [attempt.outcome.status for attempt in attempts if isinstance(attempt.outcome, Answered)]


async def deliver(url: str, clock: FakeClock, **timing: Any) -> list[Attempt]:
    async with Sender(clock=clock, sleep=clock.sleep, timing=SenderTiming(**timing)) as sender:
        sender.send(webhook(url))
        await sender.idle()
        return sender.attempts


def test_the_golden_vector_is_signed_as_published() -> None:
    """Key is the secret less its first dash, message is timestamp and body."""

    assert sign(SECRET, "1700000000", GOLDEN_BODY) == "bf231782174546d1a6174d54164f02ac45da687d"


def test_only_the_first_dash_leaves_the_key() -> None:
    """The other dashes stay in."""
    key = b"1234567890ab-4cde-8f01-234567890abc"

    assert sign(SECRET, "1", b"x") == hmac.new(key, b"1x", hashlib.sha1).hexdigest()


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_success_ends_the_delivery(status: int, clock: FakeClock) -> None:
    """One accepted attempt is all there is."""
    async with Service(status) as service:
        attempts = await deliver(service.url, clock)

    assert ([status], []) == ([a.outcome.status for a in attempts if isinstance(a.outcome, Answered)], clock.waits)


@pytest.mark.parametrize("status", [202, 304, 400, 401, 404, 500, 503])
async def test_any_other_status_is_tried_five_times_on_schedule(status: int, clock: FakeClock) -> None:
    """Waits of 10, 60, 600 and 600 s."""
    async with Service(status) as service:
        await deliver(service.url, clock)

    assert (5, FIVE_ATTEMPTS) == (len(service.received), clock.waits)


@pytest.mark.parametrize(("status", "method"), [(302, "GET"), (307, "POST")])
async def test_what_a_redirect_leads_to_counts(status: int, method: str, clock: FakeClock) -> None:
    """The sender follows as node-fetch does: a 302 with GET, a 307 with the same request."""
    async with Service(status) as service:
        attempts = await deliver(service.url, clock)

    assert ([method], [200], []) == (service.methods, statuses(attempts), clock.waits)


async def test_a_redirect_that_leads_to_a_refusal_is_tried_again(clock: FakeClock) -> None:
    """From the beginning, with the webhook."""
    async with Service(302, moved=503) as service:
        attempts = await deliver(service.url, clock)

    assert (["GET"] * 5, [503] * 5) == (service.methods, statuses(attempts))


async def test_redirects_in_a_circle_are_a_failed_connection(clock: FakeClock) -> None:
    """The twenty-first is not followed."""
    async with Service(302, moved=302) as service:
        attempts = await deliver(service.url, clock)

    assert ConnectionFailed(error="TooManyRedirects") == attempts[0].outcome
    assert [25.0, 75.0, 615.0, 615.0] == clock.waits


async def test_retries_stop_at_the_first_success(clock: FakeClock) -> None:
    """What was accepted is not sent again."""
    async with Service(503, 503, 200) as service:
        attempts = await deliver(service.url, clock)

    assert [1, 2, 3] == [attempt.number for attempt in attempts]
    assert FIVE_ATTEMPTS[:2] == clock.waits


async def test_a_retry_is_signed_anew(clock: FakeClock) -> None:
    """Timestamp and signature are the attempt's own; the body is the same bytes."""
    async with Service(500) as service:
        await deliver(service.url, clock)

    starts = [0, 10, 70, 670, 1270]
    began = int(datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp())
    headers = [received for received, _ in service.received]
    assert [str(began + start) for start in starts] == [each["x-xumm-request-timestamp"] for each in headers]
    assert [sign(SECRET, str(began + start), GOLDEN_BODY) for start in starts] == [
        each["x-xumm-request-signature"] for each in headers
    ]
    assert ["1", "2", "3", "4", "5"] == [each["x-xumm-attempt"] for each in headers]
    assert {GOLDEN_BODY} == {body for _, body in service.received}


async def test_headers_are_exactly_those_of_xumm(clock: FakeClock) -> None:
    """Those of the sender and those of node-fetch, which it sends with."""
    async with Service() as service:
        await deliver(service.url, clock)

    headers, _ = service.received[0]
    transport = {"host", "content-length", "connection"}
    assert {
        "accept": "*/*",
        "accept-encoding": "gzip, deflate, br",
        "content-type": "application/json",
        "user-agent": "xumm-webhook",
        "x-xumm-attempt": "1",
        "x-xumm-payload": PAYLOAD,
        "x-xumm-request-timestamp": "1714564800",
        "x-xumm-request-signature": sign(SECRET, "1714564800", GOLDEN_BODY),
    } == {name: value for name, value in headers.items() if name not in transport}


@pytest.mark.parametrize(("milliseconds", "timestamp"), [(499, "1714564800"), (500, "1714564801")])
async def test_the_timestamp_is_rounded(milliseconds: int, timestamp: str, clock: FakeClock) -> None:
    """So it may lie half a second in the future."""
    clock.advance(milliseconds=milliseconds)
    async with Service() as service:
        attempts = await deliver(service.url, clock)

    assert timestamp == attempts[0].headers["x-xumm-request-timestamp"]


async def test_a_refused_connection_is_tried_again_behind_the_timer(clock: FakeClock, unused_url: str) -> None:
    """The timer of 15 s goes on after a failed fetch: attempts at 0, 25, 100, 715 and 1330 s."""
    began = clock.now
    attempts = await deliver(unused_url, clock)

    assert [ConnectionFailed(error="ClientConnectorError")] * 5 == [attempt.outcome for attempt in attempts]
    assert [0, 25, 100, 715, 1330] == [(attempt.at - began).total_seconds() for attempt in attempts]


async def test_a_connection_that_is_reset_is_tried_again(clock: FakeClock) -> None:
    """As one that is refused."""
    async with talking(b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as url:
        attempts = await deliver(url, clock)

    assert [ConnectionFailed(error="ServerDisconnectedError"), Answered(status=200, reason="ok")] == [
        attempt.outcome for attempt in attempts
    ]
    assert [25.0] == clock.waits


@pytest.mark.parametrize("status", [200, 503])
async def test_a_truncated_answer_is_never_tried_again(status: int, clock: FakeClock) -> None:
    """Its headers stopped the timer, and reading its text fails before its status is looked at."""
    async with talking(b"HTTP/1.1 %d Busy\r\nContent-Length: 9\r\n\r\nno" % status) as url:
        attempts = await deliver(url, clock)

    assert ([CutOff(status=status)], []) == ([attempt.outcome for attempt in attempts], clock.waits)


async def test_the_time_to_answer_ends_with_the_headers(clock: FakeClock) -> None:
    """A text that hangs behind them is waited for as long as it takes."""
    head = b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n"
    async with (
        talking(head, hangs=True) as url,
        Sender(clock=clock, sleep=clock.sleep, timing=SenderTiming(answer_within=timedelta(milliseconds=50))) as sender,
    ):
        sender.send(webhook(url))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await sender.idle()

        assert [] == sender.attempts


async def test_the_beginning_of_the_answer_is_logged(clock: FakeClock) -> None:
    """Its headers and its text, 4,500 characters of them: nothing secret may stand there."""
    text = b"x" * 5000
    async with talking(b"HTTP/1.1 200 OK\r\nX-Told: yes\r\nContent-Length: 5000\r\n\r\n" + text) as url:
        attempts = await deliver(url, clock)

    outcome = attempts[0].outcome
    assert isinstance(outcome, Answered)
    assert (4500, True) == (
        len(outcome.logged),
        outcome.logged.startswith("x-told: yes\ncontent-length: 5000\nBody:\nxxx"),
    )


async def test_a_service_that_does_not_answer_in_time_is_retried(clock: FakeClock) -> None:
    """The attempt is given up, and the next one counts."""
    limit = timedelta(milliseconds=50)
    async with Service(0, 200) as service:
        attempts = await deliver(service.url, clock, answer_within=limit)

    assert [TimedOut(after=limit), Answered(status=200, reason="because 200")] == [a.outcome for a in attempts]
    assert [10.0] == clock.waits


async def test_waits_can_be_compressed(clock: FakeClock) -> None:
    """The factor shortens every wait alike."""
    async with Service(500) as service:
        await deliver(service.url, clock, factor=0.01)

    assert pytest.approx([0.1, 0.6, 6.0, 6.0]) == clock.waits


async def test_ten_fifth_attempts_answered_404_within_an_hour_suspend_the_url(clock: FakeClock) -> None:
    """The eleventh webhook is withheld."""
    async with (
        Service(404) as service,
        Sender(clock=clock, sleep=clock.sleep, timing=SenderTiming(factor=0.1)) as sender,
    ):
        for _ in range(10):
            sender.send(webhook(service.url))
            await sender.idle()
        suspended = sender.suspended
        sender.send(webhook(service.url))
        await sender.idle()

        assert (frozenset({service.url}), 50) == (suspended, len(service.received))
        assert Withheld() == sender.attempts[-1].outcome


async def test_a_suspension_is_lifted_after_an_hour(clock: FakeClock) -> None:
    """Once the tenth answer back is older than that."""
    async with Service(404) as service, Sender(clock=clock, sleep=clock.sleep, timing=SenderTiming(factor=0)) as sender:
        for _ in range(10):
            sender.send(webhook(service.url))
            await sender.idle()
        clock.advance(hours=1)
        service.statuses = (200,)
        sender.send(webhook(service.url))
        await sender.idle()

        assert (frozenset[str](), 200) == (sender.suspended, statuses(sender.attempts)[-1])


async def test_a_url_is_suspended_by_its_beginning(clock: FakeClock) -> None:
    """Its first 125 characters are what the record of the calls keeps."""
    async with Service(404) as service, Sender(clock=clock, sleep=clock.sleep, timing=SenderTiming(factor=0)) as sender:
        long = service.url + "?" + "x" * (124 - len(service.url))
        for number in range(10):
            sender.send(webhook(f"{long}{number}"))
            await sender.idle()
        sender.send(webhook(f"{long}another"))
        sender.send(webhook(service.url))
        await sender.idle()

        assert frozenset({long}) == sender.suspended
        assert 50 + 5 == len(service.received)


async def test_404_answers_spread_over_more_than_an_hour_suspend_nothing(clock: FakeClock) -> None:
    """At the real pace ten payloads one after the other take hours."""
    async with Service(404) as service, Sender(clock=clock, sleep=clock.sleep) as sender:
        for _ in range(11):
            sender.send(webhook(service.url))
            await sender.idle()

        assert (frozenset[str](), 55) == (sender.suspended, len(service.received))


async def test_other_failures_suspend_nothing(clock: FakeClock) -> None:
    """Only 404 counts, and only on the fifth attempt."""
    async with (
        Service(500) as service,
        Sender(clock=clock, sleep=clock.sleep, timing=SenderTiming(factor=0.1)) as sender,
    ):
        for _ in range(11):
            sender.send(webhook(service.url))
            await sender.idle()

        assert frozenset[str]() == sender.suspended


async def test_waiting_retries_die_with_the_sender() -> None:
    """What waits is in memory only: closing neither waits for it nor sends it."""
    clock = FakeClock()
    async with Service(500) as service:
        async with Sender(clock=clock) as sender:
            sender.send(webhook(service.url))
            while not sender.attempts:
                await clock.sleep(0)

        assert 1 == len(service.received)


async def test_every_attempt_is_told(clock: FakeClock) -> None:
    """The callback sees what the record keeps."""
    told: list[Attempt] = []
    async with Service(500, 200) as service, Sender(clock=clock, sleep=clock.sleep, on_attempt=told.append) as sender:
        sender.send(webhook(service.url))
        await sender.idle()

        assert told == sender.attempts
        assert [500, 200] == [a.outcome.status for a in told if isinstance(a.outcome, Answered)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Hey ❤️ \u2028", '"Hey ❤️ \u2028"'),
        ('"\\\n\x00\x1f\x7f/', '"\\"\\\\\\n\\u0000\\u001f\x7f/"'),
        ("\ud83d", '"\\ud83d"'),
        (1.0, "1"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (100, "100"),
        (-120.5, "-120.5"),
        (1e21, "1e+21"),
        (1.5e-7, "1.5e-7"),
        (0.000001, "0.000001"),
        (123456789012345680000, "123456789012345680000"),
        (2**53 + 1, "9007199254740992"),
        (float("nan"), "null"),
        ({"b": 1, "10": 2, "2": 3, "01": 4}, '{"2":3,"10":2,"b":1,"01":4}'),
        ([True, None, {}], "[true,null,{}]"),
    ],
)
def test_json_is_written_as_javascript_writes_it(value: object, text: str) -> None:
    """Numbers, escapes and key order of ``JSON.stringify``."""

    assert text == stringify(value)


def test_written_json_is_read_back_as_it_was() -> None:
    """Nothing is lost on the way."""
    value = {"a": ["é", 1, 2.5, None, {"b": "\t"}]}

    assert value == json.loads(stringify(value))
