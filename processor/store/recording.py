"""The one transaction that matters: load states, apply reports, store what follows."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Dialect, bindparam, select, text

from processor.core.announce import encode
from processor.core.lifecycle import Announcement, Transition, apply
from processor.core.sealing import Keyring
from processor.core.state import Fact, PayloadState
from processor.core.user_token import owner_of
from processor.core.watching import begins
from processor.publisher.port import Message
from processor.store.entry import (
    DeliveryRecord,
    Entry,
    OutboxMessage,
    Quarantined,
    Recorded,
    Refused,
    Reported,
)
from processor.store.knowledge import STATE, UNKNOWN, row_of, state_of
from processor.store.rows import Insert, Insertion, driver, rendered
from processor.store.tables import (
    deliveries,
    events,
    outbox,
    outcomes,
    payloads,
    quarantine,
    request_events,
    stored,
    tasks,
    watches,
)
from processor.store.vault import Vault

GROUP_LIMIT: Final = 256
"""How many entries one transaction takes."""

_Key = tuple[str, str]
"""Payload and application name."""
_Draft = tuple[Transition | None, Sequence[Message]]

_POSITIONS: Final = {
    "sqlite": "SELECT seq FROM sqlite_sequence WHERE name = 'events'",
    "postgresql": "SELECT nextval(pg_get_serial_sequence('events', 'position')) FROM generate_series(1, :count)",
}


class Recording:
    """`record`, with its statements rendered for one database. Without a ``keyring`` user tokens are not kept."""

    def __init__(self, dialect: Dialect, *, exclusive: bool, keyring: Keyring | None = None) -> None:
        self.vault = None if keyring is None else Vault(dialect, keyring)
        self._dialect = dialect
        self._exclusive = exclusive
        self._selects: dict[int, str] = {}
        self._hold_place = Insertion(dialect, [*STATE, *_SEEN], lambda insert: insert.on_conflict_do_nothing())
        self._put_states = Insertion(dialect, [*STATE, *_SEEN], _update_state)
        self._put_events = Insertion(dialect, [*events.c])
        self._put_waiting = Insertion(dialect, [*outbox.c])
        self._put_request_events = Insertion(dialect, [*request_events.c])
        self._put_tasks = Insertion(dialect, [*tasks.c][1:7])
        self._put_deliveries = Insertion(dialect, [*deliveries.c][1:])
        self._put_watches = Insertion(dialect, [*watches.c], lambda insert: insert.on_conflict_do_nothing())
        self._put_outcomes = Insertion(dialect, [*outcomes.c][1:])
        self._put_quarantine = Insertion(dialect, [*quarantine.c][1:6])

    def record(self, connection: Connection, entries: Sequence[Entry], now: datetime) -> list[Recorded]:
        """Store what ``entries`` say, in order, each on top of those before it. At most `GROUP_LIMIT`."""
        seen_at = stored(now)
        group = _Group(self._load(connection, _subjects(entries), seen_at), seen_at)
        drafts = [group.add(entry) for entry in entries]
        recorded = self._put_drafts(connection, drafts)
        self._put_states(connection, [(*row_of(state), seen_at, seen_at) for state in group.changed.values()])
        self._put_tasks(connection, group.tasks)
        self._put_watches(connection, group.watches)
        self._put_outcomes(connection, group.outcomes)
        self._put_deliveries(connection, group.deliveries)
        self._put_quarantine(connection, group.quarantined)
        if self.vault is not None:
            self.vault.keep(connection, [entry.report for entry in entries if isinstance(entry, Reported)])
            self.vault.bind(connection, filter(None, map(owner_of, group.changed.values())))
        return recorded

    def _load(self, connection: Connection, subjects: Mapping[_Key, str], seen_at: int) -> dict[_Key, PayloadState]:
        """The states of the known ones. Of a shared database, the rows stay locked to the end of the transaction."""
        if not subjects:
            return {}
        if not self._exclusive:
            # Rows are inserted, then locked, in the same order by everybody: that excludes deadlocks.
            places = [
                (*key, subjects[key], 0, 0, 0, None, None, UNKNOWN, None, seen_at, seen_at) for key in sorted(subjects)
            ]
            self._hold_place(connection, places)
        wanted = [payload for payload, _ in subjects]
        count = 1 << (len(wanted) - 1).bit_length()
        padded = tuple(wanted + wanted[:1] * (count - len(wanted)))
        cursor = driver(connection)
        cursor.execute(self._select(count), padded)
        rows = cursor.fetchall()
        return {(row[0], row[1]): state_of(row) for row in rows if row[8] != UNKNOWN}

    def _select(self, count: int) -> str:
        if count not in self._selects:
            wanted = [bindparam(f"payload_{number}", type_=payloads.c.payload.type) for number in range(count)]
            statement = select(*STATE).where(payloads.c.payload.in_(wanted))
            if not self._exclusive:
                statement = statement.order_by(payloads.c.payload, payloads.c.app).with_for_update()
            self._selects[count] = rendered(self._dialect, statement, count)
        return self._selects[count]

    def _put_drafts(self, connection: Connection, drafts: Sequence[_Draft]) -> list[Recorded]:
        positions = self._positions(connection, sum(len(messages) for _, messages in drafts))
        recorded: list[Recorded] = []
        rows: list[tuple[Any, ...]] = []
        created: list[tuple[Any, ...]] = []
        for transition, messages in drafts:
            queued = [OutboxMessage(next(positions), message) for message in messages]
            if transition is not None:
                rows += map(_event_row, queued, transition.announcements)
                if transition.state.facts & _CREATED:
                    created += [(message.payload, message.app, position) for position, message in queued]
            recorded.append(Recorded(transition, tuple(queued)))
        self._put_events(connection, rows)
        self._put_waiting(connection, [row[:1] for row in rows])
        self._put_request_events(connection, created)
        return recorded

    def _positions(self, connection: Connection, count: int) -> Iterator[int]:
        """Numbers greater than any before. Those of one payload grow, since its row is locked."""
        if count == 0:
            return iter(())
        if self._exclusive:
            (last,) = driver(connection).execute(_POSITIONS["sqlite"]).fetchone() or (0,)
            return iter(range(last + 1, last + 1 + count))
        return iter(sorted(connection.execute(text(_POSITIONS["postgresql"]), {"count": count}).scalars()))


class _Group:
    """What is known and what is to be written, while the entries of one transaction go by."""

    def __init__(self, states: dict[_Key, PayloadState], now: int) -> None:
        self._states = states
        self._now = now
        self.changed: dict[_Key, PayloadState] = {}
        self.tasks: list[tuple[Any, ...]] = []
        self.watches: list[tuple[Any, ...]] = []
        self.outcomes: list[tuple[Any, ...]] = []
        self.deliveries: list[tuple[Any, ...]] = []
        self.quarantined: list[tuple[Any, ...]] = []

    def add(self, entry: Entry) -> _Draft:
        match entry:
            case Reported():
                return self._apply(entry)
            case Quarantined(delivery=delivery):
                row = (stored(delivery.received_at), delivery.app, delivery.payload, entry.body, entry.reason)
                self.quarantined.append(row)
                self.deliveries.append(_delivery_row(delivery, delivery.verdict))
            case Refused(delivery=delivery):
                self.deliveries.append(_delivery_row(delivery, delivery.verdict))
        return None, ()

    def _apply(self, entry: Reported) -> _Draft:
        report = entry.report
        key = (report.payload, report.app)
        known = self._states.get(key)
        state = known or PayloadState(report.app, report.application, report.payload)
        transition = apply(state, report, entry.policy)
        if known is None or transition.state != known:
            self._states[key] = self.changed[key] = transition.state
            if begins(known, transition.state):
                self.watches.append((*key, self._now, None, 0))
            if transition.state.resolved is not None and state.resolved is None:
                self.outcomes.append(_outcome_row(transition.state, self._now))
        for task in transition.tasks:
            self.tasks.append((*key, task.kind, stored(report.at + task.due), 0, self._now))
        if entry.delivery is not None:
            verdict = "accepted" if transition.news or known is None else "duplicate"
            self.deliveries.append(_delivery_row(entry.delivery, verdict))
        return transition, [
            _message(announcement, transition.state, entry) for announcement in transition.announcements
        ]


_CREATED: Final = int(Fact.CREATED)
_SEEN: Final = (payloads.c.first_seen_at, payloads.c.updated_at)


def _subjects(entries: Sequence[Entry]) -> dict[_Key, str]:
    """The payloads that are reported on, with the uuid of their application."""
    reports = [entry.report for entry in entries if isinstance(entry, Reported)]
    return {(report.payload, report.app): report.application for report in reports}


def _message(announcement: Announcement, state: PayloadState, entry: Reported) -> Message:
    event_id, event_type, routing_key, body = encode(announcement, state, entry.report)
    at = int(entry.report.at.timestamp())
    return Message(event_id, event_type, state.app, state.payload, routing_key, body, at, entry.traceparent)


def _event_row(queued: OutboxMessage, announcement: Announcement) -> tuple[Any, ...]:
    position, (event_id, event_type, app, payload, routing_key, body, at, traceparent) = queued
    return (position, event_id, app, payload, announcement.sequence, event_type, routing_key, body, at, traceparent)


def _delivery_row(delivery: DeliveryRecord, verdict: str) -> tuple[Any, ...]:
    received_at, app, payload, attempt, _, latency_us = delivery
    return (stored(received_at), app, payload, attempt, verdict, latency_us)


def _outcome_row(state: PayloadState, now: int) -> tuple[Any, ...]:
    learned, snapshot = state.learned, state.snapshot
    resolved_at = None if snapshot is None or snapshot.resolved_at is None else stored(snapshot.resolved_at)
    source, learned_at = ("unknown", now) if learned is None else (learned.source, stored(learned.at))
    return (now, state.payload, state.app, state.resolved, source, learned_at, resolved_at)


def _update_state(insert: Insert) -> Insert:
    kept = {"payload", "app", "application", "first_seen_at"}
    return insert.on_conflict_do_update(
        index_elements=[payloads.c.payload, payloads.c.app],
        set_={column.name: insert.excluded[column.name] for column in payloads.c if column.name not in kept},
    )
