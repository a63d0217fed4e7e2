"""Webhooks in: read the raw body, authenticate and parse it, record it, and only then answer 200.

Xumm retries after any answer but 200, and suspends a URL that answers 404. So each answer is chosen for what it makes
Xumm do: 200 for every webhook that is stored (as news, as a repetition, or in quarantine), 401 for a webhook that is
not authentic, 503 where a retry is wanted. A refusal names its ``reason``, which is part of the interface.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from time import perf_counter
from typing import Final, Literal, NamedTuple, Protocol, runtime_checkable

import structlog
from aiohttp import hdrs, web

from processor.core.application import Application
from processor.core.delivery.authentication import HEADER_PAYLOAD, Delivery, Matches, Refusal, attempt_of, authenticate
from processor.core.delivery.plain_request import WholeRequest
from processor.core.delivery.signature import matches
from processor.core.errors import NormalizeError, StoreError, StoreFull
from processor.core.payload.entry import DeliveryRecord, Quarantined, Recorded, Refused, Reported
from processor.core.publishing.message import TRACE_BYTES, traceparents
from processor.core.reports.report import LookupReason, WebhookReport, lookup_due
from processor.core.reports.webhook import parse_payload_uuid, webhook_report
from processor.observability.loggers import sampled_log
from processor.store.ports import Recorder, Settle
from processor.web.bodies import Bodies
from processor.web.problem import Problem, ProblemReason, problem_response
from schemas.text import is_uuid, replace_unprintable

_LOGGED_APP_LENGTH: Final = 64
_SLASH: Final = "the webhook URL in Xumm's console ends in a slash: remove it"

Result = Literal["accepted", "duplicate", "quarantined"]
RESULT_BODIES: Final[dict[Result, bytes]] = {
    "accepted": b'{"result":"accepted"}\n',
    "duplicate": b'{"result":"duplicate"}\n',
    "quarantined": b'{"result":"quarantined"}\n',
}
"""The bodies of a 200: the webhook is stored, and as what."""

log = structlog.get_logger()


@runtime_checkable
class KnowsRefusal(Protocol):
    """A connection that may know already that the webhook on it is refused."""

    def take_refusal(self) -> Refusal | None:
        """The refusal, if it is known. Each refusal is told once."""


class Intake:
    """The handler of ``POST /webhooks/{app}``."""

    def __init__(
        self,
        applications: Mapping[str, Application],
        recorder: Recorder,
        *,
        clock: Callable[[], datetime],
        bodies: Bodies,
        matches: Matches = matches,
    ) -> None:
        self._applications = applications
        self._recorder = recorder
        self._clock = clock
        self.bodies = bodies
        keys = max((len(each.secrets) for each in applications.values()), default=1)
        self._authenticate = partial(authenticate, keys=keys, matches=matches)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one delivery."""
        arrival = _Arrival(request.match_info.get("app", ""), request.headers, self._clock(), perf_counter())
        try:
            body = await self._read(request)
            application = self._applications.get(arrival.app)
            refusal = request.protocol.take_refusal() if isinstance(request.protocol, KnowsRefusal) else None
            checked = refusal or self._authenticate(application, arrival.headers, body, arrival.received_at)
            if isinstance(checked, Refusal):
                if application is not None and checked.authentic:
                    await self._look_up_stale(application, body, arrival)
                return self._refuse(arrival, Problem(checked.reason), checked.verdict)
            if request.rel_url.raw_path.endswith("/"):
                sampled_log.warning("delivery.misaddressed", app=arrival.app, hint=_SLASH)
            return await self._record(arrival, checked)
        except Problem as problem:
            return self._refuse(arrival, problem, problem.reason)

    def check(self, requests: Sequence[WholeRequest | None], started: float) -> list[Reported | Refusal | None]:
        """Authenticate and parse ``requests``, which arrived since ``started`` (`time.perf_counter`).

        An authentic and valid webhook becomes an entry to record. Any other is left to `handle`, with the refusal if it
        is not authentic. All requests take one step before any takes the next: warm CPU caches save a fifth of the
        time.
        """
        now = self._clock()
        deliveries = [None if request is None else self._delivery(request, now) for request in requests]
        reports = [_report(delivery) for delivery in deliveries]
        latency_us = _microseconds_since(started)
        traces = traceparents(os.urandom(len(requests) * TRACE_BYTES))
        return [
            _admit(delivery, report, trace, started, latency_us)
            for delivery, report, trace in zip(deliveries, reports, traces, strict=True)
        ]

    def submit(self, admitted: Reported, settle: Settle) -> bool:
        """Record the entry and call ``settle`` with the result. False: the webhook is left to `handle`."""
        try:
            self._recorder.submit(admitted, settle)
        except StoreError:
            return False
        return True

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
        entry = _build_entry(arrival, delivery)
        try:
            if isinstance(entry, Quarantined):
                recorded, _ = await asyncio.gather(
                    self._recorder.record(entry),
                    self._request_lookup(delivery.application, delivery.body, "quarantined_webhook"),
                )
            else:
                recorded = await self._recorder.record(entry)
        except StoreError as error:
            return problem_response(defer(arrival.app, error))
        return _response(result_of(recorded))

    async def _look_up_stale(self, application: Application, body: bytes, arrival: "_Arrival") -> None:
        """Make a lookup due for a webhook with a valid signature and a stale time: one of the clocks is wrong."""
        try:
            await self._request_lookup(application, body, "stale_webhook")
        except StoreError as error:
            log.warning("delivery.lookup_failed", app=arrival.app, error=str(error))

    async def _request_lookup(self, application: Application, body: bytes, because: LookupReason) -> None:
        """Make a lookup due of the payload that an authentic body names, if it names one. Raises `StoreError`."""
        try:
            payload = parse_payload_uuid(application, body)
        except NormalizeError as error:
            log.warning("delivery.lookup_failed", app=application.name, error=str(error))
            return
        report = lookup_due(application, payload, because, self._clock())
        await self._recorder.record(Reported(report=report, policy=application.policy))

    def _refuse(self, arrival: "_Arrival", problem: Problem, verdict: str) -> web.Response:
        record = arrival.record(verdict, attempt_of(arrival.headers), arrival.claimed_payload)
        self._recorder.log(Refused(delivery=record))
        sampled_log.warning(
            "delivery.refused", app=record.app, payload=record.payload, status=problem.status.value, verdict=verdict
        )
        return problem_response(problem)


