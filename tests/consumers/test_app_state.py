"""The app-state consumer: what its tables hold after which events, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Table, select

from consumers.app_state import AppState, accounts, payments, sign_requests
from consumers.runtime.composition import open_consumer
from consumers.runtime.discovery import NamedConsumer
from consumers.runtime.inbox import Inbox
from consumers.runtime.settings import ConsumerSettings
from schemas.events import CloudEvent
from tests.consumers.events import ACCOUNT, APPLICATION, SHOP, USER, event, payload_uuid, txid


class State:
    """The consumer with its database, without a queue."""

    def __init__(self, consumer: AppState, inbox: Inbox) -> None:
        self._consumer = consumer
        self._inbox = inbox

    async def handle(self, *events: CloudEvent) -> None:
        for each in events:
            handler = self._consumer.find_handler(each)
            assert handler is not None
            await self._inbox.handle_once(each.id, lambda db, handler=handler, each=each: handler(each, db))

    async def rows(self, table: Table) -> Sequence[dict[str, Any]]:
        found = select(table).order_by(*table.primary_key)
        return await self._consumer.resources.database.read(
            lambda db: [dict(row) for row in db.execute(found).mappings()]
        )

    async def row(self, table: Table, *names: str) -> tuple[Any, ...]:
        (row,) = await self.rows(table)
        return tuple(row[name] for name in names)


@pytest.fixture
async def state(database_url: str) -> AsyncIterator[State]:
    settings = ConsumerSettings(database_url=database_url)
    async with open_consumer(NamedConsumer(name="app-state", consumer=AppState), settings) as (consumer, inbox):
        assert isinstance(consumer, AppState)
        yield State(consumer, inbox)


async def test_sign_request_follows_its_events(state: State) -> None:
    """The latest event gives the state; what earlier ones told and it does not stays."""
    meta = {"identifier": "order 7", "blob": None, "instruction": None}
    await state.handle(
        event("sign.opened", sequence=1, custom_meta=meta),
        event("sign.signed", sequence=2, txid=txid(1)),
        event("resolve.failed", sequence=3, result="tecPATH_DRY"),
    )
    row = await state.row(sign_requests, "payload", "family", "state", "identifier", "txid", "failure", "account")

    assert row == (payload_uuid(1), "resolve", "failed", "order 7", txid(1), "tecPATH_DRY", ACCOUNT)


async def test_older_event_never_overwrites_a_newer_state(state: State) -> None:
    """An event that was retried and comes late changes nothing."""
    await state.handle(
        event("resolve.validated", sequence=3), event("sign.signed", sequence=2), event("sign.opened", sequence=1)
    )

    assert await state.row(sign_requests, "state", "sequence") == ("validated", 3)


async def test_sign_in_makes_an_account(state: State) -> None:
    """A signed SignIn proves the account; a second one moves the latest time and keeps the first."""
    await state.handle(
        event("resolve.signed", 1, tx_type="SignIn", network="MAINNET", resolved_at="2026-03-01T10:00:00Z"),
        event("resolve.signed", 2, tx_type="SignIn", network="MAINNET", resolved_at="2026-03-02T10:00:00Z"),
        event("resolve.signed", 3, tx_type="SignIn", network="TESTNET", resolved_at="2026-02-01T10:00:00Z"),
    )
    row = await state.row(
        accounts, "application", "account", "user", "payload", "network", "first_signed_in_at", "last_signed_in_at"
    )

    assert row == (
        APPLICATION,
        ACCOUNT,
        USER,
        payload_uuid(2),
        "MAINNET",
        "2026-02-01T10:00:00.000000Z",
        "2026-03-02T10:00:00.000000Z",
    )


async def test_other_signature_makes_no_account(state: State) -> None:
    """A payload signed off-ledger that is no SignIn proves nothing about signing in."""
    await state.handle(event("resolve.signed", tx_type="Payment"))

    assert await state.rows(accounts) == []


@pytest.mark.parametrize(
    ("delivered", "expected"),
    [
        ("1000000", ("1000000", None, None, None)),
        ({"currency": "EUR", "issuer": SHOP, "value": "0.1000000000000001"}, ("0.1000000000000001", "EUR", SHOP, None)),
        ({"mpt_issuance_id": "00AB", "value": "9223372036854775807"}, ("9223372036854775807", None, None, "00AB")),
    ],
    ids=["drops", "issued", "mpt"],
)
async def test_payment_keeps_the_amount_as_text(state: State, delivered: Any, expected: tuple[Any, ...]) -> None:
    """What was delivered is written digit for digit, whatever it is counted in."""
    await state.handle(event("resolve.validated", delivered_amount=delivered))

    assert await state.row(payments, "amount", "currency", "issuer", "mpt_issuance_id") == expected


async def test_payment_says_who_paid_whom_where(state: State) -> None:
    """Destination, the largest possible tag, network and transaction are there to be matched with an order."""
    await state.handle(
        event("resolve.validated", delivered_amount="5", destination=SHOP, destination_tag=2**32 - 1, fee="12")
    )
    row = await state.row(payments, "txid", "account", "destination", "destination_tag", "network", "fee")

    assert row == (txid(1), ACCOUNT, SHOP, 2**32 - 1, "MAINNET", "12")


async def test_one_transaction_is_one_payment(state: State) -> None:
    """A second payload that names the same transaction adds no second payment."""
    await state.handle(
        event("resolve.validated", 1, delivered_amount="5", txid=txid(9)),
        event("resolve.validated", 2, delivered_amount="5", txid=txid(9)),
    )

    assert await state.row(payments, "payload") == (payload_uuid(1),)


async def test_transaction_that_delivers_nothing_is_no_payment(state: State) -> None:
    """A trust line is validated too."""
    await state.handle(event("resolve.validated", tx_type="TrustSet"))

    assert await state.rows(payments) == []


async def test_amount_that_is_not_known_is_no_payment(state: State) -> None:
    """The transaction is validated, and nobody can say what arrived: it never passes for paid."""
    await state.handle(event("resolve.validated", delivered_amount=None, amount_unavailable=True))

    assert await state.row(sign_requests, "state") == ("validated",)
    assert await state.rows(payments) == []


async def test_identifier_with_a_nul_loses_no_payment(state: State) -> None:
    """What a database cannot hold is replaced, whoever wrote it; the payment stands."""
    meta = {"identifier": "order\u00007", "blob": None, "instruction": None}
    await state.handle(event("resolve.validated", delivered_amount="5", tx_type="Pay\u0000ment", custom_meta=meta))

    assert await state.row(payments, "identifier", "amount") == ("order\ufffd7", "5")
    assert await state.row(sign_requests, "identifier", "tx_type") == ("order\ufffd7", "Pay\ufffdment")
