"""What the drivers cause: webhooks, tokens, and pages for a person."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, get_args

import aiohttp
import pytest

from processor.sandbox.payload import CANCELLATION_REASONS, TRANSITIONS, Action, IllegalActionError, Situation
from processor.sandbox.payload_table import UnknownPayloadError
from processor.sandbox.sender import Sender
from processor.sandbox.server import Sandbox
from processor.sandbox.wallet import SIGN_IN_ACCOUNT, SIGNED_SIGN_IN, transaction_id
from schemas.webhook import WEBHOOK
from tests.sandbox.clock import FakeClock
from tests.sandbox.service import Service
from tests.sandbox.world import ALICE, BOB, OTHER, PAYMENT, SHOP, SIGN_IN, World, signature_of

DAY = 86_400


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service() as running:
        yield running


@pytest.fixture
async def world(service: Service) -> AsyncIterator[World]:
    clock = FakeClock()
    shop = replace(SHOP, webhook_url=service.url)
    async with (
        Sandbox([shop, OTHER], clock=clock, sleep=clock.sleep) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        yield World(sandbox, clock, session)


async def bodies(sender: Sender, service: Service) -> list[dict[str, Any]]:
    await sender.idle()
    return [json.loads(body) for _, body in service.received]


async def test_signing_sends_one_webhook_in_xumms_shape(world: World, service: Service) -> None:
    """Both uuids, the attachment, the transaction and the token."""
    payload = world.sandbox.create({**PAYMENT, "options": {"return_url": {"app": "shop://{cid}/{id}"}}})
    world.sandbox.open(payload.uuid, by_deeplink=True)
    signature = signature_of(world.sandbox.sign(payload.uuid))
    issued = int(world.clock().timestamp())

    assert [
        {
            "meta": {
                "url": service.url,
                "application_uuidv4": SHOP.key,
                "payload_uuidv4": payload.uuid,
                "opened_by_deeplink": True,
            },
            "custom_meta": PAYMENT["custom_meta"],
            "payloadResponse": {
                "payload_uuidv4": payload.uuid,
                "reference_call_uuidv4": payload.reference,
                "signed": True,
                "user_token": True,
                "return_url": {"app": f"shop://order-1/{payload.uuid}", "web": None},
                "txid": signature.txid,
            },
            "userToken": {
                "user_token": signature.user_token.token,
                "token_issued": issued,
                "token_expiration": issued + 30 * DAY,
            },
        }
    ] == await bodies(world.sandbox.sender, service)


async def test_rejecting_sends_a_webhook_without_transaction_and_token(world: World, service: Service) -> None:
    """Unsigned, and nothing else to tell."""
    world.sandbox.reject(world.sandbox.create(PAYMENT).uuid)
    (body,) = await bodies(world.sandbox.sender, service)

    assert (False, None, None) == (
        body["payloadResponse"]["signed"],
        body["payloadResponse"]["txid"],
        body["userToken"],
    )


async def test_signing_in_has_no_txid_in_the_webhook(world: World, service: Service) -> None:
    """A pseudo transaction is on no ledger; its blob is one that was truly signed."""
    signature = signature_of(world.sandbox.sign(world.sandbox.create(SIGN_IN).uuid, account=SIGN_IN_ACCOUNT))
    (body,) = await bodies(world.sandbox.sender, service)

    assert (None, SIGNED_SIGN_IN, SIGN_IN_ACCOUNT) == (
        body["payloadResponse"]["txid"],
        signature.hex,
        signature.account,
    )


async def test_webhooks_are_readable_by_the_service(world: World, service: Service) -> None:
    """The service's own model takes both kinds."""
    world.sandbox.sign(world.sandbox.create(PAYMENT).uuid)
    world.sandbox.reject(world.sandbox.create(SIGN_IN).uuid)
    await world.sandbox.sender.idle()
    read = [WEBHOOK.validate_json(body) for _, body in service.received]

    assert [True, False] == sorted((webhook["payloadResponse"]["signed"] for webhook in read), reverse=True)


async def test_opening_expiring_and_cancelling_send_nothing(world: World, service: Service) -> None:
    """Only a resolved payload is reported."""
    world.sandbox.open(world.sandbox.create(SIGN_IN).uuid)
    world.sandbox.expire(world.sandbox.create(SIGN_IN).uuid)
    world.sandbox.cancel(world.sandbox.create(SIGN_IN).uuid)

    assert [] == await bodies(world.sandbox.sender, service)


async def test_an_application_without_webhook_url_is_sent_nothing(world: World) -> None:
    """Its payloads are resolved all the same."""
    signed = world.sandbox.sign(world.sandbox.create(SIGN_IN, application=OTHER).uuid)

    assert ("signed", []) == (signed.situation, world.sandbox.sender.attempts)


async def test_a_token_stays_and_slides_with_each_signature(world: World, service: Service) -> None:
    """Same token and same moment of issue; thirty days from the last signature."""
    first = signature_of(world.sandbox.sign(world.sandbox.create(SIGN_IN).uuid, account=ALICE))
    issued = int(world.clock().timestamp())
    await world.sandbox.sender.idle()
    world.clock.advance(days=29)
    world.sandbox.sign(world.sandbox.create(SIGN_IN).uuid, account=ALICE)
    _, second = await bodies(world.sandbox.sender, service)

    assert {
        "user_token": first.user_token.token,
        "token_issued": issued,
        "token_expiration": issued + 59 * DAY,
    } == second["userToken"]


