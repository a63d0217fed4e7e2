import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.delivery.authentication import Delivery
from processor.core.errors import NormalizeError
from processor.core.proof.evidence import Ledger, SignatureDoubt, Snapshot
from processor.core.proof.signed_blob import transaction_id
from processor.core.reports.ledger import ledger_report
from processor.core.reports.report import LedgerReport, ReportedToken, SnapshotReport, StatusReport
from processor.core.reports.snapshot import snapshot_report
from processor.core.reports.status import status_report
from processor.core.reports.webhook import parse_payload_uuid, webhook_report
from tests.core.payloads import ACCOUNT, APPLICATION, NOW, PAYLOAD, SHOP, TXID
from tests.support.wallets import (
    ALICE,
    BOB,
    KNOWN_XAHAU_ACCOUNT,
    KNOWN_XAHAU_PAYMENT,
    KNOWN_XAHAU_TXID,
    cosigned,
    payment,
    signed,
)

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
        "payload": {"tx_type": "Payment", "request_json": {}, "expires_at": "2026-01-02T04:04:05Z"},
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
        ({"meta__signed": False, "meta__cancelled": True, "response__resolved_at": None}, "cancelled"),
        ({"meta__signed": False, "meta__cancelled": True, "meta__expired": True}, "rejected"),
        ({"meta__cancelled": True}, "signed"),
        ({"meta__cancelled": True, "meta__expired": True}, "signed"),
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
        ({"payload__tx_type": "PaymentChannelAuthorize"}, False),
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


BLOB = signed(payment())
SIGNED = {"response__hex": BLOB, "response__txid": transaction_id(BLOB), "response__account": ALICE.address}


def test_snapshot_with_a_proven_signature() -> None:
    """The blob proves who signed, and says up to which ledger it may come in."""
    snapshot = snapshot_of(**SIGNED)

    assert (True, None, 90_000_020) == (snapshot.proven, snapshot.doubt, snapshot.last_ledger_sequence)
    assert (ALICE.address, "secp256k1") == (snapshot.signature.account, snapshot.signature.algorithm)


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"response__hex": None}, SignatureDoubt(field="response.hex", reason="missing")),
        ({"response__hex": "AB"}, SignatureDoubt(field="response.hex", reason="unreadable")),
        ({"response__txid": TXID}, SignatureDoubt(field="response.txid", reason="differs")),
        ({"response__account": BOB.address}, SignatureDoubt(field="response.account", reason="differs")),
        ({"response__signer": BOB.address}, SignatureDoubt(field="response.signer", reason="differs")),
        ({"response__signer_pubkey": BOB.public_key}, SignatureDoubt(field="response.signer_pubkey", reason="differs")),
        ({"payload__request_json": {"Amount": "2"}}, SignatureDoubt(field="Amount", reason="differs")),
        ({"payload__request_json": None}, SignatureDoubt(field="payload.request_json", reason="missing")),
        ({"payload__request_json": "Payment"}, SignatureDoubt(field="payload.request_json", reason="missing")),
        ({"payload__request_json": {"Account": BOB.address}, "meta__forceAccount": True},
         SignatureDoubt(field="Account", reason="differs")),
    ],
)  # fmt: skip
def test_snapshot_in_doubt(changes: dict[str, Any], doubt: SignatureDoubt) -> None:
    """What is wrong with a signature is kept with the snapshot, which proves nothing then."""
    changes = ({"response__txid": None} if changes.get("response__hex") == "AB" else {}) | changes
    snapshot = snapshot_of(**(SIGNED | changes))

    assert (doubt, None, False, None) == (
        snapshot.doubt, snapshot.signature, snapshot.proven, snapshot.last_ledger_sequence,
    )  # fmt: skip


@pytest.mark.parametrize("flagged", [True, False])
@pytest.mark.parametrize("named", [ALICE.address, BOB.address])
def test_snapshot_of_a_cosignature(named: str, *, flagged: bool) -> None:
    """The account is the cosigner's, the one that it signed for stands in the signature, and no ledger is asked."""
    blob = cosigned(payment(), BOB)
    snapshot = snapshot_of(
        response__hex=blob, response__txid=transaction_id(blob), response__account=ALICE.address,
        response__multisign_account=named, response__signer=BOB.address, meta__multisign=flagged,
    )  # fmt: skip

    assert (BOB.address, ALICE.address, "multisign") == (
        snapshot.account, snapshot.signature.account, snapshot.signature.algorithm,
    )  # fmt: skip
    assert (True, False) == (snapshot.proven, snapshot.on_ledger)


