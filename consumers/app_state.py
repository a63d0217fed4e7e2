"""Stores sign requests, signed-in accounts and received payments of applications in a database of its own."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, MetaData, String, Table, Text, case, func

from consumers.runtime.consumer import Consumer
from processor.database import insert_into
from schemas.data import FailedData, IssuedAmount, MptAmount, SignedData, SignedOutcome, ValidatedData
from schemas.events import ResolveEvent, ResolveSigned, ResolveValidated, SignEvent, family_and_name

METADATA: Final = MetaData()
SIGN_IN: Final = "SignIn"

sign_requests: Final = Table(
    "sign_requests",
    METADATA,
    Column("payload", String(36), primary_key=True),
    Column("application", String(36), nullable=False),
    Column("app", String(63), nullable=False),
    Column("identifier", Text),
    Column("family", String(16), nullable=False),
    Column("state", String(32), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("tx_type", Text),
    Column("account", String(36)),
    Column("user", String(36)),
    Column("txid", String(64)),
    Column("network", Text),
    Column("failure", Text),
    Column("updated_at", String(32), nullable=False),
    Index("sign_requests_by_identifier", "application", "identifier"),
)
"""One row for each payload. ``family`` and ``state`` are from its latest event, such as ``resolve``, ``validated``."""

accounts: Final = Table(
    "accounts",
    METADATA,
    Column("application", String(36), primary_key=True),
    Column("account", String(36), primary_key=True),
    Column("user", String(36)),
    Column("network", Text),
    Column("payload", String(36), nullable=False),
    Column("first_signed_in_at", String(32), nullable=False),
    Column("last_signed_in_at", String(32), nullable=False),
)
"""Accounts that signed a SignIn. ``payload`` is the latest one."""

payments: Final = Table(
    "payments",
    METADATA,
    Column("txid", String(64), primary_key=True),
    Column("payload", String(36), nullable=False),
    Column("application", String(36), nullable=False),
    Column("identifier", Text),
    Column("account", String(36), nullable=False),
    Column("destination", String(36)),
    Column("destination_tag", BigInteger),
    Column("amount", Text, nullable=False),
    Column("currency", Text),
    Column("issuer", Text),
    Column("mpt_issuance_id", Text),
    Column("network", Text, nullable=False),
    Column("fee", Text),
    Column("ledger_index", Integer),
    Column("validated_at", String(32), nullable=False),
    Index("payments_by_payload", "payload"),
    Index("payments_by_destination", "destination", "destination_tag"),
)
"""Received payments, one for each transaction, even if several payloads name it. Without ``currency`` and
``mpt_issuance_id``, ``amount`` is drops of the network's native currency. Amounts are the ledger's own text."""


class AppState(Consumer):
    """Stores sign requests, signed-in accounts and payments."""

    tables = METADATA

    def note_progress(self, event: SignEvent, transaction: Connection) -> None:
        """Store the progress of a sign request."""
        _note_request(transaction, event)

    def note_outcome(self, event: ResolveEvent, transaction: Connection) -> None:
        """Store the outcome of a sign request, the account of a SignIn, and a payment."""
        _note_request(transaction, event)
        if isinstance(event, ResolveSigned) and event.data.tx_type == SIGN_IN:
            _note_account(transaction, event)
        if isinstance(event, ResolveValidated) and event.data.delivered_amount is not None:
            _note_payment(transaction, event)


def _note_request(transaction: Connection, event: SignEvent | ResolveEvent) -> None:
    """Write the request's row unless it is of a later event. Columns that this event has no value for stay."""
    row = _request_row(event)
    insert = insert_into(transaction.dialect, sign_requests).values(row)
    new = {name: func.coalesce(insert.excluded[name], sign_requests.c[name]) for name in row}
    transaction.execute(
        insert.on_conflict_do_update(
            index_elements=[sign_requests.c.payload],
            set_=new,
            where=sign_requests.c.sequence < insert.excluded.sequence,
        )
    )


def _request_row(event: SignEvent | ResolveEvent) -> Mapping[str, Any]:
    family, state = family_and_name(event.type)
    data = event.data
    outcome = data if isinstance(data, SignedOutcome) else None
    return {
        "payload": event.subject,
        "application": data.application,
        "app": event.app,
        "identifier": data.custom_meta.identifier if data.custom_meta else None,
        "family": family,
        "state": state,
        "sequence": int(event.sequence),
        "tx_type": getattr(data, "tx_type", None),
        "account": outcome.account if outcome else None,
        "user": data.user,
        "txid": data.txid if isinstance(data, SignedData | SignedOutcome) else None,
        "network": outcome.network if outcome else None,
        "failure": (data.result or data.reason) if isinstance(data, FailedData) else None,
        "updated_at": _text(event.time),
    }


def _note_account(transaction: Connection, event: ResolveSigned) -> None:
    at = _text(event.data.resolved_at or event.time)
    insert = insert_into(transaction.dialect, accounts).values(
        application=event.data.application,
        account=event.data.account,
        user=event.data.user,
        network=event.data.network,
        payload=event.subject,
        first_signed_in_at=at,
        last_signed_in_at=at,
    )
    is_later = insert.excluded.last_signed_in_at > accounts.c.last_signed_in_at
    is_earlier = insert.excluded.first_signed_in_at < accounts.c.first_signed_in_at
    chosen = dict.fromkeys(("user", "network", "payload", "last_signed_in_at"), is_later)
    chosen["first_signed_in_at"] = is_earlier
    transaction.execute(
        insert.on_conflict_do_update(
            index_elements=[accounts.c.application, accounts.c.account],
            set_={name: case((wins, insert.excluded[name]), else_=accounts.c[name]) for name, wins in chosen.items()},
        )
    )


def _note_payment(transaction: Connection, event: ResolveValidated) -> None:
    data = event.data
    ledger = data.proof.ledger
    row = {
        "txid": data.txid,
        "payload": event.subject,
        "application": data.application,
        "identifier": data.custom_meta.identifier if data.custom_meta else None,
        "account": data.account,
        "destination": data.destination,
        "destination_tag": data.destination_tag,
        **_amount(data),
        "network": data.network,
        "fee": data.fee,
        "ledger_index": ledger.ledger_index if ledger else None,
        "validated_at": _text(event.time),
    }
    transaction.execute(insert_into(transaction.dialect, payments).values(row).on_conflict_do_nothing())


def _amount(data: ValidatedData) -> Mapping[str, str | None]:
    match data.delivered_amount:
        case IssuedAmount(currency=currency, issuer=issuer, value=value):
            return {"amount": value, "currency": currency, "issuer": issuer, "mpt_issuance_id": None}
        case MptAmount(mpt_issuance_id=issuance, value=value):
            return {"amount": value, "currency": None, "issuer": None, "mpt_issuance_id": issuance}
        case drops:
            return {"amount": drops or "0", "currency": None, "issuer": None, "mpt_issuance_id": None}


def _text(instant: datetime) -> str:
    """UTC in a fixed width, so that instants compare as text."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
