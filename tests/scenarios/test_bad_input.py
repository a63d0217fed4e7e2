"""What comes from outside and makes no sense resolves nothing, is told in the log, and harms no later payload."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs
from yarl import URL

from processor.core.payload.state import Flag
from processor.sandbox.faults import Faults
from tests.scenarios.system import System, opened, until

APP: Final = "shop"
PAYMENT: Final[dict[str, Any]] = {
    "txjson": {"TransactionType": "Payment", "Destination": "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe", "Amount": "10"}
}
Spoil = Callable[[str], str]


class Liar:
    """Stands before the sandbox's ledger or API, and spoils the text of answers while it is told to."""

    def __init__(self) -> None:
        self.target = ""
        self.spoil: Spoil | None = None
        self.spoilt = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower().startswith("x-api")}
        url, body = URL(self.target + request.path_qs), await request.read()
        async with aiohttp.request(request.method, url, data=body, headers=headers) as answer:
            text = await answer.text()
        if self.spoil is not None and (spoilt := self.spoil(text)) != text:
            self.spoilt += 1
            text = spoilt
        return web.Response(text=text, status=answer.status, content_type="application/json")


def _instead(old: str, new: str) -> Spoil:
    return lambda text: text.replace(old, new)


LEDGER_LIES: Final[dict[str, Spoil]] = {
    "a float amount": _instead('"delivered_amount": "10"', '"delivered_amount": 10.5'),
    "an amount that is not a number": _instead('"delivered_amount": "10"', '"delivered_amount": NaN'),
    "an amount of the wrong type": _instead('"delivered_amount": "10"', '"delivered_amount": ["10"]'),
    "no amount": _instead('"delivered_amount": "10"', '"other": "10"'),
    "an unknown result": _instead('"TransactionResult": "tesSUCCESS"', '"TransactionResult": "xyzWHAT"'),
    "a result of the wrong type": _instead('"TransactionResult": "tesSUCCESS"', '"TransactionResult": 0'),
    "a yes in words": _instead('"validated": true', '"validated": "yes"'),
    "half a text": lambda text: text[: len(text) // 2],
}
API_LIES: Final[dict[str, Spoil]] = {
    "a signature in words": _instead('"signed":true', '"signed":"true"'),
    "a number for an account": _instead('"account":"r', '"account":1,"was":"r'),
    "no uuid": _instead('"uuid":', '"name":'),
    "not a number": lambda text: text.replace('"exists":true', '"exists":NaN'),
    "a list": lambda text: f"[{text}]",
}


async def _pays(system: System) -> str:
    payload = await system.create(APP, PAYMENT)
    system.sandbox.sign(payload.uuid)

    async def known() -> bool:
        return bool((await system.state(payload.uuid)).txid)

    await until(known, what="the signature is known")
    return payload.uuid


def _ends(system: System, uuid: str) -> list[str]:
    return [each["type"] for each in system.of(uuid) if each["type"].startswith("xumm.resolve.")]


async def _lied_to(system: System, liar: Liar, spoil: Spoil) -> tuple[list[str], list[str], list[str]]:
    """How a payload ends while it is lied to, how once that is over, and how one behind it ends."""
    liar.target = system.sandbox.base_url
    liar.spoil = spoil
    first = await _pays(system)
    await system.advance(60)
    lied_to = _ends(system, first)
    liar.spoil = None
    second = await _pays(system)
    await system.advance(900, step=30)
    await system.published()
    return lied_to, _ends(system, first), _ends(system, second)


@pytest.mark.parametrize("lie", LEDGER_LIES)
async def test_ledger_that_makes_no_sense(tmp_path: Path, lie: str) -> None:
    """The transaction is asked for again until an answer makes sense; until then nothing is resolved."""
    with capture_logs() as lines:
        async with Liar() as liar, opened(tmp_path, [APP], ledger_urls={"MAINNET": [f"{liar.url}/ledger"]}) as system:
            found = await _lied_to(system, liar, LEDGER_LIES[lie])

    assert ([], ["xumm.resolve.validated"], ["xumm.resolve.validated"]) == found
    assert liar.spoilt > 0
    assert {"task.failed", "node.failed"} & {line["event"] for line in lines}


@pytest.mark.parametrize("lie", API_LIES)
async def test_api_that_makes_no_sense(tmp_path: Path, lie: str) -> None:
    """The payload is fetched again until the answer makes sense; until then nothing is resolved."""
    with capture_logs() as lines:
        async with Liar() as liar, opened(tmp_path, [APP], xumm_url=liar.url) as system:
            found = await _lied_to(system, liar, API_LIES[lie])

    assert ([], ["xumm.resolve.validated"], ["xumm.resolve.validated"]) == found
    assert liar.spoilt > 0
    assert "task.failed" in {line["event"] for line in lines}


@pytest.mark.parametrize("fault", ["garbage", "huge", "lying"])
async def test_socket_that_makes_no_sense(tmp_path: Path, fault: Any) -> None:
    """Nonsense is told and forgotten; a lie resolves nothing, keeps back nothing, and is flagged with the truth."""
    with capture_logs() as lines:
        async with opened(tmp_path, [APP]) as system:
            payload = await system.create(APP, PAYMENT, faults=Faults(socket=fault))

            async def heard() -> bool:
                return any(line["event"] in {"watch.invalid", "payload.advanced"} for line in lines)

            await until(heard, what="the socket was heard")
            await system.advance(60)
            lied_to = _ends(system, payload.uuid)
            system.sandbox.reject(payload.uuid)
            good = await _pays(system)
            await system.advance(900, step=30)
            await system.published()
            ends, flags = _ends(system, payload.uuid), (await system.state(payload.uuid)).flags
            follows = _ends(system, good)

    assert ([], ["xumm.resolve.validated"]) == (lied_to, follows)
    assert (["xumm.resolve.rejected"], int(Flag.OUTCOMES_DISAGREE) if fault == "lying" else 0) == (ends, flags)
    assert ("payload.flagged" if fault == "lying" else "watch.invalid") in {line["event"] for line in lines}
