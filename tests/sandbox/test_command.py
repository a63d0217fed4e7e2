"""The sandbox as a process of its own."""

import asyncio
import signal
import sys
from datetime import UTC, datetime

import aiohttp

from processor.sandbox.__main__ import render
from processor.sandbox.webhook_attempt import Answered, Attempt
from tests.sandbox.world import SHOP


async def test_it_runs_alone_and_ends_quietly_when_interrupted() -> None:
    """It says where its API is, serves there, and leaves with status 0."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "processor.sandbox", "--port", "0", "--application", SHOP.key, "--secret", SHOP.secret),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).split()[1].decode()
        headers = {"x-api-key": SHOP.key, "x-api-secret": SHOP.secret}
        async with aiohttp.ClientSession() as session, session.get(f"{url}/ping", headers=headers) as response:
            status = response.status
        process.send_signal(signal.SIGINT)
        rest = await process.stdout.read()

        assert (200, 0) == (status, await process.wait())
        assert SHOP.secret.encode() not in rest
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_an_attempt_is_told_in_two_lines() -> None:
    """When, what, where to, and what came of it."""
    attempt = Attempt(
        number=2,
        at=datetime(2024, 5, 1, 12, 0, 10, tzinfo=UTC),
        url="http://127.0.0.1/webhooks/shop",
        payload="p",
        headers={},
        body=b"",
        outcome=Answered(status=503, reason="busy"),
    )

    assert "12:00:10 webhook attempt 2 of p -> http://127.0.0.1/webhooks/shop\n         503 busy" == render(attempt)
