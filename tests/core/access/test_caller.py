"""Callers of our own API, and whose a sign request is."""

from typing import Any

import pytest

from processor.core.access.caller import Caller, ServiceCaller, UserCaller
from processor.core.access.service_key import ServiceKey
from processor.core.sign_request.order import may_see, owner_of, rank_of
from tests.core.payloads import ACCOUNT

USER = UserCaller(app="shop", account=ACCOUNT, proven_by="session")


def service(*apps: str) -> ServiceCaller:
    return ServiceCaller(key=ServiceKey.of("backend", "00" * 32, scopes=["watches"], apps=apps))


def test_user_is_known_by_no_more_than_was_proven() -> None:
    """Neither reference nor expiry is made up."""
    assert (None, None) == (USER.user, USER.expires_at)


@pytest.mark.parametrize(
    ("caller", "owner", "rank"),
    [(USER, f"user:{ACCOUNT}", "user"), (service(), "service:backend", "service")],
)
def test_owner(caller: Caller, owner: str, rank: str) -> None:
    """A request is kept under a name that tells users from services."""
    assert (owner, rank) == (owner_of(caller), rank_of(owner))


@pytest.mark.parametrize("owner", ["", "sign-in", "users:x", "x service:backend"])
def test_whoever_is_neither_is_a_stranger(owner: str) -> None:
    """What was asked for without any proof ranks last."""
    assert "stranger" == rank_of(owner)


@pytest.mark.parametrize(
    ("caller", "app", "owner", "expected"),
    [
        (USER, "shop", f"user:{ACCOUNT}", True),
        (USER, "bar", f"user:{ACCOUNT}", False),
        (USER, "shop", "user:rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe", False),
        (USER, "shop", "service:backend", False),
        (service(), "shop", f"user:{ACCOUNT}", True),
        (service("shop"), "shop", "service:other", True),
        (service("bar"), "shop", "service:backend", False),
    ],
)
def test_who_may_see_a_request(caller: Any, app: str, owner: str, *, expected: bool) -> None:
    """A user sees their own within their application, a service all of the applications that its key covers."""
    assert expected == may_see(caller, app, owner)
