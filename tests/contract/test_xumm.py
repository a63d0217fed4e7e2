"""What the service relies on in Xumm's API and in a ledger node, held against the sandbox over real HTTP."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from xrpl.core.binarycodec import decode, encode_for_signing_claim
from xrpl.core.keypairs import is_valid_message

from processor.sandbox.access import RateLimits
from processor.sandbox.server import Sandbox
from processor.sandbox.simulation import SandboxSettings
from schemas.ledger import Transaction
from schemas.payload import Payload
from tests.sandbox.clock import FakeClock
from tests.sandbox.world import ALICE, BOB, OTHER, PAYMENT, SHOP, SIGN_IN, World, signature_of

MISSING = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = FakeClock()
    settings = SandboxSettings(limits=RateLimits(calls=20, creations=5))
    async with (
        Sandbox([SHOP, OTHER], settings, clock=clock, sleep=clock.sleep) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        yield World(sandbox, clock, session)


def facts(payload: Any) -> dict[str, Any]:
    names = ("resolved", "signed", "cancelled", "expired", "app_opened")
    return {name: payload["meta"][name] for name in names}


def known(**true: bool) -> dict[str, Any]:
    return dict.fromkeys(("resolved", "signed", "cancelled", "expired", "app_opened"), False) | true


async def test_ping_names_the_application(world: World) -> None:
    """Credentials can be tried without any effect."""
    status, pong = await world.call("GET", "ping")

    assert (200, True, SHOP.key) == (status, pong["pong"], pong["auth"]["application"]["uuidv4"])


@pytest.mark.parametrize(("method", "path"), [("GET", "ping"), ("POST", "payload"), ("GET", f"payload/{MISSING}")])
async def test_bad_credentials_are_error_813(world: World, method: str, path: str) -> None:
    """A wrong secret opens nothing, and the error has a reference to quote."""
    _, body = await world.call(method, path, SIGN_IN if method == "POST" else None, secret=OTHER.secret)

    assert (["error"], 813) == (list(body), body["error"]["code"])
    assert UUID(body["error"]["reference"]).version == 4


@pytest.mark.parametrize("path", [f"payload/{MISSING}", "payload/ci/nothing", "payload", "nonsense"])
async def test_what_does_not_exist_is_error_404(world: World, path: str) -> None:
    """Status and code agree."""
    status, body = await world.call("GET", path)

    assert (404, 404) == (status, body["error"]["code"])


async def test_another_applications_payload_does_not_exist(world: World) -> None:
    """Neither by uuid, nor by identifier, nor to be cancelled."""
    uuid = world.sandbox.create(PAYMENT).uuid
    calls = [("GET", f"payload/{uuid}"), ("GET", "payload/ci/order-1"), ("DELETE", f"payload/{uuid}")]
    statuses = [(await world.call(method, path, application=OTHER))[0] for method, path in calls]

    assert [404, 404, 404] == statuses


async def test_creating_answers_where_the_user_signs_and_where_to_watch(world: World) -> None:
    """``uuid``, the link and the status socket."""
    status, body = await world.call("POST", "payload", PAYMENT)
    uuid, base = body["uuid"], world.sandbox.base_url

    assert (200, f"{base}/sign/{uuid}", False) == (status, body["next"]["always"], body["pushed"])
    assert f"{base.replace('http', 'ws')}/sign/{uuid}" == body["refs"]["websocket_status"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"txjson": {"TransactionType": "SignIn"}, "txblob": "00"},
        {"txjson": {}},
        {"txjson": {"TransactionType": "SignIn"}, "options": {"expire": 0}},
        {"txjson": {"TransactionType": "SignIn"}, "options": {"submit": "no"}},
        [],
    ],
)
async def test_a_bad_payload_is_error_602(world: World, body: object) -> None:
    """Nothing is made of it."""
    _, answer = await world.call("POST", "payload", body)

    assert 602 == answer["error"]["code"]


async def test_an_identifier_is_taken_once_in_an_application(world: World) -> None:
    """A second payload cannot have it, but another application's can."""
    await world.call("POST", "payload", PAYMENT)
    _, again = await world.call("POST", "payload", PAYMENT)
    status, _ = await world.call("POST", "payload", PAYMENT, application=OTHER)

    assert (409, 200) == (again["error"]["code"], status)


