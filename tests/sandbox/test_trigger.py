"""Triggered webhooks, each judged as the service judges: by signature, age and content."""

import json
from collections.abc import Callable
from typing import Any, get_args

import pytest

from processor.sandbox.trigger import (
    OVERSIZE,
    STALE_BY,
    TriggerResult,
    WebhookRequest,
    WebhookTarget,
    render,
    trigger,
)
from processor.sandbox.webhook_attempt import Answered, ConnectionFailed, sign
from processor.sandbox.webhook_kinds import WebhookKind
from tests.sandbox.clock import FakeClock
from tests.sandbox.service import Service

APPLICATION = "11111111-2222-4333-8444-555555555555"
SECRET = "12345678-90ab-4cde-8f01-234567890abc"
PAYLOAD = "6f1e2d3c-4b5a-4978-8a6b-5c4d3e2f1a0b"


async def fire(kind: WebhookKind) -> tuple[TriggerResult, Service]:
    async with Service(200, 401) as service:
        target = WebhookTarget(url=service.url, application=APPLICATION, secret=SECRET)
        return await trigger(kind, target, payload=PAYLOAD, identifier="order-1", clock=FakeClock()), service


WRONG: list[tuple[str, Callable[[WebhookRequest], object]]] = [
    ("encoding", lambda shot: "content-encoding" in shot.headers),
    ("signature", lambda shot: signature_of(shot) != sign(SECRET, timestamp_of(shot), shot.body)),
    ("age", lambda shot: abs(FakeClock().now.timestamp() - int(timestamp_of(shot))) >= STALE_BY.total_seconds()),
    ("size", lambda shot: len(shot.body) > OVERSIZE),
    ("body", lambda shot: not shot.body.endswith(b"}")),
    ("application", lambda shot: body_of(shot)["meta"]["application_uuidv4"] != APPLICATION),
    ("payload", lambda shot: body_of(shot)["payloadResponse"]["payload_uuidv4"] != PAYLOAD),
]


def signature_of(shot: WebhookRequest) -> str:
    return shot.headers["x-xumm-request-signature"]


def timestamp_of(shot: WebhookRequest) -> str:
    return shot.headers["x-xumm-request-timestamp"]


def body_of(shot: WebhookRequest) -> Any:
    return json.loads(shot.body)


def verdict(shot: WebhookRequest) -> str:
    """What is wrong with the request, if anything."""
    wrong = next((name for name, holds in WRONG if holds(shot)), None)
    return wrong or ("signed" if body_of(shot)["payloadResponse"]["signed"] else "rejected")


@pytest.mark.parametrize(
    ("kind", "verdicts"),
    [
        ("signed", ["signed"]),
        ("rejected", ["rejected"]),
        ("duplicate", ["signed", "signed"]),
        ("badsig", ["signature"]),
        ("stale", ["age"]),
        ("future", ["age"]),
        ("oversized", ["size"]),
        ("compressed", ["encoding"]),
        ("contradictory", ["payload"]),
        ("tampered", ["signature"]),
        ("malformed", ["body"]),
        ("unknown-app", ["signature"]),
    ],
)
async def test_each_kind_is_wrong_in_its_own_way_only(kind: WebhookKind, verdicts: list[str]) -> None:
    """A service that refuses it refuses it for that reason."""
    triggered, service = await fire(kind)

    assert verdicts == [verdict(shot) for shot, _ in triggered.exchanges]
    assert [shot.body for shot, _ in triggered.exchanges] == [body for _, body in service.received]


def test_every_kind_is_covered() -> None:
    """No kind without its own fault."""
    assert 12 == len(get_args(WebhookKind))


async def test_a_duplicate_is_the_same_request_twice() -> None:
    """Header for header and byte for byte, with each answer beside it."""
    triggered, _ = await fire("duplicate")
    (first, answer), (second, other_answer) = triggered.exchanges

    assert first == second
    assert (Answered(status=200, reason="because 200"), Answered(status=401, reason="because 401")) == (
        answer,
        other_answer,
    )


async def test_a_tampered_body_is_still_well_formed() -> None:
    """It says the contrary, and only the signature shows it."""
    triggered, _ = await fire("tampered")

    assert json.loads(triggered.exchanges[0][0].body)["payloadResponse"]["signed"] is False


async def test_the_rendering_shows_request_and_answer_and_no_secret() -> None:
    """Enough to understand, nothing to steal."""
    triggered, service = await fire("rejected")
    text = render(triggered)

    assert (True, True, False) == (f"> POST {service.url}" in text, "< 200 because 200" in text, SECRET in text)
    assert SECRET not in repr(triggered)


async def test_a_service_that_is_down_is_an_outcome() -> None:
    """Nothing is raised."""
    target = WebhookTarget(url="http://127.0.0.1:1/webhooks/shop", application=APPLICATION, secret=SECRET)
    triggered = await trigger("signed", target)

    assert ConnectionFailed(error="ClientConnectorError") == triggered.exchanges[0][1]
