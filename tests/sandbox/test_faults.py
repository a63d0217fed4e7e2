"""What goes wrong where a fault is set, and for whom."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.sandbox.faults import Faults, FaultTable
from processor.sandbox.server import Sandbox
from tests.sandbox.clock import FakeClock, until
from tests.sandbox.service import Service
from tests.sandbox.world import OTHER, PAYMENT, SHOP, SIGN_IN, World, signature_of

FAULTS = st.builds(
    Faults,
    webhook=st.sampled_from([None, "lost", "late"]),
    socket=st.sampled_from([None, "silent"]),
    api=st.sampled_from([None, "limited", "hanging"]),
    late_by=st.sampled_from([None, 0.0, 5.0]),
)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service() as running:
        yield running


@pytest.fixture
async def world(service: Service) -> AsyncIterator[World]:
    clock = FakeClock()
    applications = [replace(SHOP, webhook_url=service.url), OTHER]
    async with (
        Sandbox(applications, clock=clock, sleep=clock.sleep) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        yield World(sandbox, clock, session)


def sign(world: World, faults: Faults | None = None, **how: Any) -> str:
    """Sign a new payload for which ``faults`` are set; its uuid."""
    payload = world.sandbox.create(SIGN_IN if not how else {**PAYMENT, "custom_meta": {}})
    world.sandbox.faults.set(faults or Faults(), payload.uuid)
    world.sandbox.sign(payload.uuid, **how)
    return payload.uuid


async def sent(world: World, service: Service) -> list[str]:
    """The payloads of the webhooks that came, in their order."""
    await world.sandbox.sender.idle()
    return [json.loads(body)["meta"]["payload_uuidv4"] for _, body in service.received]


@given(payload=FAULTS, application=FAULTS, everywhere=FAULTS)
def test_the_narrowest_scope_decides_each_switch(payload: Faults, application: Faults, everywhere: Faults) -> None:
    """The payload's own, else the application's, else everybody's, else nothing is wrong."""
    table = FaultTable()
    for faults, scope in ((payload, "p"), (application, "a"), (everywhere, None)):
        table.set(faults, scope)
    found = asdict(table.find("p", "a"))
    due = {
        name: next(
            (each for each in (mine, asdict(application)[name], asdict(everywhere)[name]) if each is not None), None
        )
        for name, mine in asdict(payload).items()
    }

    assert due == found


def test_nothing_is_wrong_unless_it_is_set() -> None:
    """Neither at first, nor for others, nor after clearing."""
    table = FaultTable()
    before = table.find("p", "a")
    table.set(Faults(api="limited"), "p")
    others = table.find("q", "a")
    table.clear("p")

    assert [Faults()] * 3 == [before, others, table.find("p", "a")]


async def test_a_lost_webhook_never_comes(world: World, service: Service) -> None:
    """The payload is signed all the same."""
    lost, told = sign(world, Faults(webhook="lost")), sign(world)

    assert [told] == await sent(world, service)
    assert (await world.fetch(lost))["meta"]["signed"] is True


async def test_a_doubled_webhook_comes_twice(world: World, service: Service) -> None:
    """Both in their first attempt, with one body."""
    uuid = sign(world, Faults(webhook="doubled"))

    assert [uuid, uuid] == await sent(world, service)
    assert ["1", "1"] == [headers["x-xumm-attempt"] for headers, _ in service.received]


async def test_a_late_webhook_comes_late_and_freshly_signed(world: World, service: Service) -> None:
    """Its timestamp is the one of its sending."""
    at = int(world.clock().timestamp())
    uuid = sign(world, Faults(webhook="late", late_by=90))

    assert [uuid] == await sent(world, service)
    assert [str(at + 90)] == [headers["x-xumm-request-timestamp"] for headers, _ in service.received]


