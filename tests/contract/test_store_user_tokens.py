"""What the store promises of user tokens, on each database that it runs on."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from processor.core.payload.entry import Reported
from processor.core.payload.ids import user_reference
from processor.core.proof.evidence import VerifiedSignature
from processor.core.reports.report import TOKEN_LIFE, ReportedToken, SnapshotReport
from processor.core.sign_request.sealing import Keyring, SealingKey
from processor.core.sign_request.user_token import TokenFacts
from processor.store import user_tokens
from processor.store.store import Store
from tests.store.samples import ACCOUNT, APP, APPLICATION, NOW, payload, reported, snapshot, webhook

HOUR = timedelta(hours=1)
OLD = SealingKey.of(b"o" * 32)
NEW = SealingKey.of(b"n" * 32)
TOKEN = payload(1)
USER = user_reference(APPLICATION, TOKEN)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("postgres_url") if request.param == "postgresql" else f"sqlite:///{tmp_path}/s.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url, Keyring([OLD])) as opened:
        yield opened


def signed(number: int, *, token: str | None = TOKEN, at: datetime = NOW, account: str | None = ACCOUNT) -> Reported:
    """A fetched payload, whose signature is proven if it has an account."""
    report = snapshot(number).report
    assert isinstance(report, SnapshotReport)
    proof = None if account is None else VerifiedSignature(account=account, algorithm="secp256k1")
    shown = replace(report.snapshot, outcome="signed", signature=proof, account=account or ACCOUNT, resolved_at=at)
    return reported(replace(report, at=at, snapshot=shown, token=None if token is None else ReportedToken(value=token)))


def kept(store: Store) -> list[TokenFacts]:
    return store.run(user_tokens.list_latest, APP, 9)


def opened(store: Store, now: datetime = NOW, *, key: SealingKey = OLD) -> str | None:
    found = store.run(user_tokens.find, APP, ACCOUNT, now)
    return None if found is None else found.open(Keyring([key]))


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
    store.run(user_tokens.note_check, kept(store)[0], NOW + HOUR, active=False)
    assert opened(store) is None
    store.record([signed(1), webhook(1)], NOW)
    assert opened(store) is None
    assert (
        bytes(store.run(lambda connection: connection.exec_driver_sql("SELECT sealed FROM user_tokens").scalar()))
        == b""
    )
    store.record([webhook(2, at=NOW + 2 * HOUR)], NOW)
    assert opened(store) is None
    store.record([signed(2, at=NOW + 2 * HOUR)], NOW)

    assert opened(store) == TOKEN


def test_check_and_suspicion(store: Store) -> None:
    """What Xumm was asked is noted, and so is a push that led nowhere."""
    store.record([signed(1)], NOW)
    store.run(user_tokens.mark_suspect, kept(store)[0])
    assert [facts.suspect for facts in kept(store)] == [True]
    store.run(user_tokens.note_check, kept(store)[0], NOW + HOUR, active=True)

    assert [(facts.suspect, facts.checked_at) for facts in kept(store)] == [(False, NOW + HOUR)]
    assert opened(store) == TOKEN


def test_rotation(store: Store, url: str) -> None:
    """Under a new key the old tokens are sealed anew; one whose key is gone is counted, and left."""
    store.record([signed(1), signed(2, token=payload(2), account="rOther")], NOW)
    store.close()
    with Store.open(url) as reopened:
        assert reopened.run(user_tokens.rotate, Keyring([NEW, OLD])) == (2, 0)
        assert reopened.run(user_tokens.rotate, Keyring([NEW, OLD])) == (0, 0)
        assert reopened.run(user_tokens.rotate, Keyring([OLD])) == (0, 2)
        assert opened(reopened, key=NEW) == TOKEN


def test_nothing_is_kept_without_a_key(url: str) -> None:
    """Where no key is configured, no token is stored in whatever form."""
    with Store.open(url) as store:
        store.record([signed(1), webhook(1)], NOW)

        assert kept(store) == []
