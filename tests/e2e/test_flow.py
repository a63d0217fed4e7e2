"""From the user's signature to what applications see, with every process in its place."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from processor.sandbox.server import Sandbox
from processor.sandbox.signing import ACCOUNT
from schemas.topology import DEFAULT_QUEUES
from tests.consumers.broker import until
from tests.e2e.service import ServiceProcess, Stage
from tests.e2e.stand import PAYMENT, SIGN_IN, Stand
from tests.e2e.tap import ambiguous, disordered, types_of
from tests.e2e.traffic import Sender
from tests.support.webhooks import body_of, headers_of, new_payload

pytestmark = pytest.mark.rabbitmq

PHONE = "registration-token-of-a-phone-000042"


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    stand = Stand()
    async with stand.sandbox:
        yield stand


@pytest.fixture
def sandbox(stand: Stand) -> Sandbox:
    """A Xumm that sends its webhooks to `service`."""
    return stand.sandbox


@pytest.fixture
async def service(stage: Stage, stand: Stand) -> ServiceProcess:
    """A running service whose Xumm and ledger are the sandbox."""
    await stage.apply_topology({name: list(bindings) for name, bindings in DEFAULT_QUEUES.items()})
    service = stage.service(**stand.settings())
    await service.start()
    return service


def rows(folder: Path, query: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"file:{folder}/state.db?mode=ro", uri=True)) as reader:
        reader.row_factory = sqlite3.Row
        return [dict(row) for row in reader.execute(query)]


async def test_a_sign_in_and_a_payment_reach_application_and_phone(
    stage: Stage, sandbox: Sandbox, service: ServiceProcess
) -> None:
    """Each fact is one event, the application's state has account and money, and the phone hears of each event once."""
    app_state, push = stage.consumer("app-state"), stage.consumer("push")
    await push.register(ACCOUNT, PHONE)
    await app_state.start()
    await push.start()

    sign_in = sandbox.sign(sandbox.create(SIGN_IN).uuid)
    payment = sandbox.sign(sandbox.create(PAYMENT).uuid)
    await until(lambda: len(app_state.logged("event.handled")) == 2, 40)
    await until(lambda: len(push.logged("event.handled")) == 6, 40)
    codes = [await program.stop() for program in (service, app_state, push)]
    events = await stage.tap().take()

    assert codes == [0, 0, 0]
    assert types_of(events, sign_in.uuid) == ["sign.signed", "sign.token_issued", "resolve.signed"]
    assert types_of(events, payment.uuid) == ["sign.signed", "sign.token_issued", "resolve.validated"]
    assert (len(events), disordered(events)) == (6, [])
    assert [row["account"] for row in rows(app_state.folder, "select account from accounts")] == [ACCOUNT]
    paid = {"payload": payment.uuid, "amount": "10000000", "identifier": "order-42", "destination_tag": 42}
    assert rows(app_state.folder, "select payload, amount, identifier, destination_tag from payments") == [paid]
    pushed = [line["event_id"] for line in push.logged("push.logged")]
    assert {event["id"] for event in events if event["type"].startswith("xumm.resolve")} == set(pushed)
    assert len(pushed) == 2
    assert PHONE not in push.output


async def test_a_rejection_is_told_and_proven(stage: Stage, sandbox: Sandbox, service: ServiceProcess) -> None:
    """A user who declines makes a sign and a resolve event, and nothing else."""
    rejected = sandbox.reject(sandbox.create(PAYMENT).uuid)

    await stage.tap().until_types_of([rejected.uuid], "xumm.resolve.rejected")


async def test_a_payment_that_the_ledger_refused_failed(
    stage: Stage, sandbox: Sandbox, service: ServiceProcess
) -> None:
    """A claimed cost is no payment: with a tec result the payload failed, and the event says why."""
    signed = sandbox.sign(sandbox.create(PAYMENT).uuid, result="tecUNFUNDED_PAYMENT")

    events = await stage.tap().until_types_of([signed.uuid], "xumm.resolve.failed")

    failed = next(event for event in events if event["type"] == "xumm.resolve.failed")
    assert (failed["data"]["reason"], failed["data"]["result"]) == ("ledger_result", "tecUNFUNDED_PAYMENT")
    assert types_of(events, signed.uuid)[-1] == "resolve.failed"


async def test_a_storm_of_repetitions_is_one_event(stage: Stage, service: ServiceProcess, sender: Sender) -> None:
    """A hundred copies of one webhook at once are all answered 200, and told once."""
    payload = new_payload()

    statuses = await sender.send_all(service.webhook_url, [body_of(payload)] * 100)
    code = await service.stop()
    events = await stage.tap().take()

    assert (set(statuses), code) == ({200}, 0)
    assert [(event["subject"], event["type"]) for event in events] == [(payload, "xumm.sign.signed")]


async def test_sources_that_disagree_resolve_nothing_at_once(
    stage: Stage, sandbox: Sandbox, service: ServiceProcess, sender: Sender
) -> None:
    """A webhook says signed, Xumm's API says rejected: both are told, and the API is asked again before that counts."""
    payload = sandbox.create(PAYMENT).uuid
    sandbox.payloads.open(payload)
    sandbox.payloads.reject(payload)
    body = body_of(payload)

    answer = await sender.send(service.webhook_url, body, headers_of(body))
    await until(lambda: service.logged("payload.advanced"), 30)
    await service.stop()
    events = await stage.tap().take()

    assert answer is not None
    assert (answer.status, service.logged("payload.flagged")) == (200, [])
    assert types_of(events, payload) == ["sign.signed", "sign.rejected"]
    assert ambiguous(events) == []