async def test_a_reordered_webhook_comes_behind_the_next(service: Service) -> None:
    """It waits for one to overtake it."""
    async with (
        Sandbox([replace(SHOP, webhook_url=service.url)]) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        world = World(sandbox, FakeClock(), session)
        held = sign(world, Faults(webhook="reordered"))
        before = await sent(world, service)
        overtaking = sign(world)

        assert ([], [overtaking, held]) == (before, await sent(world, service))


@pytest.mark.parametrize(("fault", "status", "code"), [("limited", 429, 429), ("failing", 500, 500)])
async def test_the_api_refuses(world: World, fault: Any, status: int, code: int) -> None:
    """In Xumm's shape, with its headers; other applications go on."""
    uuid = world.sandbox.create(PAYMENT).uuid
    world.sandbox.faults.set(Faults(api=fault), SHOP.key)
    headers = {"x-api-key": SHOP.key, "x-api-secret": SHOP.secret}
    async with world.session.get(f"{world.sandbox.api_url}/payload/{uuid}", headers=headers) as response:
        body, limit = await response.json(), response.headers["X-RateLimit-Limit"]
        answered = response.status

    assert (status, code, "60") == (answered, body["error"]["code"], limit)
    assert 200 == (await world.call("GET", "ping", application=OTHER))[0]


async def test_the_api_answers_half_a_text(world: World) -> None:
    """With status 200, for one payload only."""
    spoilt, fine = world.sandbox.create(SIGN_IN).uuid, world.sandbox.create(SIGN_IN).uuid
    world.sandbox.faults.set(Faults(api="garbage"), spoilt)
    headers = {"x-api-key": SHOP.key, "x-api-secret": SHOP.secret}
    async with world.session.get(f"{world.sandbox.api_url}/payload/{spoilt}", headers=headers) as response:
        status, text = response.status, await response.text()

    assert 200 == status
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(text)
    assert fine == (await world.fetch(fine))["meta"]["uuid"]


async def test_the_api_never_answers(world: World) -> None:
    """The caller gives up; the sandbox closes nevertheless, and goes on for others."""
    world.sandbox.faults.set(Faults(api="hanging"), SHOP.key)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await world.call("GET", "ping")
    assert 200 == (await world.call("GET", "ping", application=OTHER))[0]


async def test_a_hanging_call_does_not_hold_the_sandbox_up() -> None:
    """Closing cuts it off."""
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group, Sandbox([SHOP]) as sandbox:
        sandbox.faults.set(Faults(api="hanging"))
        call = group.create_task(cut_off(World(sandbox, FakeClock(), session)))
        await until(lambda: sandbox.access.counters)

    assert call.result() is True


async def cut_off(world: World) -> bool:
    try:
        await world.call("GET", "ping")
    except aiohttp.ClientError:
        return True
    return False


async def test_the_dispatch_result_is_late(world: World) -> None:
    """Null for so long, then known."""
    uuid = sign(world, Faults(dispatch_late_by=60), result="tesSUCCESS")
    early = (await world.fetch(uuid))["response"]["dispatched_result"]
    world.clock.advance(seconds=60)

    assert (None, "tesSUCCESS") == (early, (await world.fetch(uuid))["response"]["dispatched_result"])


async def test_the_wallet_is_on_the_wrong_network(world: World) -> None:
    """The API says so, and the transaction is on that network's ledger, not on the usual one."""
    world.sandbox.faults.set(Faults(network="TESTNET"))
    payload = world.sandbox.create(PAYMENT)
    txid = signature_of(world.sandbox.sign(payload.uuid)).txid
    usual = await world.settled_tx(txid)
    answers = []
    for _ in range(3):
        call = {"method": "tx", "params": [{"transaction": txid}]}
        async with world.session.post(f"{world.sandbox.ledger_url}/TESTNET", json=call) as response:
            answers.append((await response.json())["result"])

    assert "TESTNET" == (await world.fetch(payload.uuid))["response"]["dispatched_nodetype"]
    assert ("txnNotFound", True, "0001") == (usual["error"], answers[-1]["validated"], answers[-1]["ctid"][-4:])


async def test_a_ledger_that_claims_the_fee_only(world: World) -> None:
    """The node said success, the ledger says tec."""
    payload = world.sandbox.create(PAYMENT)
    world.sandbox.faults.set(Faults(ledger="tec"), payload.uuid)
    txid = signature_of(world.sandbox.sign(payload.uuid)).txid

    assert "tesSUCCESS" == (await world.fetch(payload.uuid))["response"]["dispatched_result"]
    assert "tecPATH_DRY" == (await world.settled_tx(txid))["meta"]["TransactionResult"]


async def test_a_transaction_that_no_ledger_takes(world: World) -> None:
    """It is never found, and its last ledger passes."""
    payload = world.sandbox.create(PAYMENT)
    world.sandbox.faults.set(Faults(ledger="lost"), payload.uuid)
    txid = signature_of(world.sandbox.sign(payload.uuid)).txid
    last = world.sandbox.ledger.validated_index + 20
    early = await world.tx(txid, min_ledger=last - 20, max_ledger=last)
    world.clock.advance(seconds=80)
    late = await world.tx(txid, min_ledger=last - 20, max_ledger=last)

    assert [("txnNotFound", False), ("txnNotFound", True)] == [
        (tx["error"], tx["searched_all"]) for tx in (early, late)
    ]


async def test_a_transaction_that_was_never_submitted(world: World) -> None:
    """The API has the signed blob and nothing of a node, and no ledger ever has the transaction."""
    payload = world.sandbox.create(PAYMENT)
    world.sandbox.faults.set(Faults(ledger="unsubmitted"), payload.uuid)
    signature = signature_of(world.sandbox.sign(payload.uuid))
    response = (await world.fetch(payload.uuid))["response"]

    dispatched = [response[name] for name in ("dispatched_to", "dispatched_result", "dispatched_nodetype")]
    assert ([None] * 3, signature.hex, "MAINNET") == (dispatched, response["hex"], response["environment_nodetype"])
    assert "txnNotFound" == (await world.settled_tx(signature.txid))["error"]


async def test_an_amount_that_no_node_tells(world: World) -> None:
    """The payment is validated, and its metadata does not say what was delivered."""
    payload = world.sandbox.create(PAYMENT)
    world.sandbox.faults.set(Faults(ledger="unavailable"), payload.uuid)
    txid = signature_of(world.sandbox.sign(payload.uuid)).txid
    meta = (await world.settled_tx(txid))["meta"]

    assert ("tesSUCCESS", "unavailable", None) == (
        meta["TransactionResult"], meta["delivered_amount"], meta.get("DeliveredAmount"),
    )  # fmt: skip


async def test_a_cancellation_that_races_with_the_user(world: World) -> None:
    """It takes effect, and so does the signature that follows: all flags are set."""
    payload = world.sandbox.create(PAYMENT)
    world.sandbox.open(payload.uuid)
    usual = world.sandbox.cancel(payload.uuid).reason
    world.sandbox.faults.set(Faults(cancel="racing"), payload.uuid)
    raced = world.sandbox.cancel(payload.uuid).reason
    cancelled = (await world.fetch(payload.uuid))["meta"]
    world.sandbox.sign(payload.uuid)
    signed = (await world.fetch(payload.uuid))["meta"]

    flags = ("resolved", "signed", "cancelled", "expired")
    assert ("ALREADY_OPENED", "OK") == (usual, raced)
    assert ([False, False, True, True], [True] * 4) == tuple(
        [meta[flag] for flag in flags] for meta in (cancelled, signed)
    )


async def test_a_node_that_is_down(world: World) -> None:
    """503, until it is up again."""
    statuses = []
    for faults in (Faults(ledger="down"), Faults()):
        world.sandbox.faults.set(faults)
        async with world.session.post(world.sandbox.ledger_url, json={"method": "server_info"}) as response:
            statuses.append(response.status)

    assert [503, 200] == statuses


async def test_faults_are_set_shown_and_cleared_over_http(world: World) -> None:
    """For all, for one scope, and back again."""
    url = f"{world.sandbox.base_url}/faults"
    async with world.session.put(url, json={"webhook": "lost"}):
        pass
    async with world.session.put(f"{url}/{SHOP.key}", json={"api": "limited", "late_by": 3}) as response:
        both = await response.json()
    async with world.session.delete(f"{url}/{SHOP.key}"):
        pass
    async with world.session.get(url) as response:
        one = await response.json()
    async with world.session.delete(url) as response:
        none = await response.json()

    assert {"all": {"webhook": "lost"}, SHOP.key: {"api": "limited", "late_by": 3}} == both
    assert ({"all": {"webhook": "lost"}}, {}) == (one, none)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"webhook":"eaten"}', b'{"webhooks":"lost"}', b'{"late_by":"x"}'])
