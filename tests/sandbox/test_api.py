"""What the sandbox's API knows beside payloads, for applications, for users who bear a token, and for anybody.

Each shape is compared with what Xumm's kits declare, or with the answers that their own tests have.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import jwt
import pytest
import segno

from processor.sandbox.access import RateLimits
from processor.sandbox.reference_data import HOOK_HASH
from processor.sandbox.server import Sandbox
from processor.sandbox.simulation import SandboxSettings
from tests.sandbox.clock import FakeClock
from tests.sandbox.world import ALICE, BOB, OTHER, PAYMENT, SHOP, SIGN_IN, World, signature_of

UNKNOWN = "00000000-0000-4000-8000-000000000000"
NFTOKEN = "000B013A95F14B0E44F78A264E41713C64B5F89242540EE208C3098E00000D65"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = FakeClock()
    settings = SandboxSettings(limits=RateLimits(calls=1000, creations=100))
    async with (
        Sandbox([SHOP, OTHER], settings, clock=clock, sleep=clock.sleep) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        yield World(sandbox, clock, session)


def bearer(world: World, account: str = ALICE) -> str:
    """The token of a user who signed in."""
    asked = {"client_id": SHOP.key, "redirect_uri": "https://app.example", "response_type": "token"}
    back = world.sandbox.provider.approve(world.sandbox.provider.parse(asked), account, issuer=world.sandbox.issuer)
    return back.partition("access_token=")[2].partition("&")[0]


async def ask(
    world: World, method: str, path: str, headers: Mapping[str, str] | None = None, body: object = None
) -> tuple[int, Any]:
    """Status and JSON of a call of the API, with no credentials but those in ``headers``."""
    url = f"{world.sandbox.base_url}/api/v1/{path}"
    async with world.session.request(method, url, headers=headers, json=body) as response:
        return response.status, await response.json()


async def test_networks_rates_and_assets_have_the_shape_of_the_kits(world: World) -> None:
    """`Rails`, `RatesResponse` and `CuratedAssetsResponse` of xumm-sdk."""
    _, rails = await ask(world, "GET", "platform/rails")
    _, rates = await world.call("GET", "rates/usd")
    _, assets = await world.call("GET", "curated-assets")

    assert {"MAINNET", "TESTNET", "XAHAU"} <= set(rails)
    assert (21337, "XAH", True) == tuple(rails["XAHAU"][name] for name in ("chain_id", "native_asset", "is_livenet"))
    assert set(rails["MAINNET"]) == {
        "chain_id", "color", "name", "is_livenet", "native_asset", "endpoints", "explorers", "rpc", "definitions",
        "icons",
    }  # fmt: skip
    assert rates == {
        "USD": 1,
        "XRP": 2,
        "__meta": {"currency": {"en": "US Dollar", "code": "USD", "symbol": "$", "isoDecimals": 2}},
    }
    assert (["Sandbox"], ["USD"]) == (assets["issuers"], assets["currencies"])
    assert BOB == assets["details"]["Sandbox"]["currencies"]["USD"]["issuer"]


async def test_hooks_are_known_by_their_hash(world: World) -> None:
    """`HookHash` and `HookHashes` of xumm-sdk."""
    _, one = await world.call("GET", f"hookhash/{HOOK_HASH}")

    assert (200, {HOOK_HASH: one}) == await world.call("GET", "hookhash")
    assert {"name", "description", "creator", "xapp", "appuuid", "icon", "verifiedAccounts", "audits"} == set(one)


async def test_accounts_are_known_to_everybody(world: World) -> None:
    """`KycInfoResponse` of xumm-sdk, and what Xumm's API tells of an account without credentials."""
    _, alice = await ask(world, "GET", f"platform/account-meta/{ALICE}")
    _, bob = await ask(world, "GET", f"platform/account-meta/{BOB}")

    assert (200, {"account": ALICE, "kycApproved": False}) == await ask(world, "GET", f"platform/kyc-status/{ALICE}")
    assert ("Alice", None) == (alice["xummProfile"]["accountAlias"], bob["xummProfile"]["accountAlias"])
    assert {
        "account", "kycApproved", "xummPro", "blocked", "force_dtag", "avatar", "xummProfile", "thirdPartyProfiles",
        "globalid",
    } == set(alice)  # fmt: skip


