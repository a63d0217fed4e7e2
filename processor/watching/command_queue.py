"""Commands to watch a payload, from a queue: for services that speak to the broker anyway.

A command is acknowledged after its commit. An invalid command goes to the dead letters, with the reason. A command that
the store does not take waits here and is never requeued: the broker counts how often a message returns, and puts it
aside after a number of returns, as if it were at fault. A command that waits for `HOLD` is replaced by a copy.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import structlog
from aio_pika.abc import AbstractIncomingMessage
from pydantic import ValidationError

from processor.broker.copy_publisher import CopyPublisher
from processor.broker.session import QueueSession, SessionUnavailable, count_returns
from processor.broker.transport import raise_if_cancelled
from processor.core.retry import CONNECT
from processor.observability.redaction import clean_line, describe
from processor.watching.watch_requests import PendingCommands, UnknownApplication, WatchRequests
from schemas.commands import WatchCommand
from schemas.topology import (
    DEAD_LETTERS,
    HEADER_ATTEMPTS,
    HEADER_FIRST_SEEN,
    HEADER_QUEUE,
    HEADER_REASON,
    MAX_DELIVERIES,
    WATCHES,
)
from schemas.validation import describe_problems

PREFETCH: Final = 500
"""Commands in hand. In a burst of one application's, those of another are found no further behind."""
HOLD: Final = timedelta(minutes=20)
"""How long commands wait in hand. After 30 minutes the broker takes whoever holds one for dead."""
STEADY_AFTER: Final = timedelta(seconds=30)
EXAMINE_EVERY: Final = timedelta(seconds=30)
"""How often it is asked whether the broker still knows this consumer."""
_MAX_BODY: Final = 16 * 1024

log = structlog.get_logger()


class WatchCommandConsumer:
    """Consumes the queue `schemas.topology.WATCHES`, on a connection of its own. Without the queue it waits for it."""

    def __init__(
        self,
        urls: Sequence[str],
        requests: WatchRequests,
        *,
        time: Callable[[], float],
        chance: Callable[[], float],
        hold: timedelta = HOLD,
    ) -> None:
        """``urls`` are brokers of one cluster, tried in turn; ``chance`` is random in [0, 1)."""
        self._urls = tuple(urls)
        self._requests = requests
        self._time = time
        self._chance = chance
        self._hold = hold

    async def run(self) -> None:
        """Consume until cancelled; connect again whenever the connection is lost."""
        failures = turn = 0
        while True:
            began = self._time()
            reason = await self._consume(self._urls[turn % len(self._urls)])
            turn += 1
            failures = 1 if self._time() - began >= STEADY_AFTER.total_seconds() else failures + 1
            log.warning("watch_commands.disconnected", reason=reason)
            await asyncio.sleep(CONNECT.delay(failures, self._chance()).total_seconds())

    async def _consume(self, url: str) -> str:
        """Consume as long as the session lasts; why it ended."""
        try:
            async with _CommandSession(
                url, PendingCommands(self._requests, chance=self._chance), hold=self._hold
            ) as session:
                return await session.run()
        except SessionUnavailable as error:
            return str(error)
        except asyncio.CancelledError as error:
            raise_if_cancelled(error)
            return "the broker gave no answer"
        except Exception as error:  # noqa: BLE001  whatever it was, the next connection is another one
            return describe(error)


class _CommandSession(QueueSession):
    """A session that stores commands. It has one command in hand, and many more once that is settled.

    So the broker charges one command, and no other, for a session that comes to nothing.
    """

    def __init__(self, url: str, pending: PendingCommands, *, hold: timedelta) -> None:
        super().__init__(url, WATCHES, self._take, name="processor registrations", prefetch=PREFETCH)
        self._pending = pending
        self._hold = hold.total_seconds()
        self._in_hand: set[AbstractIncomingMessage] = set()
        self._copies = CopyPublisher([url], name="processor registrations copies")

    async def run(self) -> str:
        """Why the session ended."""
        log.info("watch_commands.connected", broker=self.address)
        while not self.lost.done():
            await asyncio.wait([self.lost], timeout=min(EXAMINE_EVERY.total_seconds(), self._hold))
            if self.lost.done():
                break
            if self._is_overdue():
                return await self._give_back()
            await self.count_ready()
        return self.lost.result()

    async def __aexit__(self, *exception: object) -> None:
        """Close the connections, so the broker requeues the unacknowledged commands."""
        self.lose("closed")
        await self._pending.stop()
        await self._copies.close()
        await super().__aexit__(*exception)

    async def _take(self, message: AbstractIncomingMessage) -> None:
        self._in_hand.add(message)
        try:
            self._pending.put(_command_in(message), partial(self._settle, message))
        except (_InvalidCommand, UnknownApplication) as error:
            await self._settle(message, str(error))

    async def _settle(self, message: AbstractIncomingMessage, fault: str | None = None) -> None:
        """Acknowledge ``message``, or dead-letter it for a ``fault``. If that fails, the next session gets it."""
        try:
            if fault is not None:
                await self._bury(message, fault)
            await message.ack()
        except Exception as error:  # noqa: BLE001  however it failed, the session is of no use any more
            self.lose(f"a command could not be settled: {describe(error)}")
            return
        self._in_hand.discard(message)
        await self.widen()

    def _is_overdue(self) -> bool:
        """Whether the store has refused for as long as commands may be held. Logs that the store refuses."""
        since = self._pending.refused_since
        if since is None:
            return False
        log.error("watch_commands.delayed", commands=len(self._in_hand), error=self._pending.error)
        return asyncio.get_running_loop().time() - since >= self._hold

    async def _give_back(self) -> str:
        """Replace the messages in hand by copies, for which the broker has counted no delivery."""
        await self.cancel()
        await self._pending.stop()
        log.warning("watch_commands.requeued", commands=len(self._in_hand))
        for message in tuple(self._in_hand):
            await self._copies.publish("", WATCHES, message, message.headers)
            await message.ack()
        return "the store takes no commands"

    async def _bury(self, message: AbstractIncomingMessage, reason: str) -> None:
        log.error("watch_commands.dead_lettered", message_id=message.message_id, reason=reason)
        now = datetime.now(UTC).isoformat()
        headers = {HEADER_REASON: reason, HEADER_ATTEMPTS: 1, HEADER_FIRST_SEEN: now, HEADER_QUEUE: WATCHES}
        await self._copies.publish(DEAD_LETTERS, WATCHES, message, {**message.headers, **headers})


class _InvalidCommand(Exception):
    """A command that can never be done. The message says why."""


def _command_in(message: AbstractIncomingMessage) -> WatchCommand:
    """Raises `_InvalidCommand`."""
    times = count_returns(message.headers, redelivered=bool(message.redelivered))
    if times >= MAX_DELIVERIES:
        raise _InvalidCommand(f"it came {times} times without being settled")
    if len(message.body) > _MAX_BODY:
        raise _InvalidCommand(f"the body is longer than {_MAX_BODY} bytes")
    try:
        return WatchCommand.model_validate_json(message.body)
    except ValidationError as error:
        raise _InvalidCommand(clean_line(describe_problems(error))) from None
