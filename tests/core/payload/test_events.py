import json
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.delivery.authentication import Delivery
from processor.core.errors import NormalizeError
from processor.core.payload.events import EncodedEvent, encode
from processor.core.payload.ids import event_id, user_reference
from processor.core.payload.lifecycle import PlannedEvent, apply
from processor.core.payload.state import PayloadState
from processor.core.reports.report import FlagsReleased, LookupDue, Report, ReportedToken
from processor.core.reports.webhook import webhook_report
from schemas.events import MODELS, ResolveFailed, ResolveValidated, parse_event
from tests.core.payload.test_lifecycle import REPORTS, STORIES
from tests.core.payloads import (
    ACCOUNT,
    APPLICATION,
    EXPIRY,
    NOW,
    OTHER_TXID,
    PAYLOAD,
    POLICY,
    SHOP,
    TXID,
    UNKNOWN,
    abandoned,
    deadline,
    ledger,
    request,
    snapshot,
    status,
    webhook,
)
from tests.support.webhooks import body_of


def published(*reports: Report) -> list[EncodedEvent]:
    """Every event that the reports cause, in order."""
    state, events = UNKNOWN, []
    for report in reports:
        transition = apply(state, report, POLICY)
        state = transition.state
        events += [encode(announcement, state, report) for announcement in transition.events]
    return events


@pytest.mark.parametrize("story", STORIES)
def test_what_is_published_is_what_the_models_promise(story: str) -> None:
    """Each event of each story parses as the model of its type, and says of itself what surrounds it says."""
    reports, names = STORIES[story]

    events = published(*reports)

    assert [f"xumm.{name}" for name in names] == [event.type for event in events]
    for number, encoded in enumerate(events, start=1):
        event = parse_event(encoded.body)
        assert type(event) is MODELS[encoded.type]
        assert (encoded.id, "shop", PAYLOAD, number) == (event.id, event.app, event.subject, int(event.sequence))
        assert f"shop.{encoded.type.removeprefix('xumm.')}" == encoded.routing_key
        assert event.model_dump(mode="json", exclude_defaults=True).keys() <= json.loads(encoded.body).keys()


def test_all_event_types_are_told_in_some_story() -> None:
    """No event type escapes the check above."""
    told = {f"xumm.{name}" for _, names in STORIES.values() for name in names}

    assert set(MODELS) == told


@given(reports=st.lists(st.sampled_from(REPORTS), max_size=10))
def test_any_reports_cause_well_formed_events(reports: list[Report]) -> None:
    """Whatever was heard in whatever order, what is published parses, under ids that differ."""
    events = published(*reports)

    assert [event.id for event in events] == [parse_event(event.body).id for event in events]
    assert len(events) == len({event.id for event in events})


@given(application=st.uuids(), payload=st.uuids(), fact=st.text(max_size=40))
def test_ids_are_version_5_uuids(application: UUID, payload: UUID, fact: str) -> None:
    """The short cut makes the same ids as the library's UUIDs of version 5."""
    name = f"{application}/{payload}/{fact}"

    assert str(uuid5(UUID("6f2c1d2e-7f0c-5b1e-9d53-3a6d5a0c9a41"), name)) == event_id(
        str(application), str(payload), fact
    )


def test_one_resolve_id_for_all_outcomes() -> None:
    """Two instances that disagreed about the outcome would still publish one id: consumers act once."""
    validated = published(webhook(), snapshot(), ledger())[-1]
    failed = published(webhook(), snapshot(), ledger(result="tecPATH_DRY"))[-1]

    assert "xumm.resolve.validated" == validated.type
    assert "xumm.resolve.failed" == failed.type
    assert validated.id == failed.id


def test_ids_do_not_depend_on_the_source() -> None:
    """The webhook and the API tell of the same signature under the same id."""
    assert published(webhook())[0].id == published(snapshot())[0].id


