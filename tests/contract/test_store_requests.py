"""What the store promises of sign requests, sessions and user tokens, on each database that it runs on."""

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
from processor.core.proof.evidence import VerifiedSignature
from processor.core.reports.report import TOKEN_LIFE, ReportedToken, RequestReport, SnapshotReport
from processor.core.sign_request.request import Draft, Reservation
from processor.core.sign_request.sealing import Keyring, SealingKey
from processor.core.sign_request.user_token import TokenFacts
from processor.store import requests, sessions, vault
from processor.store.retention import Retention
from processor.store.store import Store
from tests.store.samples import ACCOUNT, APP, APPLICATION, NOW, payload, reported, snapshot, webhook

HOUR = timedelta(hours=1)
HOLD = timedelta(minutes=1)
OLD = SealingKey.of(b"o" * 32)
NEW = SealingKey.of(b"n" * 32)
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
    with Store.open(url, Keyring([OLD])) as opened:
        yield opened


def reserve(store: Store, now: datetime = NOW, **changes: Any) -> Reservation:
    draft = replace(DRAFT, **({"state_digest": os.urandom(8)} | changes))
    return store.do(requests.reserve, store.dialect, draft, now, HOLD)


def completed(store: Store, number: int = 1, **changes: Any) -> requests.StoredRequest:
    made = reserve(store, **changes).request
    assert made is not None
    store.do(requests.complete, made.id, payload(number), b"answer")
    return made


def signed(number: int, *, token: str | None = TOKEN, at: datetime = NOW, account: str | None = ACCOUNT) -> Reported:
    """A fetched payload, whose signature is proven if it has an account."""
    report = snapshot(number).report
    assert isinstance(report, SnapshotReport)
    proof = None if account is None else VerifiedSignature(account=account, algorithm="secp256k1")
    shown = replace(report.snapshot, outcome="signed", signature=proof, account=account or ACCOUNT, resolved_at=at)
    return reported(replace(report, at=at, snapshot=shown, token=None if token is None else ReportedToken(value=token)))


def test_reserving(store: Store) -> None:
    """A request is reserved once; its repetition is told how far it is, and in the end what the answer was."""
    first = reserve(store)
    again = reserve(store)
    assert first.request is not None
    store.do(requests.complete, first.request.id, payload(1), b"answer")
    after = reserve(store, identifier="another")

    assert [each.outcome for each in (first, again, after)] == ["new", "in_progress", "done"]
    assert after.request is not None
    assert (after.request.payload, after.request.answer) == (payload(1), b"answer")
    assert store.do(requests.find, payload(1)) == after.request


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
    store.do(requests.release, first.id, NOW + HOUR)
    assert reserve(store, NOW + HOLD).outcome == "in_progress"
    store.do(requests.release, first.id, None)

    assert reserve(store).outcome == "new"


def test_what_was_made_is_not_released(store: Store) -> None:
    """Whoever comes late with bad news changes nothing."""
    made = completed(store)
    store.do(requests.release, made.id, None)

    assert store.do(requests.find, payload(1)) is not None


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
    page = store.do(requests.listed, [APP], "user:r1", None, 3)
    rest = store.do(requests.listed, [APP], "user:r1", page[-1].id, 3)

    assert [each.identifier for each in [*page, *rest]] == ["5", "4", "3", "2", "1"]
    assert store.do(requests.listed, ["bar"], None, None, 9) == []
    assert len(store.do(requests.listed, None, None, None, 9)) == 6


def test_states_and_secrets_work_once(store: Store) -> None:
    """A return URL's state and a sign-in's secret are used up by their first use, and only the right ones work."""
    completed(store, state_digest=b"state")
    returned = [store.do(requests.take_state, digest, NOW) for digest in (b"wrong", b"state", b"state")]
    exchanged = [
        store.do(requests.take_exchange, *pair, NOW)
        for pair in [
            (payload(2), b"exchange"),
            (payload(1), b"x"),
            (payload(1), b"exchange"),
            (payload(1), b"exchange"),
        ]
    ]

    assert [each and each.payload for each in returned] == [None, payload(1), None]
    assert exchanged == [False, False, True, False]
    assert store.do(requests.holds_exchange, payload(1), b"x") is None
    assert store.do(requests.holds_exchange, payload(1), b"exchange") is not None


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
    return [each.message.type for each in store.do(requests.events_of, APP, payload(number), after, 9)]