async def test_a_new_payload_has_every_answer_null(world: World) -> None:
    """The full shape, before anybody did anything."""
    payload = await world.fetch(world.sandbox.create(PAYMENT).uuid)

    assert {"meta", "application", "payload", "response", "custom_meta"} == set(payload)
    assert known() == facts(payload)
    assert PAYMENT["custom_meta"] == payload["custom_meta"]
    assert PAYMENT["txjson"] == payload["payload"]["request_json"]
    assert ("Payment", BOB, 7) == tuple(
        payload["payload"][name] for name in ("tx_type", "tx_destination", "tx_destination_tag")
    )
    assert ("2024-05-01T12:00:00Z", "2024-05-01T16:00:00Z", 14400) == tuple(
        payload["payload"][name] for name in ("created_at", "expires_at", "expires_in_seconds")
    )
    assert {None, False} == set(payload["response"].values())
    assert payload["application"]["issued_user_token"] is None


async def test_the_identifier_finds_the_same_payload(world: World) -> None:
    """By uuid and by identifier the answer is one."""
    uuid = world.sandbox.create(PAYMENT).uuid

    assert (200, await world.fetch(uuid)) == await world.call("GET", "payload/ci/order-1")


async def test_a_signed_payment_names_signer_transaction_and_network(world: World) -> None:
    """Everything that an outcome depends on, in the shape that the service reads."""
    uuid = world.sandbox.create(PAYMENT).uuid
    signed = world.sandbox.sign(uuid, account=ALICE)
    body = await world.fetch(uuid)
    payload = Payload.model_validate(body)

    assert known(resolved=True, signed=True, app_opened=True) == facts(body)
    assert signed.signature is not None
    assert (signed.signature.txid, ALICE, "tesSUCCESS", "MAINNET") == (
        payload.response.txid,
        payload.response.account,
        payload.response.dispatched_result,
        payload.response.dispatched_nodetype,
    )
    assert "2024-05-01T12:00:00.000Z" == body["response"]["resolved_at"]
    assert signed.signature.user_token.token == payload.application.issued_user_token


async def test_the_dispatch_result_can_come_after_the_signature(world: World) -> None:
    """Null at first, known later, while the payload is signed all along."""
    uuid = world.sandbox.create(PAYMENT).uuid
    world.sandbox.sign(uuid, dispatch_known_after=5)
    early = await world.fetch(uuid)
    world.clock.advance(seconds=5)
    late = await world.fetch(uuid)

    assert (None, "tesSUCCESS") == (early["response"]["dispatched_result"], late["response"]["dispatched_result"])
    assert facts(early) == facts(late)


@pytest.mark.parametrize("request_body", [SIGN_IN, {**PAYMENT, "options": {"submit": False}}])
async def test_what_stays_off_the_ledger_is_signed_and_never_dispatched(
    world: World, request_body: dict[str, Any]
) -> None:
    """Empty text stands for the dispatch, and the ledger never hears of the transaction."""
    uuid = world.sandbox.create(request_body).uuid
    world.sandbox.sign(uuid)
    response = (await world.fetch(uuid))["response"]

    assert ("", "", "") == tuple(
        response[name] for name in ("dispatched_to", "dispatched_result", "dispatched_nodetype")
    )
    assert "txnNotFound" == (await world.settled_tx(response["txid"]))["error"]


async def test_the_network_of_the_wallet_is_told(world: World) -> None:
    """A payment on a test network says so, and is not on this ledger."""
    uuid = world.sandbox.create(PAYMENT).uuid
    world.sandbox.sign(uuid, network="TESTNET")
    response = (await world.fetch(uuid))["response"]

    assert ("TESTNET", "TESTNET", 1) == tuple(
        response[name] for name in ("dispatched_nodetype", "environment_nodetype", "environment_networkid")
    )
    assert "txnNotFound" == (await world.settled_tx(response["txid"]))["error"]


