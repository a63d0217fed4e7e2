"""The page in a real browser: what a person does there, and what comes of it."""

import pytest
from playwright.async_api import expect

from tests.page.stand import HAND, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="package")]

HOSTILE = '<img src=x onerror="document.title=1"><b>Free money</b>'


async def test_signing_in_by_deep_link(visitor: Visitor) -> None:
    """The app shows what the returning link claims apart from what the service knows, and then has a session."""
    await visitor.press(visitor.app, "Sign in with your wallet")
    await visitor.picture("sign-in-asked")
    await visitor.press(visitor.app, "Open the wallet")
    await visitor.press(visitor.phone, "Sign")

    await visitor.sees(visitor.app, "Signature proven")
    await visitor.sees(visitor.app, "What the link claims")
    await expect(visitor.app.locator(".known")).to_contain_text("signed")
    await visitor.picture("sign-in-proven")
    await visitor.press(visitor.app, "Continue")
    await visitor.sees(visitor.app, "Signed in")


async def test_a_payment_by_code_and_then_by_push(visitor: Visitor) -> None:
    """Without permission to push there is a code to scan; its signature brings a new one, and the next is pushed."""
    await visitor.sign_in()
    await visitor.ask(pushed=False)
    await visitor.press(visitor.phone, "Scan the code")
    await visitor.press(visitor.phone, "Sign")
    await visitor.sees(visitor.app, "reported, being proven")
    await visitor.press(visitor.phone, "Done")
    await visitor.press(visitor.app, "Leave")

    await visitor.ask(pushed=True)
    await visitor.sees(visitor.phone, "Demo shop asks you to sign")
    await visitor.press(visitor.phone, "Open")
    await visitor.picture("payment-asked")
    await visitor.press(visitor.phone, "Sign")

    await visitor.sees(visitor.app, "Paid. Final on the ledger")
    row = visitor.row(await visitor.latest(), "resolve.validated")
    await expect(row).to_contain_text("Transaction confirmed")
    await expect(row).to_contain_text("received 10 XRP")
    await visitor.picture("payment-proven")


async def test_a_payment_by_deep_link_returns_to_the_app(visitor: Visitor) -> None:
    """What the link claims is there at once; the outcome is known when it is proven."""
    await visitor.sign_in()
    await visitor.ask(pushed=False)
    await visitor.press(visitor.app, "Open the wallet")
    await visitor.press(visitor.phone, "Sign")

    await expect(visitor.app.locator(".claim")).to_contain_text("txid")
    await expect(visitor.app.locator(".known")).to_contain_text("not proven yet")
    await expect(visitor.app.locator(".known")).to_contain_text("validated")
    await visitor.picture("payment-returned")


async def test_rejecting(visitor: Visitor) -> None:
    """The app learns that the user declined."""
    await visitor.sign_in()
    await visitor.ask()
    await visitor.press(visitor.phone, "Open")
    await visitor.press(visitor.phone, "Reject")

    await expect(visitor.app.locator(".steps li.bad")).to_contain_text("Declined")
    await expect(visitor.row(await visitor.latest(), "resolve.rejected")).to_contain_text("request rejected")


async def test_letting_it_expire(visitor: Visitor) -> None:
    """What nobody opened in time ends as expired."""
    await visitor.sign_in()
    await visitor.ask()
    await visitor.press(visitor.phone, "Let it expire")

    await visitor.sees(visitor.phone, "It cannot be signed any more.")
    await visitor.sees(visitor.app, "Expired unsigned")


async def test_signing_after_expiry(visitor: Visitor) -> None:
    """What was opened in time can be signed after it expired, and is paid."""
    await visitor.sign_in()
    await visitor.ask()
    await visitor.press(visitor.phone, "Open")
    await visitor.press(visitor.phone, "Let it expire")
    await visitor.sees(visitor.phone, "it can still be signed")
    await visitor.sees(visitor.app, "Expired")
    await visitor.picture("expired")
    await visitor.press(visitor.phone, "Sign")

    await visitor.sees(visitor.app, "Paid. Final on the ledger")


