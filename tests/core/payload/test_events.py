import json
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.delivery.authentication import Delivery
from processor.core.errors import NormalizeError
from processor.core.payload.events import EncodedEvent, encode
from processor.core.payload.ids import event_id, user_reference
from processor.core.payload.lifecycle import apply
from processor.core.reports.report import Report, ReportedToken
from processor.core.reports.webhook import webhook_report
from schemas.events import MODELS, ResolveFailed, ResolveValidated, parse_event
from tests.core.payload.test_lifecycle import REPORTS, STORIES
from tests.core.payloads import (
    ACCOUNT,
    APPLICATION,
    NOW,
    PAYLOAD,
    POLICY,
    SHOP,
    UNKNOWN,
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
