"""The sandbox and the service implement Xumm's rules independently: here each checks the other."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from processor.core.application import Application, Secret
from processor.core.delivery.authentication import Delivery, Refusal, authenticate
from processor.core.delivery.signature import key_of
from processor.core.delivery.signature import sign as product_sign
from processor.core.errors import Denied, NormalizeError, NotFound, Unavailable
from processor.core.payload.learning import FRESH_TOKEN
from processor.core.payload.lifecycle import WEBHOOK_PATIENCE
from processor.core.proof.evidence import SnapshotOutcome
from processor.core.reports.ledger import ledger_report
from processor.core.reports.snapshot import snapshot_report
from processor.core.reports.status import status_report
from processor.core.reports.webhook import webhook_report
from processor.ledger.transactions import LedgerNodes, Lifetime
from processor.sandbox.access import RateLimits
from processor.sandbox.javascript import stringify
from processor.sandbox.payload import Payload, Situation
from processor.sandbox.payload_json import encode_payload, encode_webhook
from processor.sandbox.server import Sandbox
from processor.sandbox.simulation import SandboxSettings
from processor.sandbox.status import DISPATCHED, FETCHED, NO_PAYLOAD, OPENED, PONG, PRE_SIGNED, SITUATION_MESSAGES
from processor.sandbox.trigger import WebhookTarget, trigger
from processor.sandbox.webhook_attempt import ANSWER_WITHIN, LAST_ATTEMPT, RETRY_AFTER
from processor.sandbox.webhook_attempt import sign as sandbox_sign
from processor.sandbox.webhook_kinds import WebhookKind
from processor.xumm.api import Credentials, XummApi
from processor.xumm.budget import Budget
from tests.sandbox.clock import FakeClock
from tests.sandbox.service import Service
from tests.sandbox.world import ALICE, BOB, PAYMENT, SHOP, signature_of

APPLICATION = Application(name="shop", uuid=SHOP.key, secrets=(Secret(key=key_of(SHOP.secret)),))
ENCODABLE = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sandbox(clock: FakeClock) -> Sandbox:
    return Sandbox([SHOP], clock=clock)


@given(secret=st.uuids().map(str) | ENCODABLE, timestamp=st.integers(0, 2**40).map(str), body=st.binary())
def test_both_sign_alike(secret: str, timestamp: str, body: bytes) -> None:
    """Whatever the secret, the time and the bytes."""

    assert sandbox_sign(secret, timestamp, body) == product_sign(key_of(secret), timestamp, body)


def test_fifth_attempt_is_waited_for() -> None:
    """A webhook is not given up before the sender has, however slowly each attempt is answered."""
    last = sum(RETRY_AFTER, timedelta()) + LAST_ATTEMPT * ANSWER_WITHIN

    assert last <= WEBHOOK_PATIENCE < FRESH_TOKEN


def cancel(sandbox: Sandbox, uuid: str) -> None:
    sandbox.cancel(uuid)


@pytest.mark.parametrize(
    ("act", "outcome"),
    [
        (lambda _sandbox, _uuid: None, "open"),
        (Sandbox.open, "open"),
        (Sandbox.sign, "signed"),
        (Sandbox.reject, "rejected"),
        (Sandbox.expire, "expired"),
        (cancel, "cancelled"),
    ],
)
def test_each_situation_is_fetched_as_what_it_is(
    sandbox: Sandbox, clock: FakeClock, act: Callable[[Sandbox, str], Any], outcome: SnapshotOutcome
) -> None:
    """The service reads the sandbox's answer as the sandbox means it."""
    uuid = sandbox.create(PAYMENT).uuid
    act(sandbox, uuid)
    body = stringify(encode_payload(sandbox.payloads.get(uuid), now=clock())).encode()

    assert outcome == snapshot_report(APPLICATION, uuid, body, clock()).snapshot.outcome


def test_a_validated_payment_is_read_with_what_it_delivered(sandbox: Sandbox, clock: FakeClock) -> None:
    """Both forms of the node's answer say the same."""
    signature = signature_of(sandbox.sign(sandbox.create(PAYMENT).uuid, delivered="1"))
    clock.advance(seconds=4)
    for _ in range(2):
        sandbox.ledger.answer("tx", {"transaction": signature.txid})
    read = [
        ledger_report(
            APPLICATION,
            "",
            signature.txid,
            sandbox.ledger.answer("tx", {"transaction": signature.txid, "api_version": version}),
            node="sandbox",
            at=clock(),
        ).ledger
        for version in (1, 2)
    ]

    assert read[0] == read[1]
    assert ("validated", "tesSUCCESS", "1", BOB, 7, "12") == (
        read[0].status,
        read[0].result,
        read[0].delivered_amount,
        read[0].destination,
        read[0].destination_tag,
        read[0].fee,
    )


