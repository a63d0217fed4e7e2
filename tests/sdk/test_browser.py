"""Xumm's own kits for browsers sign users in at the sandbox, and call its API for them, from a page of another origin.

The kits have Xumm's addresses built in: what serves them puts the sandbox's in their place.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright, expect

from processor.sandbox.server import Sandbox
from tests.page.stand import launched
from tests.sandbox.world import ALICE, BOB, SHOP
from tests.sdk.kit import JAVASCRIPT, install_javascript
from tests.servers.child import ServerNotInstalled

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),  # the first use installs
]

KITS = {"pkce": "xumm-oauth2-pkce", "universal": "xumm"}
_XUMM = re.compile(r"https://(oauth2\.)?xumm\.app")


class Visitor:
    """Somebody at the application's page, which one of the kits runs."""

    def __init__(self, page: Page, sandbox: Sandbox, origin: str) -> None:
        self.page = page
        self.sandbox = sandbox
        self.origin = origin
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if "CORS" in said.text else None)

    async def arrive(self, kit: str, query: str = "") -> None:
        """Open the page."""
        await self.page.goto(f"{self.origin}/{kit}?key={SHOP.key}{query}")

    async def sign_in(self, button: str) -> None:
        """Press the application's button, and then one in the window that the provider opens."""
        async with self.page.expect_popup() as opening:
            await self.page.get_by_role("button", name="Sign in").click()
        window = await opening.value
        async with window.expect_event("close"):
            await window.get_by_role("button", name=button).click()

    async def told(self, script: str) -> Any:
        """What an expression in the page comes to."""
        return await self.page.evaluate(f"async () => {{ {script} }}")