def test_events(store: Store) -> None:
    """The events of what was created here are found by payload, after any of them; those of others are not kept so."""
    store.record([created(1), webhook(1), webhook(2)], NOW)
    first = store.do(requests.events_of, APP, payload(1), 0, 1)

    assert types(store, 1) == ["xumm.sign.created", "xumm.sign.signed", "xumm.sign.token_issued"]
    assert types(store, 1, first[0].position) == ["xumm.sign.signed", "xumm.sign.token_issued"]
    assert types(store, 2) == []


def test_events_before_it_was_known(store: Store) -> None:
    """A webhook that is faster than our own commit is found too."""
    store.record([webhook(1)], NOW)
    store.record([created(1)], NOW)
    for _ in range(2):
        store.do(requests.place_earlier, store.dialect, APP, payload(1))

    assert types(store, 1) == ["xumm.sign.signed", "xumm.sign.token_issued"]


def test_sessions(store: Store) -> None:
    """A token leads to its session until that ends; the token itself is nowhere in the store."""
    session = Session(app=APP, account=ACCOUNT, user=USER, expires_at=NOW + HOUR)
    token = store.do(sessions.create, session, NOW)

    assert store.do(sessions.find, token, NOW) == session
    assert store.do(sessions.find, token + "x", NOW) is None
    assert store.do(sessions.find, token, NOW + HOUR) is None
    assert [store.do(sessions.end, token) for _ in range(2)] == [True, False]
    assert store.do(sessions.find, token, NOW) is None
    assert len(token) > 43


def kept(store: Store) -> list[TokenFacts]:
    return store.do(vault.listed, APP, 9)


def opened(store: Store, now: datetime = NOW) -> str | None:
    row = store.do(vault.of_account, APP, ACCOUNT, now)
    assert store.vault is not None
    return None if row is None else store.vault.open(row)


def test_token_of_a_webhook(store: Store) -> None:
    """It is kept sealed with the report, of no account yet: a webhook names none."""
    store.record([webhook(1), webhook(2, signed=False)], NOW)
    (facts,) = kept(store)

    assert (facts.user, facts.account, facts.signed_at, facts.key_id) == (USER, None, NOW, OLD.id)
    assert facts.expires_at == NOW + TOKEN_LIFE
    assert opened(store) is None


@pytest.mark.parametrize("order", [1, -1])
def test_token_of_a_proven_signature(store: Store, order: int) -> None:
    """Whichever comes first, webhook or fetched payload, the token is the account's in the end, and opens."""
    for entry in [webhook(1), signed(1)][::order]:
        store.record([entry], NOW)

    assert opened(store) == TOKEN
    assert [facts.account for facts in kept(store)] == [ACCOUNT]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("together", [False, True])
def test_token_that_only_the_webhook_has(store: Store, order: int, *, together: bool) -> None:
    """A fetched payload that names no token says all the same whose that of its webhook is, once it is proven."""
    entries = [webhook(1), signed(1, token=None)][::order]
    for group in [entries] if together else [[entry] for entry in entries]:
        store.record(group, NOW)

    assert opened(store) == TOKEN
    assert [facts.account for facts in kept(store)] == [ACCOUNT]


def test_webhook_of_another_payload_lends_no_account(store: Store) -> None:
    """Neither an unproven signature, nor one of another payload, says whose a token is."""
    store.record([webhook(1), signed(1, token=None, account=None), signed(2, token=None)], NOW)

    assert [facts.account for facts in kept(store)] == [None]
    assert opened(store) is None


def test_owner_does_not_change(store: Store) -> None:
    """A token that was proven to be somebody's is not taken over by who signs without one."""
    store.record([signed(1)], NOW)
    store.record([webhook(2), signed(2, token=None, account="rOther")], NOW)

    assert [facts.account for facts in kept(store)] == [ACCOUNT]