async def test_a_fault_that_there_is_not_is_refused(world: World, body: bytes) -> None:
    """With 400 and a word on why; nothing is set."""
    headers = {"Content-Type": "application/json"}
    async with world.session.put(f"{world.sandbox.base_url}/faults", data=body, headers=headers) as response:
        status, text = response.status, await response.text()

    assert (400, True, {}) == (status, bool(text), world.sandbox.faults.as_json())


async def test_payloads_are_made_and_cancelled_without_credentials(world: World) -> None:
    """For the first application, or for the one that is named; what cannot be is told."""
    url = f"{world.sandbox.base_url}/payloads"

    async def call(method: str, url: str, body: Any = None) -> tuple[int, Any]:
        async with world.session.request(method, url, json=body) as response:
            return response.status, await response.json() if response.status == 200 else None

    _, made = await call("POST", url, PAYMENT)
    status, cancelled = await call("DELETE", f"{url}/{made['uuid']}")
    _, others = await call("POST", f"{url}?application={OTHER.key}", PAYMENT)

    assert (200, "OK") == (status, cancelled["result"]["reason"])
    assert OTHER.key == world.sandbox.payloads.get(others["uuid"]).application.key
    assert [409, 400, 404, 404] == [
        (await call("POST", url, PAYMENT))[0],
        (await call("POST", url, {}))[0],
        (await call("POST", f"{url}?application=nobody", SIGN_IN))[0],
        (await call("DELETE", f"{url}/nothing"))[0],
    ]
