"""Webhooks in: read the raw body, check it, record it, and only then answer 200.

Xumm retries anything but a 200 and suspends a URL that answers 404, so every answer here is chosen for what it makes
the sender do: 200 for all that is safely stored (news, repetition, or a body that is kept in quarantine), 401 for
what cannot be believed, 503 where a retry is wanted. A refusal says why by a ``reason`` that is part of the interface.
"""

import asyncio
import os
from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from time import perf_counter
from typing import Any, Final, Literal, NamedTuple, Protocol, runtime_checkable

import structlog
from aiohttp import hdrs, web

from processor.core.application import Application
from processor.core.delivery.authentication import HEADER_PAYLOAD, Delivery, Matches, Refusal, attempt_of, authenticate
from processor.core.delivery.plain_request import WholeRequest
from processor.core.delivery.signature import matches
from processor.core.delivery.trace import TRACE_BYTES, traceparents
from processor.core.errors import NormalizeError, StoreError, StoreFull
from processor.core.payload.entry import DeliveryRecord, Quarantined, Recorded, Refused, Reported
from processor.core.payload.state import names_of
from processor.core.reports.normalize import named_payload, webhook_report
from processor.core.reports.report import Because, LookupDue, WebhookReport
from processor.observability.loggers import BatchedLog, sampled_log
from processor.web.bodies import Bodies
from processor.web.problem import Problem, Reason, problem_response
from schemas.text import is_uuid, replace_unprintable

_LOGGED_APP_LENGTH: Final = 64
_SLASH: Final = "the webhook URL in Xumm's console ends in a slash: take it away"

Result = Literal["accepted", "duplicate", "quarantined"]
RESULT_BODIES: Final[dict[Result, bytes]] = {
    "accepted": b'{"result":"accepted"}\n',
    "duplicate": b'{"result":"duplicate"}\n',
    "quarantined": b'{"result":"quarantined"}\n',
}
"""What a 200 says: that it is stored, and as what."""

log = structlog.get_logger()


class Recorder(Protocol):
    """Where entries become durable."""

    def record(self, entry: Reported | Quarantined) -> "Future[Recorded]":
        """Resolves after the commit. Raises `StoreError`, at once or through the future: then nothing was stored."""
        ...

    def submit(self, entry: Reported, settle: Callable[[Recorded | StoreError], None]) -> None:
        """The same with a callback. Raises `StoreError` at once, and then never calls it."""
        ...

    def log(self, entry: Refused) -> None:
        """Keep the line when convenient. Never blocks, never raises."""
        ...


@runtime_checkable
class Foresight(Protocol):
    """A connection that may know already what becomes of the webhook on it."""

    def take_refusal(self) -> Refusal | None:
        """Why it is not to be believed, if that is known. Tells it once."""
        ...


