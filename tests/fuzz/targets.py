"""What strangers' bytes reach, one function each: it may refuse them in the ways it promises, and in no other.

What is taken is followed to where it would be stored and published: an event must be strict JSON and pass its model.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NoReturn

from hypothesis import strategies as st
from pamqp import commands, header
from pamqp import frame as codec

from consumers.runtime.decoder import Undecodable, decode
from processor.broker.address import parse_addresses
from processor.broker.amqp import CHANNEL, Method, Parser, ProtocolError, method_bytes
from processor.broker.handshake import Handshake
from processor.broker.options import RabbitOptions
from processor.broker.sanitizer import sanitize
from processor.core.delivery.authentication import Delivery, Refusal, authenticate
from processor.core.delivery.plain_request import read_first
from processor.core.errors import NormalizeError
from processor.core.payload.events import encode
from processor.core.payload.lifecycle import apply
from processor.core.payload.state import PayloadState
from processor.core.proof.signed_blob import transaction_id
from processor.core.reports.ledger import ledger_report
from processor.core.reports.report import Report
from processor.core.reports.snapshot import snapshot_report
from processor.core.reports.status import status_report
from processor.core.reports.webhook import parse_payload_uuid, webhook_report
from processor.web.client import Answer
from schemas.events import parse_event
from schemas.text import is_uuid
from tests.core.payloads import ACCOUNT, APPLICATION, NOW, PAYLOAD, POLICY, SHOP, TXID, UNKNOWN, ledger, snapshot
from tests.fuzz.mutations import edited_bytes, edited_json
from tests.support.wallets import ALICE, BOB, KNOWN_ACCOUNT, KNOWN_SIGN_IN, cosigned, payment, signed
from tests.support.webhooks import body_of, headers_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One function, and what it is fed."""

    inputs: st.SearchStrategy[bytes]
    run: Callable[[bytes], bool]
    """Whether the input was taken, not refused."""
    examples: int
    """How many make some five seconds."""


def _follow(report: Report, state: PayloadState = UNKNOWN) -> None:
    """Take ``report`` the whole way to what is published of it."""
    transition = apply(state, report, POLICY)
    for announcement in transition.events:
        body = encode(announcement, transition.state, report).body
        json.loads(body.decode(), parse_constant=_not_json)
        parse_event(body)


def _not_json(constant: str) -> NoReturn:
    raise AssertionError(f"an event holds {constant}")


def _webhook(body: bytes) -> bool:
    headers = headers_of(body, at=NOW.timestamp())
    delivery = authenticate(SHOP, headers, body, NOW)
    assert isinstance(delivery, Delivery)
    try:
        assert is_uuid(parse_payload_uuid(SHOP, body))
        _follow(webhook_report(delivery))
    except NormalizeError:
        return False
    return True


def _authenticate(data: bytes) -> bool:
    signature, _, rest = data.partition(b"\n")
    timestamp, _, body = rest.partition(b"\n")
    headers = {
        "x-xumm-request-signature": signature.decode("latin-1"),
        "x-xumm-request-timestamp": timestamp.decode(errors="surrogateescape"),
        "x-xumm-attempt": timestamp[:2].decode(errors="surrogateescape"),
    }
    assert isinstance(authenticate(None, headers, body, NOW), Refusal)
    return isinstance(authenticate(SHOP, headers, body, NOW), Delivery)


def _whole_request(data: bytes) -> bool:
    request = read_first(data)
    if request is None or request.rest:
        return False
    assert data.endswith(b"\r\n\r\n" + request.body)
    authenticate(SHOP, request.headers, request.body, NOW)
    return True


def _status(message: bytes) -> bool:
    reports = []
    for form in (message, message.decode(errors="replace")):
        try:
            reports.append(status_report(SHOP, PAYLOAD, form, NOW))
        except NormalizeError:
            continue
    for report in filter(None, reports):
        _follow(report)
    return bool(reports)


def _snapshot(body: bytes) -> bool:
    try:
        _follow(snapshot_report(SHOP, PAYLOAD, body, NOW))
    except NormalizeError:
        return False
    return True