@asynccontextmanager
async def application(sandbox_url: str) -> AsyncIterator[str]:
    """The origin of a server with a page for each kit, from its own build for browsers."""
    page = (JAVASCRIPT / "page.html").read_text()

    async def show(request: web.Request) -> web.Response:
        return web.Response(text=page.replace("/KIT", f"/{request.match_info['kit']}"), content_type="text/html")

    async def kit(request: web.Request) -> web.Response:
        built = JAVASCRIPT / "node_modules" / KITS[request.match_info["kit"]] / "dist" / "browser.min.js"
        return web.Response(text=_XUMM.sub(sandbox_url, built.read_text()), content_type="text/javascript")

    app = web.Application()
    app.add_routes([web.get("/{kit:pkce|universal}", show), web.get("/{kit:pkce|universal}.js", kit)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    obstacle = install_javascript()
    if obstacle is not None:
        pytest.skip(f"Xumm's kits for browsers: {obstacle}")
    async with async_playwright() as playwright:
        try:
            browser = await launched(playwright)
        except ServerNotInstalled as missing:
            raise pytest.fail.Exception(str(missing), pytrace=False) from None
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(browser: Browser) -> AsyncIterator[Visitor]:
    """A person in a fresh browser; afterwards nothing may have been complained of."""
    async with visiting(browser) as somebody:
        yield somebody


@asynccontextmanager
async def visiting(browser: Browser, **options: Any) -> AsyncIterator[Visitor]:
    async with Sandbox([SHOP]) as sandbox, application(sandbox.base_url) as origin:
        sandbox.applications[SHOP.key] = replace(SHOP, redirect_uris=(origin,))
        context = await browser.new_context(**options)
        visitor = Visitor(await context.new_page(), sandbox, origin)
        yield visitor
        await context.close()
    assert [] == visitor.complaints


async def test_the_kit_signs_in_without_a_secret(visitor: Visitor) -> None:
    """PKCE: the window tells the page, which swaps the code, asks who signed in, and calls the API."""
    await visitor.arrive("pkce")
    await visitor.sign_in("Sign in as Bob")
    me, pong = await visitor.told("const state = await signedIn; return [state.me, await state.sdk.ping()]")
    created = await visitor.told("return (await signedIn).sdk.payload.create({ TransactionType: 'SignIn' })")

    assert (BOB, "MAINNET") == (me["account"], me["networkType"])
    assert (BOB, SHOP.key) == (pong["jwtData"]["sub"], pong["application"]["uuidv4"])
    assert visitor.sandbox.payloads.get(created["uuid"]).application.key == SHOP.key
    assert ["success"] == await visitor.told("return events")


async def test_the_kit_remembers_who_signed_in(visitor: Visitor) -> None:
    """After a reload it asks the API whether the token still counts."""
    await visitor.arrive("pkce")
    await visitor.sign_in("Sign in as Alice")
    await visitor.told("await signedIn")
    await visitor.page.reload()

    assert ALICE == await visitor.told("return (await signedIn).me.account")
    assert "retrieved" in await visitor.told("return events")


async def test_the_kit_hears_that_the_user_declined(visitor: Visitor) -> None:
    """The window says so before it closes."""
    await visitor.arrive("pkce")
    await visitor.sign_in("Decline")

    assert {"error": "The XUMM sign in request has been rejected"} == await visitor.told("return await signedIn")


async def test_the_kit_signs_in_in_one_window(visitor: Visitor) -> None:
    """On a phone no window opened the page: the browser is sent back with the code in its address."""
    await visitor.arrive("pkce")
    asked = await visitor.told("return window._XummPkce.authorizeUrl()")
    await visitor.page.goto(asked)
    await visitor.page.get_by_role("button", name="Sign in as Alice").click()
    await visitor.page.wait_for_url(f"{visitor.origin}/**")

    assert ALICE == await visitor.told("return (await signedIn).me.account")


async def test_a_person_signs_on_the_sandbox_s_own_page(visitor: Visitor) -> None:
    """Where the link of a payload leads, there are buttons for whoever has no phone at hand."""
    payload = visitor.sandbox.create({"txjson": {"TransactionType": "SignIn"}})
    await visitor.page.goto(f"{visitor.sandbox.base_url}/sign/{payload.uuid}")
    await visitor.page.get_by_role("button", name="sign", exact=True).click()
    await visitor.page.get_by_text("This payload is signed.").wait_for()
    await visitor.page.get_by_role("button", name="reject", exact=True).click()

    await expect(visitor.page.get_by_role("alert")).to_contain_text("cannot reject")


async def test_the_universal_kit_does_in_a_browser_all_that_it_can(visitor: Visitor) -> None:
    """Implicit: signing in, the user's data, what the API knows, and a request that the user signs."""
    await visitor.arrive("universal")
    await visitor.sign_in("Sign in as Alice")
    assert [ALICE, "MAINNET", False, 0] == await visitor.told(
        "await signedIn; const { user } = kit;"
        "return Promise.all([user.account, user.networkType, user.kycApproved, user.networkId])"
    )
    assert [True, {"a": 1}, ["first"], True] == await visitor.told(
        "const { userstore } = kit;"
        "return [await userstore.set('first', { a: 1 }), await userstore.get('first'), await userstore.list(),"
        " await userstore.delete('first')]"
    )
    token = "000B013A95F14B0E44F78A264E41713C64B5F89242540EE208C3098E00000D65"
    assert [1, ["Sandbox"], "XRP", token] == await visitor.told(
        "const { helpers } = kit;"
        "return [(await helpers.getRates('usd')).USD, (await helpers.getCuratedAssets()).issuers,"
        f" (await helpers.getRails()).MAINNET.native_asset, (await helpers.getNftokenDetail('{token}')).token]"
    )
    uuid = await visitor.told("ask(); return (await asked).created.uuid")
    await visitor.page.wait_for_function("heard.length > 0")
    visitor.sandbox.sign(uuid)
    assert await visitor.told("return (await answered).signed") is True
    await visitor.told("await kit.logout()")

    assert [False, True] == await visitor.told("return [kit.state.signedIn, events.includes('logout')]")


async def test_the_universal_kit_starts_in_an_xapp(browser: Browser) -> None:
    """In Xumm's own browser the one-time token in the address is enough."""
    async with visiting(browser, user_agent="Mozilla/5.0 (Linux; Android 14) xumm/xapp") as visitor:
        await visitor.arrive("universal", f"&xAppToken={visitor.sandbox.launch(BOB)}")
        account, ott = await visitor.told("return [await kit.user.account, await kit.environment.ott]")

    assert (BOB, BOB) == (account, ott["account"])
