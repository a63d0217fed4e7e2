"""Signing in over real HTTP, with the sandbox as Xumm's provider, and what is answered to attackers."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import pytest
from structlog.testing import capture_logs
from yarl import URL

from processor.app import Processor
from processor.sandbox.server import Sandbox
from processor.sandbox.wallet import ALICE
from tests.sandbox.clock import until
from tests.support.settings import settings_for
from tests.support.signing_in import (
    APP_LINK,
    BAR,
    PUBLIC_URL,
    SHOP,
    WEB_LINK,
    Pair,
    approved,
    declined,
)

Answer = tuple[int, dict[str, str], str]


@dataclass(slots=True, kw_only=True)
class Stand:
    """A running processor, the provider, and a browser that follows nothing by itself."""

    processor: Processor
    sandbox: Sandbox
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, *, query: str = "", **how: Any) -> Answer:
        url = URL(f"{self.processor.url}{path}?{query}", encoded=True)
        async with self.session.request(method, url, allow_redirects=False, **how) as response:
            return response.status, dict(response.headers), await response.text()

    async def start(self, *, method: str = "GET", **changes: str | None) -> Answer:
        query = {"app": "shop", "return": APP_LINK, "code_challenge": Pair().challenge} | changes
        return await self.ask(
            method,
            "/v1/oauth2/start",
            query=urlencode({name: value for name, value in query.items() if value is not None}),
        )

    async def started(self, pair: Pair, **changes: str) -> str:
        """Where the browser is sent to."""
        status, headers, _ = await self.start(code_challenge=pair.challenge, **changes)
        assert status == 303
        return headers["Location"]

    async def callback(self, answer: dict[str, str]) -> Answer:
        return await self.ask("GET", "/v1/oauth2/callback", query=urlencode(answer))

    async def redeem(self, code: str, verifier: str) -> tuple[int, dict[str, Any]]:
        body = {"code": code, "code_verifier": verifier}
        status, _, text = await self.ask("POST", "/v1/oauth2/token", json=body)
        return status, json.loads(text)


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with Sandbox([SHOP, BAR]) as sandbox:
        applications = {
            "shop": {
                "api_key": SHOP.key,
                "api_secret": SHOP.secret,
                "oauth2_url": sandbox.base_url,
                "deep_links": f"{APP_LINK},{WEB_LINK}",
            },
            "bar": {"api_key": BAR.key, "api_secret": BAR.secret, "oauth2_url": sandbox.base_url},
        }
        settings = settings_for(tmp_path, applications=applications, public_url=PUBLIC_URL, api={"session_ttl": "2h"})
        async with Processor(settings) as processor, aiohttp.ClientSession() as session:
            yield Stand(processor=processor, sandbox=sandbox, session=session)


def reason_of(answer: Answer) -> tuple[int, str]:
    status, headers, text = answer
    assert headers["Content-Type"].startswith("application/problem+json"), text
    assert "Location" not in headers
    return status, json.loads(text)["reason"]


def is_private(headers: dict[str, str]) -> bool:
    """Whether nothing keeps it, frames it, runs in it or tells others of its address."""
    policy = headers["Content-Security-Policy"]
    return (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer") and (
        "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    )


async def test_user_signs_in(stand: Stand) -> None:
    """The app opens the browser, hears by its link, and swaps the code for a session."""
    pair = Pair()
    status, headers, _ = await stand.callback(approved(stand.sandbox, await stand.started(pair)))
    link = URL(headers["Refresh"].removeprefix("0; url="))
    swapped, session = await stand.redeem(link.query["code"], pair.verifier)

    assert (status, str(link.with_query(None)), is_private(headers)) == (200, APP_LINK, True)
    assert (swapped, session["app"], session["account"]) == (200, "shop", ALICE.address)
    assert (session["token_type"], session["expires_in"]) == ("Bearer", 7200)
    me, _, told = await stand.ask("GET", "/v1/me", headers={"Authorization": f"Bearer {session['access_token']}"})
    assert (me, json.loads(told)["account"], json.loads(told)["proven_by"]) == (200, ALICE.address, "session")
    assert await stand.redeem(link.query["code"], pair.verifier) == (
        400,
        {
            "type": "urn:xumm-processor:problem:code_invalid",
            "title": "Bad Request",
            "status": 400,
            "reason": "code_invalid",
        },
    )


async def test_page_has_the_link_and_no_script(stand: Stand) -> None:
    """Where the link does not open by itself it can be pressed, and nothing of the page runs."""
    _, headers, page = await stand.callback(approved(stand.sandbox, await stand.started(Pair())))
    link = unescape(page.partition('href="')[2].partition('"')[0])

    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert f"0; url={link}" == headers["Refresh"]
    assert "You are signed in" in page
    assert re.search(r"<script|javascript:|\son\w+\s*=|style", page) is None


async def test_universal_link_is_a_redirect(stand: Stand) -> None:
    """No other app can claim it, and every browser follows it."""
    answer = approved(stand.sandbox, await stand.started(Pair(), **{"return": WEB_LINK}))
    status, headers, _ = await stand.callback(answer)

    assert (status, headers["Location"].startswith(WEB_LINK + "&code="), is_private(headers)) == (303, True, True)


async def test_user_may_decline(stand: Stand) -> None:
    """The app hears of it, and so does the user."""
    status, headers, page = await stand.callback(declined(stand.sandbox, await stand.started(Pair())))

    assert (status, headers["Refresh"]) == (200, f"0; url={APP_LINK}?error=access_denied")
    assert "did not succeed" in page


async def test_error_without_a_state_is_told_to_the_user(stand: Stand) -> None:
    """Xumm's provider leaves the state out: nothing leads back to the app, and a person reads what comes."""
    answer = {"error": "access_denied", "error_description": "The XUMM sign in request has been rejected"}
    status, headers, page = await stand.callback(answer)

    assert (status, headers["Content-Type"], "Refresh" in headers) == (200, "text/html; charset=utf-8", False)
    assert ("did not succeed" in page, "href" in page, is_private(headers)) == (True, False, True)