def test_validated_event_states_its_proof() -> None:
    """Amount, network and ledger stand in the event, with who was asked and when."""
    event = parse_event(published(webhook(), snapshot(), ledger())[-1].body)

    assert isinstance(event, ResolveValidated)
    assert ("1000000", "MAINNET", ACCOUNT) == (event.data.delivered_amount, event.data.network, event.data.account)
    assert event.data.proof.ledger is not None
    assert ("node.example", 90_000_000) == (event.data.proof.ledger.node, event.data.proof.ledger.ledger_index)
    assert NOW == event.data.proof.api.fetched_at
    assert event.data.proof.signature is not None
    assert (ACCOUNT, "secp256k1") == (event.data.proof.signature.account, event.data.proof.signature.algorithm)


@pytest.mark.parametrize(
    ("reports", "reason", "result"),
    [
        ([snapshot(), ledger(result="tecPATH_DRY")], "ledger_result", "tecPATH_DRY"),
        ([snapshot(), ledger("never_validated")], "never_validated", None),
        ([snapshot(network="TESTNET")], "wrong_network", None),
        ([ledger(), snapshot(network="TESTNET")], "wrong_network", None),
    ],
)
def test_failed_event_says_why(reports: list[Report], reason: str, result: str | None) -> None:
    """The reason tells a ledger's refusal from a transaction that never came and one on another network."""
    event = parse_event(published(webhook(), *reports)[-1].body)

    assert isinstance(event, ResolveFailed)
    assert (reason, result) == (event.data.reason, event.data.result)


def test_whom_a_request_was_made_for_stands_in_all_that_follows() -> None:
    """Whatever source tells what comes next; of a request that was made for nobody it is None."""
    told = [
        [json.loads(event.body)["data"]["asked_of"] for event in published(first, status("opened"), webhook())]
        for first in (request("created", asked_of=ACCOUNT), request("created"))
    ]

    assert [[ACCOUNT] * 3, [None] * 3] == told


def test_user_token_stays_inside() -> None:
    """Events carry the opaque reference of the user, and nothing of the token."""
    token = "0b0e7d4f-1111-4222-8333-944455556666"
    events = published(webhook(token=ReportedToken(value=token, issued_at=NOW)), snapshot(), ledger())

    references = {json.loads(event.body)["data"]["user"] for event in events}
    assert {user_reference(APPLICATION, token)} == references
    assert not any(token.encode() in event.body for event in events)


@pytest.mark.parametrize("lie", [{"account": "nobody"}, {"tx_type": 5}, {"network": 1}])
def test_resolve_event_that_breaks_its_promise_is_not_published(lie: dict[str, Any]) -> None:
    """What does not fit the model of a resolve event stays here, with an error that names the field only."""
    with pytest.raises(NormalizeError, match="data") as caught:
        published(webhook(), snapshot(**lie), ledger())

    assert "nobody" not in str(caught.value)


@pytest.mark.parametrize("depth", [*range(90, 110), *range(185, 200)])
def test_deep_metadata_never_makes_an_unreadable_event(depth: int) -> None:
    """What an application attached is carried, or left out where consumers could not read it; the event goes out."""
    nested = b"[" * depth + b"]" * depth
    body = body_of(PAYLOAD, custom_meta={"blob": "@@"}).replace(b'"@@"', nested)
    report = webhook_report(Delivery(application=SHOP, body=body, received_at=NOW, attempt=1))

    event = parse_event(published(report)[0].body)

    assert event.type == "xumm.sign.signed"
    assert (depth < 190) <= (event.data.custom_meta is not None)


WHOLE = UNKNOWN._replace(
    txid=TXID,
    user="8f5b1d3a-0000-4000-8000-00000000c001",
    expires_at=EXPIRY,
    custom_meta=b'{"identifier":"order-1","blob":{"b":1,"a":[1.5]},"instruction":null}',
    asked_of=ACCOUNT,
    asked_by="service:backend",
)
COMMON: dict[str, Any] = {
    "application": APPLICATION,
    "payload": PAYLOAD,
    "origin": "webhook",
    "user": "8f5b1d3a-0000-4000-8000-00000000c001",
    "asked_of": ACCOUNT,
    "asked_by": "service:backend",
    "custom_meta": {"identifier": "order-1", "blob": {"b": 1, "a": [1.5]}, "instruction": None},
}
AT, EXPIRES_AT = "2026-01-02T03:04:05Z", "2026-01-02T03:14:05Z"