async def test_a_user_s_standing_is_told_by_token(world: World) -> None:
    """`KycStatusResponse` of xumm-sdk."""
    token = signature_of(world.sandbox.sign(world.sandbox.create(SIGN_IN).uuid)).user_token.token
    _, status = await world.call("POST", "kyc-status", {"user_token": token})

    assert ("NONE", ["NONE", "IN_PROGRESS", "REJECTED", "SUCCESSFUL"]) == (
        status["kycStatus"],
        list(status["possibleStatuses"]),
    )


async def test_a_transaction_tells_whose_balance_it_changed(world: World) -> None:
    """`XrplTransaction` of xumm-sdk: what was delivered, and the fee."""
    txid = signature_of(world.sandbox.sign(world.sandbox.create(PAYMENT).uuid)).txid
    await world.settled_tx(txid)
    _, found = await world.call("GET", f"xrpl-tx/{txid}")

    def change(value: str) -> list[dict[str, str]]:
        return [{"counterparty": "", "currency": "XRP", "value": value}]

    assert {ALICE: change("-1.000012"), BOB: change("1")} == found["balanceChanges"]
    assert (txid, "wss://xrplcluster.com", "tesSUCCESS", True) == (
        found["txid"],
        found["node"],
        found["transaction"]["meta"]["TransactionResult"],
        found["transaction"]["validated"],
    )


async def test_pushes_reach_who_gave_the_application_a_token(world: World) -> None:
    """`PushResponse` and `EventResponse` of xumm-sdk; an event has a uuid of its own."""
    token = signature_of(world.sandbox.sign(world.sandbox.create(SIGN_IN).uuid)).user_token.token
    told = [await world.call("POST", "xapp/push", {"user_token": each, "body": "Hey"}) for each in (token, UNKNOWN)]
    _, event = await world.call("POST", "xapp/event", {"user_token": token, "body": "Hey", "data": {"a": 1}})

    assert [(200, {"pushed": True}), (200, {"pushed": False})] == told
    assert (True, {"pushed", "uuid"}) == (event["pushed"], set(event))


async def test_an_application_keeps_one_object(world: World) -> None:
    """`StorageSetResponse`, `StorageGetResponse` and `StorageDeleteResponse` of xumm-sdk."""
    owner = {"application": {"name": SHOP.name, "uuidv4": SHOP.key}}

    assert (200, {**owner, "data": None}) == await world.call("GET", "app-storage")
    assert (200, {**owner, "stored": True, "data": {"a": 1}}) == await world.call("POST", "app-storage", {"a": 1})
    assert (200, {**owner, "data": {"a": 1}}) == await world.call("GET", "app-storage")
    assert None is (await world.call("GET", "app-storage", application=OTHER))[1]["data"]
    assert (200, {**owner, "stored": True, "data": None}) == await world.call("DELETE", "app-storage")
    assert (200, {**owner, "data": None}) == await world.call("GET", "app-storage")


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "rates/XYZ", None, 404),
        ("GET", f"hookhash/{'0' * 64}", None, 404),
        ("GET", f"xrpl-tx/{'0' * 64}", None, 404),
        ("GET", "xrpl-tx/none", None, 404),
        ("GET", "kyc-status/rNobody", None, 404),
        ("GET", "account-meta/rNobody", None, 404),
        ("GET", f"xapp/ott/{UNKNOWN}", None, 404),
        ("POST", "kyc-status", {"user_token": UNKNOWN}, 404),
        ("POST", "app-storage", [], 602),
        ("POST", "xapp/push", [], 602),
    ],
)
async def test_what_there_is_not_has_an_error_of_the_api(
    world: World, method: str, path: str, body: object, code: int
) -> None:
    """404 for what nobody knows, 602 for a body that makes no sense."""
    status, told = await world.call(method, path, body)

    assert (code, True) == (told["error"]["code"], status in {400, 404})


@pytest.mark.parametrize(
    ("attached", "code"),
    [
        ({"identifier": "x" * 40, "instruction": "é" * 280, "blob": "x" * 1498}, None),
        ({"identifier": "x" * 41}, 413),
        ({"instruction": "x" * 281}, 413),
        ({"blob": {"a": "x" * 1500}}, 413),
    ],
)
async def test_what_is_attached_has_its_limits(world: World, attached: object, code: int | None) -> None:
    """Characters as text, by Xumm's own count."""
    status, told = await world.call("POST", "payload", {**SIGN_IN, "custom_meta": attached})

    assert (status, told.get("error", {}).get("code")) == ((code, code) if code else (200, None))


