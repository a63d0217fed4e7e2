import asyncio
import hashlib
import hmac

import pytest
from aiohttp import web

from schemas.webhook import WEBHOOK
from tests.bench.load import BadResponseError, read_answer, run
from tests.bench.measure import accepted_payloads, generate
from tests.bench.tiny import API_SECRET, TAG, plan, serving
from tests.bench.webhooks import numbers, payload_uuid


async def test_every_webhook_arrives_once_signed_and_valid() -> None:
    """Each webhook of a batch reaches the server once, is a payload of its own, and is signed well."""
    seen: list[str] = []
    key = API_SECRET.replace("-", "", 1).encode()

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        signed = request.headers["x-xumm-request-timestamp"].encode() + body
        expected = hmac.new(key, signed, hashlib.sha1).hexdigest()
        if request.headers["x-xumm-request-signature"] != expected:
            return web.Response(status=401)
        seen.append(WEBHOOK.validate_json(body)["meta"]["payload_uuidv4"])
        return web.Response()

    async with serving(receive) as port:
        outcome = await run(plan(port, count=100))

    expected: tuple[int, int, dict[str, int]] = (100, 100, {})

    assert expected == (outcome.sent, outcome.accepted, outcome.refusals)
    assert sorted(seen) == sorted(payload_uuid(TAG, number) for number in range(100))
    assert 0 < outcome.p50 <= outcome.p99 <= outcome.elapsed


async def test_only_200_is_accepted() -> None:
    """Answers other than 200 are refusals: uncounted, listed by status and by position."""
    arrived = 0

    async def receive(request: web.Request) -> web.Response:
        nonlocal arrived
        arrived += 1
        return web.Response(status={0: 503, 1: 204}.get(arrived % 5, 200))

    async with serving(receive) as port:
        asked = plan(port, count=50)
        outcome = await run(asked)

    expected = (50, 30, {"503": 10, "204": 10})

    assert expected == (outcome.sent, outcome.accepted, outcome.refusals)
    assert len(outcome.not_accepted) == 20
    assert len(accepted_payloads(asked, outcome)) == 30


async def test_a_hung_server_is_not_waited_for_forever() -> None:
    """What is still unanswered when patience runs out is refused, and not accepted."""
    never = asyncio.Event()

    async def receive(request: web.Request) -> web.Response:
        await request.read()
        await never.wait()
        return web.Response()

    async with serving(receive) as port:
        asked = plan(port, count=50, patience=-9.9)
        outcome = await run(asked)
        never.set()

    expected = (4, 0, {"unanswered": 4})

    assert expected == (outcome.sent, outcome.accepted, outcome.refusals)


async def test_a_dropped_connection_is_no_acceptance() -> None:
    """A webhook whose connection breaks before the answer is refused."""

    async def receive(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with serving(receive) as port:
        outcome = await run(plan(port, count=50))

    expected = (4, 0, {"unanswered": 4})

    assert expected == (outcome.sent, outcome.accepted, outcome.refusals)


async def test_the_load_generator_runs_as_a_process() -> None:
    """Plan in, outcome out, through a process of its own; duplicates are webhooks of fewer payloads."""

    async def receive(request: web.Request) -> web.Response:
        return web.Response()

    async with serving(receive) as port:
        asked = plan(port, count=200, duplicates=0.25)
        outcome = await generate(asked)

    expected = (200, 200)

    assert expected == (outcome.sent, outcome.accepted)
    assert len(accepted_payloads(asked, outcome)) == 150


@pytest.mark.parametrize("duplicates", [0.0, 0.1, 0.5])
def test_the_share_of_duplicates(duplicates: float) -> None:
    """The share asked for is repeated, and a repetition never comes before the first copy."""
    drawn = numbers(1000, duplicates)
    firsts = list(dict.fromkeys(drawn))

    assert pytest.approx(1000 * (1 - duplicates), abs=1) == len(firsts)
    assert sorted(firsts) == firsts


def test_an_answer_in_pieces() -> None:
    """An answer is read when its last byte is there, wherever it was cut, and what follows is kept."""
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: now\r\n\r\nok"
    cuts = [read_answer(whole[:length]) for length in range(len(whole))]

    expected = (b"200", False, b"HTTP")

    assert not any(cuts)
    assert expected == read_answer(whole + b"HTTP")


def test_an_answer_that_closes() -> None:
    """``Connection: close`` is noticed, and 204 needs no length."""
    expected = (b"204", True, b"")

    assert expected == read_answer(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")


def test_an_answer_without_a_length() -> None:
    """An answer that cannot be framed is an error, not a guess."""
    with pytest.raises(BadResponseError, match="no Content-Length"):
        read_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
