"""What follows a commit: the relay, wake-ups, live streams and log lines hear of it here, and nowhere else."""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import structlog

from processor.core.payload.entry import Commit, Entry, Quarantined, Recorded, Reported
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
        committed_at = perf_counter()
        for entry, recorded in commit.recorded:
            transition = recorded.transition
            if transition is None or not isinstance(entry, Reported):
                _log_quarantine(entry)
                continue
            if transition.raised:
                _log_flags(entry, transition)
            if entry.delivery is None:
                _log_advance(entry, recorded, transition)
            elif transition.news:
                self._log.info("delivery.accepted", partial(_delivery_fields, entry, recorded, committed_at))
            else:
                self._log.info("delivery.duplicate", partial(_delivery_fields, entry))


def _delivery_fields(entry: Reported, news: Recorded | None = None, committed_at: float = 0.0) -> dict[str, Any]:
    report, _, delivery, *_ = entry
    fields = {"app": report.app, "payload": report.payload, "attempt": delivery and delivery.attempt}
    if news is None:
        return fields
    return {**fields, "events": _types_of(news), "ms": round((committed_at - entry.started) * 1000, 2)}


def _log_quarantine(entry: Entry) -> None:
    if isinstance(entry, Quarantined):
        app, payload = entry.delivery.app, entry.delivery.payload
        log.error("delivery.quarantined", app=app, payload=payload, reason=entry.reason)


def _log_flags(entry: Reported, transition: Transition) -> None:
    flags = names_of(transition.raised)
    log.error("payload.flagged", app=entry.report.app, payload=entry.report.payload, flags=flags)


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
