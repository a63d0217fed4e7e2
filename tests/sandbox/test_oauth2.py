"""The sandbox's OAuth2 provider, as a client of Xumm's would use it."""

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import jwt
import pytest
from yarl import URL

from processor.sandbox.faults import Faults
from processor.sandbox.server import Sandbox
from tests.sandbox.clock import FakeClock
from tests.sandbox.world import ALICE, BOB, OTHER, SHOP, World

BACK = "https://service.example/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ASKED = {"client_id": SHOP.key, "redirect_uri": BACK, "response_type": "code", "state": "s", "nonce": "n"}
CLAIMS_OF_XUMM = {
    "sub", "aud", "client_id", "app_uuidv4", "iss", "exp", "payload_uuidv4", "usertoken_uuidv4", "network_type",
    "network_id", "network_endpoint", "nonce", "scope",
}  # fmt: skip


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


async def press(world: World, **fields: str) -> URL:
    """Where the browser goes after a button of the page."""
    url = f"{world.sandbox.base_url}/auth"
    async with world.session.post(url, data=fields, allow_redirects=False) as response:
        assert response.status == 303, await response.text()
        return URL(response.headers["Location"])


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
    back = await press(world, **ASKED, account=ALICE)
    assert (str(back.with_query(None)), back.query["state"]) == (BACK, "s")

    status, tokens = await redeem(world, code=back.query["code"])
    _, published = await get(world, "/certs")
    (key,) = published["keys"]
    unexpired: Any = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(
        tokens["access_token"], jwt.PyJWK(key), algorithms=["RS256"], audience=SHOP.key, options=unexpired
    )

    assert (status, tokens["token_type"], tokens["expires_in"]) == (200, "Bearer", 86400)
    assert "kid" not in key
    assert set(jwt.get_unverified_header(tokens["access_token"])) == {"alg", "typ"}
    assert set(claims) >= CLAIMS_OF_XUMM
    assert (claims["sub"], claims["nonce"], claims["iss"]) == (ALICE, "n", world.sandbox.base_url)
    assert claims["exp"] == world.clock().timestamp() + 86400
    assert (claims["client_id"], claims["network_type"]) == (SHOP.key, "MAINNET")


async def test_implicit_flow_brings_the_token_itself(world: World) -> None:
    """And who bears it is told who it is of, until its time is over."""
    back = await press(world, **ASKED | {"response_type": "token"}, account=BOB)
    bearer = {"Authorization": f"Bearer {back.query['access_token']}"}
    status, user = await get(world, "/userinfo", headers=bearer)

    assert (status, user["sub"], "code" in back.query) == (200, BOB, False)
    assert (await get(world, "/userinfo"))[0] == 401
    world.clock.advance(days=1)
    assert (await get(world, "/userinfo", headers=bearer))[0] == 401


async def test_discovery_names_what_there_is(world: World) -> None:
    """Each address that it gives is one of the sandbox's."""
    _, found = await get(world, "/.well-known/openid-configuration")

    assert found["issuer"] == world.sandbox.base_url
    assert (await get(world, URL(found["jwks_uri"]).path))[0] == 200
    assert found["token_endpoint"] == f"{world.sandbox.base_url}/token"


async def test_secret_may_come_in_the_header(world: World) -> None:
    """Both ways of RFC 6749 are there; a wrong secret is neither."""
    for password, status in ((SHOP.secret, 200), (OTHER.secret, 401)):
        back = await press(world, **ASKED, account=ALICE)
        assert (await redeem(world, f"{SHOP.key}:{password}", code=back.query["code"]))[0] == status


@pytest.mark.parametrize(
    ("asked", "form", "error"),
    [
        ({}, {"client_secret": OTHER.secret}, "invalid_client"),
        ({}, {"client_id": OTHER.key, "client_secret": OTHER.secret}, "invalid_grant"),
        ({}, {"code": "other"}, "invalid_grant"),
        ({}, {"redirect_uri": BACK + "/"}, "invalid_grant"),
        ({}, {"grant_type": "password"}, "unsupported_grant_type"),
        ({}, {"code_verifier": VERIFIER}, "invalid_grant"),
        ({"code_challenge": CHALLENGE}, {}, "invalid_grant"),
        ({"code_challenge": CHALLENGE}, {"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_challenge": CHALLENGE}, {"code_verifier": CHALLENGE}, "invalid_grant"),
        ({"code_challenge": CHALLENGE}, {"code_verifier": VERIFIER}, None),
    ],
)
async def test_code_is_bound(world: World, asked: dict[str, str], form: dict[str, str], error: str | None) -> None:
    """To its client, its redirect URI and its verifier."""
    method = {"code_challenge_method": "S256"} if asked else {}
    back = await press(world, **ASKED, **asked, **method, account=ALICE)
    _, answer = await redeem(world, **{"code": back.query["code"]} | form)

    assert answer.get("error") == error


async def test_code_counts_once_and_for_a_minute(world: World) -> None:
    """Afterwards it is no code any more."""
    codes = [(await press(world, **ASKED, account=ALICE)).query["code"] for _ in range(2)]

    assert [(await redeem(world, code=codes[0]))[0] for _ in range(2)] == [200, 400]
    world.clock.advance(seconds=60)
    assert (await redeem(world, code=codes[1]))[0] == 400


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "nobody"},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": ""},
        {"response_type": "id_token"},
        {"code_challenge": CHALLENGE},
        {"code_challenge": CHALLENGE, "code_challenge_method": "plain"},
        {"code_challenge": "short", "code_challenge_method": "S256"},
    ],
)
async def test_senseless_requests_redirect_nowhere(world: World, change: dict[str, str]) -> None:
    """The user is told, and stays."""
    async with world.session.get(f"{world.sandbox.base_url}/auth", params=ASKED | change) as response:
        assert response.status in {400, 401}


async def test_user_may_decline(world: World) -> None:
    """Which the client hears as an error."""
    back = await press(world, **ASKED, deny="1")

    assert dict(back.query) == {"error": "access_denied", "state": "s"}


async def test_faults_of_the_provider(world: World) -> None:
    """What is down is down for all; what lies may lie to one."""
    for fault, status in (("failing", 503), ("garbage", 200)):
        world.sandbox.faults.set(Faults(oauth2=fault))  # type: ignore[arg-type]  # the names of two faults
        async with world.session.get(f"{world.sandbox.base_url}/certs") as response:
            assert response.status == status
            assert '"n"' not in await response.text()
    world.sandbox.faults.clear()
    world.sandbox.faults.set(Faults(oauth2="nonce"), SHOP.key)
    back = await press(world, **ASKED, account=ALICE)
    _, tokens = await redeem(world, code=back.query["code"])
    claims = jwt.decode(tokens["id_token"], options={"verify_signature": False})

    assert claims["nonce"] != "n"


async def test_xapps_get_another_kind_of_token(world: World) -> None:
    """HS256, with the API secret as it stands."""
    token = world.sandbox.provider.xapp_token(ALICE, OTHER, issuer=world.sandbox.base_url)
    unexpired: Any = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, OTHER.secret, algorithms=["HS256"], audience=OTHER.key, options=unexpired)

    assert (claims["sub"], claims["client_id"]) == (ALICE, OTHER.key)
