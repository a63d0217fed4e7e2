"""The tasks' two sources against the sandbox: what a signature becomes, from the fetch to the validated ledger."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from yarl import URL

from processor.core.application import Application
from processor.core.payload.state import PayloadState
from processor.core.reports.snapshot import snapshot_report
from processor.ledger.transactions import LedgerNodes, Transactions
from processor.sandbox.server import Sandbox
from processor.xumm.api import Credentials, Payloads, XummApi
from processor.xumm.budget import Budget
from tests.sandbox.clock import FakeClock
from tests.sandbox.world import PAYMENT, SHOP

APPLICATION = Application(name="shop", uuid=SHOP.key, secrets=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    sandbox: Sandbox
    clock: FakeClock
    payloads: Payloads
    transactions: Transactions

    async def fetched(self, uuid: str) -> PayloadState:
        body = await self.payloads.payload(APPLICATION, uuid, urgent=True)
        report = snapshot_report(APPLICATION, uuid, body, self.clock())
        return PayloadState(app="shop", application_uuid=SHOP.key, payload=uuid, snapshot=report.snapshot)


@pytest.fixture
async def lookup() -> AsyncIterator[Lookup]:
    clock = FakeClock()
    async with (
        Sandbox([SHOP], clock=clock, sleep=clock.sleep) as sandbox,
        XummApi(
            Credentials(key=SHOP.key, secret=SHOP.secret), Budget(), base_url=URL(sandbox.api_url), clock=clock
        ) as api,
        LedgerNodes({"MAINNET": [URL(sandbox.ledger_url)]}) as nodes,
    ):
        yield Lookup(
            sandbox=sandbox,
            clock=clock,
            payloads=Payloads({"shop": api}),
            transactions=Transactions(nodes, clock=clock),
        )


async def test_signature_is_followed_to_the_validated_ledger(lookup: Lookup) -> None:
    """Open, then signed, then pending, then validated with what was delivered: each as the core's own reports."""
    uuid = lookup.sandbox.create(PAYMENT).uuid
    before = await lookup.fetched(uuid)
    lookup.sandbox.sign(uuid)
    lookup.clock.advance(seconds=10)
    signed = await lookup.fetched(uuid)
    reports = [await lookup.transactions.transaction(APPLICATION, signed) for _ in range(3)]

    assert before.snapshot is not None
    assert signed.snapshot is not None
    assert (before.snapshot.outcome, signed.snapshot.outcome) == ("open", "signed")
    assert [report.ledger.status for report in reports] == ["pending", "pending", "validated"]
    assert (reports[-1].ledger.succeeded, reports[-1].ledger.delivered_amount) == (True, "1000000")


async def test_refused_transaction_is_pending_until_its_last_ledger_passed(lookup: Lookup) -> None:
    """What a node refused is never found; it has failed for good once the ledger named in it has closed without it."""
    uuid = lookup.sandbox.create(PAYMENT).uuid
    lookup.sandbox.sign(uuid, result="tefPAST_SEQ")
    signed = await lookup.fetched(uuid)
    assert signed.snapshot is not None
    last = lookup.sandbox.ledger.validated_index + 5
    state = signed._replace(snapshot=replace(signed.snapshot, last_ledger_sequence=last))
    early = await lookup.transactions.transaction(APPLICATION, state)
    lookup.clock.advance(seconds=60)
    late = await lookup.transactions.transaction(APPLICATION, state)

    assert (early.ledger.status, late.ledger.status) == ("pending", "never_validated")