def _ledger(body: bytes) -> bool:
    headers = {"Content-Type": "application/json"}
    answer = Answer(host="node.example", status=200, headers=headers, body=body).json_object() or {}
    result = answer.get("result")
    try:
        report = ledger_report(
            SHOP, PAYLOAD, TXID, result if isinstance(result, dict) else {}, node="node.example", at=NOW
        )
        _follow(report, apply(UNKNOWN, snapshot("signed"), POLICY).state)
    except NormalizeError:
        return False
    return True


def _frames(stream: bytes) -> bool:
    handshake = Handshake(_BROKER, RabbitOptions(name="fuzz"))
    parser = Parser()
    cut = len(stream) // 3 + 1
    try:
        for start in range(0, len(stream), cut):
            for event in parser.feed(stream[start : start + cut]):
                if isinstance(event, Method):
                    handshake.answer(event.frame)
    except ProtocolError:
        return False
    return True


def _message(data: bytes) -> bool:
    """A frame of a message that anybody published: its content header can be decoded, whatever stands in it."""
    kind, payload = data[:1], data[1:]
    frame = sanitize(kind + b"\x00\x01" + len(payload).to_bytes(4) + payload + b"\xce")
    try:
        codec.unmarshal(frame)
    except Exception:  # noqa: BLE001  the library's own ways to refuse
        assert kind != b"\x02" or len(payload) < _LEAST_HEADER
        return False
    return True


def _consumed(body: bytes) -> bool:
    return not isinstance(decode(body), Undecodable)


_BROKER: Final = parse_addresses("amqp://guest:guest@127.0.0.1/")[0]
_WEBHOOKS: Final[list[Any]] = [
    json.loads(body_of(PAYLOAD)),
    json.loads(body_of(PAYLOAD, signed=False)),
    json.loads(
        body_of(
            PAYLOAD,
            userToken={
                "user_token": APPLICATION,
                "token_issued": 1_767_323_045,
                "token_expiration": "2026-02-01T00:00:00.000Z",
            },
        )
    ),
]
_ODD_META: Final[list[Any]] = [
    {"identifier": "a\0b", "blob": math.nan, "instruction": "\ud800"},
    {"identifier": "order-1", "blob": {"a": [1e308, -math.inf, 10**400], "\ud800": "\0"}, "instruction": None},
]
_WEBHOOKS += [_WEBHOOKS[0] | {"custom_meta": meta} for meta in _ODD_META]
_RESOLVED: Final = {
    "payload_uuidv4": PAYLOAD,
    "signed": True,
    "user_token": True,
    "txid": TXID,
    "custom_meta": {"blob": [1]},
}
_STATUSES: Final[list[Any]] = [
    {"message": f"Welcome {PAYLOAD}"},
    {"expires_in_seconds": 54},
    {"opened": True},
    {"expired": True},
    {"pre_signed": True},
    {"dispatched": True},
    _RESOLVED,
    _RESOLVED | {"signed": False, "txid": None},
    *(_RESOLVED | {"custom_meta": meta} for meta in _ODD_META),
]


def _answer(blob: str | None, account: str | None, **meta: Any) -> dict[str, Any]:
    """What Xumm's API says of a payload, with ``blob`` as the signed transaction."""
    flags = {"resolved": blob is not None, "signed": blob is not None, "cancelled": False, "expired": False}
    return {
        "meta": {
            "exists": True,
            "uuid": PAYLOAD,
            "multisign": False,
            "submit": True,
            "app_opened": True,
            **flags,
            **meta,
        },
        "application": {"name": "Shop", "uuidv4": APPLICATION, "issued_user_token": APPLICATION},
        "payload": {
            "tx_type": "Payment" if blob is None or account != KNOWN_ACCOUNT else "SignIn",
            "request_json": {"TransactionType": "Payment", "Amount": "1000000"} if account != KNOWN_ACCOUNT else {},
            "created_at": NOW.isoformat(),
            "expires_at": (NOW + timedelta(minutes=5)).isoformat(),
        },
        "response": {
            "hex": blob,
            "txid": None if blob is None else transaction_id(blob),
            "resolved_at": None if blob is None else NOW.isoformat(),
            "dispatched_nodetype": "MAINNET",
            "environment_nodetype": "MAINNET",
            "environment_networkid": 0,
            "account": account,
            "signer": account,
            "multisign_account": "",
        },
        "custom_meta": {"identifier": "order-1", "blob": {"n": 1}, "instruction": "Hey ❤️"},
    }


