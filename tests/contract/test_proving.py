"""The task runner on a store in memory: what comes of a fetched signature, with the sandbox as Xumm and as ledger."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs
from yarl import URL

from processor.core.application import Application
from processor.core.payload.due_task import ClaimedTasks, DueTask, Lane
from processor.core.payload.entry import Commit, Recorded, Reported
from processor.core.payload.lifecycle import TaskKind, apply
from processor.core.payload.state import Flag, PayloadState
from processor.core.reports.report import WebhookReport
from processor.ledger.transactions import LedgerNodes, Transactions
from processor.lookups.tasks import Sources, Tasks
from processor.sandbox.javascript import stringify
from processor.sandbox.payload_json import encode_payload
from processor.sandbox.server import Sandbox
from processor.store.commits import CommitLog
from tests.sandbox.clock import FakeClock
from tests.sandbox.world import ALICE, PAYMENT, SHOP, SIGN_IN, signature_of
from tests.support.wallets import BOB

SHOP_ACCOUNT = "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe"
APPLICATION = Application(name="shop", uuid=SHOP.key, secrets=())


@dataclass(slots=True, kw_only=True)
class Memory:
    """One payload and its tasks, without a database."""

    state: PayloadState
    clock: FakeClock
    due: list[DueTask] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    async def claim(self, rooms: Mapping[Lane, int]) -> ClaimedTasks:
        claimed, self.due = self.due, []
        return ClaimedTasks([replace(task, state=self.state) for task in claimed], None)

    async def release(self, kinds: Collection[TaskKind], but: Collection[int]) -> None:
        """The store always answers."""

    async def count_orphans(self, apps: Collection[str]) -> Mapping[str, int]:
        return {}

    async def finish(self, task: DueTask) -> None:
        if not self.due:
            self.idle.set()

    async def reschedule(self, task: DueTask, delay: timedelta) -> None:
        self.idle.set()

    def record(self, entry: Reported) -> "asyncio.Future[Recorded]":
        transition = apply(self.state, entry.report, entry.policy)
        self.state = transition.state
        self.events += [f"{each.family}.{each.name}" for each in transition.events]
        self.due += [self.task(each.kind) for each in transition.tasks]
        done: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
        done.set_result(Recorded(transition=transition))
        CommitLog().observe(Commit([(entry, done.result())]))
        return done

    def task(self, kind: Any) -> DueTask:
        return DueTask(id=1, kind=kind, state=self.state, attempts=1, created_at=self.clock())


@dataclass(slots=True, kw_only=True)
class Answers:
    """Xumm's API, whose answer a test may spoil."""

    sandbox: Sandbox
    clock: FakeClock
    spoilt: dict[str, Any] = field(default_factory=dict)

    async def payload(self, application: Application, uuid: str, *, urgent: bool) -> bytes:
        answer = encode_payload(self.sandbox.payloads.get(uuid), now=self.clock())
        for path, value in self.spoilt.items():
            section, key = path.split("__")
            answer[section][key] = value
        return stringify(answer).encode()


@dataclass(slots=True, kw_only=True)
class Stand:
    """A sandbox, and the service's lookups before it."""

    sandbox: Sandbox
    clock: FakeClock
    transactions: Transactions

    async def looked_up(self, uuid: str, **spoilt: Any) -> tuple[Memory, list[Any]]:
        """What is known once a webhook told of a signature and all lookups that can be made at once were made."""
        memory = Memory(state=PayloadState(app="shop", application_uuid=SHOP.key, payload=uuid), clock=self.clock)
        sources = Sources(
            payloads=Answers(sandbox=self.sandbox, clock=self.clock, spoilt=spoilt), transactions=self.transactions
        )
        tasks = Tasks(memory, memory, sources, {"shop": APPLICATION}, clock=self.clock)
        webhook = WebhookReport(app="shop", application_uuid=SHOP.key, payload=uuid, at=self.clock(), signed=True)
        memory.record(Reported(report=webhook, policy=APPLICATION.policy))
        with capture_logs() as logs:
            running = asyncio.create_task(tasks.run())
            async with asyncio.timeout(20):
                await memory.idle.wait()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        return memory, logs


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    clock = FakeClock()
    async with (
        Sandbox([SHOP], clock=clock, sleep=clock.sleep) as sandbox,
        LedgerNodes({"MAINNET": [URL(sandbox.ledger_url)]}) as nodes,
    ):
        yield Stand(sandbox=sandbox, clock=clock, transactions=Transactions(nodes, clock=clock))


