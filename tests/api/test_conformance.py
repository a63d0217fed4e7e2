"""What the document promises, against the running service: many requests of every operation, by every kind of caller.

The service runs in a thread of its own and is spoken to over HTTP; the sandbox plays Xumm.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from processor.api.operations import OPERATIONS as TABLE
from processor.api.operations import openapi_document
from processor.broker.embedded import EmbeddedPublisher
from processor.core.access.service_key import digest_of
from processor.core.publishing.message import Message
from schemas.topology import PUSH_DEVICES
from tests.api.stand import RETURN, Stand, standing
from tests.sandbox.world import ALICE, BOB

EXAMPLES: Final = 12
"""For each operation, caller and kind of request."""
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EVENT: Final = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"type": "string", "pattern": "^xumm[.](sign|resolve)[.][a-z_]+$"},
        "data": {"type": "string"},
    },
}
"""One event of a stream: the tool takes streams apart, where generated clients hand them on as a text."""


def described() -> Any:
    """The document as the tool reads it."""
    whole = json.loads(openapi_document())
    for operation in ("sign-in", "sign-requests"):
        answer = whole["paths"][f"/v1/{operation}/{{id}}/events"]["get"]["responses"]["200"]
        answer["content"]["text/event-stream"]["schema"] = EVENT
    return whole


SCHEMA: Final = schemathesis.openapi.from_dict(described(), config=SchemathesisConfig())
OPERATIONS: Final = {each.ok().definition.raw["operationId"]: each.ok() for each in SCHEMA.get_all_operations()}
PAYMENT: Final = {
    "app": "shop",
    "txjson": {"TransactionType": "Payment", "Destination": BOB, "Amount": "1000000"},
    "submit": True,
}


@dataclass(slots=True)
class World:
    """The service's address, what callers present, and what there is to ask for."""

    url: str = ""
    bearers: dict[str, str | None] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)


async def _prepared(stand: Stand) -> World:
    """A sign-in and a sign request that have ended, so that their streams end, and one that is open."""
    begun, token = await stand.sign_in(account=ALICE)
    asked = (await stand.call("POST", "/v1/sign-requests", PAYMENT, bearer=token)).json
    stand.sandbox.sign(asked["id"], account=ALICE)
    await stand.outcome(asked["status_url"], token)
    bearers = {
        "nobody": None,
        "wrong": "nonsense",
        "session": token,
        "service": "a service's key",
        "sign-in": begun["exchange_secret"],
    }
    return World(stand.processor.url, bearers, [asked["id"], begun["id"]])


async def _take(_message: Message) -> None:
    """Some consumer takes commands for devices."""


async def _serve(folder: Path, world: World, ready: threading.Event, stopped: threading.Event) -> None:
    scopes = ["sign-requests:read", "sign-requests:write", "watches"]
    changes: dict[str, Any] = {
        "service_keys": {"all": {"sha256": digest_of("a service's key").hex(), "scopes": scopes}},
        "public_url": "https://service.example",
        "api": {"calls_per_minute": 100_000, "service_calls_per_minute": 100_000, "requests_per_minute": 100_000},
    }
    async with standing(folder, **changes) as stand:
        assert isinstance(stand.processor.commands, EmbeddedPublisher)
        stand.processor.commands.subscribe(PUSH_DEVICES, (PUSH_DEVICES,), _take)
        prepared = await _prepared(stand)
        world.url, world.bearers, world.ids = prepared.url, prepared.bearers, prepared.ids
        ready.set()
        await asyncio.to_thread(stopped.wait)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found, ready, stopped = World(), threading.Event(), threading.Event()
    folder = tmp_path_factory.mktemp("service")
    thread = threading.Thread(target=lambda: asyncio.run(_serve(folder, found, ready, stopped)))
    thread.start()
    try:
        assert ready.wait(30)
        yield found
    finally:
        stopped.set()
        thread.join(30)


def sensible(case: Case, data: st.DataObject, world: World) -> None:
    """Now and then name what there is, so that not all is refused at the first hurdle."""
    if data.draw(st.booleans()) and "id" in case.path_parameters:
        case.path_parameters["id"] = data.draw(st.sampled_from(world.ids))
    if isinstance(case.body, dict) and data.draw(st.booleans()):
        case.body |= {"app": "shop"} | ({"txjson": PAYMENT["txjson"]} if "txjson" in case.body else {})
        case.body |= {"return_url": {"app": RETURN}} if data.draw(st.booleans()) and "return_url" in case.body else {}


KINDS: Final = [(each.name, GenerationMode.POSITIVE) for each in TABLE] + [
    (each.name, GenerationMode.NEGATIVE) for each in TABLE if "{id}" in each.path or each.parameters or each.body
]
"""Of what there is nothing to say, nothing can be said wrongly."""


# The service throws dice in its thread, which Hypothesis takes for its own strategies' doing.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.parametrize("caller", ["nobody", "wrong", "session", "service", "sign-in"])
@pytest.mark.parametrize(("name", "mode"), KINDS, ids=[f"{name}-{mode.value}" for name, mode in KINDS])
def test_answers_are_as_described(world: World, name: str, caller: str, mode: GenerationMode) -> None:
    """Status, media type, headers and body of each answer stand in the document, whether the request does or not."""
    bearer = world.bearers[caller]
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[name].as_strategy(generation_mode=mode), data=st.data())
    def each(case: Case, data: st.DataObject) -> None:
        sensible(case, data, world)
        with requests.Session() as session:
            response = case.call(world.url, session, headers, timeout=20, allow_redirects=False)
            case.validate_response(response, checks=CHECKS)

    each()