def test_a_webhook_is_read_with_its_token(sandbox: Sandbox, clock: FakeClock) -> None:
    """Transaction, token and its dates survive the way."""
    payload = sandbox.sign(sandbox.create(PAYMENT).uuid, account=ALICE)
    body = stringify(encode_webhook(payload)).encode()
    report = webhook_report(Delivery(application=APPLICATION, body=body, received_at=clock(), attempt=1))
    signature = signature_of(payload)

    assert report.token is not None
    assert (True, signature.txid, signature.user_token.token, timedelta(days=30)) == (
        report.signed,
        report.txid,
        report.token.value,
        report.token.expires_at and report.token.issued_at and report.token.expires_at - report.token.issued_at,
    )


MESSAGES: list[tuple[Callable[[Payload], dict[str, Any]], str | None]] = [
    (lambda payload: {"message": f"Welcome {payload.uuid}"}, None),
    (lambda _: NO_PAYLOAD, None),
    (lambda _: PONG, None),
    (lambda _: FETCHED, None),
    (lambda _: {"expires_in_seconds": 54}, "alive"),
    (lambda _: {"expires_in_seconds": -5}, "alive"),
    (lambda _: OPENED, "opened"),
    (lambda _: PRE_SIGNED, "pre_signed"),
    (lambda _: DISPATCHED, "dispatched"),
    (SITUATION_MESSAGES["expired"], "expired"),
    (SITUATION_MESSAGES["opened_expired"], "expired"),
]


@pytest.mark.parametrize(("message", "kind"), MESSAGES)
def test_each_status_message_is_read_as_what_it_says(
    sandbox: Sandbox, clock: FakeClock, message: Callable[[Payload], dict[str, Any]], kind: str | None
) -> None:
    """Steps are steps, a keepalive is a sign of life, and greetings are no news."""
    payload = sandbox.create(PAYMENT)
    report = status_report(APPLICATION, payload.uuid, stringify(message(payload)), clock())

    assert kind == (report and report.kind)


@pytest.mark.parametrize(("act", "kind"), [(Sandbox.sign, "signed"), (Sandbox.reject, "rejected")])
def test_the_resolved_message_says_what_the_webhook_says(
    sandbox: Sandbox, clock: FakeClock, act: Callable[[Sandbox, str], Payload], kind: str
) -> None:
    """Kind, transaction and attachment are the same by either way."""
    payload = act(sandbox, sandbox.create(PAYMENT).uuid)
    report = status_report(
        APPLICATION, payload.uuid, stringify(SITUATION_MESSAGES[payload.situation](payload)), clock()
    )
    body = stringify(encode_webhook(payload)).encode()
    webhook = webhook_report(Delivery(application=APPLICATION, body=body, received_at=clock(), attempt=1))

    assert report is not None
    assert (kind, webhook.signed, webhook.txid, webhook.custom_meta) == (
        report.kind,
        report.kind == "signed",
        report.txid,
        report.custom_meta,
    )


def test_both_know_which_situations_a_socket_tells() -> None:
    """Every situation that a payload can come into is told, but for being cancelled; being opened, with each look."""
    assert {"waiting", "opened", "cancelled", "opened_cancelled"} == set(get_args(Situation)) - set(SITUATION_MESSAGES)


@pytest.mark.parametrize("network", ["MAINNET", "XAHAU"])
def test_a_signed_blob_is_read_with_its_last_ledger(sandbox: Sandbox, clock: FakeClock, network: str) -> None:
    """The service finds hash and last ledger in what the sandbox signed."""
    payload = sandbox.sign(sandbox.create(PAYMENT).uuid, network=network)
    body = stringify(encode_payload(payload, now=clock())).encode()
    snapshot = snapshot_report(APPLICATION, payload.uuid, body, clock()).snapshot

    assert sandbox.ledger.validated_index + 20 == snapshot.last_ledger_sequence
    assert signature_of(payload).txid == snapshot.txid


@pytest.fixture
async def running(clock: FakeClock) -> AsyncIterator[Sandbox]:
    settings = SandboxSettings(limits=RateLimits(calls=3))
    async with Sandbox([SHOP], settings, clock=clock, sleep=clock.sleep) as sandbox:
        yield sandbox


def api(sandbox: Sandbox, *, secret: str = SHOP.secret) -> XummApi:
    return XummApi(Credentials(key=SHOP.key, secret=secret), Budget(), base_url=URL(f"{sandbox.api_url}/"))


async def ping_afresh(sandbox: Sandbox) -> None:
    """A call of a client that does not know yet what is left."""
    async with api(sandbox) as client:
        await client.ping()


