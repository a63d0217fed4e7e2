"""The webhook sender, which sends as Xumm's does: one webhook for each resolved payload, unless a fault is set.

It makes up to five attempts, each signed anew (`processor.sandbox.webhook_attempt`). Ten fifth attempts answered 404
within the past hour suspend a URL. Pending retries are in memory alone and are lost with the sender.

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

from processor.sandbox.clock import Clock, Sleep
from processor.sandbox.faults import LATE_BY, FaultTable
from processor.sandbox.javascript import stringify
from processor.sandbox.payload import Payload
from processor.sandbox.payload_json import encode_webhook
from processor.sandbox.webhook_attempt import (
    ANSWER_WITHIN,
    LAST_ATTEMPT,
    Answered,
    Attempt,
    AttemptOutcome,
    OutgoingWebhook,
    Withheld,
    build_headers,
    describe,
    open_session,
    post,
    wait_after,
)

SUSPEND_AT: Final = 10
"""Fifth attempts answered 404."""
SUSPEND_WITHIN: Final = timedelta(hours=1)
KEPT_OF_URL: Final = 125
"""Characters of a URL in Xumm's record of calls."""
BEHIND: Final = 0.2
"""Seconds by which a reordered webhook follows the one that overtakes it."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderTiming:
    """The waits of the sender: ``factor`` scales those between attempts, not the one for an answer."""

    factor: float = 1.0
    answer_within: timedelta = ANSWER_WITHIN


class Suspensions:
    """Counts the fifth attempts answered 404, by the first `KEPT_OF_URL` characters of the URL."""

    def __init__(self) -> None:
        self._misses: dict[str, deque[datetime]] = {}

    def note(self, attempt: Attempt) -> None:
        """Count ``attempt`` if it is a fifth one answered 404."""
        match attempt.outcome:
            case Answered(status=404) if attempt.number == LAST_ATTEMPT:
                self._misses.setdefault(attempt.url[:KEPT_OF_URL], deque(maxlen=SUSPEND_AT)).append(attempt.at)
            case _:
                return

    def include(self, url: str, now: datetime) -> bool:
        """Whether ``url`` is suspended at ``now``."""
        misses = self._misses.get(url[:KEPT_OF_URL], deque())
        return len(misses) == SUSPEND_AT and misses[0] > now - SUSPEND_WITHIN

    def at(self, now: datetime) -> frozenset[str]:
        """The URLs suspended at ``now``, each as far as it is recorded."""
        return frozenset(url for url in self._misses if self.include(url, now))


class Sender:
    """Delivers webhooks in the background while it is open. Keeps each attempt, and calls ``on_attempt`` with it."""

    def __init__(
        self,
        *,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        timing: SenderTiming | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> None:
        self.attempts: list[Attempt] = []
        self._clock = clock
        self._sleep = sleep
        self._timing = timing or SenderTiming()
        self._on_attempt = on_attempt
        self._suspensions = Suspensions()
        self._deliveries: set[asyncio.Task[None]] = set()

    @property
    def suspended(self) -> frozenset[str]:
        """The URLs suspended at present, each as far as it is recorded."""
        return self._suspensions.at(self._clock())

    def send(self, webhook: OutgoingWebhook, *, after: float = 0) -> None:
        """Start to deliver ``webhook`` in ``after`` seconds, and retry it if need be."""
        delivery = self._group.create_task(self._deliver(webhook, after))
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)

    async def idle(self) -> None:
        """Return once no delivery is running or waiting."""
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

    async def _deliver(self, webhook: OutgoingWebhook, after: float) -> None:
        if after:
            await self._sleep(after * self._timing.factor)
        for number in range(1, LAST_ATTEMPT + 1):
            attempt = await self._attempt(webhook, number)
            self._record(attempt)
            wait = wait_after(number, attempt.outcome, took=self._clock() - attempt.at)
            if wait is None:
                return
            await self._sleep(wait.total_seconds() * self._timing.factor)

    async def _attempt(self, webhook: OutgoingWebhook, number: int) -> Attempt:
        at = self._clock()
        headers = build_headers(webhook, number=number, at=at)
        if self._suspensions.include(webhook.url, at):
            outcome: AttemptOutcome = Withheld()
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
            outcome=describe(attempt.outcome),
        )
        if self._on_attempt is not None:
            self._on_attempt(attempt)


class Webhooks:
    """Builds the webhook of each payload and sends it, subject to the faults of the payload."""

    def __init__(self, sender: Sender, faults: FaultTable) -> None:
        self._sender = sender
        self._faults = faults
        self._held: list[OutgoingWebhook] = []

    def send(self, payload: Payload) -> None:
        """Send the webhook of ``payload``, which is resolved, if its application has a URL for webhooks."""
        webhook = _build_webhook(payload)
        if webhook is None:
            return
        faults = self._faults.find(payload.uuid, payload.application.key)
        match faults.webhook:
            case None:
                self._release(webhook)
            case "lost":
                return
            case "doubled":
                self._release(webhook, webhook)
            case "late":
                self._sender.send(webhook, after=LATE_BY if faults.late_by is None else faults.late_by)
            case "reordered":
                self._held.append(webhook)

    def _release(self, *webhooks: OutgoingWebhook) -> None:
        """Send ``webhooks``, then the reordered ones that were held back."""
        held, self._held = self._held, []
        for webhook in webhooks:
            self._sender.send(webhook)
        for webhook in held:
            self._sender.send(webhook, after=BEHIND)


def _build_webhook(payload: Payload) -> OutgoingWebhook | None:
    application = payload.application
    if application.webhook_url is None:
        return None
    return OutgoingWebhook(
        url=application.webhook_url,
        secret=application.secret,
        payload=payload.uuid,
        body=stringify(encode_webhook(payload)).encode(),
    )