def test_snapshot_of_a_payment_on_another_chain() -> None:
    """As Xumm's API told it of a wallet on the test network of Xahau."""
    snapshot = snapshot_of(
        response__hex=KNOWN_XAHAU_PAYMENT, response__txid=KNOWN_XAHAU_TXID, response__account=KNOWN_XAHAU_ACCOUNT,
        response__signer=KNOWN_XAHAU_ACCOUNT, response__multisign_account="",
        response__dispatched_nodetype="XAHAUTESTNET", response__environment_nodetype="XAHAUTESTNET",
        response__environment_networkid=21338,
        payload__request_json={
            "TransactionType": "Payment", "Destination": "rM9J9GskMWkDEU5yarJzYkqgXPwLQw4QqQ", "Amount": "1",
            "Account": KNOWN_XAHAU_ACCOUNT,
        },
    )  # fmt: skip

    assert (True, "XAHAUTESTNET", False, 11_583_953) == (
        snapshot.proven, snapshot.network, snapshot.networks_disagree, snapshot.last_ledger_sequence,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("dispatched", "environment", "number", "network", "disagree"),
    [
        ("MAINNET", "MAINNET", 0, "MAINNET", False),
        ("mainnet", None, "0", "MAINNET", False),
        ("", "TESTNET", "", "TESTNET", False),
        (None, None, 1, "TESTNET", False),
        (None, None, "21338", "XAHAUTESTNET", False),
        (None, None, 4711, "4711", False),
        (None, None, None, None, False),
        ("MAINNET", "TESTNET", None, "MAINNET", True),
        ("MAINNET", "MAINNET", 1, "MAINNET", True),
        ("MAINNET", None, "4711", "MAINNET", True),
        (None, "CUSTOM", 0, "MAINNET", False),
        ("LIVENET", "MAINNET", "0", "MAINNET", False),
        ("LIVENET", "TESTNET", None, "MAINNET", True),
        ("UNKNOWN NODE", "MAINNET", None, "MAINNET", False),
        ("MAINNET", "UNKNOWN NODE", 0, "MAINNET", False),
        ("UNKNOWN NODE", "UNKNOWN NODE", None, None, False),
        ("UNKNOWN NODE", None, 4711, "4711", False),
        ("JSHOOKS", "JSHOOKS", 31338, "JSHOOKS", False),
        ("XAHAUTESTNET", "XAHAUTESTNET", "21338", "XAHAUTESTNET", False),
        ("CUSTOM", "JSHOOKS", None, "CUSTOM", False),
        ("CUSTOM", "MAINNET", None, "MAINNET", False),
        ("CUSTOM", None, 1, "TESTNET", False),
        ("SOMETHING NEW", "MAINNET", 1, "MAINNET", True),
    ],
)
def test_snapshot_network(
    dispatched: str | None, environment: str | None, number: Any, network: str | None, *, disagree: bool
) -> None:
    """Whichever field names the network, by name or by number; naming two that are known is a contradiction."""
    snapshot = snapshot_of(
        response__dispatched_nodetype=dispatched, response__environment_nodetype=environment,
        response__environment_networkid=number,
    )  # fmt: skip

    assert (network, disagree) == (snapshot.network, snapshot.networks_disagree)


def test_snapshot_network_in_the_blob() -> None:
    """A transaction that was signed for another network contradicts the API."""
    blob = signed(payment(NetworkID=21337))

    assert snapshot_of(**SIGNED, response__dispatched_nodetype="MAINNET").networks_disagree is False
    assert snapshot_of(**SIGNED | {"response__hex": blob, "response__txid": transaction_id(blob)}).networks_disagree


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("environment_networkid", True), ("environment_networkid", 1.5), ("environment_networkid", -1),
        ("environment_networkid", "1e3"), ("environment_networkid", 2**32), ("dispatched_nodetype", 5),
        ("dispatched_nodetype", "M" * 65), ("dispatched_result", {}), ("signer", "me"), ("signer_pubkey", "ED"),
        ("multisign_account", 5), ("hex", []), ("txid", "AB"),
    ],
)  # fmt: skip
def test_snapshot_fields_of_a_wrong_type(field: str, value: Any) -> None:
    """Each is an error that names the field."""
    with pytest.raises(NormalizeError, match=f"response.{field}"):
        snapshot_of(**{f"response__{field}": value})


