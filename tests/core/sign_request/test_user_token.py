"""User tokens: which report carries one, and when one is in doubt."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from processor.core.payload.ids import user_reference
from processor.core.reports.report import TOKEN_LIFE, Report, ReportedToken
from processor.core.sign_request.user_token import (
    SURE_FOR,
    KeptToken,
    ReceivedToken,
    TokenFacts,
    TokenOwner,
    extract_token,
    is_doubtful,
    is_usable,
    token_owner_of,
)
from tests.core.payload.test_lifecycle import FOREIGN
from tests.core.payloads import ACCOUNT, APPLICATION, NOW, SIGNATURE, UNKNOWN, snapshot, status, webhook

VALUE = "0b0e7d4f-1111-4222-8333-944455556666"
USER = user_reference(APPLICATION, VALUE)
TOKEN = ReportedToken(value=VALUE, issued_at=NOW)
MULTISIGNED = replace(SIGNATURE, algorithm="multisign")
SECOND = timedelta(seconds=1)


def shown(outcome: str = "signed", *, token: ReportedToken | None = TOKEN, at: datetime = NOW, **more: Any) -> Report:
    return replace(snapshot(outcome, at=at, **more), token=token)


def known(
    account: str | None = None, *, signed_at: datetime = NOW, expires_at: datetime | None = None
) -> ReceivedToken:
    expiry = signed_at + timedelta(days=30) if expires_at is None else expires_at
    return ReceivedToken("shop", APPLICATION, USER, account, VALUE, signed_at, expiry)


def facts(**changes: Any) -> TokenFacts:
    values: dict[str, Any] = {
        "app": "shop",
        "application_uuid": APPLICATION,
        "user": USER,
        "account": ACCOUNT,
        "key_id": "key",
        "signed_at": NOW,
        "expires_at": NOW + TOKEN_LIFE,
        "checked_at": None,
        "suspect": False,
        "revoked_at": None,
    }
    return TokenFacts(**values | changes)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (webhook(token=TOKEN), known()),
        (webhook(token=TOKEN._replace(expires_at=NOW + SECOND)), known(expires_at=NOW + SECOND)),
        (webhook(token=None), None),
        (webhook(signed=False, token=TOKEN), None),
        (status("signed"), None),
        (shown(), known(ACCOUNT)),
        (shown(token=None), None),
        (shown("rejected"), None),
        (shown("open"), None),
        (shown(application="8f5b1d3a-0000-4000-8000-00000000dead"), None),
        (shown(signature=None), known()),
        (shown(signature=FOREIGN), known(FOREIGN.account)),
        (shown(signature=FOREIGN, tx_type="SignIn"), known()),
        (shown(signature=MULTISIGNED), known()),
        (shown(resolved_at=NOW - SECOND), known(ACCOUNT, signed_at=NOW - SECOND)),
        (shown(resolved_at=NOW + SECOND), known(ACCOUNT)),
        (shown(resolved_at=None), known(ACCOUNT)),
    ],
)
def test_token_comes_with_a_signature(report: Report, expected: ReceivedToken | None) -> None:
    """Of whoever signed, and of an account only where its one signature is proven; it lives for 30 days from then."""
    assert expected == extract_token(report)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, TokenOwner("shop", USER, ACCOUNT)),
        ({"signature": FOREIGN}, TokenOwner("shop", USER, FOREIGN.account)),
        ({"signature": MULTISIGNED}, None),
        ({"signature": None}, None),
        ({"signature": FOREIGN, "tx_type": "SignIn"}, None),
        ({"outcome": "rejected"}, None),
        ({"application": "8f5b1d3a-0000-4000-8000-00000000dead"}, None),
    ],
)
def test_owner_is_who_was_proven_to_sign(changes: dict[str, Any], expected: TokenOwner | None) -> None:
    """One account, for this application, whose signature was proven; else nobody."""
    evidence = replace(snapshot().snapshot, **changes)

    assert expected == token_owner_of(UNKNOWN._replace(user=USER, snapshot=evidence))


def test_nobody_owns_what_is_not_known() -> None:
    """Without a token, or before Xumm's API was asked, there is no owner."""
    assert token_owner_of(UNKNOWN._replace(snapshot=snapshot().snapshot)) is None
    assert token_owner_of(UNKNOWN._replace(user=USER)) is None


@pytest.mark.parametrize(
    ("changes", "after", "expected"),
    [
        ({}, timedelta(0), False),
        ({}, SURE_FOR - SECOND, False),
        ({}, SURE_FOR, True),
        ({"suspect": True}, timedelta(0), True),
        ({"checked_at": NOW + SECOND}, SURE_FOR, False),
        ({"checked_at": NOW + SECOND}, SURE_FOR + SECOND, True),
        ({"checked_at": NOW - SECOND}, SURE_FOR - SECOND, False),
        ({"checked_at": NOW - SECOND}, SURE_FOR, True),
    ],
)
def test_token_is_doubtful_after_a_day(changes: dict[str, Any], after: timedelta, *, expected: bool) -> None:
    """A day after its last signature or check, or once a push with it led nowhere."""
    assert expected == is_doubtful(facts(**changes), NOW + after)


@pytest.mark.parametrize(
    ("changes", "after", "expected"),
    [
        ({}, TOKEN_LIFE - SECOND, True),
        ({}, TOKEN_LIFE, False),
        ({"revoked_at": NOW}, timedelta(0), False),
    ],
)
def test_token_is_usable_while_it_lives(changes: dict[str, Any], after: timedelta, *, expected: bool) -> None:
    """Until it expires, unless it was revoked."""
    assert expected == is_usable(facts(**changes), NOW + after)


def test_limits() -> None:
    """A token lives for 30 days and is sure for one."""
    assert (timedelta(days=30), timedelta(days=1)) == (TOKEN_LIFE, SURE_FOR)


def test_no_token_is_shown() -> None:
    """A representation says whose it is, and nothing of the token."""
    shown_texts = [repr(known(ACCOUNT)), repr(KeptToken(facts(), VALUE)), repr(TOKEN)]

    assert not any(VALUE in text for text in shown_texts)
    assert f"ReceivedToken(app='shop', user='{USER}', expires_at={NOW + TOKEN_LIFE})" == shown_texts[0]
    assert f"KeptToken({facts()!r})" == shown_texts[1]
    assert f"ReportedToken(issued_at={NOW}, expires_at=None)" == shown_texts[2]