async def test_a_rejected_payload_is_resolved_and_unsigned(world: World) -> None:
    """No transaction and no token come of it."""
    uuid = world.sandbox.create(PAYMENT).uuid
    world.sandbox.reject(uuid)
    payload = await world.fetch(uuid)

    assert known(resolved=True, app_opened=True) == facts(payload)
    assert (None, None) == (payload["response"]["txid"], payload["application"]["issued_user_token"])


async def test_a_payload_never_opened_expires_for_good(world: World) -> None:
    """It is expired from its time on, and by how long."""
    uuid = world.sandbox.create({**PAYMENT, "options": {"expire": 1}}).uuid
    world.clock.advance(seconds=60)
    payload = await world.fetch(uuid)
    world.clock.advance(seconds=5)

    assert known(expired=True) == facts(payload)
    assert -5 == (await world.fetch(uuid))["payload"]["expires_in_seconds"]


async def test_an_opened_payload_can_be_signed_after_it_expired(world: World) -> None:
    """Expiry means open before: both stand in the answer."""
    uuid = world.sandbox.create(PAYMENT).uuid
    world.sandbox.open(uuid, by_deeplink=True)
    world.clock.advance(hours=5)
    expired = await world.fetch(uuid)
    world.sandbox.sign(uuid)

    assert known(expired=True, app_opened=True) == facts(expired)
    assert known(resolved=True, signed=True, app_opened=True, expired=True) == facts(await world.fetch(uuid))


@pytest.mark.parametrize("step", ["sign", "reject"])
async def test_what_is_resolved_expires_as_well(world: World, step: str) -> None:
    """The flag goes by the clock alone, as in an answer that an official kit has among its examples."""
    uuid = world.sandbox.create(PAYMENT).uuid
    getattr(world.sandbox, step)(uuid)
    before = facts(await world.fetch(uuid))
    world.clock.advance(hours=4)

    assert before | {"expired": True} == facts(await world.fetch(uuid))


@pytest.mark.parametrize(
    ("steps", "cancelled", "reason"),
    [
        ([], True, "OK"),
        (["cancel"], False, "ALREADY_CANCELLED"),
        (["open"], False, "ALREADY_OPENED"),
        (["open", "expire"], False, "ALREADY_OPENED"),
        (["expire"], False, "ALREADY_EXPIRED"),
        (["sign"], False, "ALREADY_RESOLVED"),
        (["reject"], False, "ALREADY_RESOLVED"),
    ],
)
async def test_cancelling_says_whether_and_why_not(
    world: World, steps: list[str], *, cancelled: bool, reason: str
) -> None:
    """Each situation has its reason; the answer holds the payload's meta too, and calls it expired whatever it is."""
    uuid = world.sandbox.create(PAYMENT).uuid
    for step in steps:
        getattr(world.sandbox, step)(uuid)
    status, body = await world.call("DELETE", f"payload/{uuid}")

    assert (200, {"cancelled": cancelled, "reason": reason}) == (status, body["result"])
    assert (await world.fetch(uuid))["meta"] | {"expired": True} == body["meta"]


async def test_a_token_is_told_with_its_latest_payload_alone(world: World) -> None:
    """It follows the user from payload to payload: the older one has none any more."""
    uuids = [world.sandbox.sign(world.sandbox.create(SIGN_IN).uuid).uuid for _ in range(2)]
    older, latest = [(await world.fetch(uuid))["application"]["issued_user_token"] for uuid in uuids]

    assert (None, True) == (older, latest is not None)


async def test_user_tokens_are_told_whether_they_are_in_force(world: World) -> None:
    """All that were asked for, in their order: in force, run out, another application's, unknown."""
    old = signature_of(world.sandbox.sign(world.sandbox.create(SIGN_IN).uuid, account=BOB)).user_token
    foreign = signature_of(world.sandbox.sign(world.sandbox.create(SIGN_IN, application=OTHER).uuid)).user_token
    world.clock.advance(days=30)
    new = signature_of(world.sandbox.sign(world.sandbox.create(SIGN_IN).uuid)).user_token
    asked = [new.token, old.token, foreign.token, MISSING]
    status, answer = await world.call("POST", "user-tokens", {"tokens": asked})
    issued = int(new.issued_at.timestamp())

    assert (200, asked) == (status, [token["user_token"] for token in answer["tokens"]])
    assert [True, False, False, False] == [token["active"] for token in answer["tokens"]]
    assert {"user_token": new.token, "active": True, "issued": issued, "expires": issued + 30 * 86_400} == (
        answer["tokens"][0]
    )
    for token, told in zip(asked, answer["tokens"], strict=True):
        assert (200, {"tokens": [told]}) == await world.call("GET", f"user-token/{token}")