_ANSWERS: Final[list[Any]] = [
    _answer(None, None),
    _answer(None, None, expired=True),
    _answer(None, None, cancelled=True),
    _answer(None, None, resolved=True),
    _answer(signed(payment()), ALICE.address),
    _answer(cosigned(payment(), BOB), ALICE.address, multisign=True),
    _answer(KNOWN_SIGN_IN, KNOWN_ACCOUNT, submit=False),
    *(_answer(signed(payment()), ALICE.address) | {"custom_meta": meta} for meta in _ODD_META),
]
_TRANSACTION: Final = {
    "hash": TXID,
    "validated": True,
    "ledger_index": 90_000_000,
    "TransactionType": "Payment",
    "Account": ACCOUNT,
    "Destination": ACCOUNT,
    "Fee": "12",
    "meta": {"TransactionResult": "tesSUCCESS", "delivered_amount": "1000000"},
}
_LEDGER_ANSWERS: Final[list[Any]] = [
    {"result": _TRANSACTION},
    {"result": {"tx_json": _TRANSACTION, "hash": TXID, "validated": True, "meta": _TRANSACTION["meta"]}},
    {"result": _TRANSACTION | {"validated": False, "meta": None}},
    {"result": _TRANSACTION | {"meta": {"TransactionResult": "tecPATH_DRY"}}},
    {
        "result": _TRANSACTION
        | {
            "meta": {
                "TransactionResult": "tesSUCCESS",
                "delivered_amount": {"currency": "USD", "issuer": ACCOUNT, "value": "1.5"},
            }
        }
    },
]


def _deep_table(levels: int) -> bytes:
    """An AMQP field table with one entry, which is a table again."""
    table = b""
    for _ in range(levels):
        entry = b"\x01t" + b"F" + len(table).to_bytes(4, "big") + table
        table = entry
    return len(table).to_bytes(4, "big") + table


def _start_frame(levels: int) -> bytes:
    arguments = b"\x00\x09" + _deep_table(levels) + b"\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US"
    content = b"\x00\x0a\x00\x0a" + arguments
    return b"\x01\x00\x00" + len(content).to_bytes(4, "big") + content + b"\xce"


def _returned() -> bytes:
    properties = commands.Basic.Properties(message_id="one", headers={"a": {"b": [1, "x"]}})
    content = header.ContentHeader(body_size=3, properties=properties)
    returned = commands.Basic.Return(312, "NO_ROUTE", "xumm.events", "shop.sign.signed")
    return method_bytes(returned, CHANNEL) + codec.marshal(content, CHANNEL) + b"\x03\x00\x01\x00\x00\x00\x03abc\xce"


