"""The runtime over the embedded queue: what becomes of a message, whatever its handler does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from consumers.runtime.composition import open_consumer
from consumers.runtime.consumer import Consumer, Context
from consumers.runtime.discovery import NamedConsumer
from consumers.runtime.errors import DatabaseUnavailable, DeliveryLost, Fatal, Retry
from consumers.runtime.loop import Runtime
from consumers.runtime.settings import ConsumerSettings
from consumers.runtime.source.embedded import EmbeddedSource
from schemas.events import SignOpened
from schemas.topology import HEADER_ATTEMPTS, HEADER_REASON
from tests.consumers.broker import until
from tests.consumers.events import event, message, payload_uuid, raw_message
from tests.consumers.orders import Orders, effects_in


@dataclass(kw_only=True)
class Running:
    consumer: Orders
    source: EmbeddedSource
    stop: asyncio.Event
    task: "asyncio.Task[None]"
    waits: list[float]

    async def effects(self) -> list[tuple[str, str]]:
        return await self.consumer.resources.database.read(effects_in)


@asynccontextmanager
async def running(url: str, kind: type[Orders] = Orders, **limits: Any) -> AsyncIterator[Running]:
    """The orders consumer at work; stopped at the end."""
    waits: list[float] = []

    async def no_wait(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    settings = ConsumerSettings(database_url=url, **limits)
    async with (
        open_consumer(NamedConsumer(name="orders", consumer=kind), settings) as (consumer, inbox),
        EmbeddedSource("orders", sleep=no_wait) as source,
    ):
        assert isinstance(consumer, Orders)
        stop = asyncio.Event()
        runtime = Runtime(consumer=consumer, source=source, inbox=inbox)
        task = asyncio.create_task(runtime.run(stop))
        try:
            yield Running(consumer=consumer, source=source, stop=stop, task=task, waits=waits)
        finally:
            stop.set()
            await task


@pytest.fixture
def sqlite_url(tmp_path: Any) -> str:
    return f"sqlite:///{tmp_path}/orders.db"


async def test_effect_happens_once_however_often_the_message_comes(database_url: str) -> None:
    """Ten deliveries of one event, some at the same time, leave one effect."""
    published = message(event("resolve.validated"))
    async with running(database_url) as run:
        await asyncio.gather(*(run.source.deliver(published) for _ in range(5)))
        for _ in range(5):
            await run.source.deliver(published)
        effects = await run.effects()

    assert effects == [(payload_uuid(1), "0000000001")]


async def test_effect_happens_once_across_restarts(database_url: str) -> None:
    """A new process remembers what the old one handled."""
    published = message(event("resolve.validated"))
    async with running(database_url) as run:
        await run.source.deliver(published)
    async with running(database_url) as run:
        await run.source.deliver(published)
        effects = await run.effects()

    assert len(effects) == 1


async def test_failed_handler_leaves_no_effect_and_is_retried(database_url: str) -> None:
    """The rows of a try that failed are undone with it, and the next try leaves them once."""
    async with running(database_url) as run:
        run.consumer.failures = [RuntimeError("first"), Retry("second")]
        await run.source.deliver(message(event("resolve.validated")))
        effects = await run.effects()

    assert (len(effects), run.waits) == (1, [10, 60])


async def test_message_is_dead_lettered_after_the_last_attempt(database_url: str) -> None:
    """Five failures are enough; the delays between them grow, and the headers tell why."""
    async with running(database_url) as run:
        run.consumer.failures = [RuntimeError(f"try {number}") for number in range(1, 9)]
        await run.source.deliver(message(event("resolve.validated")))
        effects = await run.effects()
        (dead,) = run.source.dead_letters

    assert run.waits == [10, 60, 600, 600]
    assert dead.headers[HEADER_ATTEMPTS] == 5
    assert dead.headers[HEADER_REASON] == "RuntimeError: try 5"
    assert effects == []


async def test_fatal_error_is_not_retried(sqlite_url: str) -> None:
    """A handler that says Fatal has its message put aside at once."""
    async with running(sqlite_url) as run:
        run.consumer.failures = [Fatal("no such shop")]
        await run.source.deliver(message(event("sign.opened")))
        (dead,) = run.source.dead_letters

    assert (run.waits, dead.headers[HEADER_REASON]) == ([], "no such shop")


async def test_retry_waits_at_least_as_long_as_asked(sqlite_url: str) -> None:
    """The first delay that is long enough is chosen."""
    async with running(sqlite_url) as run:
        run.consumer.failures = [Retry("busy", after=timedelta(seconds=11))]
        await run.source.deliver(message(event("sign.opened")))

    assert run.waits == [60]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"specversion":"1.0"}', b"[" * 5000],
    ids=["empty", "cut off", "no text", "no object", "no envelope", "nested"],
)
async def test_undecodable_message_is_dead_lettered_with_the_reason(sqlite_url: str, body: bytes) -> None:
    """What is no event goes aside at once, and its bytes do not show in the reason."""
    async with running(sqlite_url) as run:
        await run.source.deliver(raw_message(body))
        (dead,) = run.source.dead_letters
        reason = str(dead.headers[HEADER_REASON])

    assert reason.startswith("undecodable: ")
    assert run.waits == []


async def test_known_event_in_a_wrong_shape_is_dead_lettered_without_its_values(sqlite_url: str) -> None:
    """The reason names the place and the rule, not the value."""
    body = message(event("sign.opened")).body.replace(payload_uuid(1).encode(), b"sesame-open")
    async with running(sqlite_url) as run:
        await run.source.deliver(raw_message(body))
        (dead,) = run.source.dead_letters

    assert "sesame" not in str(dead.headers[HEADER_REASON])
    assert "subject" in str(dead.headers[HEADER_REASON])


async def test_unknown_event_type_is_acknowledged(sqlite_url: str) -> None:
    """An event of a later version breaks nobody."""
    body = message(event("sign.opened")).body.replace(b"sign.opened", b"sign.reopened")
    async with running(sqlite_url) as run:
        await run.source.deliver(raw_message(body))

        assert (run.source.dead_letters, run.consumer.seen) == ([], [])


async def test_unknown_field_is_ignored(sqlite_url: str) -> None:
    """A field that a later version adds to an event breaks nobody."""
    opened_event = event("sign.opened")
    body = message(opened_event).body.replace(b'"origin":', b'"mood":"sunny","origin":')
    async with running(sqlite_url) as run:
        await run.source.deliver(raw_message(body))

        assert run.consumer.seen == [opened_event.id]


async def test_event_without_handler_is_acknowledged(sqlite_url: str) -> None:
    """A binding may be wider than the handlers."""
    async with running(sqlite_url) as run:
        await run.source.deliver(message(event("sign.created")))

        assert run.source.dead_letters == []


async def test_messages_of_one_payload_are_handled_in_order(sqlite_url: str) -> None:
    """While the first of a payload is being handled, the second is not begun, and other payloads go on."""
    first, second = event("sign.opened", 1, 1), event("sign.signed", 1, 2)
    other = event("sign.opened", 2, 1)
    async with running(sqlite_url) as run:
        run.consumer.gate.clear()
        waiting = [asyncio.create_task(run.source.deliver(message(each))) for each in (first, second, other)]
        await until(lambda: other.id in run.consumer.begun)
        begun = list(run.consumer.begun)
        run.consumer.gate.set()
        await asyncio.gather(*waiting)

    assert set(begun) == {first.id, other.id}
    assert [each for each in run.consumer.seen if each != other.id] == [first.id, second.id]


async def test_handler_that_takes_too_long_is_stopped_and_retried(sqlite_url: str) -> None:
    """The timeout frees the lane, and the reason names the limit."""
    async with running(sqlite_url, handler_timeout=timedelta(milliseconds=50), max_attempts=2) as run:
        run.consumer.gate.clear()
        await run.source.deliver(message(event("sign.opened")))
        (dead,) = run.source.dead_letters

    assert dead.headers[HEADER_REASON] == "the handler took longer than 0.05 s"


async def test_stray_cancellation_counts_as_a_failure(sqlite_url: str) -> None:
    """A CancelledError that nobody asked for, as a hung client library makes, does not stop the consumer."""
    async with running(sqlite_url) as run:
        run.consumer.failures = [asyncio.CancelledError()]
        await run.source.deliver(message(event("sign.opened")))

    assert (run.waits, len(run.consumer.seen)) == ([10], 1)


async def test_unavailable_database_is_waited_for(sqlite_url: str) -> None:
    """A locked database costs no attempt: the message stays in hand until it is handled."""
    async with running(sqlite_url) as run:
        run.consumer.failures = [DatabaseUnavailable("locked")]
        await run.source.deliver(message(event("resolve.validated")))
        effects = await run.effects()

    assert (len(effects), run.waits) == (1, [])


async def test_stop_lets_the_message_in_hand_finish_and_leaves_the_rest(sqlite_url: str) -> None:
    """Draining finishes what was begun; what waited behind it is not begun and not settled."""
    first, second = event("sign.opened", 1, 1), event("sign.signed", 1, 2)
    async with running(sqlite_url) as run:
        run.consumer.gate.clear()
        begun = asyncio.create_task(run.source.deliver(message(first)))
        waiting = asyncio.create_task(run.source.deliver(message(second)))
        await until(lambda: run.consumer.begun)
        run.stop.set()
        await asyncio.sleep(0)
        run.consumer.gate.set()
        await begun
        await run.task
    with pytest.raises(DeliveryLost):
        await waiting

    assert run.consumer.seen == [first.id]


async def test_drain_gives_up_after_its_timeout(sqlite_url: str) -> None:
    """A handler that does not finish in time is cancelled, and its message is not settled."""
    async with running(sqlite_url, drain_timeout=timedelta(milliseconds=50)) as run:
        run.consumer.gate.clear()
        stuck = asyncio.create_task(run.source.deliver(message(event("sign.opened"))))
        await until(lambda: run.consumer.begun)
        run.stop.set()
        await run.task
    with pytest.raises(DeliveryLost):
        await stuck

    assert run.consumer.seen == []


def test_two_handlers_of_one_event_are_refused() -> None:
    """It would be a matter of luck which one ran."""
    with pytest.raises(TypeError, match="both handle SignOpened"):
        type("Twice", (Consumer,), {"first": _handle, "second": _handle, "__module__": __name__})


def test_handler_with_the_wrong_second_parameter_is_refused() -> None:
    """A coroutine gets a context, a plain function a transaction; the mistake shows at import."""
    with pytest.raises(TypeError, match="annotate transaction with Context"):
        type("Wrong", (Consumer,), {"handle": _wrong, "__module__": __name__})


def test_consumer_without_handlers_is_refused() -> None:
    """A forgotten annotation would have every event acknowledged and nothing done."""
    with pytest.raises(TypeError, match="handles nothing"):
        type("Idle", (Consumer,), {"handle": lambda self, event, transaction: None, "__module__": __name__})


class Untidy(Orders):
    """Cannot forget."""

    async def housekeep(self) -> None:
        raise RuntimeError("out of bin bags")


async def test_failing_housekeeping_does_not_stop_the_consumer(sqlite_url: str) -> None:
    """What is old may wait; what is new may not."""
    with capture_logs() as lines:
        async with running(sqlite_url, Untidy) as run:
            await run.source.deliver(message(event("resolve.validated")))
            await until(lambda: any(line["event"] == "housekeeping.failed" for line in lines))
            effects = await run.effects()

    assert len(effects) == 1


async def _handle(self: Any, event: SignOpened, context: Context) -> None:
    pass


async def _wrong(self: Any, event: SignOpened, transaction: int) -> None:
    pass
