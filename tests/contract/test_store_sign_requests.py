"""What the store promises of sign requests and sessions, on each database that it runs on."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from processor.core.access.caller import Session
from processor.core.payload.entry import Reported
from processor.core.payload.ids import user_reference
from processor.core.reports.report import RequestReport
from processor.core.sign_request.request import Draft, Reservation, StoredRequest
from processor.settings.sections import RetentionSettings
from processor.store import outbox, retention, sessions, sign_requests
from processor.store.store import Store
from tests.store.samples import ACCOUNT, APP, APPLICATION, NOW, payload, reported, webhook

HOUR = timedelta(hours=1)
HOLD = timedelta(minutes=1)
TOKEN = payload(1)
USER = user_reference(APPLICATION, TOKEN)
DRAFT = Draft(
    app=APP,
    owner="user:r1",
    kind="sign_request",
    identifier="one",
    request_digest=b"request",
    tx_type="Payment",
    submit=True,
    expires_at=NOW + HOUR,
    key_digest=b"key",
    state_digest=b"state",
    exchange_digest=b"exchange",
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("postgres_url") if request.param == "postgresql" else f"sqlite:///{tmp_path}/s.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


def reserve(store: Store, now: datetime = NOW, **changes: Any) -> Reservation:
    draft = replace(DRAFT, **({"state_digest": os.urandom(8)} | changes))
    return store.run(sign_requests.reserve, draft, now, HOLD)


def completed(store: Store, number: int = 1, **changes: Any) -> StoredRequest:
    made = reserve(store, **changes).request
    assert made is not None
    store.run(sign_requests.complete, made, payload(number), b"answer", late=False)
    return made


def test_reserving(store: Store) -> None:
    """A request is reserved once; its repetition is told how far it is, and in the end what the answer was."""
    first = reserve(store)
    again = reserve(store)
    assert first.request is not None
    store.run(sign_requests.complete, first.request, payload(1), b"answer", late=False)
    after = reserve(store, identifier="another")

    assert [each.outcome for each in (first, again, after)] == ["new", "in_progress", "done"]
    assert after.request is not None
    assert (after.request.payload, after.request.answer) == (payload(1), b"answer")
    assert store.run(sign_requests.find, payload(1)) == after.request


def test_other_requests_under_a_key(store: Store) -> None:
    """A key stands for one request of one caller; another caller's key is another key."""
    completed(store)

    assert reserve(store, request_digest=b"other").outcome == "conflict"
    assert reserve(store, owner="user:r2", identifier="two").outcome == "new"
    assert reserve(store, app="bar", identifier="two").outcome == "new"


def test_identifiers_are_unique(store: Store) -> None:
    """An identifier of an application names one sign request, whoever asks; and without a key nothing is repeated."""
    completed(store)

    assert reserve(store, key_digest=None) == Reservation("identifier_taken", None)
    assert reserve(store, key_digest=b"two", owner="user:r2") == Reservation("identifier_taken", None)
    assert reserve(store, key_digest=None, identifier="two").outcome == "new"
    assert reserve(store, key_digest=None, identifier="three").outcome == "new"


def test_takeover(store: Store) -> None:
    """What nobody finished is taken over, with its first identifier, by one of those who repeat it."""
    reserve(store)
    later = [reserve(store, NOW + HOLD, identifier="another") for _ in range(2)]

    assert [each.outcome for each in later] == ["taken_over", "in_progress"]
    assert later[0].request is not None
    assert later[0].request.identifier == "one"


def test_takeover_without_a_key(store: Store) -> None:
    """A request without a key that broke off is known by its identifier, to whoever asked for the same."""
    reserve(store, key_digest=None)

    assert reserve(store, key_digest=None).outcome == "in_progress"
    assert reserve(store, NOW + HOLD, key_digest=None, owner="user:r2").outcome == "identifier_taken"
    assert reserve(store, NOW + HOLD, key_digest=None, request_digest=b"other").outcome == "conflict"
    assert reserve(store, NOW + HOLD, key_digest=None).outcome == "taken_over"


def test_release(store: Store) -> None:
    """A request that was not made may be made again; one that may have been made waits for a while."""
    first = reserve(store).request
    assert first is not None
    store.run(sign_requests.release, first.id, NOW + HOUR)
    assert reserve(store, NOW + HOLD).outcome == "in_progress"
    store.run(sign_requests.release, first.id, None)

    assert reserve(store).outcome == "new"


def test_what_was_made_is_not_released(store: Store) -> None:
    """Whoever comes late with bad news changes nothing."""
    made = completed(store)
    store.run(sign_requests.release, made.id, None)

    assert store.run(sign_requests.find, payload(1)) is not None