_FRAMES: Final = [
    b"".join(
        (
            _start_frame(2),
            method_bytes(commands.Connection.Tune(2047, 131_072, 60), 0),
            method_bytes(commands.Connection.OpenOk(), 0),
            method_bytes(commands.Channel.OpenOk(), CHANNEL),
            method_bytes(commands.Exchange.DeclareOk(), CHANNEL),
            method_bytes(commands.Confirm.SelectOk(), CHANNEL),
            method_bytes(commands.Basic.Ack(3, multiple=True), CHANNEL),
            method_bytes(commands.Basic.Nack(4), CHANNEL),
            _returned(),
        )
    ),
    _start_frame(900),
    _start_frame(8_000),
    _returned(),
    method_bytes(commands.Connection.Blocked("low on memory"), 0),
    method_bytes(commands.Channel.Close(404, "NOT_FOUND", 60, 40), CHANNEL),
]
_FRAME_PIECES: Final = [
    b"\xce",
    b"\x01\x00\x01",
    b"\x08\x00\x00\x00\x00\x00\x00\xce",
    b"\x00\x3c\x00\x50",
    b"F\x00",
    b"A\xff",
    b"T\xff\xff",
]
_LEAST_HEADER: Final = 14
_PROPERTIES: Final = commands.Basic.Properties(
    content_type="application/json",
    headers={"x-attempts": 2, "nested": {"a": [1, "x"]}, "at": NOW},
    delivery_mode=2,
    correlation_id=PAYLOAD,
    expiration="60000",
    message_id=PAYLOAD,
    timestamp=NOW,
    message_type="xumm.sign.signed",
)
_MESSAGE_FRAMES: Final = [
    frame[:1] + frame[7:-1]
    for frame in (
        codec.marshal(header.ContentHeader(body_size=3, properties=_PROPERTIES), CHANNEL),
        method_bytes(
            commands.Basic.Deliver("ctag", 5, redelivered=False, exchange="xumm.events", routing_key="shop"), 1
        ),
        method_bytes(
            commands.Basic.GetOk(5, redelivered=False, exchange="xumm.events", routing_key="shop", message_count=0), 1
        ),
    )
]
_BODY: Final = body_of(PAYLOAD)
_HEADERS: Final = headers_of(_BODY, at=NOW.timestamp())
_LINES: Final = "".join(f"{name}: {value}\r\n" for name, value in _HEADERS.items())
_REQUEST: Final = (
    f"POST /webhooks/shop HTTP/1.1\r\nhost: x\r\ncontent-length: {len(_BODY)}\r\n{_LINES}\r\n".encode() + _BODY
)
_REQUEST_PIECES: Final = [
    b"\r\n",
    b"\n",
    b" ",
    b"\0",
    b"content-length: 0\r\n",
    b"transfer-encoding: chunked\r\n",
    b"POST /webhooks/shop HTTP/1.1\r\n",
    b"HTTP/1.0",
]
_SIGNED_HEAD: Final = f"{_HEADERS['x-xumm-request-signature']}\n{_HEADERS['x-xumm-request-timestamp']}\n".encode()
_SIGNED: Final = apply(UNKNOWN, snapshot("signed"), POLICY).state
_EVENTS: Final[list[Any]] = [
    json.loads(encode(announcement, transition.state, report).body)
    for state, report in ((UNKNOWN, snapshot("signed")), (UNKNOWN, snapshot("rejected")), (_SIGNED, ledger()))
    for transition in (apply(state, report, POLICY),)
    for announcement in transition.events
]

TARGETS: Final = {
    "authenticate": Target(
        inputs=edited_bytes([_SIGNED_HEAD + _BODY], [b"\n", b"-", b"\xc2\xb2", b"\xff", b"9" * 13]),
        run=_authenticate,
        examples=6_000,
    ),
    "plain request": Target(inputs=edited_bytes([_REQUEST], _REQUEST_PIECES), run=_whole_request, examples=6_000),
    "webhook": Target(inputs=edited_json(_WEBHOOKS), run=_webhook, examples=4_000),
    "status": Target(inputs=edited_json(_STATUSES), run=_status, examples=4_000),
    "snapshot": Target(inputs=edited_json(_ANSWERS), run=_snapshot, examples=2_800),
    "ledger": Target(inputs=edited_json(_LEDGER_ANSWERS), run=_ledger, examples=4_000),
    "AMQP frames": Target(inputs=edited_bytes(_FRAMES, _FRAME_PIECES), run=_frames, examples=3_000),
    "message frames": Target(
        inputs=edited_bytes(_MESSAGE_FRAMES, [*_FRAME_PIECES, b"\xff\xfe"]), run=_message, examples=4_000
    ),
    "consumed event": Target(
        inputs=edited_json(_EVENTS),
        run=_consumed,
        examples=2_800,
    ),
}