@pytest.mark.parametrize("account", [ALICE, BOB.address])
async def test_a_sign_in_is_proven_by_its_signature(stand: Stand, account: str) -> None:
    """With the account's own key, or with one that the ledger names as its regular key."""
    uuid = stand.sandbox.create(SIGN_IN).uuid
    stand.sandbox.sign(uuid, account=account)
    memory, _ = await stand.looked_up(uuid)

    assert memory.events == ["sign.signed", "resolve.signed"]
    assert memory.state.snapshot is not None
    assert (account, None) == (memory.state.snapshot.account, memory.state.snapshot.doubt)


FORGERIES = {
    "account": ("response__account", BOB.address),
    "signer": ("response__signer", "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe"),
    "hash": ("response__txid", "AB" * 32),
    "asked": ("payload__request_json", PAYMENT["txjson"] | {"Amount": "999"}),
    "networks": ("response__environment_networkid", 1),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_contradiction_stops_the_payload(stand: Stand, forgery: str) -> None:
    """It is on record as an error, nothing is resolved and nothing more is looked up."""
    path, value = FORGERIES[forgery]
    uuid = stand.sandbox.create(PAYMENT).uuid
    blob = signature_of(stand.sandbox.sign(uuid)).hex
    memory, logs = await stand.looked_up(uuid, **{path: value})
    flags = Flag.NETWORKS_DISAGREE if forgery == "networks" else Flag.SIGNATURE_DISPROVEN

    assert (memory.events, memory.due, memory.state.flags) == (["sign.signed"], [], flags)
    assert [("error", flags.name)] == [
        (line["log_level"], line["flags"]) for line in logs if line["event"] == "payload.flagged"
    ]
    assert (forgery != "networks") == any(line["event"] == "signature.unproven" for line in logs)
    assert blob not in orjson.dumps(logs).decode()


@pytest.mark.parametrize("spelling", [BOB.address, SHOP_ACCOUNT])
async def test_what_one_of_several_signed_is_proven_off_the_ledger(stand: Stand, spelling: str) -> None:
    """Whatever the options say of submitting, and whichever account the API's field for it names."""
    request = {"txjson": {**PAYMENT["txjson"], "Account": SHOP_ACCOUNT}, "options": {"multisign": True, "submit": True}}
    uuid = stand.sandbox.create(request).uuid
    stand.sandbox.sign(uuid, account=BOB.address)
    memory, _ = await stand.looked_up(uuid, response__multisign_account=spelling)

    assert (["sign.signed", "resolve.signed"], 0) == (memory.events, memory.state.flags)
    assert memory.state.snapshot is not None
    assert memory.state.snapshot.signature is not None
    assert (BOB.address, SHOP_ACCOUNT) == (memory.state.snapshot.account, memory.state.snapshot.signature.account)


async def test_what_nobody_here_can_read_is_flagged_at_once(stand: Stand) -> None:
    """As unreadable and as nothing else; it is not looked up again."""
    uuid = stand.sandbox.create({"txjson": {"TransactionType": "FutureSet"}}).uuid
    stand.sandbox.sign(uuid)
    memory, logs = await stand.looked_up(uuid)

    assert (["sign.signed"], [], Flag.SIGNATURE_UNREADABLE) == (memory.events, memory.due, memory.state.flags)
    assert [("TransactionType", "unreadable")] == [
        (line["field"], line["reason"]) for line in logs if line["event"] == "signature.unproven"
    ]


async def test_a_blob_that_is_not_there_yet_is_fetched_again(stand: Stand) -> None:
    """Nothing is flagged, the doubt is on record, and the task stays."""
    uuid = stand.sandbox.create(PAYMENT).uuid
    stand.sandbox.sign(uuid)
    memory, logs = await stand.looked_up(uuid, response__hex=None)

    assert (["sign.signed"], Flag(0)) == (memory.events, memory.state.flags)
    assert [("response.hex", "missing")] == [
        (line["field"], line["reason"]) for line in logs if line["event"] == "signature.unproven"
    ]


async def test_a_payment_on_a_test_network_fails(stand: Stand) -> None:
    """Nobody asks the ledger for it."""
    uuid = stand.sandbox.create(PAYMENT).uuid
    stand.sandbox.sign(uuid, network="TESTNET")
    memory, _ = await stand.looked_up(uuid)

    assert ["sign.signed", "resolve.failed"] == memory.events
    assert memory.state.ledger is None


async def test_the_ledger_is_asked_before_the_dispatch_result_is_known(stand: Stand) -> None:
    """Transaction and network are known with the signature: that is enough to look."""
    uuid = stand.sandbox.create(PAYMENT).uuid
    stand.sandbox.sign(uuid, dispatch_known_after=3600)
    memory, _ = await stand.looked_up(uuid)

    assert memory.state.ledger is not None
    assert "pending" == memory.state.ledger.status