@pytest.mark.postgres
def test_one_of_two_instances_reserves(postgres_url: str) -> None:
    """Two that ask in the same moment do not both get it."""
    with Store.open(postgres_url) as one, Store.open(postgres_url) as two:
        outcomes = [reserve(each).outcome for each in (one, two)]

    assert outcomes == ["new", "in_progress"]


def test_list(store: Store) -> None:
    """The newest first, page by page, and nobody's but the owner's; those that were not made are in no list."""
    for number in range(1, 6):
        completed(store, number, identifier=str(number), key_digest=None)
    completed(store, 6, identifier="other", key_digest=None, owner="user:r2")
    completed(store, 7, identifier="in", key_digest=None, kind="sign_in")
    reserve(store, identifier="reserved", key_digest=None)
    page = store.run(sign_requests.list_newest, [APP], "user:r1", None, 3)
    rest = store.run(sign_requests.list_newest, [APP], "user:r1", page[-1].id, 3)

    assert [each.identifier for each in [*page, *rest]] == ["5", "4", "3", "2", "1"]
    assert store.run(sign_requests.list_newest, ["bar"], None, None, 9) == []
    assert len(store.run(sign_requests.list_newest, None, None, None, 9)) == 6


def test_states_and_secrets_work_once(store: Store) -> None:
    """A return URL's state and a sign-in's secret are used up by their first use, and only the right ones work."""
    completed(store, state_digest=b"state")
    returned = [store.run(sign_requests.take_state, digest, NOW) for digest in (b"wrong", b"state", b"state")]
    exchanged = [
        store.run(sign_requests.take_exchange, *pair, NOW)
        for pair in [
            (payload(2), b"exchange"),
            (payload(1), b"x"),
            (payload(1), b"exchange"),
            (payload(1), b"exchange"),
        ]
    ]

    assert [each and each.payload for each in returned] == [None, payload(1), None]
    assert exchanged == [False, False, True, False]
    assert store.run(sign_requests.find_sign_in, payload(1), b"x") is None
    assert store.run(sign_requests.find_sign_in, payload(1), b"exchange") is not None


def created(number: int) -> Reported:
    return reported(
        RequestReport(
            app=APP,
            application_uuid=APPLICATION,
            payload=payload(number),
            at=NOW,
            kind="created",
            expires_at=NOW + HOUR,
        )
    )


def types(store: Store, number: int, after: int = 0) -> list[str]:
    return [each.message.type for each in store.run(sign_requests.load_events, APP, payload(number), after, 9)]


def test_events(store: Store) -> None:
    """The events of what was created here are found by payload, after any of them; those of others are not kept so."""
    store.record([created(1), webhook(1), webhook(2)], NOW)
    first = store.run(sign_requests.load_events, APP, payload(1), 0, 1)

    assert types(store, 1) == ["xumm.sign.created", "xumm.sign.signed", "xumm.sign.token_issued"]
    assert types(store, 1, first[0].position) == ["xumm.sign.signed", "xumm.sign.token_issued"]
    assert types(store, 2) == []


def test_events_before_it_was_known(store: Store) -> None:
    """A webhook that is faster than our own commit is found too."""
    store.record([webhook(1)], NOW)
    store.record([created(1)], NOW)
    made = reserve(store).request
    assert made is not None
    for _ in range(2):
        store.run(sign_requests.complete, made, payload(1), b"answer", late=True)

    assert types(store, 1) == ["xumm.sign.signed", "xumm.sign.token_issued"]


def test_sessions(store: Store) -> None:
    """A token leads to its session until that ends; the token itself is nowhere in the store."""
    session = Session(app=APP, account=ACCOUNT, user=USER, expires_at=NOW + HOUR)
    token = store.run(sessions.create, session, NOW)

    assert store.run(sessions.find, token, NOW) == session
    assert store.run(sessions.find, token + "x", NOW) is None
    assert store.run(sessions.find, token, NOW + HOUR) is None
    assert [store.run(sessions.end, token) for _ in range(2)] == [True, False]
    assert store.run(sessions.find, token, NOW) is None
    assert len(token) > 43


def test_pruning(store: Store) -> None:
    """Old sign requests, sessions that ended and places of events that are gone go."""
    completed(store)
    store.record([created(1)], NOW)
    store.run(outbox.mark_published, [each.position for each in store.run(outbox.read, 9)])
    store.run(sessions.create, Session(app=APP, account=ACCOUNT, user=None, expires_at=NOW + HOUR), NOW)
    later = NOW + timedelta(days=31)
    store.record([webhook(2, at=later)], later)
    while store.run(retention.prune, RetentionSettings(), later):
        pass

    tables = ("sign_requests", "sessions", "request_events")
    counts = [
        store.run(lambda connection, name=name: connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar())  # noqa: S608
        for name in tables
    ]
    assert counts == [0, 0, 0]
