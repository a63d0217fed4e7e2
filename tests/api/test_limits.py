"""How often one may ask: each caller by who they are, whoever has yet to say so by address."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from processor.xumm.budget import Budget, Priority
from tests.api.stand import Stand, standing
from tests.sandbox.world import ALICE, BOB

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


WIDE = partial(Budget, limit=6_000)
"""Xumm's own limit is out of the way."""
SHARED = {"calls_per_minute": 1000, "requests_per_minute": 30, "trusted_proxies": "127.0.0.0/8"}
PAYMENT = {
    "app": "shop",
    "txjson": {"TransactionType": "Payment", "Destination": BOB, "Amount": "1000000"},
    "submit": True,
}


async def sign_ins(stand: Stand, count: int, *, address: str = "198.51.100.7") -> int:
    """How many of so many sign-ins begin."""
    calls = [
        await stand.call("POST", "/v1/sign-in", {"app": "shop"}, bearer=None, X_Forwarded_For=address)
        for _ in range(count)
    ]
    assert {each.status for each in calls} <= {201, 429}
    return sum(each.status == 201 for each in calls)


async def payments(stand: Stand, count: int, bearer: str) -> int:
    """How many of so many sign requests are made."""
    calls = [await stand.call("POST", "/v1/sign-requests", PAYMENT, bearer=bearer) for _ in range(count)]
    assert {each.status for each in calls} <= {201, 429}
    return sum(each.status == 201 for each in calls)


async def user(stand: Stand, account: str) -> str:
    return await stand.processor.sessions.create("shop", account, None, timedelta(minutes=5))


async def test_strangers_leave_the_others_their_share(tmp_path: Path) -> None:
    """However many sign-ins one address begins, or many do, users and services get theirs, and services the rest."""
    async with standing(tmp_path, budget=WIDE, api=SHARED) as stand:
        of_one = await sign_ins(stand, 30)
        of_many = of_one + sum([await sign_ins(stand, 2, address=f"198.51.100.{each}") for each in range(8, 28)])
        users = [await payments(stand, 30, await user(stand, account)) for account in (ALICE, BOB)]
        services = await payments(stand, 12, "backend's key")

    assert [True, True, True] == [6 <= of_one < 9, 9 <= of_many < 15, 10 <= services]
    assert [True, True] == [3 < each < 10 for each in users]


async def test_services_may_use_all(tmp_path: Path) -> None:
    """What nobody else asks for is there for a key."""
    async with standing(tmp_path, budget=WIDE, api=SHARED) as stand:
        assert 30 <= await payments(stand, 40, "backend's key")


async def test_withdrawing_counts(tmp_path: Path) -> None:
    """A user who withdraws again and again spends their own share of Xumm's calls, and nobody else's."""
    async with standing(tmp_path, api=SHARED) as stand:
        bearer = await user(stand, ALICE)
        made = (await stand.call("POST", "/v1/sign-requests", PAYMENT, bearer=bearer)).json
        withdrawn = await statuses(stand, [("DELETE", made["status_url"])] * 9, bearer=bearer)

    assert [200] * 5 == withdrawn[:5]
    assert 429 in withdrawn[5:]


class ToldBudget(Budget):
    """A budget that remembers who came."""

    def __init__(self) -> None:
        super().__init__(limit=600)
        self.told: list[Priority] = []

    async def acquire(self, priority: Priority) -> None:
        self.told.append(priority)
        await super().acquire(priority)


async def test_who_waits_for_xumm_first(tmp_path: Path) -> None:
    """In the line for Xumm's rate limit, services stand before users, and both before strangers."""
    budgets: list[ToldBudget] = []

    def made() -> Budget:
        budgets.append(ToldBudget())
        return budgets[-1]

    async with standing(tmp_path, budget=made) as stand:
        begun = await stand.call("POST", "/v1/sign-in", {"app": "shop"}, bearer=None)
        assert begun.status == 201
        alice = await user(stand, ALICE)
        for bearer in (alice, "backend's key"):
            asked = (await stand.call("POST", "/v1/sign-requests", PAYMENT, bearer=bearer)).json
            await stand.call("DELETE", asked["status_url"], bearer=bearer)

    told = [each for each in budgets[0].told if each not in {Priority.URGENT, Priority.ROUTINE}]
    assert [Priority.STRANGER, *[Priority.USER] * 2, *[Priority.REQUEST] * 2] == told
    assert sorted(Priority) == [Priority.URGENT, Priority.REQUEST, Priority.USER, Priority.STRANGER, Priority.ROUTINE]


JSON = {"Content_Type": "application/json"}
BESIDE = {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"}


STRANGE: list[tuple[dict[str, str], int, str]] = [
    ({"Content_Type": "text/plain"}, 415, "media_type_not_supported"),
    ({"Content_Type": "application/x-www-form-urlencoded"}, 415, "media_type_not_supported"),
    ({"Content_Type": "application/jsonp"}, 415, "media_type_not_supported"),
    ({"Content_Type": ""}, 415, "media_type_not_supported"),
    (JSON | BESIDE, 403, "origin_forbidden"),
    (JSON | {"Sec_Fetch_Site": "cross-site"}, 403, "origin_forbidden"),
    (JSON | {"Sec_Fetch_Site": "same-site"}, 403, "origin_forbidden"),
    (JSON | {"Origin": "null"}, 403, "origin_forbidden"),
    (JSON | {"Origin": "https://evil.example"}, 403, "origin_forbidden"),
]
OWN: list[dict[str, str]] = [
    {"Content_Type": "application/json; charset=utf-8"},
    {"Origin": "https://shop.example", "Sec_Fetch_Site": "cross-site"},
    {"Origin": "https://own.example", "Host": "own.example", "Sec_Fetch_Site": "same-origin"},
    {"Origin": "https://own.example:8443", "Host": "own.example:8443"},
    {"Origin": "https://proxied.example", "Sec_Fetch_Site": "same-origin"},
    {"Sec_Fetch_Site": "none"},
]


async def test_page_of_another_site_starts_nothing(tmp_path: Path) -> None:
    """What browsers send for a strange page is refused whatever stands in it; an app and an allowed page begin."""
    api = {"allowed_origins": "https://shop.example", "calls_per_minute": 1000, "requests_per_minute": 100}
    async with standing(tmp_path, public_url="https://service.example", api=api) as stand:
        refused = [
            await stand.call("POST", path, {"app": "shop"}, bearer=None, **headers)
            for headers, _, _ in STRANGE
            for path in ("/v1/sign-in", "/v1/oauth2/token")
        ]
        made = stand.payloads
        begun = [await stand.call("POST", "/v1/sign-in", {"app": "shop"}, bearer=None, **(JSON | own)) for own in OWN]

    assert [each[1:] for each in STRANGE for _ in range(2)] == [(each.status, each.json["reason"]) for each in refused]
    assert (0, [201] * 6) == (made, [each.status for each in begun])