async def test_device_that_the_app_registered_hears_of_all(visitor: Visitor) -> None:
    """From opening on, and also where the user took the user token back that Xumm had named the user by."""
    await visitor.sign_in()
    await visitor.ask(pushed=False)
    await visitor.press(visitor.phone, "Scan the code")
    await visitor.press(visitor.phone, "Sign")
    await visitor.sees(visitor.app, "Paid. Final on the ledger")
    payload, device = await visitor.latest(), await visitor.device()
    await visitor.picture("pushed")

    for kind, text in (
        ("sign.opened", "Sign request opened"),
        ("sign.signed", "We are checking it now."),
        ("resolve.validated", "Transaction confirmed"),
    ):
        await expect(visitor.row(payload, kind)).to_contain_text(text)
        await expect(visitor.row(payload, kind)).to_contain_text(device)


async def test_signing_out_takes_the_device_back(visitor: Visitor) -> None:
    """What happens afterwards is pushed to it no more; nobody else on the page is told of it."""
    await visitor.sign_in()
    device = await visitor.device()
    await visitor.sees(visitor.app, f"Pushes go to this device, {device}.")
    await visitor.press(visitor.app, "Sign out")
    await visitor.sign_in()
    payload = await visitor.latest()

    await expect(visitor.row(payload, "sign.opened").locator(".did").first).not_to_have_text("…")
    assert device not in await visitor.row(payload, "sign.opened").inner_text()


async def test_signing_in_with_oauth2(visitor: Visitor) -> None:
    """By the provider's page and a code, which leaves no trace in the address; then as with any session."""
    await visitor.sign_in_with_oauth2()
    address = visitor.page.url
    await visitor.ask()
    await visitor.press(visitor.phone, "Open")
    await visitor.press(visitor.phone, "Reject")
    row = visitor.row(await visitor.latest(), "sign.rejected")
    await visitor.picture("oauth2")

    assert address == f"{visitor.origin}/sandbox"
    await expect(row).to_contain_text("You declined the request.")
    await expect(row).to_contain_text(await visitor.device())


async def test_declining_to_sign_in_with_oauth2(visitor: Visitor) -> None:
    """Xumm's provider does not say whose sign-in it was, so the user is told to go back, and starts anew."""
    await visitor.press(visitor.app, "Sign in with OAuth2")
    await visitor.press(visitor.page.locator("body"), "Decline")

    await visitor.sees(visitor.page.locator("body"), "Signing in did not succeed")
    await visitor.arrive()
    await visitor.sign_in()


@pytest.mark.parametrize("fault", ["Lose webhooks", "Cut the status socket"])
async def test_one_source_is_enough(visitor: Visitor, fault: str) -> None:
    """Without the webhook the socket tells, without the socket the webhook."""
    await visitor.sign_in()
    await visitor.switch(fault, on=True)
    await visitor.ask()
    await visitor.press(visitor.phone, "Open")
    await visitor.press(visitor.phone, "Sign")

    await visitor.sees(visitor.app, "Paid. Final on the ledger")
    await visitor.switch(fault, on=False)


async def test_events_wait_for_the_broker(visitor: Visitor) -> None:
    """With its connection cut nothing is published, and nothing lost: it all goes out in order afterwards."""
    await visitor.sign_in()
    await visitor.switch("Kill the broker connection", on=True)
    before = await visitor.latest()
    await visitor.ask()
    await visitor.press(visitor.phone, "Open")
    await visitor.press(visitor.phone, "Sign")
    await visitor.sees(visitor.app, "Paid. Final on the ledger")
    await visitor.sees(visitor.page.locator("#outbox"), "events wait in the outbox")
    waited = await visitor.latest() == before
    await visitor.picture("broker-cut")

    await visitor.switch("Kill the broker connection", on=False)
    await visitor.sees(visitor.page.locator("#outbox"), "Outbox empty")
    payload = await visitor.latest()
    names = await visitor.names(payload)

    assert waited
    assert names == sorted(names, key=["sign.created", "sign.opened", "sign.pre_signed", *names[3:]].index)
    assert (names[0], names[-1]) == ("sign.created", "resolve.validated")
    await expect(visitor.row(payload, "resolve.validated")).to_contain_text("received 10 XRP")