def written(name: Any, report: Report, state: PayloadState = WHOLE, *, family: Any = "sign", reason: Any = None) -> Any:
    return json.loads(encode(PlannedEvent(family, name, 7, reason), state, report).body)


def test_envelope() -> None:
    """A CloudEvent as it is written: nothing is missing, and nothing is said twice."""
    event = encode(PlannedEvent("sign", "opened", 7), WHOLE, status("opened"))

    assert {
        "specversion": "1.0",
        "id": event_id(APPLICATION, PAYLOAD, "xumm.sign.opened"),
        "source": "/xumm/shop",
        "type": "xumm.sign.opened",
        "subject": PAYLOAD,
        "time": AT,
        "sequence": "0000000007",
        "datacontenttype": "application/json",
        "dataschema": "urn:xumm-processor:sign.opened:1",
        "data": COMMON | {"origin": "websocket"},
    } == json.loads(event.body)
    assert ("xumm.sign.opened", "shop.sign.opened") == (event.type, event.routing_key)


def test_id_of_an_outcome_is_that_of_its_family() -> None:
    """Whatever the outcome; a sign event's is that of its type."""
    ids = [
        written(name, snapshot(), family=family, state=PROVEN)["id"]
        for family, name in (("resolve", "rejected"), ("resolve", "signed"), ("sign", "signed"))
    ]

    assert [
        event_id(APPLICATION, PAYLOAD, fact) for fact in ("xumm.resolve", "xumm.resolve", "xumm.sign.signed")
    ] == ids


@pytest.mark.parametrize(
    ("report", "origin"),
    [
        (webhook(), "webhook"),
        (status("opened"), "websocket"),
        (snapshot(), "api"),
        (ledger(), "ledger"),
        (request("created"), "request"),
        (deadline(at=NOW), "deadline"),
        (abandoned(), "deadline"),
        (FlagsReleased(app="shop", application_uuid=APPLICATION, payload=PAYLOAD, at=NOW), "deadline"),
        (LookupDue(app="shop", application_uuid=APPLICATION, payload=PAYLOAD, at=NOW, reason="gap"), "deadline"),
    ],
)
def test_origin(report: Report, origin: str) -> None:
    """Each source has its word."""
    assert COMMON | {"origin": origin} == written("opened", report)["data"]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("created", {"expires_at": EXPIRES_AT}),
        ("opened", {}),
        ("pre_signed", {}),
        ("dispatched", {}),
        ("signed", {"txid": TXID}),
        ("rejected", {}),
        ("expired", {"expires_at": EXPIRES_AT}),
        ("cancelled", {}),
        ("token_issued", {}),
    ],
)
def test_data_of_sign_events(name: str, more: dict[str, Any]) -> None:
    """What all say, and what only this one does."""
    assert COMMON | more == written(name, webhook())["data"]


def test_data_of_an_unknown_payload() -> None:
    """What is not known is null."""
    nothing = dict.fromkeys(("user", "asked_of", "asked_by", "custom_meta", "txid"))

    assert COMMON | nothing == written("signed", webhook(), UNKNOWN)["data"]


TOKEN = ReportedToken(value="0b0e7d4f-1111-4222-8333-944455556666", issued_at=NOW)


@pytest.mark.parametrize(
    ("report", "expires_at"),
    [
        (webhook(token=TOKEN), "2026-02-01T03:04:05Z"),
        (webhook(token=TOKEN._replace(expires_at=EXPIRY)), EXPIRES_AT),
        (replace(snapshot(), token=TOKEN), "2026-02-01T03:04:05Z"),
    ],
)
def test_data_of_a_token(report: Report, expires_at: str) -> None:
    """When it was issued, and when it expires: 30 days from now, unless it says otherwise."""
    assert (
        COMMON
        | {"origin": written("opened", report)["data"]["origin"]}
        | {
            "issued_at": AT,
            "expires_at": expires_at,
        }
        == written("token_issued", report)["data"]
    )


