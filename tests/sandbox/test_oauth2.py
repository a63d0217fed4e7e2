"""The sandbox's OAuth2 provider, as a client of Xumm's would use it."""

import base64
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import aiohttp
import jwt
import pytest
from yarl import URL

from processor.sandbox.faults import Faults
from processor.sandbox.oauth2 import allows_redirect
from processor.sandbox.server import Sandbox
from processor.sandbox.simulation import SandboxSettings
from tests.sandbox.clock import FakeClock
from tests.sandbox.world import ALICE, BOB, OTHER, SHOP, World

BACK = "https://service.example/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ASKED = {
    "client_id": SHOP.key, "redirect_uri": BACK, "response_type": "code", "state": "s", "nonce": "n", "scope": "openid",
}  # fmt: skip
CLAIMS_OF_XUMM = {
    "sub", "aud", "client_id", "app_uuidv4", "iss", "exp", "payload_uuidv4", "usertoken_uuidv4", "network_type",
    "network_id", "network_endpoint", "nonce", "scope", "state", "iat", "email", "app_name",
}  # fmt: skip
USER_OF_XUMM = {
    "sub", "email", "picture", "account", "name", "domain", "blocked", "source", "force_dtag", "kycApproved",
    "proSubscription", "networkType", "networkId", "networkEndpoint",
}  # fmt: skip
"""What the kits for JavaScript and Python declare together."""


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = FakeClock()
    shop = replace(SHOP, redirect_uris=(BACK,))
    async with (
        Sandbox([shop, OTHER], clock=clock, sleep=clock.sleep) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        yield World(sandbox, clock, session)


async def get(world: World, path: str, **how: Any) -> tuple[int, Any]:
    async with world.session.get(f"{world.sandbox.base_url}{path}", **how) as response:
        return response.status, await response.json(content_type=None) if response.status < 300 else None


async def press(world: World, said: Mapping[str, object] | None = None, **query: str) -> URL:
    """Where the browser goes after a button of the page."""
    answer = await told(world, {"account": ALICE} if said is None else said, **query)
    return URL(answer["to"])


async def told(world: World, said: Mapping[str, object], **query: str) -> Any:
    """What the page hears when a button is pressed."""
    async with world.session.post(f"{world.sandbox.base_url}/auth", params=query, json=said) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def redeem(world: World, basic: str | None = None, **form: str) -> tuple[int, Any]:
    fields = {"grant_type": "authorization_code", "redirect_uri": BACK} | form
    headers = {} if basic is None else {"Authorization": f"Basic {base64.b64encode(basic.encode()).decode()}"}
    if basic is None:
        fields = {"client_id": SHOP.key, "client_secret": SHOP.secret} | fields
    async with world.session.post(f"{world.sandbox.base_url}/token", data=fields, headers=headers) as response:
        return response.status, await response.json()


async def test_code_is_swapped_for_a_token_in_xumms_shape(world: World) -> None:
    """Page, button, code, token; verified with the published key, which has no id."""
    async with world.session.get(f"{world.sandbox.base_url}/auth", params=ASKED) as page:
        assert (page.status, ALICE in await page.text()) == (200, True)
    back = await press(world, **ASKED)
    assert (str(back.with_query(None)), back.query["state"], back.query["nonce"]) == (BACK, "s", "n")
    assert back.query["authorization_code"] == back.query["code"]

    status, tokens = await redeem(world, code=back.query["code"])
    _, published = await get(world, "/certs")
    (key,) = published["keys"]
    unexpired: Any = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(
        tokens["access_token"], jwt.PyJWK(key), algorithms=["RS256"], audience=SHOP.key, options=unexpired
    )

    assert (status, tokens["token_type"], tokens["expires_in"]) == (200, "bearer", 86400)
    assert (tokens["refresh_token"], tokens["scope"], tokens["id_token"]) == ("", "openid", tokens["access_token"])
    assert "kid" not in key
    assert set(jwt.get_unverified_header(tokens["access_token"])) == {"alg", "typ"}
    assert set(claims) >= CLAIMS_OF_XUMM
    assert (claims["sub"], claims["nonce"], claims["iss"]) == (ALICE, "n", world.sandbox.base_url)
    assert claims["exp"] == world.clock().timestamp() + 86400
    assert (claims["client_id"], claims["network_type"]) == (SHOP.key, "MAINNET")


async def test_implicit_flow_brings_the_token_itself(world: World) -> None:
    """And who bears it is told who it is of, until its time is over."""
    back = await press(world, {"account": BOB}, **ASKED | {"response_type": "token"})
    bearer = {"Authorization": f"Bearer {back.query['access_token']}"}
    status, user = await get(world, "/userinfo", headers=bearer)

    assert (status, user["sub"], "code" in back.query) == (200, BOB, False)
    assert (back.query["token_type"], back.query["refresh_token"], back.query["state"]) == ("bearer", "", "s")
    assert set(user) == USER_OF_XUMM
    assert (await get(world, "/userinfo"))[0] == 401
    world.clock.advance(days=1)
    assert (await get(world, "/userinfo", headers=bearer))[0] == 403


async def test_discovery_names_what_there_is(world: World) -> None:
    """Each address that it gives is one of the sandbox's."""
    _, found = await get(world, "/.well-known/openid-configuration")

    assert found["issuer"] == world.sandbox.base_url
    assert (await get(world, URL(found["jwks_uri"]).path))[0] == 200
    assert found["token_endpoint"] == f"{world.sandbox.base_url}/token"


async def test_secret_may_come_in_the_header(world: World) -> None:
    """Both ways of RFC 6749 are there; a wrong secret is neither."""
    for password, status in ((SHOP.secret, 200), (OTHER.secret, 400)):
        back = await press(world, **ASKED)
        assert (await redeem(world, f"{SHOP.key}:{password}", code=back.query["code"]))[0] == status


@pytest.mark.parametrize(
    ("asked", "form", "why"),
    [
        ({}, {"client_secret": OTHER.secret}, "Invalid client credentials."),
        ({}, {"client_id": OTHER.key, "client_secret": OTHER.secret}, "Client ID does not match the record."),
        ({}, {"code": "other"}, "Invalid authorization code."),
        ({}, {"redirect_uri": BACK + "/elsewhere"}, "Redirect URL does not match the record."),
        ({}, {"redirect_uri": BACK + "/?and=this#too"}, None),
        ({}, {"grant_type": "password"}, "Grant type is invalid or missing."),
        ({}, {"client_secret": ""}, "Client secret and code verifier are exclusive to each other."),
        ({}, {"code_verifier": VERIFIER}, "Code verifier does not match code challenge."),
        ({"code_challenge": CHALLENGE}, {"code_verifier": "w" * 43}, "Code verifier does not match code challenge."),
        ({"code_challenge": CHALLENGE}, {"code_verifier": CHALLENGE}, "Code verifier does not match code challenge."),
        ({"code_challenge": CHALLENGE}, {"code_verifier": VERIFIER}, None),
        ({"code_challenge": CHALLENGE}, {"code_verifier": VERIFIER, "client_secret": ""}, None),
        (
            {"code_challenge": CHALLENGE},
            {"code_verifier": VERIFIER, "client_secret": "x"},
            "Invalid client credentials.",
        ),
        ({"code_challenge": CHALLENGE}, {}, None),
    ],
)
async def test_code_is_bound(world: World, asked: dict[str, str], form: dict[str, str], why: str | None) -> None:
    """To its client, its redirect URI and its verifier; a verifier stands for the secret, and the secret for it."""
    method = {"code_challenge_method": "S256"} if asked else {}
    back = await press(world, **ASKED, **asked, **method)
    _, answer = await redeem(world, **{"code": back.query["code"]} | form)

    assert answer.get("error_description") == why


async def test_code_may_come_under_its_other_name(world: World) -> None:
    """Xumm gives it under two, and takes either; in a form or in JSON."""
    code = (await press(world, **ASKED)).query["authorization_code"]
    form = {"grant_type": "authorization_code", "redirect_uri": BACK, "client_id": SHOP.key}
    asked = form | {"client_secret": SHOP.secret, "authorization_code": code}
    async with world.session.post(f"{world.sandbox.base_url}/token", json=asked) as response:
        assert response.status == 200


async def test_code_counts_once_and_for_ten_minutes(world: World) -> None:
    """Afterwards it is no code any more. A failure does not use it up."""
    codes = [(await press(world, **ASKED)).query["code"] for _ in range(2)]

    assert (await redeem(world, code=codes[0], redirect_uri="https://elsewhere.example"))[0] == 400
    assert [(await redeem(world, code=codes[0]))[0] for _ in range(2)] == [200, 400]
    world.clock.advance(seconds=600)
    assert (await redeem(world, code=codes[1]))[0] == 400


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "nobody"},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": ""},
        {"response_type": "id_token"},
        {"code_challenge": CHALLENGE},
        {"code_challenge_method": "S256"},
    ],
)
async def test_senseless_requests_redirect_nowhere(world: World, change: dict[str, str]) -> None:
    """The user is told, and stays."""
    async with world.session.get(f"{world.sandbox.base_url}/auth", params=ASKED | change) as response:
        assert (response.status, response.content_type) == (400, "text/html")