@pytest.mark.parametrize("body", [{}, [], {"tokens": "x"}, {"tokens": [1]}])
async def test_a_bad_question_for_user_tokens_is_refused(world: World, body: object) -> None:
    """As any body that makes no sense."""
    _, answer = await world.call("POST", "user-tokens", body)

    assert 602 == answer["error"]["code"]


async def test_a_path_may_end_in_a_slash(world: World) -> None:
    """As one of the official kits writes it."""
    status, created = await world.call("POST", "payload/", SIGN_IN)
    statuses = [(await world.call("GET", f"{path}/"))[0] for path in ("ping", f"payload/{created['uuid']}")]

    assert (200, [200, 200]) == (status, statuses)


@pytest.mark.parametrize(
    ("method", "path", "secret"),
    [("GET", "ping", None), ("GET", "nonsense", None), ("POST", "payload", None), ("GET", "ping", "wrong")],
)
async def test_every_answer_has_its_limits(world: World, method: str, path: str, secret: str | None) -> None:
    """Also those that refuse."""
    headers = {"x-api-key": SHOP.key, "x-api-secret": secret or SHOP.secret}
    async with world.session.request(method, f"{world.sandbox.api_url}/{path}", headers=headers) as response:
        assert {"X-RateLimit-Limit", "X-RateLimit-Remaining"} <= set(response.headers)


async def test_a_signed_payload_names_its_key(world: World) -> None:
    """Who signed and with which key, beside the account that acts."""
    uuid = world.sandbox.create(PAYMENT).uuid
    signature = signature_of(world.sandbox.sign(uuid, account=ALICE))
    response = (await world.fetch(uuid))["response"]

    assert (ALICE, ALICE, signature.public_key, "", signature.hex) == tuple(
        response[name] for name in ("account", "signer", "signer_pubkey", "multisign_account", "hex")
    )


async def test_a_payload_for_several_signers_names_account_and_signer(world: World) -> None:
    """The account acted for is one field, who signed the others; no node is told, whatever the options say."""
    request = {"txjson": {**PAYMENT["txjson"], "Account": BOB}, "options": {"multisign": True, "submit": True}}
    uuid = world.sandbox.create(request).uuid
    signature = signature_of(world.sandbox.sign(uuid, account=ALICE))
    response = (await world.fetch(uuid))["response"]

    assert (BOB, ALICE, ALICE, signature.public_key, "") == tuple(
        response[name] for name in ("account", "multisign_account", "signer", "signer_pubkey", "dispatched_to")
    )
    assert "txnNotFound" == (await world.settled_tx(response["txid"]))["error"]


async def test_a_user_is_no_token(world: World) -> None:
    """The API names the user by a uuid of its own, the same for each payload."""
    bodies = []
    for _ in range(2):
        uuid = world.sandbox.create(SIGN_IN).uuid
        world.sandbox.sign(uuid, account=ALICE)
        bodies.append(await world.fetch(uuid))
    users = {body["response"]["user"] for body in bodies}

    assert 1 == len(users)
    assert users.isdisjoint({body["application"]["issued_user_token"] for body in bodies})


async def test_a_sign_in_is_shown_with_its_mark(world: World) -> None:
    """Beside its type, as in an answer that an official kit has among its examples."""
    body = await world.fetch(world.sandbox.create(SIGN_IN).uuid)

    assert {"TransactionType": "SignIn", "SignIn": True} == body["payload"]["request_json"]