NOTHING = ["", "null", "undefined"]


@pytest.mark.parametrize("nothing", NOTHING)
def test_texts_that_stand_for_nothing(nothing: str) -> None:
    """JavaScript's texts for none are none, in the webhook, on the socket and in the API's answer."""
    response = {"payload_uuidv4": PAYLOAD, "signed": True, "txid": nothing}
    token = {"user_token": nothing, "token_issued": nothing, "token_expiration": nothing}
    told = webhook_report(delivery(webhook_body(payloadResponse=response, userToken=token)))
    said = status_report(SHOP, PAYLOAD, json.dumps(response | {"expires_in_seconds": nothing}), NOW)
    fields = ("hex", "txid", "resolved_at", "signer", "signer_pubkey", "multisign_account", "dispatched_result",
              "dispatched_nodetype", "environment_nodetype", "environment_networkid")  # fmt: skip
    shown = snapshot_of(**{f"response__{field}": nothing for field in fields})

    assert (None, None) == (told.txid, told.token)
    assert said is not None
    assert ("signed", None, None) == (said.kind, said.txid, said.expires_at)
    assert (None, None, None) == (shown.txid, shown.network, shown.resolved_at)
    assert SignatureDoubt(field="response.hex", reason="missing") == shown.doubt


@pytest.mark.parametrize("field", ["user_token", "token_issued", "token_expiration"])
def test_token_whose_parts_are_null(field: str) -> None:
    """An object of nulls is no token, and one without dates is one."""
    token = {"user_token": OTHER, "token_issued": None, "token_expiration": None} | {field: None}
    report = webhook_report(delivery(webhook_body(userToken=token)))

    assert (field != "user_token") is (report.token is not None)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from([TXID, ACCOUNT, BLOB, "tesSUCCESS", "tec", "unavailable", "1e5", "\u0000", 2**70]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
PATHS = [f"{section}__{key}" for section, fields in api_answer().items() for key in fields] + [
    f"response__{key}" for key in ("signer", "signer_pubkey", "multisign_account", "environment_networkid")
] + ["payload__request_json", "meta__forceAccount"]  # fmt: skip


@given(changes=st.dictionaries(st.sampled_from(PATHS), junk, max_size=3), signed_blob=st.booleans())
def test_any_answer_of_the_api_is_read_or_refused(changes: dict[str, Any], signed_blob: bool) -> None:  # noqa: FBT001
    """Whatever stands in its fields, there is a snapshot or a clear error, and nothing forged is proven."""
    try:
        snapshot = snapshot_of(**((SIGNED if signed_blob else {}) | changes))
    except NormalizeError:
        return

    assert snapshot.signature is None or ALICE.address == snapshot.account


@given(body=st.binary(max_size=64) | st.text(max_size=64).map(str.encode) | junk.map(json.dumps).map(str.encode))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    """No bytes raise anything but the one error."""
    with pytest.raises(NormalizeError):
        snapshot_report(SHOP, PAYLOAD, body, NOW)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"meta":' * 50_000, b'{"a":NaN}', b'{"a":"' + b"x" * 2**20 + b'"}'])
def test_deep_and_huge_bodies_are_refused(body: bytes) -> None:
    """Nesting and size end in the same error."""
    with pytest.raises(NormalizeError):
        snapshot_report(SHOP, PAYLOAD, body, NOW)


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


def test_amount_that_a_node_cannot_tell() -> None:
    """It is not known, which is neither nothing nor an error."""
    ledger = ledger_of(tx_answer(meta={"TransactionResult": "tesSUCCESS", "delivered_amount": "unavailable"}))

    assert (True, None, True) == (ledger.succeeded, ledger.delivered_amount, ledger.amount_unavailable)


@pytest.mark.parametrize(
    "amount",
    [
        1000000, 0.1, "1e6", "-5", "Unavailable", "", {"value": 1}, [], True, "1.5", "\uff11", Decimal("1.5"), "\ud800",
        {"currency": "\ud800", "issuer": ACCOUNT, "value": "1"},
    ],
)  # fmt: skip
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
        {"meta": {"TransactionResult": "tefPAST_SEQ", "delivered_amount": "1"}},
        {"meta": {"TransactionResult": "tes_SUCCESS", "delivered_amount": "1"}},
        {"meta": {"TransactionResult": "tecnonsense"}},
        {"meta": {"TransactionResult": "tesSUCCESS"}},
        {"meta": {"TransactionResult": "tesSUCCESS"}, "TransactionType": None},
        {"meta": {"TransactionResult": None}},
        {"ledger_index": 1.5},
        {"ledger_index": True},
        {"ledger_index": -1},
        {"ledger_index": 2**64},
        {"DestinationTag": "seven"},
        {"Fee": 12},
        {"Fee": "1e9"},
        {"Destination": "nobody"},
        {"TransactionType": 5},
    ],
)
def test_transaction_that_makes_no_sense(changes: dict[str, Any]) -> None:
    """A lying node settles nothing."""
    with pytest.raises(NormalizeError):
        ledger_of(tx_answer(**changes))