class _Arrival(NamedTuple):
    """One request, before anything in it is trusted."""

    app: str
    headers: Mapping[str, str]
    received_at: datetime
    started: float

    @property
    def claimed_payload(self) -> str | None:
        """The payload that the unsigned header names, for searching the log."""
        claimed = self.headers.get(HEADER_PAYLOAD, "").lower()
        return claimed if is_uuid(claimed) else None

    def record(self, verdict: str, attempt: int | None, payload: str | None) -> DeliveryRecord:
        latency_us = _microseconds_since(self.started)
        app = replace_unprintable(self.app[:_LOGGED_APP_LENGTH])
        return DeliveryRecord(self.received_at, app, payload, attempt, verdict, latency_us)


def result_of(recorded: Recorded) -> Result:
    """What the sender is told of a delivery that was recorded."""
    transition = recorded.transition
    if transition is None:
        return "quarantined"
    return "accepted" if transition.news else "duplicate"


def defer(app: str, error: StoreError) -> Problem:
    """What the sender is told of a delivery that could not be recorded. Logs it."""
    reason: ProblemReason = "outbox_full" if isinstance(error, StoreFull) else "store_unavailable"
    log.error("delivery.deferred", app=app, reason=reason, error=str(error))
    return Problem(reason)


def _report(delivery: Delivery | Refusal | None) -> WebhookReport | None:
    try:
        return webhook_report(delivery) if isinstance(delivery, Delivery) else None
    except NormalizeError:
        return None


def _admit(
    delivery: Delivery | Refusal | None, report: WebhookReport | None, trace: str, started: float, latency_us: int
) -> Reported | Refusal | None:
    if report is None or not isinstance(delivery, Delivery):
        return delivery if isinstance(delivery, Refusal) else None
    return _reported_entry(delivery, report, trace, started, latency_us)


def _reported_entry(delivery: Delivery, report: WebhookReport, trace: str, started: float, latency_us: int) -> Reported:
    application, _, received_at, attempt = delivery
    record = DeliveryRecord(received_at, application.name, report.payload, attempt, "accepted", latency_us)
    return Reported(report, application.policy, record, trace, started)


def _build_entry(arrival: _Arrival, delivery: Delivery) -> Reported | Quarantined:
    try:
        report = webhook_report(delivery)
    except NormalizeError as error:
        record = arrival.record("quarantined", delivery.attempt, arrival.claimed_payload)
        return Quarantined(delivery=record, body=delivery.body, reason=str(error))
    (trace,) = traceparents(os.urandom(TRACE_BYTES))
    return _reported_entry(delivery, report, trace, arrival.started, _microseconds_since(arrival.started))


def _microseconds_since(started: float) -> int:
    return int((perf_counter() - started) * 1_000_000)


def _response(result: Result) -> web.Response:
    return web.Response(body=RESULT_BODIES[result], content_type="application/json")
