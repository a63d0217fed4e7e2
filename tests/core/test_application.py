"""Applications and their secrets."""

from datetime import timedelta

from processor.core.application import Application, PayloadPolicy, Secret
from tests.core.payloads import APPLICATION, NOW

SECOND = timedelta(seconds=1)
ROTATING = Application(
    name="shop",
    uuid=APPLICATION,
    secrets=(Secret(key=b"new"), Secret(key=b"old", not_after=NOW), Secret(key=b"older", not_after=NOW - SECOND)),
)


def test_policy_by_default() -> None:
    """Payments must land on the main network; an opened payload may be signed for a day after its expiry."""
    assert PayloadPolicy(network="MAINNET", grace=timedelta(hours=24)) == PayloadPolicy() == ROTATING.policy


def test_keys_are_valid_until_their_end() -> None:
    """The current one always, an old one up to its last moment, in their order."""
    assert [b"new", b"old"] == ROTATING.keys(NOW - SECOND)
    assert [b"new"] == ROTATING.keys(NOW)
    assert [b"new", b"old", b"older"] == ROTATING.keys(NOW - 2 * SECOND)


def test_no_secret_is_shown() -> None:
    """Neither by the application nor by itself."""
    assert not any(text in repr(ROTATING) + repr(ROTATING.secrets[0]) for text in ("key", "secrets", "new"))