PROVEN = WHOLE._replace(snapshot=snapshot(network="XAHAU", resolved_at=EXPIRY).snapshot)
ON_LEDGER = PROVEN._replace(
    ledger=ledger(destination=ACCOUNT, destination_tag=7, amount_unavailable=True, at=EXPIRY).ledger
)
FAILED = PROVEN._replace(ledger=ledger(result="tecPATH_DRY").ledger)
API: dict[str, Any] = {"api": {"fetched_at": AT}}
SIGNED: dict[str, Any] = {
    "proof": API | {"signature": {"account": ACCOUNT, "algorithm": "secp256k1"}, "ledger": None},
    "tx_type": "Payment",
    "resolved_at": EXPIRES_AT,
    "account": ACCOUNT,
    "network": "XAHAU",
    "txid": TXID,
}
UNSIGNED: dict[str, Any] = {
    "proof": API | {"signature": None, "ledger": None},
    "tx_type": "Payment",
    "resolved_at": None,
}


def seen(result: str, at: str) -> dict[str, Any]:
    shown = {"node": "node.example", "ledger_index": 90_000_000, "result": result, "checked_at": at}
    return {"proof": SIGNED["proof"] | {"ledger": shown}}


@pytest.mark.parametrize(
    ("name", "reason", "state", "more"),
    [
        ("signed", None, PROVEN, SIGNED),
        (
            "validated",
            None,
            ON_LEDGER,
            SIGNED
            | seen("tesSUCCESS", EXPIRES_AT)
            | {
                "delivered_amount": "1000000",
                "amount_unavailable": True,
                "destination": ACCOUNT,
                "destination_tag": 7,
                "fee": "12",
            },
        ),
        (
            "failed",
            "ledger_result",
            FAILED,
            SIGNED | seen("tecPATH_DRY", AT) | {"reason": "ledger_result", "result": "tecPATH_DRY"},
        ),
        (
            "failed",
            "wrong_network",
            FAILED,
            SIGNED | seen("tecPATH_DRY", AT) | {"reason": "wrong_network", "result": None},
        ),
        (
            "failed",
            "never_validated",
            PROVEN._replace(ledger=ledger("never_validated").ledger),
            SIGNED | {"reason": "never_validated", "result": None},
        ),
        ("failed", "wrong_network", PROVEN, SIGNED | {"reason": "wrong_network", "result": None}),
        ("signed", None, PROVEN._replace(ledger=ledger("pending").ledger), SIGNED),
        ("signed", None, PROVEN._replace(ledger=ledger(txid=OTHER_TXID).ledger), SIGNED),
        *(
            (name, None, WHOLE._replace(snapshot=snapshot(name).snapshot), UNSIGNED)
            for name in ("rejected", "cancelled", "expired")
        ),
    ],
)
def test_data_of_resolve_events(name: str, reason: Any, state: PayloadState, more: dict[str, Any]) -> None:
    """How it ended, and what was verified of it: a ledger counts if it shows this very transaction as validated."""
    assert (
        COMMON | {"origin": "api"} | more == written(name, snapshot(), state, family="resolve", reason=reason)["data"]
    )


def test_broken_promise_names_its_fields() -> None:
    """All of them, and never a value."""
    lie = PROVEN._replace(snapshot=snapshot(account="nobody", tx_type=5, network=None).snapshot)

    with pytest.raises(NormalizeError) as caught:
        written("signed", snapshot(), lie, family="resolve")
    assert (
        "xumm.resolve.signed would be invalid: xumm.resolve.signed.data.tx_type (string_type); "
        "xumm.resolve.signed.data.account (string_pattern_mismatch)" == (str(caught.value))
    )
