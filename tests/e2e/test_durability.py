"""Killing a process does not show what a power cut would: the system calls do."""

import re
import shutil
from pathlib import Path

import pytest

from tests.consumers.broker import until
from tests.e2e.service import Stage
from tests.e2e.traffic import Sender
from tests.support.webhooks import body_of, new_payload

pytestmark = pytest.mark.rabbitmq

CALLS = "fdatasync,fsync,pwrite64,pwritev,read,recvfrom,recvmsg,write,writev,sendto,sendmsg"
REQUEST = '"POST /webhooks/'
RESPONSE = '"HTTP/1.1 200 OK'


async def test_the_disk_has_it_before_the_sender_hears_of_it(stage: Stage, sender: Sender) -> None:
    """The write-ahead log is written and synced after the webhook was read and before its 200 is sent."""
    if shutil.which("strace") is None:
        pytest.fail("strace is missing: apt-get install strace", pytrace=False)
    trace = stage.folder / "trace.txt"
    strace = ["strace", "-f", "-y", "-s", "64", "-e", f"trace={CALLS}", "-o", str(trace)]
    service = stage.service(prefix=strace)
    await service.start()

    answer = await sender.send(service.webhook_url, body_of(new_payload()))
    story = await until(lambda: between_request_and_answer(trace))
    await service.kill()

    assert answer is not None
    assert answer.status == 200
    synced = place(story, r"f(?:data)?sync\(\d+<[^>]*processor\.db-wal>\) += 0")
    assert place(story, r"pwrite(?:64|v)\(\d+<[^>]*processor\.db-wal>") < synced < len(story)


def between_request_and_answer(trace: Path) -> list[str]:
    """The calls after the one that read the webhook, up to the one that answered it. Empty if it is unanswered."""
    calls = completed(trace.read_text())
    started = place(calls, re.escape(REQUEST))
    answered = place(calls, re.escape(RESPONSE), after=started)
    return calls[started:answered] if answered < len(calls) else []


def completed(trace: str) -> list[str]:
    """The calls in the order in which they ended. A write counts from when it began: the peer may have it by then."""
    begun: dict[str, str] = {}
    calls: list[str] = []
    for line in trace.splitlines():
        thread, _, call = line.partition(" ")
        if RESPONSE in call:
            calls.append(call)
        elif call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>").rstrip()
        elif resumed := re.search(r"<\.\.\. \w+ resumed>(.*)", call):
            calls.append(begun.pop(thread, "") + resumed[1])
        else:
            calls.append(call)
    return calls


def place(calls: list[str], pattern: str, *, after: int = 0) -> int:
    """Where the first call that matches stands; past the end if none does."""
    matches = (at for at, call in enumerate(calls) if at >= after and re.search(pattern, call))
    return next(matches, len(calls))