async def test_a_user_s_token_calls_the_api(world: World) -> None:
    """`JwtPong` of xumm-sdk; a payload goes to the user who bears the token, and only of their application."""
    headers = {"Authorization": f"Bearer {bearer(world)}"}
    _, pong = await ask(world, "GET", "jwt/ping", headers)
    _, created = await ask(world, "POST", "jwt/payload", headers, SIGN_IN)
    foreign = world.sandbox.create(SIGN_IN, application=OTHER).uuid
    statuses = [(await ask(world, "GET", f"jwt/payload/{uuid}", headers))[0] for uuid in (created["uuid"], foreign)]

    assert (True, SHOP.key, ALICE) == (pong["pong"], pong["client_id"], pong["sub"])
    assert {"usertoken_uuidv4", "app_uuidv4", "app_name", "payload_uuidv4", "iat", "exp", "iss", "aud"} <= set(pong)
    assert (True, [200, 404]) == (created["pushed"], statuses)
    assert "OK" == (await ask(world, "DELETE", f"jwt/payload/{created['uuid']}", headers))[1]["result"]["reason"]
    for path in ("curated-assets", "rates/EUR", "rails", "hookhash"):
        assert 200 == (await ask(world, "GET", f"jwt/{path}", headers))[0]
    assert (200, {"issuer": "rNCFjv8Ek5oDrNiMJ3pw6eLLFtMjZLJnf2", "token": NFTOKEN}) == await ask(
        world, "GET", f"jwt/nftoken-detail/{NFTOKEN}", headers
    )


async def test_objects_are_kept_for_each_user(world: World) -> None:
    """`JwtUserdataList`, `-Get`, `-Set` and `-Delete` of xumm-sdk."""
    alice = {"Authorization": f"Bearer {bearer(world)}"}
    bob = {"Authorization": f"Bearer {bearer(world, BOB)}"}
    told = [
        await ask(world, *call)
        for call in (
            ("POST", "jwt/userdata/first", alice, {"a": 1}),
            ("POST", "jwt/userdata/second", alice, {"b": 2}),
            ("GET", "jwt/userdata", alice),
            ("GET", "jwt/userdata/first,second", alice),
            ("DELETE", "jwt/userdata/first", alice),
            ("GET", "jwt/userdata/first", alice),
            ("GET", "jwt/userdata", bob),
            ("POST", "jwt/userdata/a", alice, {}),
        )
    ]

    assert [
        {"operation": "PERSIST", "persisted": True},
        {"operation": "PERSIST", "persisted": True},
        {"operation": "LIST", "keys": ["first", "second"], "count": 2},
        {
            "operation": "RETRIEVE",
            "data": {"first": {"a": 1}, "second": {"b": 2}},
            "keys": ["first", "second"],
            "count": 2,
        },
        {"operation": "REMOVE", "persisted": True},
        {"operation": "RETRIEVE", "data": {}, "keys": [], "count": 0},
        {"operation": "LIST", "keys": [], "count": 0},
    ] == [body for _, body in told[:-1]]
    assert 400 == told[-1][0]


async def test_an_xapp_swaps_its_one_time_token_once(world: World) -> None:
    """`xAppJwtOtt`, `xAppOttData` and `xAppJwtPong` of xumm-sdk; the token is HS256, with the secret as it stands."""
    ott = world.sandbox.launch(ALICE)
    headers = {"x-api-key": SHOP.key, "x-api-ott": ott}
    _, authorized = await ask(world, "GET", "jwt/authorize", headers)
    unexpired: Any = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(authorized["jwt"], SHOP.secret, algorithms=["HS256"], audience=SHOP.key, options=unexpired)
    _, pong = await ask(world, "GET", "jwt/ping", {"Authorization": f"Bearer {authorized['jwt']}"})

    assert (ALICE, ALICE, SHOP.name) == (
        authorized["ott"]["account"],
        authorized["ott"]["account_info"]["account"],
        authorized["app"]["name"],
    )
    assert (ott, SHOP.key, ALICE) == (claims["ott_uuidv4"], claims["client_id"], claims["sub"])
    assert (True, ott) == (pong["pong"], pong["ott_uuidv4"])
    assert 404 == (await ask(world, "GET", "jwt/authorize", headers))[0]