async def test_a_claim_on_a_channel_has_no_hash(world: World) -> None:
    """Its blob is a bare signature, and the text of the hash empty."""
    claim = {"TransactionType": "PaymentChannelAuthorize", "Channel": "AB" * 32, "Amount": "1000000"}
    uuid = world.sandbox.create({"txjson": claim}).uuid
    signature = signature_of(world.sandbox.sign(uuid, account=ALICE))
    body = await world.fetch(uuid)
    message = bytes.fromhex(encode_for_signing_claim({"channel": "AB" * 32, "amount": "1000000"}))

    assert ("", ALICE, "") == tuple(body["response"][name] for name in ("txid", "account", "dispatched_to"))
    assert is_valid_message(message, bytes.fromhex(signature.hex), signature.public_key)


async def test_every_answer_tells_what_is_left_and_429_follows(world: World) -> None:
    """The count goes down to none, the next call is refused, and a minute later it starts again."""
    headers = {"x-api-key": SHOP.key, "x-api-secret": SHOP.secret}
    seen = []
    for _ in range(21):
        async with world.session.get(f"{world.sandbox.api_url}/ping", headers=headers) as response:
            limits = response.headers["X-RateLimit-Limit"], response.headers["X-RateLimit-Remaining"]
            seen.append((response.status, *limits))
    world.clock.advance(minutes=1)

    assert [(200, "20", str(left)) for left in reversed(range(20))] + [(429, "20", "0")] == seen
    assert 200 == (await world.call("GET", "ping"))[0]


async def test_the_minute_of_the_limit_slides(world: World) -> None:
    """What was called half a minute ago still counts when the next minute begins."""
    for _ in range(2):
        for _ in range(10):
            await world.call("GET", "ping")
        world.clock.advance(seconds=30)
    statuses = [(await world.call("GET", "ping"))[0] for _ in range(11)]

    assert [200] * 10 + [429] == statuses


async def test_creations_have_a_lower_limit_of_their_own(world: World) -> None:
    """Creating too much is refused while other calls, and other applications, go on."""
    statuses = [(await world.call("POST", "payload", SIGN_IN))[0] for _ in range(6)]
    fetched, _ = await world.call("GET", "ping")
    others, _ = await world.call("POST", "payload", SIGN_IN, application=OTHER)

    assert ([200] * 5 + [429], 200, 200) == (statuses, fetched, others)


async def test_a_transaction_is_missing_then_open_then_validated(world: World) -> None:
    """The ways of a ledger: not found, found but unvalidated, validated with its metadata."""
    uuid = world.sandbox.create(PAYMENT).uuid
    txid = signature_of(world.sandbox.sign(uuid)).txid
    missing, unvalidated, still_open = [await world.tx(txid) for _ in range(3)]
    world.clock.advance(seconds=4)
    validated = await world.tx(txid.lower())
    transaction = Transaction.model_validate(validated)

    assert ("txnNotFound", "error") == (missing["error"], missing["status"])
    assert [(False, False), (False, False)] == [(tx["validated"], "meta" in tx) for tx in (unvalidated, still_open)]
    assert (True, "tesSUCCESS", "1000000") == (
        transaction.validated,
        transaction.meta and transaction.meta.result,
        transaction.meta and transaction.meta.delivered_amount,
    )
    assert (ALICE, BOB, 7, "12", 90_000_001) == (
        transaction.account,
        transaction.destination,
        transaction.destination_tag,
        transaction.fee,
        transaction.ledger_index,
    )


async def test_a_failed_transaction_is_validated_and_delivers_nothing(world: World) -> None:
    """``tec`` is in the ledger: fee taken, nothing delivered."""
    uuid = world.sandbox.create(PAYMENT).uuid
    signature = signature_of(world.sandbox.sign(uuid, ledger_result="tecPATH_DRY"))
    tx = await world.settled_tx(signature.txid)

    assert (True, "tecPATH_DRY", False) == (
        tx["validated"],
        tx["meta"]["TransactionResult"],
        "delivered_amount" in tx["meta"],
    )


async def test_a_partial_payment_delivers_less_than_its_amount(world: World) -> None:
    """Success, with the full amount in ``Amount`` and the true one in the metadata."""
    uuid = world.sandbox.create(PAYMENT).uuid
    tx = await world.settled_tx(signature_of(world.sandbox.sign(uuid, delivered="1")).txid)

    assert ("tesSUCCESS", "1000000", "1", 0x00020000) == (
        tx["meta"]["TransactionResult"],
        tx["Amount"],
        tx["meta"]["delivered_amount"],
        tx["Flags"],
    )