class Intake:
    """The handler of ``POST /webhooks/{app}``."""

    def __init__(  # noqa: PLR0913  its neighbours, and what tests count
        self,
        applications: Mapping[str, Application],
        recorder: Recorder,
        *,
        clock: Callable[[], datetime],
        bodies: Bodies,
        on_task: Callable[[], None],
        on_look: Callable[[], None] = lambda: None,
        matches: Matches = matches,
    ) -> None:
        """``on_task`` is called when a webhook made a lookup due, ``on_look`` when one made a mere look due."""
        self._applications = applications
        self._recorder = recorder
        self._clock = clock
        self.bodies = bodies
        self._on_task = on_task
        self._log = BatchedLog()
        self._on_look = on_look
        keys = max((len(each.secrets) for each in applications.values()), default=1)
        self._authenticate = partial(authenticate, keys=keys, matches=matches)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one delivery, whatever it is."""
        arrival = _Arrival(request.match_info.get("app", ""), request.headers, self._clock(), perf_counter())
        try:
            body = await self._read(request)
            application = self._applications.get(arrival.app)
            refusal = request.protocol.take_refusal() if isinstance(request.protocol, Foresight) else None
            checked = refusal or self._authenticate(application, arrival.headers, body, arrival.received_at)
            if isinstance(checked, Refusal):
                if application is not None and checked.authentic:
                    await self._note_stale(application, body, arrival)
                return self._refuse(arrival, Problem(checked.reason), checked.verdict)
            if request.rel_url.raw_path.endswith("/"):
                sampled_log.warning("delivery.misaddressed", app=arrival.app, hint=_SLASH)
            return await self._record(arrival, checked)
        except Problem as problem:
            return self._refuse(arrival, problem, problem.reason)

    def check(self, requests: Sequence[WholeRequest | None], started: float) -> "list[Admitted | Refusal | None]":
        """The authentic deliveries that make sense among ``requests``, which came since ``started`` (`perf_counter`).

        Anything else is left for `handle`, with the reason if it was found not to be authentic. All requests take a
        step before any takes the next one, for the caches of the CPU: that saves a fifth of the time.
        """
        now = self._clock()
        deliveries = [None if request is None else self._delivery(request, now) for request in requests]
        reports = [_report(delivery) for delivery in deliveries]
        latency_us = _microseconds_since(started)
        traces = traceparents(os.urandom(len(requests) * TRACE_BYTES))
        return [
            _admitted(delivery, report, trace, started, latency_us)
            for delivery, report, trace in zip(deliveries, reports, traces, strict=True)
        ]

    def submit(self, admitted: "Admitted", settle: Callable[[Recorded | StoreError], None]) -> bool:
        """Record it; ``settle`` hears what became of it, to `conclude` with. False leaves it for `handle` after all."""
        try:
            self._recorder.submit(admitted.entry, settle)
        except StoreError:
            return False
        return True

    def conclude(self, admitted: "Admitted", recorded: Recorded) -> Result:
        """What the sender is told of a delivery that was recorded. Logs it."""
        return self._accepted(admitted.entry, recorded, admitted.started)

    def defer(self, admitted: "Admitted", error: StoreError) -> Problem:
        """What the sender is told of a delivery that could not be recorded. Logs it."""
        return _deferred(admitted.entry.report.app, error)

    def _delivery(self, request: WholeRequest, now: datetime) -> Delivery | Refusal | None:
        app, headers, body, *_ = request
        if len(body) > self.bodies.limits.body_bytes:
            return None
        return self._authenticate(self._applications.get(app), headers, body, now)

    async def _read(self, request: web.Request) -> bytes:
        if request.method != hdrs.METH_POST:
            raise Problem("method_not_allowed")
        return await self.bodies.read(request)

    async def _record(self, arrival: "_Arrival", delivery: Delivery) -> web.Response:
        entry = _entry(arrival, delivery)
        try:
            if isinstance(entry, Quarantined):
                recorded, _ = await asyncio.gather(
                    self._recorder.record(entry), self._look(delivery.application, delivery.body, "quarantined_webhook")
                )
            else:
                recorded = await self._recorder.record(entry)
        except StoreError as error:
            return problem_response(_deferred(arrival.app, error))
        if isinstance(entry, Quarantined):
            log.error("delivery.quarantined", app=arrival.app, payload=entry.delivery.payload, reason=entry.reason)
            return _response("quarantined")
        return _response(self._accepted(entry, recorded, arrival.started))

    async def _note_stale(self, application: Application, body: bytes, arrival: "_Arrival") -> None:
        """Xumm has something to tell, and only its clock or ours is wrong: ask its API instead of believing it."""
        try:
            await self._look(application, body, "stale_webhook")
        except StoreError as error:
            log.warning("delivery.lookup_failed", app=arrival.app, error=str(error))

    async def _look(self, application: Application, body: bytes, because: Because) -> None:
        """Have the payload looked up that an authentic body names, if it names one. Raises `StoreError`."""
        try:
            payload = named_payload(application, body)
        except NormalizeError as error:
            log.warning("delivery.lookup_failed", app=application.name, error=str(error))
            return
        report = LookupDue(
            app=application.name, application=application.uuid, payload=payload, at=self._clock(), because=because
        )
        recorded = await self._recorder.record(Reported(report=report, policy=application.policy))
        if recorded.transition is not None and recorded.transition.tasks:
            self._on_look()

    def _accepted(self, entry: Reported, recorded: Recorded, started: float) -> Result:
        transition = recorded.transition
        assert transition is not None  # noqa: S101  the store answers a report with its transition
        report = entry.report
        if transition.raised:
            log.error("payload.flagged", app=report.app, payload=report.payload, flags=names_of(transition.raised))
        if not transition.news:
            self._log.info("delivery.duplicate", partial(_fields, entry))
            return "duplicate"
        if transition.tasks:
            self._on_task()
        self._log.info("delivery.accepted", partial(_fields, entry, recorded, perf_counter() - started))
        return "accepted"

    def _refuse(self, arrival: "_Arrival", problem: Problem, verdict: str) -> web.Response:
        record = arrival.record(verdict, attempt_of(arrival.headers), arrival.claimed_payload)
        self._recorder.log(Refused(delivery=record))
        sampled_log.warning(
            "delivery.refused", app=record.app, payload=record.payload, status=problem.status.value, verdict=verdict
        )
        return problem_response(problem)


class _Arrival(NamedTuple):
    """One request, before anything in it is believed."""

    app: str
    headers: Mapping[str, str]
    received_at: datetime
    started: float

    @property
    def claimed_payload(self) -> str | None:
        """The payload that the unsigned header names: good enough to search the log by."""
        claimed = self.headers.get(HEADER_PAYLOAD, "").lower()
        return claimed if is_uuid(claimed) else None

    def record(self, verdict: str, attempt: int | None, payload: str | None) -> DeliveryRecord:
        latency_us = _microseconds_since(self.started)
        app = replace_unprintable(self.app[:_LOGGED_APP_LENGTH])
        return DeliveryRecord(self.received_at, app, payload, attempt, verdict, latency_us)


class Admitted(NamedTuple):
    """An authentic delivery on its way to the disk."""

    entry: Reported
    started: float
    """When it came, as `perf_counter` tells it."""


def _deferred(app: str, error: StoreError) -> Problem:
    reason: Reason = "outbox_full" if isinstance(error, StoreFull) else "store_unavailable"
    log.error("delivery.deferred", app=app, reason=reason, error=str(error))
    return Problem(reason)


def _report(delivery: Delivery | Refusal | None) -> WebhookReport | None:
    try:
        return webhook_report(delivery) if isinstance(delivery, Delivery) else None
    except NormalizeError:
        return None


def _admitted(
    delivery: Delivery | Refusal | None, report: WebhookReport | None, trace: str, started: float, latency_us: int
) -> Admitted | Refusal | None:
    if report is None or not isinstance(delivery, Delivery):
        return delivery if isinstance(delivery, Refusal) else None
    return Admitted(_reported(delivery, report, trace, latency_us), started)


def _reported(delivery: Delivery, report: WebhookReport, trace: str, latency_us: int) -> Reported:
    application, _, received_at, attempt = delivery
    record = DeliveryRecord(received_at, application.name, report.payload, attempt, "accepted", latency_us)
    return Reported(report, application.policy, record, trace)


def _entry(arrival: _Arrival, delivery: Delivery) -> Reported | Quarantined:
    try:
        report = webhook_report(delivery)
    except NormalizeError as error:
        record = arrival.record("quarantined", delivery.attempt, arrival.claimed_payload)
        return Quarantined(delivery=record, body=delivery.body, reason=str(error))
    (trace,) = traceparents(os.urandom(TRACE_BYTES))
    return _reported(delivery, report, trace, _microseconds_since(arrival.started))


def _fields(entry: Reported, news: Recorded | None = None, seconds: float = 0.0) -> dict[str, Any]:
    """What is logged of a delivery that was recorded."""
    report, _, delivery, _ = entry
    fields = {"app": report.app, "payload": report.payload, "attempt": delivery and delivery.attempt}
    if news is None:
        return fields
    events = [message.type for _, message in news.messages]
    return {**fields, "events": events, "ms": round(seconds * 1000, 2)}


def _microseconds_since(started: float) -> int:
    return int((perf_counter() - started) * 1_000_000)


def _response(result: Result) -> web.Response:
    return web.Response(body=RESULT_BODIES[result], content_type="application/json")