def test_transaction_not_yet_validated() -> None:
    """What stands in no validated ledger is pending, whatever it says of itself."""
    assert ledger_of(tx_answer(validated=False)).status == "pending"


def test_numbers_may_come_as_text() -> None:
    """A node that writes numbers as decimal text is read."""
    ledger = ledger_of(tx_answer(ledger_index="90000000", DestinationTag="7"))

    assert (90_000_000, 7) == (ledger.ledger_index, ledger.destination_tag)


def test_what_delivers_nothing_needs_no_amount() -> None:
    """Only a payment that succeeded has to say what it delivered."""
    trust = ledger_of(tx_answer(TransactionType="TrustSet", meta={"TransactionResult": "tesSUCCESS"}))
    failed = ledger_of(tx_answer(meta={"TransactionResult": "tecPATH_DRY"}))

    assert (True, None) == (trust.succeeded, trust.delivered_amount)
    assert (False, "tecPATH_DRY") == (failed.succeeded, failed.result)


TX_FIELDS = [*tx_answer(), "tx_json", "error"]


@given(
    changes=st.dictionaries(st.sampled_from(TX_FIELDS), junk | st.decimals(), max_size=3),
    meta=junk | st.fixed_dictionaries({"TransactionResult": junk, "delivered_amount": junk | st.decimals()}),
)
def test_any_answer_of_a_node_is_read_or_refused(changes: dict[str, Any], meta: Any) -> None:
    """Whatever it says, there is a report with a true result code and amount, or a clear error."""
    try:
        ledger = ledger_of(tx_answer(meta=meta) | changes)
    except NormalizeError:
        return

    assert ledger.status == "pending" or ledger.result == "tesSUCCESS" or ledger.result.startswith("tec")
    assert isinstance(ledger.delivered_amount, str | dict | None)
    assert not isinstance(ledger.delivered_amount, str) or ledger.delivered_amount.isdigit()


NAMES_OF_A_WEBHOOK = ("meta.application_uuidv4", "meta.payload_uuidv4", "payloadResponse.payload_uuidv4")


