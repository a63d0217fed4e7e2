"""The OpenAPI document, against what is served."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from processor.api.openapi import NAME
from processor.api.operations import OPERATIONS, build_path, openapi_document
from processor.web.problem import PROBLEMS
from schemas.documents import ROOT, stale
from tests.api.stand import standing

WHOLE: Any = json.loads(openapi_document())
SERVED: dict[str, set[str]] = {path: {each.upper() for each in methods} for path, methods in WHOLE["paths"].items()}
PROBES = {"/healthz", "/readyz", "/v1/{rest}"}


async def test_it_tells_of_every_operation(tmp_path: Path) -> None:
    """Each path of the interface stands in it with its methods and no other, and it is served as it is."""
    async with standing(tmp_path, public_url="https://service.example") as stand:
        routes = stand.processor._runner.app.router.routes()
        paths = {route.resource.canonical for route in routes if route.resource} - PROBES
        ours = {path for path in paths if not path.startswith("/webhooks")}
        allowed = {path: (await stand.call("PATCH", _filled(path), bearer=None)).headers["Allow"] for path in ours}
        served = await stand.call("GET", build_path("getOpenApi"), bearer=None)

    assert served.json == WHOLE
    assert {path: set(methods.split(", ")) for path, methods in allowed.items()} == SERVED


async def test_callers_are_told_apart(tmp_path: Path) -> None:
    """Where the document asks who calls, nobody gets in without saying so; elsewhere nobody is asked."""
    async with standing(tmp_path, public_url="https://service.example") as stand:
        asked = {
            (each.method, each.path): (await stand.call(each.method, _filled(each.path), bearer=None)).status == 401
            for each in OPERATIONS
        }

    assert asked == {(each.method, each.path): bool(each.callers) for each in OPERATIONS}


def test_it_is_openapi() -> None:
    """It keeps to the meta-schema of OpenAPI 3.1, and operations have names of their own."""
    OpenAPIV31SpecValidator(WHOLE).validate()

    assert len({each.name for each in OPERATIONS}) == len(OPERATIONS)


def test_the_validator_sees() -> None:
    """What is no OpenAPI is found."""
    broken = json.loads(openapi_document())
    del broken["paths"]["/v1/sign-requests/{id}"]["get"]["parameters"][0]["in"]

    assert not OpenAPIV31SpecValidator(broken).is_valid()


def test_it_is_committed() -> None:
    """The file is what the code says; ``processor schema --write`` brings it there."""
    assert stale(others={NAME: openapi_document().decode()}) == []
    assert stale(others={NAME: "{}"}) == [NAME]
    assert (ROOT / NAME).is_file()


def test_references_lead_somewhere() -> None:
    """Each component that is named is there, and each that is there is named."""
    named = set(re.findall(r'"#/components/(\w+)/([\w-]+)"', json.dumps(WHOLE)))
    there = {(kind, name) for kind in ("schemas", "headers", "responses") for name in WHOLE["components"][kind]}

    assert named == there


def test_every_refusal_is_one_that_exists() -> None:
    """What an operation may refuse with has a status, and what has to be waited for says how long."""
    told = [
        (status, set(each.get("headers", ())))
        for methods in WHOLE["paths"].values()
        for operation in methods.values()
        for status, each in operation["responses"].items()
    ]

    assert {reason for operation in OPERATIONS for reason in operation.reasons} <= set(PROBLEMS)
    assert {status for status, headers in told if "Retry-After" in headers} == {"409", "429", "503"}
    assert all("Retry-After" in headers for status, headers in told if status in {"429", "503"})
    assert all("WWW-Authenticate" in headers for status, headers in told if status == "401")


def test_generated_clients_can_page_and_follow() -> None:
    """Numbers are numbers to them, and a stream is a text that they do not take apart."""
    paging = {each["name"]: each["schema"]["type"] for each in WHOLE["paths"]["/v1/sign-requests"]["get"]["parameters"]}
    streams = {
        path: content["text/event-stream"]["schema"]["type"]
        for path, methods in WHOLE["paths"].items()
        for operation in methods.values()
        if "text/event-stream" in (content := operation["responses"].get("200", {}).get("content", {}))
    }

    assert {"limit": "integer", "before": "integer"} == paging
    assert {"/v1/sign-in/{id}/events": "string", "/v1/sign-requests/{id}/events": "string"} == streams


@pytest.mark.parametrize("model", ["SignInCommand", "SignRequestCommand"])
def test_what_has_a_default_may_be_left_out(model: str) -> None:
    """A request's body is described as it is read, and not as it would be written."""
    assert "return_url" not in WHOLE["components"]["schemas"][model]["required"]


def _filled(path: str) -> str:
    return path.replace("{id}", "x").replace("{token}", "x")