async def test_the_client_fetches_what_the_sandbox_holds(running: Sandbox, clock: FakeClock) -> None:
    """From the user's signature to the snapshot, over HTTP."""
    uuid = running.create(PAYMENT).uuid
    signature = signature_of(running.sign(uuid))
    async with api(running) as client:
        body = await client.payload(uuid)

    snapshot = snapshot_report(APPLICATION, uuid, body, clock()).snapshot
    assert ("signed", signature.txid, "MAINNET") == (snapshot.outcome, snapshot.txid, snapshot.network)


async def test_the_client_makes_finds_and_withdraws_a_payload(clock: FakeClock) -> None:
    """Each request has its typed answer, and an opened payload stays."""
    async with Sandbox([SHOP], clock=clock, sleep=clock.sleep) as sandbox, api(sandbox) as client:
        created = await client.create(PAYMENT)
        named = await client.fetch_by_identifier("order-1")
        other = await client.create({"txjson": PAYMENT["txjson"]})
        sandbox.open(other.uuid)
        withdrawn = [await client.cancel(uuid) for uuid in (created.uuid, created.uuid, other.uuid)]
        pong = await client.ping()

    assert (created.uuid, SHOP.key) == (named.meta.uuid, pong.auth.application.uuidv4)
    assert f"{sandbox.base_url}/sign/{created.uuid}" == created.next.always
    assert [("OK", True), ("ALREADY_CANCELLED", True), ("ALREADY_OPENED", False)] == [
        (answer.result.reason, answer.stands) for answer in withdrawn
    ]


async def test_the_client_tells_refusals_apart(running: Sandbox) -> None:
    """Wrong credentials are for good, a missing payload too, and a limit passes."""
    async with api(running, secret="wrong") as stranger, api(running) as client:
        with pytest.raises(Denied, match="code 813"):
            await stranger.ping()
        with pytest.raises(NotFound, match="code 404"):
            await client.payload(SHOP.key)
    for _ in range(2):
        await ping_afresh(running)
    with pytest.raises(Unavailable, match="429"):
        await ping_afresh(running)


async def test_the_client_sees_a_transaction_appear_and_be_validated(running: Sandbox, clock: FakeClock) -> None:
    """Missing without proof, found, validated."""
    txid = signature_of(running.sign(running.create(PAYMENT).uuid)).txid
    clock.advance(minutes=10)
    lifetime = Lifetime(last_ledger_sequence=running.ledger.validated_index, age=timedelta(minutes=10))
    async with LedgerNodes({"MAINNET": [URL(running.ledger_url)]}) as nodes:
        answers = [await nodes.transaction(txid, "MAINNET", lifetime=lifetime) for _ in range(3)]

    assert [(False, False), (True, False), (True, False)] == [(a.found, a.never_validated) for a in answers]
    assert [False, True] == [answer.result["validated"] for answer in answers[1:]]


async def test_the_client_learns_that_a_transaction_will_never_be(running: Sandbox, clock: FakeClock) -> None:
    """Only once the last ledger that could hold it is validated."""
    txid = signature_of(running.sign(running.create(PAYMENT).uuid, result="tefPAST_SEQ")).txid
    lifetime = Lifetime(last_ledger_sequence=running.ledger.validated_index + 1, age=timedelta(seconds=4))
    async with LedgerNodes({"MAINNET": [URL(running.ledger_url)]}) as nodes:
        early = await nodes.transaction(txid, "MAINNET", lifetime=lifetime)
        clock.advance(seconds=4)
        late = await nodes.transaction(txid, "MAINNET", lifetime=lifetime)

    assert (False, True) == (early.never_validated, late.never_validated)


async def judged(kind: WebhookKind, clock: FakeClock) -> str:
    async with Service() as service:
        triggered = await trigger(
            kind, WebhookTarget(url=service.url, application=SHOP.key, secret=SHOP.secret), clock=clock
        )
    shot, _ = triggered.exchanges[0]
    checked = authenticate(APPLICATION, shot.headers, shot.body, clock())
    if isinstance(checked, Refusal):
        return checked.reason
    try:
        return "signed" if webhook_report(checked).signed else "rejected"
    except NormalizeError:
        return "quarantined"


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        ("signed", "signed"),
        ("rejected", "rejected"),
        ("duplicate", "signed"),
        ("badsig", "signature_invalid"),
        ("tampered", "signature_invalid"),
        ("stale", "timestamp_stale"),
        ("future", "timestamp_stale"),
        ("contradictory", "quarantined"),
        ("malformed", "quarantined"),
        ("unknown-app", "signature_invalid"),
    ],
)
async def test_a_triggered_webhook_is_judged_as_its_kind_says(
    kind: WebhookKind, verdict: str, clock: FakeClock
) -> None:
    """The service refuses what is spoilt, for the reason it was spoilt in."""

    assert verdict == await judged(kind, clock)
