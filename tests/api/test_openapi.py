"""The OpenAPI document, against what is served."""

import json
import re
from pathlib import Path
from typing import Any

from processor.api.openapi import OPERATIONS, PATH, document
from processor.problem import STATUS
from tests.api.stand import standing

WHOLE: Any = json.loads(document())
UNTOLD = {PATH, "/v1/watches"}


async def test_it_tells_of_every_path(tmp_path: Path) -> None:
    """Each path of the interface stands in it with its methods, and it is served as it is."""
    async with standing(tmp_path) as stand:
        served = await stand.call("GET", PATH, bearer=None)
        told: dict[str, set[str]] = {
            path: {each.upper() for each in methods} for path, methods in WHOLE["paths"].items()
        }
        allowed = {
            path: (await stand.call("PATCH", path.replace("{id}", "x").replace("{token}", "x"), bearer=None)).headers[
                "Allow"
            ]
            for path in told
        }
        paths = {route.resource.canonical for route in stand.processor._runner.app.router.routes() if route.resource}

    assert served.json == WHOLE
    assert {path: set(methods.split(", ")) for path, methods in allowed.items()} == told
    assert {path for path in paths if path.startswith("/v1/")} - UNTOLD == set(told)


def test_references_lead_somewhere() -> None:
    """Each model that is named is there."""
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(WHOLE)))

    assert named - set(WHOLE["components"]["schemas"]) == set()
    assert len(named) > 10


def test_every_refusal_is_one_that_exists() -> None:
    """What an operation may refuse with has a status."""
    assert {reason for operation in OPERATIONS for reason in operation.problems} <= set(STATUS)
