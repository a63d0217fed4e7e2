"""Xumm's own kits take the sandbox for Xumm: whoever builds an application on one can try it here."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from processor.sandbox.server import Sandbox
from tests.sandbox.world import SHOP
from tests.sdk.kit import KITS, Kit, walk

pytestmark = pytest.mark.timeout(300)  # the first use installs


@pytest.fixture(params=KITS)
def kit(request: pytest.FixtureRequest) -> Kit:
    found = KITS[request.param]
    obstacle = found.install()
    if obstacle is not None:
        pytest.skip(f"Xumm's kit for {request.param}: {obstacle}")
    return found


async def test_a_kit_creates_watches_fetches_and_cancels(kit: Kit) -> None:
    """From the request over each status message to the signature, and a request withdrawn."""
    async with Sandbox([SHOP]) as sandbox:

        def sign_once_watched(name: str, value: Any) -> None:
            if name == "message" and str(value.get("message")).startswith("Welcome"):
                sandbox.open(uuid_of(sandbox, kit), by_deeplink=True)
                sandbox.sign(uuid_of(sandbox, kit))

        steps = await walk(kit, sandbox.base_url, SHOP.key, SHOP.secret, on_step=sign_once_watched)
        uuid = uuid_of(sandbox, kit)
        signature = sandbox.payloads.get(uuid).signature
    told = dict(steps)
    messages = [value for name, value in steps if name == "message"]

    assert signature is not None
    assert SHOP.key == told["pong"]
    assert (uuid, f"ws://{urlsplit(sandbox.base_url).netloc}/sign/{uuid}") == (
        told["created"]["uuid"],
        told["created"]["refs"]["websocket_status"],
    )
    assert (False, "Payment") == (told["fetched"]["meta"]["signed"], told["fetched"]["payload"]["tx_type"])
    assert {"message", "expires_in_seconds", "opened", "pre_signed", "dispatched"} <= {
        key for message in messages for key in message
    }
    (resolved,) = (message for message in messages if "signed" in message)  # a kit may mix up their order
    assert (True, signature.txid, f"shop://done?id={uuid}") == (
        resolved["signed"],
        resolved["txid"],
        resolved["return_url"]["app"],
    )
    assert (signature.txid, signature.hex) == tuple(told["signed"]["response"][name] for name in ("txid", "hex"))
    assert (True, "OK") == tuple(told["cancelled"]["result"][name] for name in ("cancelled", "reason"))
    assert REFUSALS[kit.identifier] == (told["unknown"], told["bad"])
    if "tokens" in told:
        assert [True, False] == [token["active"] for token in told["tokens"]]


REFUSALS = {
    "order-javascript": (None, None),
    "order-python": ("InvalidRequestError", "InvalidRequestError"),
}
"""What each kit makes of an unknown payload and of a bad one."""


def uuid_of(sandbox: Sandbox, kit: Kit) -> str:
    return sandbox.payloads.by_identifier(SHOP, kit.identifier).uuid
