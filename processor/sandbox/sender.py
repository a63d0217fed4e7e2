"""The webhook sender, with Xumm's manners.

Five attempts, each signed anew, as `processor.sandbox.attempt` says. Ten fifth attempts answered 404 within the past
hour suspend a URL. What waits to be sent again is held in memory alone and dies with the sender.

Source: https://github.com/XRPL-Labs/XummAPI-Webhook-Proxy/blob/main/send.mjs
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, Self

import structlog

from processor.sandbox.attempt import (
    ANSWER_WITHIN,
    LAST_ATTEMPT,
    Answered,
    Attempt,
    Outcome,
    Outgoing,
    Withheld,
    headers_of,
    open_session,
    post,
    tell,
    wait_after,
)
from processor.sandbox.clock import Clock, Sleep

SUSPEND_AT: Final = 10
SUSPEND_WITHIN: Final = timedelta(hours=1)
KEPT_OF_URL: Final = 125
"""Characters."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How the sender spends time; ``factor`` shortens the waits between attempts, not the time to answer."""

    factor: float = 1.0
    answer_within: timedelta = ANSWER_WITHIN


class Suspensions:
    """Counts the fifth attempts answered 404, by the beginning of the URL: the record of calls keeps no more of it."""

    def __init__(self) -> None:
        self._misses: dict[str, deque[datetime]] = {}

    def note(self, attempt: Attempt) -> None:
        """Count ``attempt`` if it is one of them."""
        match attempt.outcome:
            case Answered(status=404) if attempt.number == LAST_ATTEMPT:
                self._misses.setdefault(attempt.url[:KEPT_OF_URL], deque(maxlen=SUSPEND_AT)).append(attempt.at)
            case _:
                return

    def holds(self, url: str, now: datetime) -> bool:
        """Whether nothing is sent to ``url`` at present."""
        misses = self._misses.get(url[:KEPT_OF_URL], deque())
        return len(misses) == SUSPEND_AT and misses[0] > now - SUSPEND_WITHIN

    def at(self, now: datetime) -> frozenset[str]:
        """All that is suspended at present."""
        return frozenset(url for url in self._misses if self.holds(url, now))


class Sender:
    """Delivers webhooks in the background while it is open; keeps each attempt and tells ``on_attempt``."""

    def __init__(
        self,
        *,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        timing: Timing | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> None:
        self.attempts: list[Attempt] = []
        self._clock = clock
        self._sleep = sleep
        self._timing = timing or Timing()
        self._on_attempt = on_attempt
        self._suspensions = Suspensions()
        self._deliveries: set[asyncio.Task[None]] = set()

    @property
    def suspended(self) -> frozenset[str]:
        """The beginnings of the URLs that nothing is sent to at present."""
        return self._suspensions.at(self._clock())

    def send(self, webhook: Outgoing, *, after: float = 0) -> None:
        """Start to deliver ``webhook`` in ``after`` seconds, with whatever retries it takes."""
        delivery = self._group.create_task(self._deliver(webhook, after))
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)

    async def idle(self) -> None:
        """Return once nothing is being delivered or waits to be."""
        while self._deliveries:
            await asyncio.wait(self._deliveries)

    async def __aenter__(self) -> Self:
        self._session = open_session()
        self._group = await asyncio.TaskGroup().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for delivery in self._deliveries:
            delivery.cancel()
        try:
            await self._group.__aexit__(kind, error, trace)
        finally:
            await self._session.close()

    async def _deliver(self, webhook: Outgoing, after: float) -> None:
        if after:
            await self._sleep(after * self._timing.factor)
        for number in range(1, LAST_ATTEMPT + 1):
            attempt = await self._attempt(webhook, number)
            self._record(attempt)
            wait = wait_after(number, attempt.outcome, took=self._clock() - attempt.at)
            if wait is None:
                return
            await self._sleep(wait.total_seconds() * self._timing.factor)

    async def _attempt(self, webhook: Outgoing, number: int) -> Attempt:
        at = self._clock()
        headers = headers_of(webhook, number=number, at=at)
        if self._suspensions.holds(webhook.url, at):
            outcome: Outcome = Withheld()
        else:
            within = self._timing.answer_within
            outcome = await post(self._session, webhook.url, headers, webhook.body, answer_within=within)
        return Attempt(
            number=number,
            at=at,
            url=webhook.url,
            payload=webhook.payload,
            headers=headers,
            body=webhook.body,
            outcome=outcome,
        )

    def _record(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        self._suspensions.note(attempt)
        _log.info(
            "sandbox.webhook_sent",
            payload=attempt.payload,
            attempt=attempt.number,
            outcome=tell(attempt.outcome),
        )
        if self._on_attempt is not None:
            self._on_attempt(attempt)