async def test_a_refused_transaction_is_never_found(world: World) -> None:
    """What the node turns down stays missing while ledgers close beyond its last chance."""
    uuid = world.sandbox.create(PAYMENT).uuid
    signature = signature_of(world.sandbox.sign(uuid, result="tefPAST_SEQ"))
    world.clock.advance(minutes=10)
    last = world.sandbox.ledger.validated_index
    answers = [await world.tx(signature.txid, min_ledger=last - 20, max_ledger=last) for _ in range(4)]

    assert {("txnNotFound", True)} == {(answer["error"], answer["searched_all"]) for answer in answers}


async def test_version_two_answers_hold_the_transaction_apart(world: World) -> None:
    """``tx_json`` with ``DeliverMax``, as nodes answer from API version 2 on."""
    uuid = world.sandbox.create(PAYMENT).uuid
    signature = signature_of(world.sandbox.sign(uuid))
    tx = await world.settled_tx(signature.txid, api_version=2)

    assert (True, "1000000", False) == (tx["validated"], tx["tx_json"]["DeliverMax"], "Amount" in tx["tx_json"])
    assert 90_000_001 == tx["tx_json"]["ledger_index"]


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[]", 400), (b"{}", 400), (b'{"method":"tx","params":[]}', 200)]
)
async def test_a_malformed_ledger_request_is_refused(world: World, body: bytes, status: int) -> None:
    """Unreadable requests have a status of their own; a method's errors come with 200."""
    async with world.session.post(world.sandbox.ledger_url, data=body) as response:
        assert status == response.status


async def test_the_node_names_its_network_and_newest_ledger(world: World) -> None:
    """``server_info`` and ``ledger`` agree, and ledgers close on time."""
    world.clock.advance(seconds=timedelta(minutes=1).total_seconds())
    answers = []
    for method in ("server_info", "ledger", "nonsense"):
        async with world.session.post(world.sandbox.ledger_url, json={"method": method, "params": [{}]}) as response:
            answers.append((await response.json())["result"])

    assert (0, 90_000_015) == (answers[0]["info"]["network_id"], answers[0]["info"]["validated_ledger"]["seq"])
    assert (90_000_015, True) == (answers[1]["ledger_index"], answers[1]["validated"])
    assert "unknownCmd" == answers[2]["error"]


@pytest.mark.parametrize(
    ("network", "number"), [("MAINNET", 0), ("TESTNET", 1), ("DEVNET", 2), ("XAHAU", 21337), ("XAHAUTESTNET", 21338)]
)
async def test_each_network_has_a_ledger_of_its_own(world: World, network: str, number: int) -> None:
    """Its node says which it is, and so does each validated transaction."""
    txid = signature_of(world.sandbox.sign(world.sandbox.create(PAYMENT).uuid, network=network)).txid
    world.clock.advance(seconds=4)
    url = f"{world.sandbox.ledger_url}/{network}"
    calls = [{"method": "server_info"}, *[{"method": "tx", "params": [{"transaction": txid}]}] * 3]
    answers = []
    for call in calls:
        async with world.session.post(url, json=call) as response:
            answers.append((await response.json())["result"])

    assert (number, f"{number:04X}") == (answers[0]["info"]["network_id"], answers[-1]["ctid"][-4:])


async def test_there_is_no_ledger_of_an_unknown_network(world: World) -> None:
    """404, and nothing else."""
    async with world.session.post(f"{world.sandbox.ledger_url}/MOON", json={"method": "server_info"}) as response:
        assert 404 == response.status


async def test_a_validated_transaction_is_the_one_that_was_signed(world: World) -> None:
    """Field by field, signature included, so that its hash can be computed anew."""
    uuid = world.sandbox.create(PAYMENT).uuid
    signature = signature_of(world.sandbox.sign(uuid))
    tx = await world.settled_tx(signature.txid)

    assert decode(signature.hex).items() <= tx.items()