@pytest.mark.parametrize(
    ("registered", "uri", "fits"),
    [
        ("https://a.example/back", "https://a.example/back", True),
        ("https://a.example/back", "https://a.example/back/further?and=this#too", True),
        ("https://a.example/back", "https://a.example/backwards", True),
        ("https://a.example/back/", "https://a.example/back", True),
        ("https://a.example", "https://a.example.evil.example", True),
        ("https://a.example/back", "https://a.example/", False),
        ("https://a.example/back", "http://a.example/back", False),
        ("https://*.a.example", "https://deep.down.a.example/anywhere", True),
        ("https://*.a.example", "https://a.example/", False),
        ("https://*.a.example", "https://b.aXexample/", False),
        ("https://*.a.example", "http://b.a.example/", False),
        ("shopapp://signin", "shopapp://signin?state=1", True),
        ("not a uri", "not a uri", False),
    ],
)
def test_redirect_uris_are_matched_by_prefix_and_wildcard(registered: str, uri: str, *, fits: bool) -> None:
    """As Xumm's provider does, however loose that is: whole paths are to be registered, never a bare origin."""
    assert fits == allows_redirect(replace(SHOP, redirect_uris=(registered,)), uri)


async def test_kit_for_browsers_is_told_by_a_message(world: World) -> None:
    """The window that opened the page hears where its user would be sent, in either flow, or that they declined."""
    kit = ASKED | {"scope": "XummPkce"}
    granted = await told(world, {"account": ALICE}, **kit)
    implicit = await told(world, {"account": ALICE}, **kit | {"response_type": "token"})
    rejected = await told(world, {"deny": True}, **kit)

    assert granted["message"]["source"] == implicit["message"]["source"] == "xumm_sign_request_resolved"
    assert granted["message"]["options"]["full_redirect_uri"] == granted["to"]
    assert granted["message"]["options"]["authorization_code"] == URL(granted["to"]).query["code"]
    assert "access_token" in URL(implicit["message"]["options"]["full_redirect_uri"]).query
    assert (rejected["message"]["source"], rejected["message"]["options"]["error"]) == (
        "xumm_sign_request_rejected",
        "access_denied",
    )
    assert (await told(world, {"account": ALICE}, **ASKED))["message"] is None


