"""Xumm's own kits take the sandbox for Xumm: whoever builds an application on one can try it here.

Each application calls all that its kit offers and that needs no real wallet.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from processor.sandbox.ledger import ValidationPace
from processor.sandbox.reference_data import HOOK_HASH
from processor.sandbox.server import Sandbox
from processor.sandbox.simulation import SandboxSettings
from tests.sandbox.world import ALICE, BOB, SHOP
from tests.sdk.kit import KITS, walk

pytestmark = pytest.mark.timeout(300)  # the first use installs

AT_ONCE = SandboxSettings(
    ledger=ValidationPace(asks_not_found=0, asks_unvalidated=0, close_time=timedelta(microseconds=1))
)
Told = dict[str, Any]


async def run(name: str) -> tuple[Told, list[Any], Sandbox]:
    """What the application of a kit tells, the messages that it heard, and the sandbox that it spoke with."""
    kit = KITS[name]
    obstacle = kit.install()
    if obstacle is not None:
        pytest.skip(f"Xumm's kit {name}: {obstacle}")
    async with Sandbox([SHOP], AT_ONCE) as sandbox:
        launched = [sandbox.launch(account) for account in (ALICE, BOB)]
        arguments = (sandbox.base_url, SHOP.key, SHOP.secret, ALICE, *launched)
        steps = await walk(kit, *arguments, on_step=signing(sandbox))
    return dict(steps), [value for step, value in steps if step == "message"], sandbox


def signing(sandbox: Sandbox) -> Callable[[str, Any], None]:
    """A user who opens and signs what an application watches."""

    def sign(name: str, value: Any) -> None:
        if name == "message" and str(value.get("message")).startswith("Welcome"):
            uuid = value["message"].removeprefix("Welcome ")
            sandbox.open(uuid, by_deeplink=True)
            sandbox.sign(uuid)

    return sign


async def test_the_kit_for_backends_does_all_that_it_can() -> None:
    """From the request over each status message to the signature, and whatever else xumm-sdk asks of Xumm."""
    told, messages, sandbox = await run("xumm-sdk")
    payload = sandbox.payloads.by_identifier(SHOP, "order-javascript")

    check_payload(told, messages, sandbox, "order-javascript")
    check_facts(told)
    assert (None, None) == (told["unknown"], told["bad"])
    assert ([True, False], True) == ([token["active"] for token in told["tokens"]], told["token"]["active"])
    assert payload.uuid == told["created"]["uuid"]
    assert (told["rails"]["MAINNET"]["chain_id"], HOOK_HASH in told["hooks"]["all"]) == (0, True)
    assert told["hooks"]["one"] == told["hooks"]["all"][HOOK_HASH]
    assert [True, {"a": 1}, True, None] == told["stored"]


async def test_the_kit_for_xapps_swaps_a_one_time_token() -> None:
    """And calls the API for the user whom it is of: xumm-sdk with a JWT."""
    told, _, sandbox = await run("xumm-sdk")

    assert (ALICE, BOB) == (told["ott"]["account"], told["other"])
    assert (ALICE, SHOP.key) == (told["xapp_pong"]["sub"], told["xapp_pong"]["app_uuidv4"])
    assert 3 == len(told["jwt"].split("."))
    assert {"issuer", "token"} == set(told["nftoken"])
    assert [True, ["first"], {"a": 1}, {"first": {"a": 1}}, True, []] == told["userdata"]
    assert (True, SHOP.name) == (told["users"], sandbox.applications[SHOP.key].name)


async def test_the_universal_kit_does_all_that_it_can() -> None:
    """The kit named xumm, in a backend."""
    told, _, sandbox = await run("xumm")
    signature = sandbox.payloads.by_identifier(SHOP, "order-universal").signature

    assert signature is not None
    assert (SHOP.key, signature.txid) == (told["pong"], told["signed"]["response"]["txid"])
    assert (True, signature.txid) == (told["resolved"]["signed"], told["resolved"]["txid"])
    assert (True, "OK") == (told["cancelled"]["result"]["cancelled"], told["cancelled"]["result"]["reason"])
    assert [True, False] == [token["active"] for token in told["tokens"]]
    check_facts(told)
    assert ("XRP", [True, {"a": 1}, True, None]) == (told["rails"]["MAINNET"]["native_asset"], told["stored"])


async def test_the_kit_for_python_does_all_that_it_can() -> None:
    """The sign-in of OAuth2 too. It asks for other names of a token's dates than Xumm gives, and so reads none."""
    told, messages, sandbox = await run("xumm-sdk-py")

    check_payload(told, messages, sandbox, "order-python")
    check_facts(told)
    assert ("InvalidRequestError", "InvalidRequestError", "ValueError") == (
        told["unknown"],
        told["bad"],
        told["tokens"],
    )
    assert [True, {"a": 1}, True, None] == told["stored"]
    assert {"state": True, "account": ALICE, "network": "MAINNET"} == told["user"]


def check_payload(told: Told, messages: list[Any], sandbox: Sandbox, identifier: str) -> None:
    """A payload was made, watched, fetched and signed, and another one withdrawn."""
    payload = sandbox.payloads.by_identifier(SHOP, identifier)
    assert payload.signature is not None
    assert SHOP.key == told["pong"]
    assert (
        f"ws://{urlsplit(sandbox.base_url).netloc}/sign/{payload.uuid}" == (told["created"]["refs"]["websocket_status"])
    )
    assert (False, "Payment") == (told["fetched"]["meta"]["signed"], told["fetched"]["payload"]["tx_type"])
    assert {"message", "expires_in_seconds", "opened", "pre_signed", "dispatched"} <= {
        key for message in messages for key in message
    }
    resolved = next(message for message in messages if "signed" in message)  # a kit may mix up their order
    assert (True, payload.signature.txid, f"shop://done?id={payload.uuid}") == (
        resolved["signed"],
        resolved["txid"],
        resolved["return_url"]["app"],
    )
    signed = tuple(told["signed"]["response"][name] for name in ("txid", "hex"))
    assert (payload.signature.txid, payload.signature.hex) == signed
    assert (True, "OK") == tuple(told["cancelled"]["result"][name] for name in ("cancelled", "reason"))


def check_facts(told: Told) -> None:
    """What all kits ask for beside payloads."""
    assert ["Sandbox"] == told["assets"]["issuers"]
    assert (1, 2) == (told["rates"]["USD"], told["rates"]["XRP"])
    assert ["NONE", "NONE"] == told["kyc"]
    assert "-1.000012" == told["transaction"]["balanceChanges"][ALICE][0]["value"]
    assert [True, True] == [each["pushed"] for each in told["pushed"]]
