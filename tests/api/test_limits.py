"""How often one may ask: each caller by who they are, whoever has yet to say so by address."""

from pathlib import Path
from typing import Any

import pytest

from tests.api.stand import Stand, standing

OPEN = [
    ("POST", "/v1/sign-in"),
    ("GET", "/v1/oauth2/start"),
    ("GET", "/v1/oauth2/callback"),
    ("POST", "/v1/oauth2/token"),
    ("GET", "/v1/return"),
]
SIGN_IN = "/v1/sign-in/00000000-0000-4000-8000-000000000000"
GUESSED = [
    ("GET", "/v1/me"),
    ("DELETE", "/v1/session"),
    ("GET", "/v1/sign-requests"),
    ("POST", "/v1/watches"),
    ("GET", SIGN_IN),
    ("POST", f"{SIGN_IN}/session"),
]


def limited(**changes: Any) -> dict[str, Any]:
    return {
        "public_url": "https://service.example",
        "api": {"calls_per_minute": 3, "service_calls_per_minute": 3} | changes,
    }


async def statuses(stand: Stand, calls: list[tuple[str, str]], **how: Any) -> list[int]:
    return [(await stand.call(method, path, **how)).status for method, path in calls]


@pytest.mark.parametrize("call", OPEN, ids=str)
async def test_who_has_not_signed_in(tmp_path: Path, call: tuple[str, str]) -> None:
    """Counts by address, and hears when to come again."""
    async with standing(tmp_path, **limited()) as stand:
        found = await statuses(stand, [call] * 3, bearer=None)
        over = await stand.call(*call, bearer=None)

    assert 429 not in found
    assert (over.status, over.json["reason"], 1 <= int(over.headers["Retry-After"]) <= 20) == (
        429,
        "rate_limited",
        True,
    )


@pytest.mark.parametrize("call", GUESSED, ids=str)
async def test_who_guesses(tmp_path: Path, call: tuple[str, str]) -> None:
    """Counts by address too, and takes nothing from those who are right."""
    async with standing(tmp_path, **limited()) as stand:
        found = await statuses(stand, [call] * 4, bearer="xws_guess")
        right = await stand.call("GET", "/v1/sign-requests")

    assert (429 not in found[:3], found[3], right.status) == (True, 429, 200)


@pytest.mark.parametrize("path", ["/v1/sign-requests", "/v1/me"])
async def test_who_calls_by_name(tmp_path: Path, path: str) -> None:
    """Counts by who they are: one caller takes nothing from another at the same address."""
    async with standing(tmp_path, **limited()) as stand:
        found = await statuses(stand, [("GET", path)] * 4)
        other = await stand.call("GET", path, bearer="reader's key")

    assert (429 not in found[:3], found[3], other.status != 429) == (True, 429, True)


async def test_clients_behind_a_proxy(tmp_path: Path) -> None:
    """A proxy that is trusted says for whom it asks; anybody else may say what they like."""
    async with standing(tmp_path, **limited(trusted_proxies="127.0.0.0/8")) as stand:
        theirs = await statuses(stand, OPEN[4:] * 4, bearer=None, X_Forwarded_For="198.51.100.7")
        forged = await statuses(stand, OPEN[4:], bearer=None, X_Forwarded_For="192.0.2.1, 198.51.100.7")
        others = await statuses(stand, OPEN[4:], bearer=None, X_Forwarded_For="198.51.100.8")
    async with standing(tmp_path, **limited()) as stand:
        claimed = [
            (await stand.call(*OPEN[4], bearer=None, X_Forwarded_For=f"198.51.100.{number}")).status
            for number in range(4)
        ]

    assert (theirs, forged, others) == ([404, 404, 404, 429], [429], [404])
    assert claimed == [404, 404, 404, 429]