@pytest.mark.parametrize(
    "link",
    [
        "https://app.example.evil.com",
        "https://shop.example.evil.com/app/signin?from=xumm",
        "https://shop.example@evil.com/app/signin?from=xumm",
        "https://shop.example:443/app/signin?from=xumm",
        "https://shop.example/app/signin?from=xumm&next=https://evil.com",
        "https://shop.example/app/signin?from=xumm#@evil.com",
        "https://shop.example/app/../signin?from=xumm",
        "https://shop.example\\@evil.com/app/signin?from=xumm",
        "HTTPS://shop.example/app/signin?from=xumm",
        "//evil.com",
        "/\\evil.com",
        "https:evil.com",
        "javascript:alert(1)",
        "javascript://signin",
        "data:text/html,x",
        "shopapp://signin/",
        "shopapp://signin?",
        "shopapp://signin@evil.com",
        "shopapp:signin",
        "bar://signin",
        " shopapp://signin",
    ],
)
async def test_no_redirect_is_open(stand: Stand, link: str) -> None:
    """Only what the operator wrote, letter by letter, is a way back."""
    assert reason_of(await stand.start(**{"return": link})) == (403, "return_forbidden")


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"app": None}, (400, "parameter_invalid")),
        ({"app": "nobody"}, (403, "application_forbidden")),
        ({"app": "bar"}, (403, "return_forbidden")),
        ({"return": None}, (400, "parameter_invalid")),
        ({"code_challenge": None}, (400, "parameter_invalid")),
        ({"code_challenge": "short"}, (400, "challenge_invalid")),
        ({"code_challenge_method": "plain"}, (400, "challenge_invalid")),
    ],
)
async def test_start_is_refused(stand: Stand, changes: dict[str, str | None], answer: tuple[int, str]) -> None:
    """With a reason, and without a redirect."""
    assert reason_of(await stand.start(**changes)) == answer


