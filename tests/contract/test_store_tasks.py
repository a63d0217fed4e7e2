"""What the store promises of due work, on each database that it runs on."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from processor.core.payload.due_task import DueTask
from processor.store import tasks
from processor.store.store import Store
from tests.store.samples import APP, NOW, created, deadline, payload, rooms, still_open, webhook

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
SLACK = timedelta(seconds=30)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    sqlite = f"sqlite:///{tmp_path}/s.db"
    with Store.open(request.getfixturevalue("postgres_url") if request.param == "postgresql" else sqlite) as opened:
        yield opened


def claim(store: Store, *, limit: int = 10, holder: str = "a", after: timedelta = timedelta(0)) -> list[DueTask]:
    return list(store.run(tasks.claim, NOW + after, rooms(limit), holder, MINUTE).tasks)


def next_due(store: Store) -> datetime | None:
    """When the next of the tasks is due that nobody holds."""
    return store.run(tasks.claim, NOW - MINUTE, rooms(10), "nobody", MINUTE).next_due_at


def test_claim(store: Store) -> None:
    """A due task is claimed with the state of its payload, and by nobody else while the lease lasts."""
    (result,) = store.record([webhook(1)], NOW)
    (task,) = claim(store)

    assert result.transition is not None
    assert result.transition.state == task.state
    assert (task.kind, task.attempts, task.created_at) == ("fetch", 1, NOW)
    assert claim(store, holder="b") == []


def test_lease_runs_out(store: Store) -> None:
    """A task whose holder does not come back is claimed by another, as its next attempt."""
    store.record([webhook(1)], NOW)
    claim(store)
    (task,) = claim(store, holder="b", after=MINUTE)

    assert task.attempts == 2


def test_claim_some(store: Store) -> None:
    """No more than asked for are claimed, those first that have been due the longest."""
    store.record([webhook(number, at=NOW - number * SECOND) for number in (1, 3, 2)], NOW)

    assert [task.state.payload for task in claim(store, limit=2)] == [payload(3), payload(2)]
    assert [task.state.payload for task in claim(store, limit=2)] == [payload(1)]


def test_finish(store: Store) -> None:
    """A finished task is gone."""
    store.record([webhook(1)], NOW)
    (task,) = claim(store)
    store.run(tasks.finish, task)

    assert next_due(store) is None
    assert claim(store, after=MINUTE * 2) == []


def test_finish_after_the_lease(store: Store) -> None:
    """Who comes back after the lease ran out does not release what another has claimed meanwhile."""
    store.record([webhook(1)], NOW)
    (late,) = claim(store)
    claim(store, holder="b", after=MINUTE)
    store.run(tasks.finish, late)
    store.run(tasks.reschedule, late, NOW)

    assert claim(store, holder="c", after=MINUTE) == []


def test_asked_for_again(store: Store) -> None:
    """What is asked for again while somebody is at it is another task, which stays when that one finishes."""
    store.record([webhook(1)], NOW)
    (task,) = claim(store)
    store.record([deadline(1, at=NOW + SECOND)], NOW)
    store.run(tasks.finish, task)
    (again,) = claim(store, after=SECOND)

    assert (again.kind, again.attempts, again.state.payload) == ("fetch", 1, payload(1))
    assert again.id != task.id


def test_another_deadline(store: Store) -> None:
    """A deadline that is learned anew is kept beside the old one: looking too early costs one lookup."""
    store.record([created(1, NOW + MINUTE)], NOW)
    store.record([still_open(1, NOW + MINUTE, at=NOW + MINUTE * 2)], NOW)
    (early,) = claim(store, after=MINUTE + SLACK)
    store.run(tasks.finish, early)

    assert next_due(store) == NOW + MINUTE * 3


def test_reschedule(store: Store) -> None:
    """A task that is put off is not due before, and is the same task."""
    store.record([webhook(1)], NOW)
    (task,) = claim(store)
    store.run(tasks.reschedule, task, NOW + SECOND)

    assert claim(store) == []
    assert next_due(store) == NOW + SECOND
    (again,) = claim(store, after=SECOND)
    assert (again.attempts, again.created_at, again.id) == (2, NOW, task.id)


def test_disown(store: Store) -> None:
    """Of what a holder has, the rest is free at once, for itself too; what others have stays theirs."""
    store.record([webhook(number) for number in (1, 2, 3)], NOW)
    (others,) = claim(store, limit=1, holder="b")
    kept, lost = claim(store)
    store.run(tasks.release, "a", ["fetch"], [kept.id])
    store.run(tasks.release, "b", ["poll"], [])
    (again,) = claim(store)

    assert (lost.id, 2) == (again.id, again.attempts)
    assert others.id not in {kept.id, lost.id}


def test_claim_is_fair(store: Store) -> None:
    """What is due for one application is claimed at once, however much has been due for another for longer."""
    store.record([webhook(number, app="flooded", at=NOW - MINUTE) for number in range(100)], NOW)
    store.record([webhook(200)], NOW)
    claimed = store.run(tasks.claim, NOW, rooms(3, APP, "flooded"), "a", MINUTE).tasks

    assert Counter(flooded=3, shop=1) == Counter(task.state.app for task in claimed)


def test_lane_without_room_is_left_alone(store: Store) -> None:
    """Its tasks are neither claimed nor waited for."""
    store.record([webhook(1)], NOW)
    claim = store.run(tasks.claim, NOW, {(APP, "poll"): 5, ("other", "fetch"): 5}, "a", MINUTE)

    assert ([], None) == claim


def test_claim_of_many_lanes(store: Store) -> None:
    """More applications than fit into one statement."""
    apps = [f"app-{number}" for number in range(130)]
    store.record([webhook(number, app=app) for number, app in enumerate(apps)], NOW)

    assert set(apps) == {task.state.app for task in store.run(tasks.claim, NOW, rooms(1, *apps), "a", MINUTE).tasks}


def test_tasks_of_an_application_that_is_gone(store: Store) -> None:
    """They are counted, since nobody claims them."""
    store.record([webhook(number, app="gone") for number in (1, 2)], NOW)
    store.record([webhook(3)], NOW)

    assert {"gone": 2} == store.run(tasks.count_orphans, [APP])


@pytest.mark.postgres
def test_instances_claim_apart(postgres_url: str) -> None:
    """Two instances that claim at the same time neither wait for each other nor get the same task."""
    with Store.open(postgres_url) as one, Store.open(postgres_url) as two:
        one.record([webhook(number) for number in range(4)], NOW)
        one.database.begin()
        first = claim(one, limit=2, holder="a")
        second = claim(two, limit=2, holder="b")
        one.database.commit()

    assert 4 == len({task.id for task in (*first, *second)})
