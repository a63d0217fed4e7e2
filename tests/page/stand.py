"""The demo, a browser, and what a person at the page does and sees."""

import os
import shutil
from pathlib import Path

from playwright.async_api import Browser, Locator, Page, Playwright, expect

from tests.e2e.program import ROOT, Program, python
from tests.servers.child import ServerNotInstalled, free_port

HINTS = "Everything keeps running"
PATIENCE_MILLISECONDS = 15_000
ARTEFACTS = Path(os.environ.get("PAGE_ARTEFACTS", ROOT / ".artefacts"))
"""Where screenshots go."""
expect.set_options(timeout=PATIENCE_MILLISECONDS)
DESK = {"width": 1280, "height": 900}
HAND = {"width": 360, "height": 780}


class Demo(Program):
    """``processor dev`` on ports of its own; ready once its demo is over."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        super().__init__(python("processor", "dev", "--port", str(port), "--sandbox-port", "0"), folder, {})
        self.origin = f"http://127.0.0.1:{port}"

    def ready(self) -> bool:
        """Whether the demo is over."""
        return HINTS in self.output


class Visitor:
    """Somebody at the page."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.app = page.locator("#app")
        self.phone = page.locator("#phone")
        self.events = page.get_by_role("list", name="Events, the newest first")
        self.complaints: list[str] = []
        page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in {"error", "warning"} else None
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.set_default_timeout(PATIENCE_MILLISECONDS)

    async def arrive(self) -> None:
        """Open the page."""
        await self.page.goto(f"{self.origin}/sandbox")
        await expect(self.page.get_by_text("Connected", exact=True)).to_be_visible()

    async def press(self, where: Locator, name: str) -> None:
        """Press the button of that name."""
        await where.get_by_role("button", name=name, exact=True).click()

    async def sign_in(self) -> None:
        """By deep link, to the end."""
        await self.press(self.app, "Sign in with your wallet")
        await self.press(self.app, "Open the wallet")
        await self.press(self.phone, "Sign")
        await self.sees(self.app, "Signature proven")
        await self.press(self.phone, "Done")
        await self.press(self.app, "Continue")

    async def sign_in_with_oauth2(self, name: str = "Alice") -> None:
        """Through the provider's own page, and back."""
        await self.press(self.app, "Sign in with OAuth2")
        await self.page.get_by_role("button", name=f"Sign in as {name}", exact=True).click()
        await self.sees(self.app, "Signed in")

    async def device(self) -> str:
        """What the app shows of its push device."""
        return str(await self.page.evaluate("import('/sandbox/device.js').then(each => each.ending())"))

    async def ask(self, note: str = "Two tickets, row 7", *, pushed: bool = True) -> None:
        """Ask for a payment; without a push if the user took that permission back before."""
        if not pushed:
            await self.press(self.phone, "Revoke push")
            await self.sees(self.phone, "Revoked.")
        await self.app.get_by_label("Note in the wallet").fill(note)
        await self.press(self.app, "Ask for the payment")
        await self.sees(self.app, "Sent to your phone." if pushed else "Scan the code with the phone")

    async def switch(self, name: str, *, on: bool) -> None:
        """Set a fault, or take it back."""
        await self.page.get_by_role("switch", name=name).set_checked(on, force=True)

    async def sees(self, where: Locator, text: str) -> None:
        """Wait until these words are there."""
        await expect(where.get_by_text(text).first).to_be_visible()

    async def picture(self, name: str) -> None:
        """Keep a screenshot."""
        await self.page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)

    async def latest(self) -> str:
        """The payload that the newest event is of."""
        return await self.events.locator("> li").first.get_attribute("data-payload") or ""

    def row(self, payload: str, kind: str) -> Locator:
        """The row of one event."""
        return self.events.locator(f'> li[data-payload="{payload}"][data-type="xumm.{kind}"]')

    async def names(self, payload: str) -> list[str]:
        """The events of a payload, the oldest first."""
        rows = self.events.locator(f'> li[data-payload="{payload}"]')
        kinds = [await row.get_attribute("data-type") or "" for row in await rows.all()]
        return [kind.removeprefix("xumm.") for kind in reversed(kinds)]

    async def overflows(self) -> bool:
        """Whether one would have to scroll sideways."""
        return bool(
            await self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        )


async def launched(playwright: Playwright) -> Browser:
    """The system's own Chromium. Raises `ServerNotInstalled`."""
    program = shutil.which("chromium")
    if program is None:
        raise ServerNotInstalled("chromium is missing: apt-get install chromium fonts-inter")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # its own sandbox does not work for root
    return await playwright.chromium.launch(executable_path=program, args=arguments)