async def test_a_token_belongs_to_one_user_of_one_application(world: World) -> None:
    """Another user, another application, or thirty idle days: another token."""
    sandbox = world.sandbox

    def token(account: str, **application: Any) -> str:
        signed = sandbox.sign(sandbox.create(SIGN_IN, **application).uuid, account=account)
        return signature_of(signed).user_token.token

    tokens = [token(ALICE), token(BOB), token(ALICE, application=OTHER)]
    world.clock.advance(days=30)
    tokens.append(token(ALICE))

    assert 4 == len(set(tokens))


async def test_a_payload_is_pushed_to_a_live_token_only(world: World) -> None:
    """An unknown one, another application's and one that ran out reach nobody."""
    signature = signature_of(world.sandbox.sign(world.sandbox.create(SIGN_IN).uuid))
    request = {**SIGN_IN, "user_token": signature.user_token.token}
    unknown = {**SIGN_IN, "user_token": SHOP.key}
    pushed = [
        world.sandbox.create(request).pushed,
        world.sandbox.create(unknown).pushed,
        world.sandbox.create(request, application=OTHER).pushed,
    ]
    world.clock.advance(days=30)
    pushed.append(world.sandbox.create(request).pushed)

    assert [True, False, False, False] == pushed


@pytest.mark.parametrize("steps", [["sign", "sign"], ["reject", "sign"], ["expire", "sign"], ["cancel", "open"]])
async def test_what_cannot_follow_is_refused(world: World, steps: list[str]) -> None:
    """A resolved, cancelled or unopened expired payload takes no further action."""
    uuid = world.sandbox.create(SIGN_IN).uuid
    getattr(world.sandbox, steps[0])(uuid)

    with pytest.raises(IllegalActionError):
        getattr(world.sandbox, steps[1])(uuid)


async def test_how_a_payload_was_opened_first_is_what_counts(world: World) -> None:
    """Opening it again in another way changes nothing."""
    uuid = world.sandbox.create(SIGN_IN).uuid
    world.sandbox.open(uuid, by_deeplink=True)

    assert world.sandbox.open(uuid, by_deeplink=False).opened_by_deeplink is True


async def test_an_unknown_payload_is_refused(world: World) -> None:
    """There is nothing to sign."""
    with pytest.raises(UnknownPayloadError):
        world.sandbox.sign("nothing")


def test_the_table_never_leaves_an_end_and_cancels_only_what_waits() -> None:
    """Signed, rejected and cancelled have no row; each situation has its reason."""
    ends = {"signed", "rejected", "cancelled"}

    assert set() == ends & {situation for situation, _ in TRANSITIONS}
    assert set(get_args(Situation)) == set(CANCELLATION_REASONS)
    assert {"waiting", "opened"} == {situation for situation, action in TRANSITIONS if action == "cancel"}
    assert set(get_args(Action)) == {action for _, action in TRANSITIONS}


def test_a_transaction_id_is_the_hash_of_the_signed_blob() -> None:
    """A transaction of the main network and the id that its explorers show."""
    blob = (
        "120008228000000024043DCAC32019043DCAC2201B0448348868400000000000000F732103924E47158D3980DDAF7479A838EF3C0AE5"
        "3D953BD2A526E658AC5F3EF0FA7D2174473045022100D10E91E2704A4BDAB510B599B8258956F9F34592B2B62BE383ED3E4DBF57DE2B"
        "02204837DD77A787D4E0DC43DCC53A7BBE160B164617FE3D0FFCFF9F6CC808D46DEE811406598086E863F1FF42AD87DCBE2E1B5F5A8B"
        "5EB8"
    )

    assert "EC13B221808A21EA1012C95FB0EF53BF0110D7AB2EB17104154A27E5E70C39C5" == transaction_id(blob)


async def test_the_page_has_buttons_and_tells_what_became_of_it(world: World, service: Service) -> None:
    """A person without a phone can resolve the payload, and sees what became of it."""
    payload = world.sandbox.create({**PAYMENT, "custom_meta": {"instruction": "<b>&"}})
    page = f"{world.sandbox.base_url}/sign/{payload.uuid}"
    async with world.session.get(page) as response:
        before = await response.text()
    async with world.session.post(f"{page}/sign", json={}):
        pass
    async with world.session.get(page) as response:
        after = await response.text()

    assert (True, True) == ("<b>waiting</b>" in before, "&lt;b&gt;&amp;" in before)
    assert "<b>signed</b>" in after
    assert 1 == len(await bodies(world.sandbox.sender, service))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("sign", {"account": BOB, "result": "tecPATH_DRY"}, 200),
        ("sign", {"account": "nobody"}, 400),
        ("sign", {"unknown": 1}, 400),
        ("open", {}, 200),
        ("reject", {}, 200),
        ("expire", {}, 200),
        ("dance", {}, 404),
    ],
)
async def test_the_phone_can_be_driven_by_json(world: World, path: str, body: object, status: int) -> None:
    """Scripts press the same buttons."""
    uuid = world.sandbox.create(PAYMENT).uuid
    async with world.session.post(f"{world.sandbox.base_url}/sign/{uuid}/{path}", json=body) as response:
        assert status == response.status


async def test_the_phone_says_what_it_cannot_do(world: World) -> None:
    """Unknown payloads are 404, impossible actions 409."""
    uuid = world.sandbox.create(PAYMENT).uuid
    world.sandbox.expire(uuid)
    statuses = []
    for target in (uuid, "nothing"):
        async with world.session.post(f"{world.sandbox.base_url}/sign/{target}/sign", json={}) as response:
            statuses.append(response.status)

    assert [409, 404] == statuses