def test_both_in_one_transaction(store: Store) -> None:
    """Reports of one user in one group are one row."""
    store.record([webhook(1), signed(1), webhook(2)], NOW)

    assert opened(store) == TOKEN


def test_what_is_not_proven_names_no_account(store: Store) -> None:
    """Xumm's word alone does not say whose a token is."""
    store.record([signed(1, account=None)], NOW)

    assert [facts.account for facts in kept(store)] == [None]


def test_sliding(store: Store) -> None:
    """Every signature gives 30 more days, an old report takes none away, and then it is over."""
    store.record([signed(1)], NOW)
    store.record([webhook(2, at=NOW + HOUR)], NOW)
    store.record([signed(3, at=NOW - HOUR)], NOW)
    (facts,) = kept(store)

    assert (facts.signed_at, facts.expires_at) == (NOW + HOUR, NOW + HOUR + TOKEN_LIFE)
    assert opened(store, NOW + TOKEN_LIFE) == TOKEN
    assert opened(store, NOW + HOUR + TOKEN_LIFE) is None


def test_revocation(store: Store) -> None:
    """A token that Xumm calls dead is deleted, stays so whatever old reports say, and lives again by a signature."""
    store.record([signed(1)], NOW)
    store.do(vault.checked, kept(store)[0], NOW + HOUR, active=False)
    assert opened(store) is None
    store.record([signed(1), webhook(1)], NOW)
    assert opened(store) is None
    assert (
        bytes(store.do(lambda connection: connection.exec_driver_sql("SELECT sealed FROM user_tokens").scalar())) == b""
    )
    store.record([webhook(2, at=NOW + 2 * HOUR)], NOW)
    assert opened(store) is None
    store.record([signed(2, at=NOW + 2 * HOUR)], NOW)

    assert opened(store) == TOKEN


def test_check_and_suspicion(store: Store) -> None:
    """What Xumm was asked is noted, and so is a push that led nowhere."""
    store.record([signed(1)], NOW)
    store.do(vault.suspect, kept(store)[0])
    assert [facts.suspect for facts in kept(store)] == [True]
    store.do(vault.checked, kept(store)[0], NOW + HOUR, active=True)

    assert [(facts.suspect, facts.checked_at) for facts in kept(store)] == [(False, NOW + HOUR)]
    assert opened(store) == TOKEN


def test_rotation(store: Store, url: str) -> None:
    """Under a new key the old tokens are sealed anew; one whose key is gone is counted, and left."""
    store.record([signed(1), signed(2, token=payload(2), account="rOther")], NOW)
    store.close()
    with Store.open(url, Keyring([NEW, OLD])) as both:
        assert both.vault is not None
        assert both.do(both.vault.rotate) == (2, 0)
        assert both.do(both.vault.rotate) == (0, 0)
    with Store.open(url, Keyring([OLD])) as old:
        assert old.vault is not None
        assert old.do(old.vault.rotate) == (0, 2)
    with Store.open(url, Keyring([NEW])) as new:
        assert opened(new) == TOKEN


def test_nothing_is_kept_without_a_key(url: str) -> None:
    """Where no key is configured, no token is stored in whatever form."""
    with Store.open(url) as store:
        store.record([signed(1), webhook(1)], NOW)

        assert kept(store) == []


def test_pruning(store: Store) -> None:
    """Old sign requests, sessions that ended and places of events that are gone go."""
    completed(store)
    store.record([created(1)], NOW)
    store.mark_published([each.position for each in store.unpublished(9)])
    store.do(sessions.create, Session(app=APP, account=ACCOUNT, user=None, expires_at=NOW + HOUR), NOW)
    later = NOW + timedelta(days=31)
    store.record([webhook(2, at=later)], later)
    while store.prune(Retention(), later):
        pass

    tables = ("sign_requests", "sessions", "request_events")
    counts = [
        store.do(lambda connection, name=name: connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar())  # noqa: S608
        for name in tables
    ]
    assert counts == [0, 0, 0]
