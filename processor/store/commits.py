"""What follows a commit: the relay, wake-ups, live streams and log lines hear of it here, and nowhere else."""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import structlog

from processor.core.payload.entry import Commit, DeliveryRecord, Quarantined, Recorded, Reported
from processor.core.payload.lifecycle import Transition
from processor.core.payload.state import names_of
from processor.core.reports.report import LookupDue, RequestReport
from processor.observability.loggers import BatchedLog

Observer = Callable[[Commit], None]

log = structlog.get_logger()


class Commits:
    """Tells each observer of each commit, in the order of the commits and before the entries' callers are answered.

    Observers are called on the event loop and must return at once. One that fails keeps nothing from the others.
    """

    def __init__(self) -> None:
        self._observers: list[Observer] = []

    def subscribe(self, *observers: Observer) -> None:
        """Call ``observers`` after each commit, in this order, after those that subscribed before."""
        self._observers += observers

    def tell(self, commit: Commit) -> None:
        """Call every observer."""
        for observe in self._observers:
            try:
                observe(commit)
            except Exception:
                log.exception("store.callback_failed")


class CommitLog:
    """The log lines of what was recorded: one for each webhook, and one for each payload that advanced otherwise."""

    def __init__(self) -> None:
        self._log = BatchedLog()

    def observe(self, commit: Commit) -> None:
        """Log what became of each entry."""
        for entry, recorded in commit.recorded:
            transition = recorded.transition
            if isinstance(entry, Quarantined):
                delivery = entry.delivery
                log.error("delivery.quarantined", app=delivery.app, payload=delivery.payload, reason=entry.reason)
            if not isinstance(entry, Reported) or transition is None:
                continue
            if transition.raised:
                report = entry.report
                log.error("payload.flagged", app=report.app, payload=report.payload, flags=names_of(transition.raised))
            if entry.delivery is not None:
                self._log_delivery(entry, entry.delivery, recorded, news=transition.news)
            else:
                _log_advance(entry, recorded, transition)

    def _log_delivery(self, entry: Reported, delivery: DeliveryRecord, recorded: Recorded, *, news: bool) -> None:
        fields = {"app": delivery.app, "payload": delivery.payload, "attempt": delivery.attempt}
        if news:
            seconds = perf_counter() - entry.started
            self._log.info("delivery.accepted", partial(_accepted_fields, fields, recorded, seconds))
        else:
            self._log.info("delivery.duplicate", fields.copy)


def _accepted_fields(fields: dict[str, Any], recorded: Recorded, seconds: float) -> dict[str, Any]:
    return {**fields, "events": _types_of(recorded), "ms": round(seconds * 1000, 2)}


def _log_advance(entry: Reported, recorded: Recorded, transition: Transition) -> None:
    report = entry.report
    if isinstance(report, RequestReport):
        return  # told by whoever made the request, which goes on after this commit
    if transition.events:
        log.info("payload.advanced", app=report.app, payload=report.payload, events=_types_of(recorded))
    elif isinstance(report, LookupDue) and report.reason == "registered" and transition.news:
        log.info("watch.requested", app=report.app, payload=report.payload)


def _types_of(recorded: Recorded) -> list[str]:
    return [message.type for _, message in recorded.messages]