def refusal(read: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(NormalizeError) as caught:
        read(*arguments, **named)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"meta__uuid": OTHER}, "meta.uuid is not the payload that was asked for, or it does not exist"),
        ({"response__account": None}, "response.account is missing from a signed payload"),
        ({"meta__resolved": False}, "meta.signed contradicts meta.resolved"),
        (
            UNRESOLVED | {"meta__expired": True, "payload__expires_at": None},
            "payload.expires_at is missing from an expired payload",
        ),
        ({"response__txid": "AB"}, "response.txid (string_pattern_mismatch)"),
    ],
)
def test_refusal_of_an_answer_says_why(changes: dict[str, Any], message: str) -> None:
    """One sentence, or the field with the kind of its fault."""
    assert message == refusal(snapshot_of, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hash": "CD" * 32}, "hash is not the transaction that was asked for"),
        ({"meta": None}, "meta or ledger_index is missing from a validated transaction"),
        ({"ledger_index": None}, "meta or ledger_index is missing from a validated transaction"),
        (
            {"meta": {"TransactionResult": "tefPAST_SEQ"}},
            "meta.TransactionResult is none that a validated transaction can have",
        ),
        ({"meta": {"TransactionResult": "tesSUCCESS"}}, "meta.delivered_amount is missing from a payment"),
        (
            {"meta": {"TransactionResult": "tesSUCCESS", "delivered_amount": 5}},
            "meta.delivered_amount is neither drops as text nor an issued amount",
        ),
        (
            {"meta": {"TransactionResult": "tesSUCCESS", "delivered_amount": "1.5"}},
            "meta.delivered_amount is not a whole number of drops",
        ),
        ({"TransactionType": 5}, "TransactionType (string_type)"),
    ],
)
def test_refusal_of_a_node_s_answer_says_why(changes: dict[str, Any], message: str) -> None:
    """One sentence, or the field with the kind of its fault."""
    assert message == refusal(ledger_of, tx_answer(**changes))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body (json_invalid)"),
        (b"[]", "body (dict_type)"),
        (b"{}", "meta (missing); payloadResponse (missing)"),
        (
            webhook_body(meta={"application_uuidv4": OTHER, "payload_uuidv4": PAYLOAD}),
            "meta.application_uuidv4 is not the application that the webhook was posted for",
        ),
        (
            webhook_body(meta={"application_uuidv4": APPLICATION, "payload_uuidv4": OTHER}),
            "meta.payload_uuidv4 and payloadResponse.payload_uuidv4 differ",
        ),
        (
            webhook_body(meta={}, payloadResponse={"payload_uuidv4": PAYLOAD}),
            "meta.application_uuidv4 (missing); meta.payload_uuidv4 (missing); payloadResponse.signed (missing)",
        ),
        (
            webhook_body(meta={}, payloadResponse={}),
            "; ".join(f"{name} (missing)" for name in NAMES_OF_A_WEBHOOK) + "; and 1 more",
        ),
    ],
)
def test_refusal_of_a_webhook_says_why(body: Any, message: str) -> None:
    """The first three faults, and how many more there are."""
    assert message == refusal(webhook_report, delivery(body))


def test_refusal_of_another_application_s_body() -> None:
    """Also where nothing else is read."""
    body = json.dumps(webhook_body(meta={"application_uuidv4": OTHER, "payload_uuidv4": PAYLOAD})).encode()

    assert "meta.application_uuidv4 is not the application that the webhook was posted for" == refusal(
        parse_payload_uuid, SHOP, body
    )


def test_refusal_of_a_message_about_another_payload() -> None:
    """A socket speaks of one."""
    message = json.dumps({"payload_uuidv4": OTHER, "signed": True})

    assert "payload_uuidv4 is not the payload that is watched" == refusal(status_report, SHOP, PAYLOAD, message, NOW)


def test_whole_webhook() -> None:
    """Every field of the report."""
    token = ReportedToken(
        value=OTHER,
        issued_at=datetime.fromtimestamp(1635000000, UTC),
        expires_at=datetime(2021, 11, 21, 12, 26, 40, tzinfo=UTC),
    )
    report = webhook_report(delivery(webhook_body()))

    assert ("shop", APPLICATION, PAYLOAD, NOW, True, TXID, token) == report[:7]


def test_whole_status() -> None:
    """Every field of the report; the expiry is counted from now."""
    message = {"payload_uuidv4": PAYLOAD, "signed": True, "txid": TXID, "expires_in_seconds": 54}
    message |= {"custom_meta": {"identifier": "order-1"}}
    report = status_report(SHOP, PAYLOAD, json.dumps(message), NOW)

    assert (
        StatusReport(
            app="shop",
            application_uuid=APPLICATION,
            payload=PAYLOAD,
            at=NOW,
            kind="signed",
            txid=TXID,
            expires_at=NOW + timedelta(seconds=54),
            custom_meta=b'{"identifier":"order-1","blob":null,"instruction":null}',
        )
        == report
    )


@pytest.mark.parametrize(("seconds", "days"), [(-(10**18), -366), (-(366 * 86400), -366), (366 * 86400 + 1, 366)])
def test_status_expiry_is_bounded_both_ways(seconds: int, days: int) -> None:
    """By a leap year."""
    report = status_report(SHOP, PAYLOAD, json.dumps({"expires_in_seconds": seconds}), NOW)

    assert report is not None
    assert NOW + timedelta(days=days) == report.expires_at


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"payload_uuidv4": PAYLOAD, "signed": True, "expired": True, "opened": True}, "signed"),
        ({"payload_uuidv4": PAYLOAD, "signed": False, "expired": True}, "rejected"),
        ({"signed": True, "expired": True, "dispatched": True}, "expired"),
        ({"dispatched": True, "pre_signed": True}, "dispatched"),
        ({"pre_signed": True, "opened": True}, "pre_signed"),
        ({"opened": True, "expires_in_seconds": 54}, "opened"),
        ({"expired": False, "expires_in_seconds": 54}, "alive"),
    ],
)
def test_message_that_says_several_things(message: dict[str, Any], kind: str) -> None:
    """The one that says the most counts."""
    report = status_report(SHOP, PAYLOAD, json.dumps(message), NOW)

    assert report is not None
    assert kind == report.kind


