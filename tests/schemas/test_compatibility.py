import copy
from collections.abc import Callable
from typing import Any

import pytest

from schemas.compatibility import breaking_changes
from schemas.documents import event_schemas

URN = "urn:xumm-processor:resolve.validated:1"


RELEASED = {schema["$id"]: schema for schema in event_schemas().values()}


def released() -> dict[str, Any]:
    return copy.deepcopy(RELEASED)


def data(schema: Any) -> Any:
    return schema["$defs"]["ValidatedData"]["properties"]


def _remove_field(schema: Any) -> None:
    del data(schema)["fee"]


def _change_type(schema: Any) -> None:
    data(schema)["application"]["type"] = "integer"


def _narrow_type(schema: Any) -> None:
    data(schema)["fee"]["anyOf"] = [{"type": "string"}]


def _widen_type(schema: Any) -> None:
    data(schema)["fee"]["anyOf"].append({"type": "integer"})


def _narrow_text(schema: Any) -> None:
    data(schema)["network"]["maxLength"] = 8


def _require_old_field(schema: Any) -> None:
    schema["$defs"]["ValidatedData"]["required"].append("fee")


def _require_new_field(schema: Any) -> None:
    data(schema)["colour"] = {"type": "string"}
    schema["$defs"]["ValidatedData"]["required"].append("colour")


def _stop_requiring(schema: Any) -> None:
    schema["$defs"]["ValidatedData"]["required"].remove("account")


def _remove_value(schema: Any) -> None:
    data(schema)["origin"]["enum"].remove("webhook")


def _add_value(schema: Any) -> None:
    data(schema)["origin"]["enum"].append("telepathy")


def _change_deep_down(schema: Any) -> None:
    del schema["$defs"]["LedgerProof"]["properties"]["node"]


def _change_constant(schema: Any) -> None:
    schema["properties"]["type"]["const"] = "xumm.resolve.valid"


BREAKAGES: list[tuple[Callable[[Any], None], str]] = [
    (_remove_field, "data.fee: removed"),
    (_change_type, "data.application: type changed"),
    (_narrow_type, "data.fee: narrowed, null removed"),
    (_widen_type, "data.fee: widened, integer added"),
    (_narrow_text, "data.network: maxLength changed"),
    (_require_old_field, "data.fee: newly required"),
    (_require_new_field, "data.colour: newly required"),
    (_stop_requiring, "data.account: may be missing now"),
    (_remove_value, "data.origin: value 'webhook' removed"),
    (_add_value, "data.origin: value 'telepathy' added"),
    (_change_deep_down, "data.proof.ledger.node: removed"),
    (_change_constant, "type: const changed"),
]


@pytest.mark.parametrize(("breakage", "expected"), BREAKAGES)
def test_finds_what_breaks_a_consumer(breakage: Callable[[Any], None], expected: str) -> None:
    """A planted breakage is named with its place, and nothing else is."""
    current = released()
    breakage(current[URN])

    found = breaking_changes(released(), current)

    assert [problem.startswith(f"{URN}.{expected}") for problem in found] == [True]


def test_finds_an_event_that_was_removed() -> None:
    """An event cannot vanish, unless a later version took its place."""
    current = released()
    schema = current.pop(URN)

    assert breaking_changes(released(), current) == [f"{URN}: event removed"]
    assert breaking_changes(released(), current | {f"{URN[:-1]}2": schema}) == []


def test_lets_compatible_additions_pass() -> None:
    """Optional fields, new events and better descriptions break nobody."""
    current = released()
    data(current[URN])["colour"] = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    data(current[URN])["fee"]["description"] = "Drops, burnt."
    current["urn:xumm-processor:sign.frowned:1"] = {"type": "object"}

    assert breaking_changes(released(), current) == []