@pytest.mark.parametrize("name", ["app", "return", "code_challenge", "code_challenge_method", "state", "code", "error"])
async def test_unreadable_parameters_are_refused(stand: Stand, name: str) -> None:
    """Whatever is over-long, or has control characters, or is no ASCII, is not even compared."""
    callback = name in {"state", "code", "error"}
    good = {"state": "x"} if callback else {"app": "shop", "return": APP_LINK, "code_challenge": Pair().challenge}
    query = "&".join(f"{each}={quote(text)}" for each, text in good.items() if each != name)
    path = "/v1/oauth2/callback" if callback else "/v1/oauth2/start"

    for value in ("x" * 2049, "a%0d%0aLocation:%20https://evil.com", "%00", "%1b[2J", "%c3%a9", "%ff"):
        answer = await stand.ask("GET", path, query=f"{query}&{name}={value}")
        assert reason_of(answer) == (400, "parameter_invalid")


async def test_doubled_parameters_are_refused(stand: Stand) -> None:
    """Of two nobody knows which counts."""
    query = urlencode({"app": "shop", "return": APP_LINK, "code_challenge": Pair().challenge})
    answers = [
        await stand.ask("GET", "/v1/oauth2/start", query=f"{query}&return={quote('https://evil.com')}"),
        await stand.ask("GET", "/v1/oauth2/callback", query="state=a&state=b"),
    ]

    assert [reason_of(answer) for answer in answers] == [(400, "parameter_invalid")] * 2


async def test_replayed_and_made_up_states_are_refused(stand: Stand) -> None:
    """And send nobody anywhere."""
    answer = approved(stand.sandbox, await stand.started(Pair()))
    await stand.callback(answer)

    assert reason_of(await stand.callback(answer)) == (400, "state_invalid")
    assert reason_of(await stand.callback({"state": "shop.AAAA", "code": "x"})) == (400, "state_invalid")
    assert reason_of(await stand.callback({"code": "x"})) == (400, "parameter_invalid")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/oauth2/start", "GET"),
        ("POST", "/v1/oauth2/callback", "GET"),
        ("HEAD", "/v1/oauth2/callback", "GET"),
        ("GET", "/v1/oauth2/token", "POST"),
        ("POST", "/v1/me", "GET"),
    ],
)
async def test_each_path_has_one_method(stand: Stand, method: str, path: str, allowed: str) -> None:
    """The answer says which."""
    status, headers, _ = await stand.ask(method, path)

    assert (status, headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"code":"x"}', b'{"code":1,"code_verifier":2}', b"{" * 1000])
async def test_senseless_bodies_are_refused(stand: Stand, body: bytes) -> None:
    """Like everywhere."""
    answer = await stand.ask("POST", "/v1/oauth2/token", data=body, headers={"Content-Type": "application/json"})

    assert reason_of(answer) == (400, "body_invalid")


async def test_logs_bear_no_secret(stand: Stand) -> None:
    """Not before redaction, either."""
    pair = Pair()
    with capture_logs() as lines:
        answer = approved(stand.sandbox, await stand.started(pair))
        _, headers, _ = await stand.callback(answer)
        code = URL(headers["Refresh"].removeprefix("0; url=")).query["code"]
        _, session = await stand.redeem(code, pair.verifier)
        await stand.callback(answer)
        await stand.redeem(code, pair.verifier)
        await stand.ask("POST", "/v1/oauth2/token", json={"code": code, "other": pair.verifier})
        await stand.ask("GET", "/v1/me", headers={"Authorization": f"Bearer {session['access_token']}"})
        await until(lambda: sum(line.get("times", 1) for line in lines if line["event"] == "request.refused") == 3)

    canaries = [*answer.values(), code, pair.verifier, session["access_token"], SHOP.secret]
    assert [canary for canary in canaries if canary in str(lines)] == []


async def test_without_a_public_url_nobody_can_sign_in(tmp_path: Path) -> None:
    """There is no such path then."""
    async with (
        Processor(settings_for(tmp_path)) as processor,
        aiohttp.ClientSession() as session,
        session.get(f"{processor.url}/v1/oauth2/start") as response,
    ):
        assert response.status == 404
