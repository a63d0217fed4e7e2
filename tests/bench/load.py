"""The load generator: posts ready-made webhooks over keep-alive connections, one in flight on each.

Runs as a process of its own, so that its garbage collector, its loop and its CPU are nobody else's:

    python -m tests.bench.load < plan.json > outcome.json

It writes bytes and reads bytes; a whole request costs it about as much as the kernel asks for it.
"""

import asyncio
import gc
import json
import re
import sys
import time
from array import array
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Final, Self, cast

from tests.bench.figures import percentile
from tests.bench.webhooks import Destination, numbers, request

ACCEPTED: Final = b"200"
_HEAD_END: Final = b"\r\n\r\n"
_CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CLOSES: Final = re.compile(rb"\r\nconnection:\s*close", re.IGNORECASE)


class BadResponseError(Exception):
    """The server answered in a way that this client cannot frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to send, where, and when to stop: after ``count`` webhooks or ``seconds``, what comes first."""

    to: Destination
    port: int
    count: int
    seconds: float
    connections: int = 64
    duplicates: float = 0.0
    patience: float = 20.0
    """How long the last answers are waited for."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The plan in JSON ``text``, as ``json.dumps(asdict(plan))`` wrote it."""
        fields = json.loads(text)
        return cls(**{**fields, "to": Destination(**fields["to"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was sent and what came of it. Only a 200 counts as accepted, and only its latency is measured."""

    sent: int
    """Webhooks put on the wire: positions 0 to ``sent - 1`` of the batch, in this order."""
    accepted: int
    not_accepted: list[int] = field(default_factory=list)
    """Positions answered with anything but 200, or not at all."""
    refusals: dict[str, int] = field(default_factory=dict)
    """What those got instead: a status, or ``unanswered``."""
    elapsed: float
    """Seconds from the first request to the last answer."""
    finished_at: float
    """Unix time of the last answer."""
    p50: float
    p99: float
    """Seconds."""
    cpu: float
    """Seconds of CPU that sending and receiving took here."""

    @property
    def rate(self) -> float:
        """Accepted webhooks per second."""
        return self.accepted / self.elapsed if self.elapsed else 0.0


class Load:
    """One batch under way: hands out requests until the plan says stop, and collects the answers."""

    def __init__(self, batch: list[bytes], seconds: float) -> None:
        self._batch = batch
        self._seconds = seconds
        self._sent = 0
        self._started = self._last = self._stop_at = self._cpu_before = 0.0
        self._latencies = array("d")
        self._not_accepted: list[int] = []
        self._refusals: dict[str, int] = {}

    def start(self) -> None:
        """The clock runs from here."""
        self._cpu_before = time.process_time()
        self._started = self._last = time.perf_counter()
        self._stop_at = self._started + self._seconds

    def next(self, now: float) -> tuple[int, bytes] | None:
        """Position and bytes of the next request, or None when the plan is fulfilled."""
        position = self._sent
        if position >= len(self._batch) or now >= self._stop_at:
            return None
        self._sent = position + 1
        return position, self._batch[position]

    def answered(self, position: int, status: bytes, sent_at: float, now: float) -> None:
        """Book one answer."""
        self._last = now
        if status == ACCEPTED:
            self._latencies.append(now - sent_at)
        else:
            self.refused(position, status.decode("latin-1"))

    def refused(self, position: int, reason: str) -> None:
        """Book a webhook that was not accepted."""
        self._not_accepted.append(position)
        self._refusals[reason] = self._refusals.get(reason, 0) + 1

    def outcome(self) -> Outcome:
        """The books, closed."""
        cpu = time.process_time() - self._cpu_before
        latencies = sorted(self._latencies)
        return Outcome(
            sent=self._sent,
            accepted=len(latencies),
            not_accepted=sorted(self._not_accepted),
            refusals=self._refusals,
            elapsed=self._last - self._started,
            finished_at=time.time() - (time.perf_counter() - self._last),
            p50=percentile(latencies, 50),
            p99=percentile(latencies, 99),
            cpu=cpu,
        )


class Connection(asyncio.Protocol):
    """One keep-alive connection. ``done`` resolves when it has nothing more to send or was lost."""

    def __init__(self, load: Load) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._load = load
        self._buffer = b""
        self._position = -1
        self._sent_at = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so

    def send(self) -> None:
        """Put the next webhook on the wire, or retire."""
        self._sent_at = time.perf_counter()
        ready = self._load.next(self._sent_at)
        if ready is None:
            self._position = -1
            self._transport.close()
            return
        self._position, message = ready
        self._transport.write(message)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        try:
            answer = read_answer(self._buffer)
        except BadResponseError:
            self._transport.abort()
            return
        if answer is None:
            return
        status, closes, self._buffer = answer
        self._load.answered(self._position, status, self._sent_at, time.perf_counter())
        self._position = -1
        if closes:
            self._transport.close()
        else:
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        self.give_up()

    def give_up(self) -> None:
        """Book what is unanswered and be done."""
        if self._position >= 0:
            self._load.refused(self._position, "unanswered")
            self._position = -1
        if not self.done.done():
            self.done.set_result(None)


def read_answer(data: bytes) -> tuple[bytes, bool, bytes] | None:
    """Status, whether the server closes the connection, and the rest; None while the answer is incomplete.

    Raises `BadResponseError` for an answer without ``Content-Length``, other than 204.
    """
    end = data.find(_HEAD_END)
    if end < 0:
        return None
    head, status = data[:end], data[9:12]
    length = _CONTENT_LENGTH.search(head)
    if length is None and status != b"204":
        raise BadResponseError(f"no Content-Length in an answer with status {status!r}")
    whole = end + len(_HEAD_END) + (int(length[1]) if length else 0)
    if len(data) < whole:
        return None
    return status, _CLOSES.search(head) is not None, data[whole:]


def build(plan: Plan) -> list[bytes]:
    """The batch, signed now: to be sent at once, since a signature is good for five minutes."""
    seen: set[int] = set()
    batch = []
    for number in numbers(plan.count, plan.duplicates):
        batch.append(request(plan.to, number, attempt=2 if number in seen else 1))
        seen.add(number)
    return batch


async def run(plan: Plan) -> Outcome:
    """Send the plan's webhooks to 127.0.0.1 and return what came of them."""
    load = Load(build(plan), plan.seconds)
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", plan.port) for _ in range(plan.connections)
    ]
    lanes = [protocol for _, protocol in opened]
    load.start()
    for lane in lanes:
        lane.send()
    await asyncio.wait([lane.done for lane in lanes], timeout=plan.seconds + plan.patience)
    for lane in lanes:
        lane.give_up()
    return load.outcome()


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """The leanest loop that is installed."""
    if find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    from uvloop import new_event_loop

    return new_event_loop()


def main() -> None:
    plan = Plan.parse(sys.stdin.read())
    gc.disable()  # nothing here makes cycles
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        outcome = runner.run(run(plan))
    json.dump(asdict(outcome), sys.stdout)


if __name__ == "__main__":
    main()
