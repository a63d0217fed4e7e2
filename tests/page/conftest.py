"""One demo and one browser for all tests of the page; each test has a page of its own, and finds nothing broken."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.page.stand import DESK, Demo, Visitor, launched
from tests.servers.child import ServerNotInstalled


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("demo"))
    await demo.start()
    yield demo
    demo.close()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        try:
            browser = await launched(playwright)
        except ServerNotInstalled as missing:
            raise pytest.fail.Exception(str(missing), pytrace=False) from None
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="package")
async def visitor(demo: Demo, browser: Browser) -> AsyncIterator[Visitor]:
    """Somebody who has opened the page. Afterwards nothing may have been complained of."""
    context = await browser.new_context(viewport=DESK)
    visitor = Visitor(await context.new_page(), demo.origin)
    await context.request.put(
        f"{demo.origin}/sandbox/faults", data={"webhook": False, "socket": False, "broker": False}
    )
    await visitor.arrive()
    yield visitor
    await context.close()
    assert visitor.complaints == []