async def test_hostile_words_stay_words(visitor: Visitor) -> None:
    """Markup in a note is shown as it was written, and makes nothing."""
    await visitor.sign_in()
    await visitor.ask(HOSTILE)
    await visitor.press(visitor.phone, "Open")

    await visitor.sees(visitor.phone, HOSTILE)
    assert await visitor.page.locator("#phone img, #phone b").count() == 0
    assert await visitor.page.title() == "Sandbox · Xumm webhook processor"


async def test_nothing_parses_markup(visitor: Visitor) -> None:
    """Not even a mistake in the page's own scripts could turn text into elements, or run a script that is no file."""
    parsed = await visitor.page.evaluate("try { document.body.innerHTML = '<i>'; true } catch { false }")
    written = await visitor.page.evaluate(
        "const made = document.createElement('style'); made.textContent = 'h1 { color: red }';"
        "document.head.append(made); made.sheet !== null"
    )
    complained = len(visitor.complaints)
    visitor.complaints.clear()

    assert (parsed, written) == (False, False)
    assert complained >= 2


async def test_all_of_it_by_keyboard(visitor: Visitor) -> None:
    """Tab, Enter and Space are enough for signing in and for a switch, and the focus is never lost."""
    page = visitor.page

    async def go_to(name: str) -> None:
        for _ in range(40):
            await page.keyboard.press("Tab")
            if (
                await page.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).textContent")
                == name
            ):
                return
        raise AssertionError(f"Tab does not lead to {name}")

    for name, then in (("Sign in with your wallet", "Open the wallet"), ("Open the wallet", "Sign"), ("Sign", "Done")):
        await go_to(name)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name=then, exact=True)).to_be_visible()
    await visitor.sees(visitor.app, "Signature proven")
    focused = await page.evaluate("document.activeElement.localName")
    await go_to("Lose webhooks")
    await page.keyboard.press("Space")
    await expect(page.get_by_role("switch", name="Lose webhooks")).to_be_checked()
    await visitor.picture("by-keyboard")
    assert focused == "h3"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_phones_width_is_enough(visitor: Visitor, scheme: str) -> None:
    """At 360 pixels nothing has to be scrolled sideways, and everything to press is 44 pixels high."""
    await visitor.page.set_viewport_size(HAND)
    await visitor.page.emulate_media(color_scheme=scheme)
    await visitor.press(visitor.app, "Sign in with your wallet")
    await visitor.sees(visitor.app, "Scan the code with the phone")
    asked = await visitor.overflows()
    await visitor.press(visitor.app, "Open the wallet")
    await visitor.press(visitor.phone, "Sign")
    await visitor.sees(visitor.app, "Signature proven")
    await visitor.picture(f"hand-{scheme}")
    heights = await visitor.page.evaluate(
        "[...document.querySelectorAll('button, .fault label')].map(each => each.getBoundingClientRect().height)"
    )

    assert (asked, await visitor.overflows()) == (False, False)
    assert min(heights) >= 44


async def test_dark_is_dark(visitor: Visitor) -> None:
    """Whoever prefers it dark gets light words on dark ground."""
    luminance = "name => getComputedStyle(document.documentElement)[name].match(/[0-9]+/g).slice(0, 3).map(Number)"
    light = await visitor.page.evaluate(luminance, "backgroundColor")
    await visitor.page.emulate_media(color_scheme="dark")
    dark = await visitor.page.evaluate(luminance, "backgroundColor")
    ink = await visitor.page.evaluate(luminance, "color")
    await visitor.sign_in()
    await visitor.picture("dark")

    assert max(dark) < 60
    assert min(light) > 200
    assert min(ink) > 200


async def test_every_control_has_a_name(visitor: Visitor) -> None:
    """A screen reader can say what each button, field and switch is for."""
    await visitor.sign_in()
    await visitor.ask()
    await visitor.sees(visitor.phone, "Demo shop asks you to sign")
    told = [line.strip("- ") for line in (await visitor.page.locator("body").aria_snapshot()).splitlines()]
    controls = [
        line for line in told if line.split(" ")[0].rstrip(":") in {"button", "switch", "textbox", "link", "img"}
    ]

    assert [line for line in controls if '"' not in line] == []
    assert len(controls) > 6