async def test_an_xapp_s_backend_fetches_it_within_a_minute(world: World) -> None:
    """With key and secret, once; another application never."""
    first, late = world.sandbox.launch(ALICE), world.sandbox.launch(BOB)

    assert 404 == (await world.call("GET", f"xapp/ott/{first}", application=OTHER))[0]
    status, told = await world.call("GET", f"xapp/ott/{first}")
    assert (200, ALICE, "MAINNET") == (status, told["account"], told["nodetype"])
    world.clock.advance(minutes=1)
    assert [404, 404] == [(await world.call("GET", f"xapp/ott/{each}"))[0] for each in (first, late)]


async def test_xapps_are_opened_over_http(world: World) -> None:
    """Where the sandbox runs alone, for the application that is named."""
    url = f"{world.sandbox.base_url}/xapps?application={OTHER.key}"
    async with world.session.post(url, json={"account": BOB}) as response:
        ott = (await response.json())["ott"]

    assert BOB == (await world.call("GET", f"xapp/ott/{ott}", application=OTHER))[1]["account"]


@pytest.mark.parametrize("token", ["", "x.y.z", "none", "other"])
async def test_a_token_that_proves_nothing_is_refused(world: World, token: str) -> None:
    """401, in the API's own shape: no token, no token at all, one without signature, one of another secret."""
    forged = {
        "none": jwt.encode({"client_id": SHOP.key, "sub": ALICE, "exp": 2**40}, None, algorithm="none"),
        "other": jwt.encode({"client_id": SHOP.key, "sub": ALICE, "exp": 2**40}, OTHER.secret, algorithm="HS256"),
    }
    status, told = await ask(world, "GET", "jwt/ping", {"Authorization": f"Bearer {forged.get(token, token)}"})

    assert (401, 813) == (status, told["error"]["code"])


async def test_pages_may_call_for_users_and_not_for_applications(world: World) -> None:
    """An application's secret belongs into no page."""
    page = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    allowed = {}
    for path in ("jwt/ping", "jwt/payload/x", "jwt/authorize", "platform/rails", "platform/payload", "platform/ping"):
        async with world.session.options(f"{world.sandbox.base_url}/api/v1/{path}", headers=page) as response:
            allowed[path] = response.headers.get("Access-Control-Allow-Origin")

    assert {
        "jwt/ping": "*",
        "jwt/payload/x": "*",
        "jwt/authorize": "*",
        "platform/rails": "*",
        "platform/payload": None,
        "platform/ping": None,
    } == allowed


@pytest.mark.parametrize("level", ["m", "q", "h"])
async def test_a_payload_s_code_holds_its_link(world: World, level: str) -> None:
    """As a picture, and as rows in which true is black; with the level of error correction that the address names."""
    created = (await world.call("POST", "payload", SIGN_IN))[1]
    due = segno.make(created["next"]["always"], error=level, micro=False, boost_error=False)
    async with world.session.get(created["refs"]["qr_png"].replace("_q.", f"_{level}.")) as response:
        picture = (response.content_type, (await response.read())[:8])
    async with world.session.get(created["refs"]["qr_matrix"].replace("_q.", f"_{level}.")) as response:
        rows = await response.json()

    assert ("image/png", b"\x89PNG\r\n\x1a\n") == picture
    assert [[bool(module) for module in row] for row in due.matrix] == rows
    async with world.session.get(f"{world.sandbox.base_url}/sign/{UNKNOWN}_{level}.png") as response:
        assert 404 == response.status


async def test_who_got_no_push_message_finds_a_code(world: World) -> None:
    """Where ``next.no_push_msg_received`` leads, a page has the picture."""
    token = signature_of(world.sandbox.sign(world.sandbox.create(SIGN_IN).uuid)).user_token.token
    created = (await world.call("POST", "payload", {**SIGN_IN, "user_token": token}))[1]
    async with world.session.get(created["next"]["no_push_msg_received"]) as response:
        page = await response.text()

    assert (True, 200, True) == (created["pushed"], response.status, created["refs"]["qr_png"] in page)
