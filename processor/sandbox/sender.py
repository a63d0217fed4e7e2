"""The webhook sender, with Xumm's manners.

Five attempts, each signed anew; another status than 200, 201, 204 or no answer in 15 s is tried again, a
broken or refused connection never; ten fifth attempts answered 404 within an hour suspend the URL. Redirects are
not followed. What waits to be sent again is held in memory alone and dies with the sender.
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

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How the sender spends time; ``factor`` shortens the waits between attempts, not the time to answer."""

    factor: float = 1.0
    answer_within: timedelta = ANSWER_WITHIN


class Suspensions:
    """Counts the fifth attempts answered 404, URL by URL."""

    def __init__(self) -> None:
        self.urls: set[str] = set()
        self._misses: dict[str, deque[datetime]] = {}

    def note(self, attempt: Attempt) -> None:
        """Suspend the URL with the tenth such answer within an hour."""
        match attempt.outcome:
            case Answered(status=404) if attempt.number == LAST_ATTEMPT:
                misses = self._misses.setdefault(attempt.url, deque(maxlen=SUSPEND_AT))
                misses.append(attempt.at)
                if len(misses) == SUSPEND_AT and misses[-1] - misses[0] <= SUSPEND_WITHIN:
                    self.urls.add(attempt.url)
            case _:
                return


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
        """The URLs that nothing is sent to any more."""
        return frozenset(self._suspensions.urls)

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
        self._session = open_session(self._timing.answer_within)
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
            wait = wait_after(number, attempt.outcome)
            if wait is None:
                return
            await self._sleep(wait.total_seconds() * self._timing.factor)

    async def _attempt(self, webhook: Outgoing, number: int) -> Attempt:
        at = self._clock()
        headers = headers_of(webhook, number=number, at=at)
        if webhook.url in self._suspensions.urls:
            outcome: Outcome = Withheld()
        else:
            outcome = await post(self._session, webhook.url, headers, webhook.body)
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