def test_whole_snapshot() -> None:
    """Every field of the report, of a payload that nobody signed, and the token that came with it."""
    answer = api_answer(
        **UNRESOLVED,
        meta__expired=True,
        meta__app_opened=False,
        application__issued_user_token=OTHER,
        response__resolved_at=None,
        response__txid=None,
        response__account=None,
        custom_meta__identifier="order-1",
    )

    assert SnapshotReport(
        app="shop",
        application_uuid=APPLICATION,
        payload=PAYLOAD,
        at=NOW,
        snapshot=Snapshot(
            application=APPLICATION,
            fetched_at=NOW,
            outcome="expired",
            opened=False,
            tx_type="Payment",
            submit=True,
            network="MAINNET",
            expires_at=datetime(2026, 1, 2, 4, 4, 5, tzinfo=UTC),
        ),
        token=ReportedToken(value=OTHER),
        custom_meta=b'{"identifier":"order-1","blob":null,"instruction":null}',
    ) == snapshot_report(SHOP, PAYLOAD, json.dumps(answer).encode(), NOW)
    assert snapshot_report(SHOP, PAYLOAD, json.dumps(api_answer()).encode(), NOW).token is None


def test_snapshot_of_a_signed_payload() -> None:
    """When it was resolved, by whom, and that it was opened."""
    snapshot = snapshot_of(**SIGNED)

    assert (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), ALICE.address, transaction_id(BLOB), True) == (
        snapshot.resolved_at,
        snapshot.account,
        snapshot.txid,
        snapshot.opened,
    )


def test_rejected_payload_is_not_proven() -> None:
    """Whatever else the answer holds of a signature."""
    snapshot = snapshot_of(**SIGNED, meta__signed=False)

    assert ("rejected", None, None) == (snapshot.outcome, snapshot.signature, snapshot.doubt)


def test_whole_ledger_report() -> None:
    """Every field, of a transaction that was validated, and of one that was not."""
    common: dict[str, Any] = {"app": "shop", "application_uuid": APPLICATION, "payload": PAYLOAD, "at": NOW}
    validated = Ledger(
        checked_at=NOW,
        node="node.example",
        status="validated",
        txid=TXID,
        ledger_index=90_000_000,
        result="tesSUCCESS",
        delivered_amount="1000000",
        destination=ACCOUNT,
        destination_tag=7,
        fee="12",
    )
    reports = [
        ledger_report(SHOP, PAYLOAD, TXID, tx_answer(validated=known), node="node.example", at=NOW)
        for known in (True, False)
    ]

    assert [
        LedgerReport(**common, ledger=validated),
        LedgerReport(**common, ledger=Ledger(checked_at=NOW, node="node.example", status="pending", txid=TXID)),
    ] == reports


@pytest.mark.parametrize("result", ["tec" + "A" * 60, "tecA", "tecPATH_DRY_2"])
def test_results_that_a_validated_transaction_can_have(result: str) -> None:
    """Success, and claimed costs of up to sixty more letters."""
    assert result == ledger_of(tx_answer(meta={"TransactionResult": result})).result


@pytest.mark.parametrize("result", ["tec" + "A" * 61, "tec", "tesSUCCESSFUL", "xtesSUCCESS"])
def test_results_that_it_cannot_have(result: str) -> None:
    """Nothing else."""
    meta = {"TransactionResult": result, "delivered_amount": "1"}

    assert "meta.TransactionResult is none that a validated transaction can have" == refusal(
        ledger_of, tx_answer(meta=meta)
    )


def test_other_transactions_may_deliver() -> None:
    """A check that is cashed delivers what it says, and one that says nothing is none the worse."""
    meta = {"TransactionResult": "tesSUCCESS", "delivered_amount": "5"}

    assert "5" == ledger_of(tx_answer(TransactionType="CheckCash", meta=meta)).delivered_amount
    assert ledger_of(tx_answer(TransactionType="Payment", meta=meta)).amount_unavailable is False
