import json
from datetime import timedelta
from typing import Any

import pytest

from processor.core.delivery import Delivery
from processor.core.errors import NormalizeError
from processor.core.normalize import ledger_report, snapshot_report, status_report, webhook_report
from tests.core.payloads import ACCOUNT, APPLICATION, NOW, PAYLOAD, SHOP, TXID

OTHER = "8f5b1d3a-0000-4000-8000-00000000ffff"


def webhook_body(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "meta": {"url": "https://x", "application_uuidv4": APPLICATION, "payload_uuidv4": PAYLOAD},
        "custom_meta": {"identifier": "order-1", "blob": {"n": [1, 2.5, None]}, "instruction": "Hey ❤️"},
        "payloadResponse": {"payload_uuidv4": PAYLOAD, "signed": True, "txid": TXID.lower()},
        "userToken": {"user_token": OTHER, "token_issued": 1635000000, "token_expiration": "2021-11-21T12:26:40.000Z"},
    }
    return body | changes


def delivery(body: Any) -> Delivery:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Delivery(application=SHOP, body=raw, received_at=NOW, attempt=1)


def test_webhook() -> None:
    """A webhook becomes a report with canonical ids, the token kept apart."""
    report = webhook_report(delivery(webhook_body()))

    assert (PAYLOAD, True, TXID, NOW) == (report.payload, report.signed, report.txid, report.at)
    assert report.token is not None
    assert OTHER == report.token.value
    assert OTHER not in repr(report)
    assert report.custom_meta is not None
    assert {"n": [1, 2.5, None]} == json.loads(report.custom_meta)["blob"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"meta": {"application_uuidv4": OTHER, "payload_uuidv4": PAYLOAD}}, "application_uuidv4"),
        ({"meta": {"application_uuidv4": APPLICATION, "payload_uuidv4": OTHER}}, "differ"),
        ({"payloadResponse": {"payload_uuidv4": PAYLOAD, "signed": "true"}}, "payloadResponse.signed"),
        ({"payloadResponse": {"payload_uuidv4": PAYLOAD, "signed": True, "txid": "AB"}}, "payloadResponse.txid"),
        ({"payloadResponse": None}, "payloadResponse"),
    ],
)
def test_webhook_that_makes_no_sense(changes: dict[str, Any], field: str) -> None:
    """The error names the field, and no value of it."""
    with pytest.raises(NormalizeError, match=field) as caught:
        webhook_report(delivery(webhook_body(**changes)))

    assert OTHER not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff\xfe{\x00}\x00", b'{"a":"\\ud800"}', b"[" * 5000])
def test_garbage(body: bytes) -> None:
    """No bytes at all get anything but a clear error."""
    with pytest.raises(NormalizeError):
        webhook_report(delivery(body))


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"opened": True}, "opened"),
        ({"pre_signed": True}, "pre_signed"),
        ({"dispatched": True}, "dispatched"),
        ({"expired": True}, "expired"),
        ({"payload_uuidv4": PAYLOAD, "signed": True, "txid": TXID}, "signed"),
        ({"payload_uuidv4": PAYLOAD, "signed": False}, "rejected"),
        ({"expires_in_seconds": 54}, "alive"),
    ],
)
def test_status(message: dict[str, Any], kind: str) -> None:
    """Each message of the WebSocket has its kind."""
    report = status_report(SHOP, PAYLOAD, json.dumps(message), NOW)

    assert report is not None
    assert kind == report.kind


@pytest.mark.parametrize(
    "message", [{"message": "Welcome"}, {"devapp_fetched": True}, {"signed": True}, {"opened": False}, {"new": 1}, {}]
)
def test_status_without_news(message: dict[str, Any]) -> None:
    """Greetings, fetches by the application and what is not known yet say nothing."""
    assert status_report(SHOP, PAYLOAD, json.dumps(message), NOW) is None


@pytest.mark.parametrize("message", ["[]", "nonsense", '{"opened":"yes"}', '{"expires_in_seconds":NaN}'])
def test_status_garbage(message: str) -> None:
    """A message that is no status is an error, not a guess."""
    with pytest.raises(NormalizeError):
        status_report(SHOP, PAYLOAD, message, NOW)


def test_status_of_another_payload() -> None:
    """A socket that speaks of another payload is not believed."""
    with pytest.raises(NormalizeError, match="payload_uuidv4"):
        status_report(SHOP, PAYLOAD, json.dumps({"payload_uuidv4": OTHER, "signed": True}), NOW)


def test_status_expiry_is_bounded() -> None:
    """An absurd number of seconds does not overflow the calendar."""
    report = status_report(SHOP, PAYLOAD, '{"expires_in_seconds":1e300}'.replace("1e300", str(10**18)), NOW)

    assert report is not None
    assert NOW + timedelta(days=366) == report.expires_at


def api_answer(**changes: Any) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "meta": {
            "exists": True, "uuid": PAYLOAD, "multisign": False, "submit": True, "resolved": True,
            "signed": True, "cancelled": False, "expired": False, "app_opened": True,
        },
        "application": {"name": "Shop", "uuidv4": APPLICATION, "issued_user_token": None},
        "payload": {"tx_type": "Payment", "expires_at": "2026-01-02T04:04:05Z"},
        "response": {
            "hex": "AB", "txid": TXID, "account": ACCOUNT, "dispatched_nodetype": "MAINNET",
            "resolved_at": "2026-01-02T03:04:05Z",
        },
        "custom_meta": {"identifier": None, "blob": None, "instruction": None},
    }  # fmt: skip
    for path, value in changes.items():
        section, key = path.split("__")
        answer[section][key] = value
    return answer