async def test_network_and_signers_can_be_asked_for(world: World) -> None:
    """The token names the network; nobody but the signers can sign in."""
    asked = ASKED | {"response_type": "token", "force_network": "TESTNET", "signers": BOB}
    claims = unverified((await press(world, {"account": BOB}, **asked)).query["access_token"])
    url = f"{world.sandbox.base_url}/auth"
    async with world.session.post(url, params=asked, json={"account": ALICE}) as response:
        status = response.status

    assert (claims["network_type"], claims["network_id"], claims["sub"], status) == ("TESTNET", 1, BOB, 400)


async def test_pages_of_any_origin_may_ask(world: World) -> None:
    """Xumm's kit swaps the code and asks for the user from a page; who signs in is no page's to press."""
    page = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    allowed = {}
    for path in ("/token", "/userinfo", "/certs", "/auth"):
        async with world.session.options(f"{world.sandbox.base_url}{path}", headers=page) as response:
            allowed[path] = response.headers.get("Access-Control-Allow-Origin")

    assert allowed == {"/token": "*", "/userinfo": "*", "/certs": "*", "/auth": None}


async def test_issuer_may_have_another_name(world: World) -> None:
    """Xumm's provider has two hosts."""
    async with Sandbox([SHOP], SandboxSettings(issuer="https://oauth2.xaman.app")) as sandbox:
        asked = sandbox.provider.parse(ASKED | {"response_type": "token"})
        token = URL(sandbox.provider.approve(asked, ALICE, issuer=sandbox.issuer)).query["access_token"]

    assert unverified(token)["iss"] == "https://oauth2.xaman.app"


async def test_user_may_decline(world: World) -> None:
    """Which the client hears as an error: without its state, which Xumm does not give back."""
    back = await press(world, {"deny": True}, **ASKED)

    assert dict(back.query) == {
        "error": "access_denied",
        "error_description": "The XUMM sign in request has been rejected",
    }


async def test_faults_of_the_provider(world: World) -> None:
    """What is down is down for all; what lies may lie to one."""
    for fault, status in (("failing", 503), ("garbage", 200)):
        world.sandbox.faults.set(Faults(oauth2=fault))  # type: ignore[arg-type]  # the names of two faults
        async with world.session.get(f"{world.sandbox.base_url}/certs") as response:
            assert response.status == status
            assert '"n"' not in await response.text()
    world.sandbox.faults.clear()
    world.sandbox.faults.set(Faults(oauth2="nonce"), SHOP.key)
    back = await press(world, **ASKED)
    _, tokens = await redeem(world, code=back.query["code"])
    world.sandbox.faults.set(Faults(oauth2="netless"), SHOP.key)
    implicit = await press(world, **ASKED | {"response_type": "token"})

    assert unverified(tokens["id_token"])["nonce"] != "n"
    assert unverified(implicit.query["access_token"])["network_id"] == "undefined"


def unverified(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims
