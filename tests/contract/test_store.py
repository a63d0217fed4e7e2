"""What the store promises, on each database that it runs on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

from processor.core.errors import StoreError
from processor.core.payload.entry import Recorded
from processor.settings.sections import RetentionSettings
from processor.store import deliveries, leases, outbox, payloads, retention, tasks, watches
from processor.store.store import Store
from schemas.events import parse_event
from tests.store.samples import (
    APP,
    NOW,
    delivery,
    impossible,
    ledger,
    payload,
    quarantined,
    refused,
    rooms,
    snapshot,
    status,
    webhook,
)

MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("postgres_url") if request.param == "postgresql" else f"sqlite:///{tmp_path}/s.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


def test_state_survives(store: Store, url: str) -> None:
    """All that is known of a payload is read back as it was, NUL characters and big integers included."""
    (last,) = store.record([webhook(1), snapshot(1), ledger(1)], NOW)[-1:]
    store.close()

    with Store.open(url) as again:
        assert last.transition.state == again.run(payloads.find, APP, payload(1))


def test_unknown_payload(store: Store) -> None:
    """Of a payload that nobody reported on there is no state."""
    assert store.run(payloads.find, APP, payload(1)) is None


def test_group_builds_on_itself(store: Store) -> None:
    """Reports of one payload in one group see each other, as they do in groups of their own."""
    reports = [status(1, "opened"), webhook(1), snapshot(1), ledger(1)]
    together = store.record(reports, NOW)
    alone = [store.record([entry], NOW)[0] for entry in [status(2, "opened"), webhook(2), snapshot(2), ledger(2)]]

    assert [announced(result) for result in alone] == [announced(result) for result in together]


def announced(result: Recorded) -> list[tuple[str, str]]:
    events = [parse_event(queued.message.body) for queued in result.messages]
    return [(event.type, event.sequence) for event in events]


def test_group_builds_on_earlier_groups(store: Store) -> None:
    """A report of a known payload adds to what an earlier group stored."""
    store.record([webhook(1)], NOW)
    (result,) = store.record([snapshot(1)], NOW)

    assert store.run(payloads.find, APP, payload(1)) == result.transition.state
    assert result.transition.state.custom_meta is not None


def test_duplicate_webhook(store: Store) -> None:
    """A repeated webhook causes no event, within a group and after it, and the log says so."""
    first, second = store.record([webhook(1), webhook(1)], NOW)
    (third,) = store.record([webhook(1)], NOW)

    assert [bool(result.messages) for result in (first, second, third)] == [True, False, False]
    assert [line.verdict for line in store.run(deliveries.list_latest)] == ["duplicate", "duplicate", "accepted"]


def test_same_payload_of_two_applications(store: Store) -> None:
    """One payload uuid reported for two applications is two payloads."""
    store.record([webhook(1, app="shop"), webhook(1, app="kiosk", signed=False)], NOW)

    assert store.run(payloads.find, "shop", payload(1)) != store.run(payloads.find, "kiosk", payload(1))


def test_outbox_holds_what_was_recorded(store: Store) -> None:
    """The outbox has the messages that the caller was given, in the order of their positions."""
    results = store.record([webhook(number) for number in range(100)], NOW)
    results += store.record([snapshot(7), ledger(7)], NOW)
    messages = [message for result in results for message in result.messages]

    assert messages == store.run(outbox.read, 1000)
    assert sorted(message.position for message in messages) == [message.position for message in messages]
    assert len(messages) == store.run(outbox.count)


def test_outbox_pages(store: Store) -> None:
    """The outbox is read page by page."""
    store.record([webhook(number, signed=False) for number in range(5)], NOW)
    first = store.run(outbox.read, 3)

    assert len(store.run(outbox.read, 10)) == 3 + len(store.run(outbox.read, 10, after=first[-1].position))


def test_messages_are_read_by_their_positions(store: Store) -> None:
    """Those that are unpublished, in order; others are left out."""
    store.record([webhook(number, signed=False) for number in range(4)], NOW)
    first, second, *_, last = store.run(outbox.read, 10)
    store.run(outbox.mark_published, [second.position])

    assert [first, last] == store.run(
        outbox.read_at, [last.position, second.position, first.position, last.position + 1]
    )
    assert [] == store.run(outbox.read_at, [])
    assert [first.position, last.position] == [
        store.run(outbox.read_positions, 1)[0],
        *store.run(outbox.read_positions, 1, after=last.position - 1),
    ]


def test_published_leave_the_outbox(store: Store) -> None:
    """A published event is not read again, and marking it twice counts it once."""
    store.record([webhook(1), webhook(2)], NOW)
    first, *rest = store.run(outbox.read, 10)
    store.run(outbox.mark_published, [first.position])
    store.run(outbox.mark_published, [first.position])
    store.run(outbox.mark_published, [])

    assert rest == store.run(outbox.read, 10)
    assert len(rest) == store.run(outbox.count)


def test_positions_grow_after_pruning(store: Store) -> None:
    """A position is never used twice, not even when the outbox was emptied."""
    (before,) = store.record([webhook(1)], NOW)
    store.run(outbox.mark_published, [message.position for message in before.messages])
    store.run(retention.prune, RetentionSettings.model_construct(events=timedelta(0)), NOW + MINUTE)
    (after,) = store.record([webhook(2)], NOW)

    assert store.run(outbox.read, 10)[0].position > before.messages[-1].position
    assert after.messages[0].position > before.messages[-1].position


def test_failing_group_stores_nothing(store: Store) -> None:
    """Where one entry of a group cannot be stored, none is."""
    with pytest.raises(StoreError):
        store.record([webhook(1), impossible(2)], NOW)

    assert store.run(payloads.find, APP, payload(1)) is None
    assert store.run(outbox.read, 10) == []
    assert store.run(outbox.count) == 0


def test_calls_in_one_transaction(store: Store) -> None:
    """Several calls in one transaction are done together or not at all."""
    with pytest.raises(StoreError), store.database.transaction():  # noqa: PT012  the first call works, the second fails
        store.record([webhook(1)], NOW)
        store.record([impossible(2)], NOW)

    assert store.run(payloads.find, APP, payload(1)) is None


def test_delivery_log(store: Store) -> None:
    """Lines of the delivery log are read newest first, and searched by payload, application and verdict."""
    store.record([refused(1), quarantined(2), webhook(3)], NOW)

    assert [delivery(1, verdict="signature_invalid")] == store.run(deliveries.list_latest, payload=payload(1))
    assert [delivery(2, verdict="quarantined")] == store.run(deliveries.list_latest, verdict="quarantined")
    assert [delivery(3), delivery(2, verdict="quarantined")] == store.run(deliveries.list_latest, app=APP, limit=2)


def test_quarantine(store: Store) -> None:
    """A body in quarantine is listed, read, and released once."""
    store.record([quarantined(1), quarantined(2)], NOW)
    first, second = store.run(deliveries.list_quarantine)

    assert (payload(1), "no meta", 2) == (first.payload, first.reason, first.size)
    assert store.run(deliveries.load_body, first.id) == b"\0\xff"
    assert [store.run(deliveries.release_body, first.id, NOW), store.run(deliveries.release_body, first.id, NOW)] == [
        True,
        False,
    ]
    assert [second] == store.run(deliveries.list_quarantine)
    assert store.run(deliveries.load_body, 99) is None


def test_lease(store: Store) -> None:
    """A lease is one holder's until it gives it back or the time is over; the holder may extend it."""
    assert store.run(leases.acquire, "relay", "a", MINUTE, NOW)
    assert not store.run(leases.acquire, "relay", "b", MINUTE, NOW)
    assert store.run(leases.acquire, "relay", "a", MINUTE, NOW + MINUTE / 2)
    assert not store.run(leases.acquire, "relay", "b", MINUTE, NOW + MINUTE)
    assert store.run(leases.acquire, "relay", "b", MINUTE, NOW + MINUTE * 2)

    store.run(leases.release, "relay", "a")
    assert not store.run(leases.acquire, "relay", "a", MINUTE, NOW + MINUTE * 2)
    store.run(leases.release, "relay", "b")
    assert store.run(leases.acquire, "relay", "a", MINUTE, NOW + MINUTE * 2)


def test_prune_by_age(store: Store) -> None:
    """What is done with goes when its time is over; what is not done with stays."""
    old = NOW - timedelta(days=40)
    store.record(
        [refused(1, at=old), quarantined(2, at=old), quarantined(3, at=old), webhook(4, at=old), refused(5)], NOW
    )
    first, *rest = store.run(outbox.read, 10)
    store.run(outbox.mark_published, [first.position])
    store.run(deliveries.release_body, store.run(deliveries.list_quarantine)[0].id, old)

    assert store.run(retention.prune, RetentionSettings(), NOW) == 3 + 1 + 1
    assert store.run(retention.prune, RetentionSettings(), NOW) == 0
    assert {payload(4), payload(5)} == {line.payload for line in store.run(deliveries.list_latest)}
    assert rest == store.run(outbox.read, 10)
    assert [payload(3)] == [body.payload for body in store.run(deliveries.list_quarantine)]


def test_prune_by_number(store: Store) -> None:
    """Of the delivery log only so many lines are kept, however young, and they go in small steps."""
    store.record([refused(number) for number in range(10)], NOW)
    keep = RetentionSettings.model_construct(delivery_rows=4)

    assert [store.run(retention.prune, keep, NOW, limit=4) for _ in range(3)] == [4, 2, 0]
    assert [payload(number) for number in (9, 8, 7, 6)] == [line.payload for line in store.run(deliveries.list_latest)]


def test_first_report_without_news(store: Store) -> None:
    """The first report of a payload is kept even if nothing follows from it."""
    (result,) = store.record([status(1, "alive", expires_at=NOW + MINUTE)], NOW)

    assert store.run(payloads.find, APP, payload(1)) == result.transition.state


@pytest.mark.postgres
def test_concurrent_instances(postgres_url: str) -> None:
    """Instances that get the same webhooks at once publish each event once, without a gap and without a deadlock."""
    stores = [Store.open(postgres_url) for _ in range(3)]
    stores[0].record([status(number, "opened") for number in range(100)], NOW)
    barrier = Barrier(len(stores))
    with ThreadPoolExecutor(len(stores)) as threads:
        results = [threads.submit(_take_in, store, seed, barrier) for seed, store in enumerate(stores)]
    for result in results:
        result.result()
    events = [parse_event(message.message.body) for message in stores[0].run(outbox.read, 10_000)]
    for store in stores:
        store.close()

    assert len({event.id for event in events}) == len(events)
    assert len({event.subject for event in events}) == 500
    for subject in {event.subject for event in events}:
        sequences = [int(event.sequence) for event in events if event.subject == subject]
        assert list(range(1, len(sequences) + 1)) == sequences


def _take_in(store: Store, seed: int, barrier: Barrier) -> None:
    """Payloads that are known, then payloads that are not, the same ones as the other instances, in another order."""
    for turn in range(25):
        numbers = [turn * 20 + (step * (1, 3, 19)[seed]) % 20 for step in range(20)]
        barrier.wait(10)
        store.record([webhook(number) for number in numbers], NOW)
        store.run(tasks.claim, NOW, rooms(5), str(seed), MINUTE)


def test_process_that_is_alone_takes_back_what_was_leased(url: str) -> None:
    """The one process of an SQLite file holds whatever the one before it held; with several, each waits its time."""
    with Store.open(url) as store:
        store.record([webhook(1), status(2, "opened")], NOW)
        store.run(tasks.claim, NOW, rooms(5), "killed", MINUTE)
        store.run(watches.claim, NOW, {APP: 5}, "killed", MINUTE)
        store.run(leases.acquire, "relay", "killed", MINUTE, NOW)
    with Store.open(url) as store:
        (mine,) = [store.database.exclusive]
        claimed = store.run(tasks.claim, NOW, rooms(5), "next", MINUTE).tasks
        watched = store.run(watches.claim, NOW, {APP: 5}, "next", MINUTE)
        relay = store.run(leases.acquire, "relay", "next", MINUTE, NOW)

    assert (int(mine), int(mine), mine) == (len(claimed), len(watched), relay)
    assert all(watch.resumed for watch in watched)
