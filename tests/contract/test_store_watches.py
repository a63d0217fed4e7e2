"""What the store promises of watches and of how outcomes were learned, on each database that it runs on."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from processor.core.payload.entry import Reported
from processor.core.payload.state import Fact
from processor.core.payload.status_socket import Watch
from processor.core.reports.report import LookupDue
from processor.store import outcomes, watches
from processor.store.outcomes import Outcomes, SourceShare
from processor.store.store import Store
from tests.store.samples import (
    APP,
    APPLICATION,
    NOW,
    ledger,
    payload,
    reported,
    snapshot,
    status,
    still_open,
    webhook,
)

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("postgres_url") if request.param == "postgresql" else f"sqlite:///{tmp_path}/s.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


def registered(number: int) -> Reported:
    return reported(
        LookupDue(app=APP, application_uuid=APPLICATION, payload=payload(number), at=NOW, reason="registered")
    )


def claim(store: Store, *, limit: int = 10, holder: str = "a", after: timedelta = timedelta(0)) -> list[Watch]:
    return store.run(watches.claim, NOW + after, {APP: limit}, holder, MINUTE)


def numbers(watches: list[Watch]) -> list[int]:
    return sorted(int(watch.state.payload[-4:], 16) for watch in watches)


def test_who_is_watched(store: Store) -> None:
    """A payload that became known and has not ended is watched; one whose first report ends it never is."""
    store.record([registered(1), status(2, "opened"), still_open(3, NOW), webhook(4), status(5, "rejected")], NOW)

    assert numbers(claim(store)) == [1, 2, 3]


def test_claim_is_fair(store: Store) -> None:
    """A watch of one application is claimed at once, however many of another were never watched."""
    store.record([status(number, "opened", app="flooded") for number in range(50)], NOW)
    store.record([status(99, "opened")], NOW)
    claimed = store.run(watches.claim, NOW, {"flooded": 3, APP: 3}, "a", MINUTE)

    assert Counter(flooded=3, shop=1) == Counter(watch.state.app for watch in claimed)


def test_repetition_watches_once(store: Store) -> None:
    """However often a payload is reported on, it has one watch."""
    store.record([registered(1), registered(1)], NOW)
    store.record([registered(1), status(1, "opened")], NOW)

    assert numbers(store.run(watches.list_oldest)) == [1]


def test_claim(store: Store) -> None:
    """A watch is claimed with what watching depends on, and by nobody else while the lease lasts."""
    store.record([status(1, "opened", expires_at=NOW + HOUR)], NOW)
    (watch,) = claim(store)

    assert (watch.state.app, watch.state.application_uuid, watch.state.payload) == (APP, APPLICATION, payload(1))
    assert (watch.state.facts, watch.state.expires_at, watch.since) == (Fact.OPENED, NOW + HOUR, NOW)
    assert not watch.resumed
    assert claim(store, holder="b") == []
    assert claim(store, holder="a") == []


def test_takeover(store: Store) -> None:
    """When the lease has run out, another has the watch, knows that it was watched before, and the first lost it."""
    store.record([registered(1)], NOW)
    claim(store)
    (taken,) = claim(store, holder="b", after=MINUTE)

    assert taken.resumed
    assert store.run(watches.renew, [(payload(1), APP)], NOW, "a", MINUTE) == []
    store.run(watches.end, [(payload(1), APP)], "a")
    assert numbers(store.run(watches.list_oldest)) == [1]


def test_renew(store: Store) -> None:
    """A renewed lease lasts longer, and the answer tells how the payloads are now."""
    store.record([registered(number) for number in (1, 2, 3)], NOW)
    claim(store, limit=2)
    store.record([webhook(1)], NOW)
    keys = [(payload(number), APP) for number in (1, 2, 3)]
    held = store.run(watches.renew, keys, NOW + MINUTE - SECOND, "a", MINUTE)

    assert [bool(watch.state.facts & Fact.SIGNED) for watch in sorted(held, key=lambda w: w.state.payload)] == [
        True,
        False,
    ]
    assert numbers(claim(store, holder="b", after=MINUTE)) == [3]


def test_end(store: Store) -> None:
    """A watch that ended is gone; ending it twice does no harm."""
    store.record([registered(1), registered(2)], NOW)
    claim(store)
    for _ in range(2):
        store.run(watches.end, [(payload(1), APP)], "a")

    assert numbers(store.run(watches.list_oldest)) == [2]


def test_release(store: Store) -> None:
    """What a holder gives back is there for others at once, and nothing else."""
    store.record([registered(1), registered(2)], NOW)
    claim(store, limit=1, holder="a")
    claim(store, limit=1, holder="b")
    store.run(watches.release, NOW, "a")
    again = claim(store, holder="c")

    assert len(again) == 1
    assert all(watch.resumed for watch in again)


def test_release_of_what_is_in_nobody_s_hand(store: Store) -> None:
    """Of what a holder has, all but what it names is free at once; what others have stays theirs."""
    store.record([registered(1), registered(2), registered(3)], NOW)
    (others,) = numbers(claim(store, limit=1, holder="b"))
    kept, lost = numbers(claim(store))
    store.run(watches.release, NOW, "a", [(payload(kept), APP)])

    assert [lost] == numbers(claim(store))
    assert len({others, kept, lost}) == 3


@pytest.mark.postgres
def test_claims_skip_what_others_are_at(postgres_url: str) -> None:
    """Two instances that claim at the same time neither wait for each other nor get the same watch."""
    with Store.open(postgres_url) as one, Store.open(postgres_url) as two:
        one.record([registered(1), registered(2)], NOW)
        one.database.begin()
        first = one.run(watches.claim, NOW, {APP: 1}, "a", MINUTE)
        second = two.run(watches.claim, NOW, {APP: 10}, "b", MINUTE)
        one.database.commit()

    assert sorted(numbers(first) + numbers(second)) == [1, 2]


def test_outcomes_tell_who_was_first(store: Store) -> None:
    """Each resolved payload counts once, for the source that told first how it ended, with how late that was."""
    store.record([webhook(1, at=NOW + 2 * SECOND), snapshot(1), ledger(1)], NOW)
    store.record([status(2, "signed"), snapshot(2), webhook(2), ledger(2)], NOW)
    store.record([still_open(3, NOW + HOUR), snapshot(3), ledger(3), webhook(3)], NOW)
    store.record([snapshot(4), ledger(4)], NOW)
    store.record([status(5, "opened")], NOW)
    later = NOW + HOUR
    shares = {share.source: share for share in store.run(outcomes.summarize, NOW, later).sources}

    assert shares == {
        "webhook": SourceShare(source="webhook", count=1, median_late=2 * SECOND, most_late=2 * SECOND),
        "websocket": SourceShare(source="websocket", count=1, median_late=timedelta(0), most_late=timedelta(0)),
        "api": SourceShare(source="api", count=2, median_late=timedelta(0), most_late=timedelta(0)),
    }
    summary = store.run(outcomes.summarize, NOW, later)
    assert (summary.total, summary.webhooks_due, summary.webhooks_missed) == (4, 4, 1)
    assert store.run(outcomes.summarize, NOW, NOW + MINUTE).webhooks_due == 0
    assert store.run(outcomes.summarize, NOW, later, 3).total == 3
    assert store.run(outcomes.summarize, later, later) == Outcomes(
        total=0, sources=(), webhooks_due=0, webhooks_missed=0
    )