def snapshot_of(**changes: Any) -> Any:
    return snapshot_report(SHOP, PAYLOAD, json.dumps(api_answer(**changes)).encode(), NOW).snapshot


UNRESOLVED = {"meta__resolved": False, "meta__signed": False}


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "signed"),
        ({"meta__expired": True}, "signed"),
        ({"meta__signed": False}, "rejected"),
        ({"meta__signed": False, "meta__expired": True}, "rejected"),
        (UNRESOLVED, "open"),
        (UNRESOLVED | {"meta__expired": True}, "expired"),
        (UNRESOLVED | {"meta__cancelled": True}, "cancelled"),
        (UNRESOLVED | {"meta__cancelled": True, "meta__expired": True}, "cancelled"),
        ({"meta__signed": False, "meta__cancelled": True}, "cancelled"),
    ],
)
def test_snapshot_outcome(changes: dict[str, Any], outcome: str) -> None:
    """The flags of a payload say how it ended."""
    assert outcome == snapshot_of(**changes).outcome


@pytest.mark.parametrize(
    ("changes", "on_ledger"),
    [
        ({}, True),
        ({"meta__submit": False}, False),
        ({"meta__multisign": True}, False),
        ({"payload__tx_type": "SignIn"}, False),
    ],
)
def test_snapshot_on_ledger(changes: dict[str, Any], on_ledger: bool) -> None:  # noqa: FBT001
    """Only what the wallet submits is looked for on a ledger."""
    assert on_ledger == snapshot_of(**changes).on_ledger


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"meta__uuid": OTHER}, "meta.uuid"),
        ({"meta__exists": False}, "exist"),
        ({"meta__resolved": False}, "contradicts"),
        ({"meta__cancelled": True}, "contradicts"),
        ({"response__account": None}, "response.account"),
        ({"response__account": "raaaa"}, "response.account"),
        ({"meta__signed": "yes"}, "meta.signed"),
        (UNRESOLVED | {"meta__expired": True, "payload__expires_at": None}, "expires_at"),
    ],
)
def test_snapshot_that_makes_no_sense(changes: dict[str, Any], field: str) -> None:
    """A lying answer is an error that names the field."""
    with pytest.raises(NormalizeError, match=field):
        snapshot_of(**changes)


def tx_answer(**changes: Any) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "hash": TXID, "validated": True, "ledger_index": 90_000_000, "TransactionType": "Payment",
        "Account": ACCOUNT, "Destination": ACCOUNT, "DestinationTag": 7, "Fee": "12", "Amount": "5000000",
        "meta": {"TransactionResult": "tesSUCCESS", "delivered_amount": "1000000"},
    }  # fmt: skip
    return answer | changes


def ledger_of(answer: dict[str, Any]) -> Any:
    return ledger_report(SHOP, PAYLOAD, TXID, answer, node="node.example", at=NOW).ledger


def test_validated_transaction() -> None:
    """The amount is what was delivered, never what was asked to be sent."""
    ledger = ledger_of(tx_answer())

    assert ledger.succeeded
    assert ("1000000", "12", 7) == (ledger.delivered_amount, ledger.fee, ledger.destination_tag)


def test_transaction_in_the_newer_shape() -> None:
    """API version 2 puts the transaction into ``tx_json``."""
    answer = tx_answer()
    fields = {key: answer.pop(key) for key in ("TransactionType", "Account", "Destination", "DestinationTag", "Fee")}

    assert ledger_of(tx_answer()) == ledger_of(answer | {"tx_json": fields})


def test_issued_amount() -> None:
    """An issued currency keeps its value as text."""
    amount = {"currency": "USD", "issuer": ACCOUNT, "value": "0.1"}

    assert (
        amount
        == ledger_of(tx_answer(meta={"TransactionResult": "tesSUCCESS", "delivered_amount": amount})).delivered_amount
    )


@pytest.mark.parametrize("amount", [1000000, 0.1, "1e6", "-5", "unavailable", {"value": 1}, [], True, "1.5", "\uff11"])
def test_amount_that_is_no_amount(amount: Any) -> None:
    """A number may have been rounded, and words are no amount: nothing is settled on them."""
    with pytest.raises(NormalizeError, match="delivered_amount"):
        ledger_of(tx_answer(meta={"TransactionResult": "tesSUCCESS", "delivered_amount": amount}))


@pytest.mark.parametrize(
    "changes",
    [
        {"hash": "CD" * 32},
        {"meta": None},
        {"ledger_index": None},
        {"validated": "true"},
        {"meta": {"TransactionResult": "nonsense code"}},
    ],
)
def test_transaction_that_makes_no_sense(changes: dict[str, Any]) -> None:
    """A lying node settles nothing."""
    with pytest.raises(NormalizeError):
        ledger_of(tx_answer(**changes))


def test_transaction_not_yet_validated() -> None:
    """What stands in no validated ledger is pending, whatever it says of itself."""
    assert ledger_of(tx_answer(validated=False)).status == "pending"
