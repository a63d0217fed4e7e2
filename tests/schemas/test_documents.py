import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas import documents
from schemas.commands import WatchCommand
from schemas.events import MODELS, family_and_name, parse_event
from schemas.topology import WATCHES

ROOT = documents.ROOT
UUID = "12345678-90ab-4cde-8f01-234567890abc"
COMMANDS = {"command.watch", "command.device.registered", "command.device.removed"}
OTHER = "22345678-90ab-4cde-8f01-234567890abc"


def loaded(path: str) -> dict[str, Any]:
    return json.loads((ROOT / path).read_text("utf-8"))


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(loaded(f"json/{name}.json"), format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_documents_agree_with_the_models() -> None:
    """What is committed is what the models say; ``processor schema --write`` brings it there."""
    assert documents.stale() == []


def test_released_schemas_are_kept_to() -> None:
    """No consumer of a released event or command breaks, and every one is released."""
    assert documents.breaking() == []
    commands = {loaded(f"json/{name}.json")["$id"] for name in COMMANDS}
    assert commands | {schema["$id"] for schema in documents.event_schemas().values()} <= {
        loaded(f"released/{path.name}")["$id"] for path in (ROOT / "released").glob("*.json")
    }


def test_finds_and_mends_stale_documents(tmp_path: Path) -> None:
    """A changed, a missing and a left-over document are each found, and writing mends them."""
    shutil.copytree(ROOT / "json", tmp_path / "json")
    (tmp_path / "json/sign.opened.json").write_text("{}")
    (tmp_path / "json/sign.vanished.json").write_text("{}")

    expected = ["asyncapi.json", "json/sign.opened.json", "json/sign.vanished.json"]
    assert documents.stale(tmp_path) == expected
    assert documents.write(tmp_path) == expected
    assert documents.stale(tmp_path) == []


def test_refuses_to_release_what_breaks(tmp_path: Path) -> None:
    """A release over an incompatible one is refused, and leaves it in place."""
    documents.release(tmp_path)
    path = tmp_path / "released/sign.opened.v1.json"
    schema = json.loads(path.read_text())
    schema["$defs"]["SignData"]["properties"]["colour"] = {"type": "string"}
    path.write_text(json.dumps(schema))

    with pytest.raises(ValueError, match="colour: removed"):
        documents.release(tmp_path)
    assert json.loads(path.read_text()) == schema


@pytest.mark.parametrize("path", sorted(path.name for path in (ROOT / "json").glob("*.json")))
def test_schemas_are_valid(path: str) -> None:
    """Each is a JSON Schema of the dialect it names."""
    schema = loaded(f"json/{path}")

    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_event_has_one_example() -> None:
    """An event is a model, a row of the table of facts, and an example."""
    assert {path.stem for path in (ROOT / "examples").glob("*.json")} == set(MODELS)


@pytest.mark.parametrize("event_type", MODELS)
def test_examples_are_read_and_written_again(event_type: str) -> None:
    """An example parses to its model, is written as it was, and validates against its schema."""
    example = loaded(f"examples/{event_type}.json")
    family, name = family_and_name(event_type)

    event = parse_event(json.dumps(example))

    assert isinstance(event, MODELS[event_type])
    assert json.loads(event.model_dump_json()) == example
    assert [error.message for error in validator(f"{family}.{name}").iter_errors(example)] == []


@pytest.mark.parametrize("event_type", MODELS)
@pytest.mark.parametrize("field", ["id", "subject", "sequence", "data", "specversion", "type", "dataschema"])
def test_schemas_refuse_incomplete_events(event_type: str, field: str) -> None:
    """The envelope is complete, or it is no event."""
    example = loaded(f"examples/{event_type}.json")
    del example[field]

    assert not validator(".".join(family_and_name(event_type))).is_valid(example)


@pytest.mark.parametrize("token_issued", [1635000000, "2024-01-01T00:00:00Z", None])
def test_inbound_schema_accepts_the_webhooks_that_come(token_issued: Any) -> None:
    """Seconds, ISO dates and nulls are all seen in webhooks."""
    webhook = {
        "meta": {"url": "https://x", "application_uuidv4": UUID, "payload_uuidv4": OTHER, "opened_by_deeplink": None},
        "custom_meta": {"identifier": None, "blob": {}, "instruction": "Hey ❤️ ..."},
        "payloadResponse": {"payload_uuidv4": OTHER, "signed": True, "txid": "A" * 64},
        "userToken": {"user_token": UUID, "token_issued": token_issued, "token_expiration": token_issued},
    }

    assert [error.message for error in validator("inbound.webhook").iter_errors(webhook)] == []
    assert not validator("inbound.webhook").is_valid(webhook | {"meta": {}})
    assert validator("inbound.status").is_valid({"expires_in_seconds": 54})


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [reference for each in node for reference in _references(each)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if "$ref" in node else []
    return own + [reference for each in node.values() for reference in _references(each)]


def _resolves(reference: str, root: Any) -> bool:
    path, _, pointer = reference.partition("#")
    if path:
        return (ROOT / path).is_file()
    for part in pointer.strip("/").split("/"):
        root = root.get(part) if isinstance(root, dict) else None
    return root is not None


def test_asyncapi_hangs_together() -> None:
    """Every reference leads somewhere; each event and command has channel, operation, message and valid example."""
    document = loaded("asyncapi.json")
    kinds = {".".join(family_and_name(event_type)) for event_type in MODELS}

    assert [reference for reference in _references(document) if not _resolves(reference, document)] == []
    assert document["components"]["messages"].keys() == kinds | COMMANDS
    queues = {"queue.push-notifications", "queue.app-state", "queue.push-devices", "queue.xumm.watch"}
    asked = {"receive.watch", "publish.device.registered", "publish.device.removed"}
    assert document["channels"].keys() == kinds | queues
    assert document["operations"].keys() == {f"publish.{kind}" for kind in kinds} | asked
    for kind, message in document["components"]["messages"].items():
        assert [validator(kind).is_valid(example["payload"]) for example in message["examples"]] == [True]


def test_asyncapi_tells_how_to_ask_for_a_watch() -> None:
    """The service receives the command on its queue; what the schema lets through the model takes, and no more."""
    document = loaded("asyncapi.json")
    operation = document["operations"]["receive.watch"]
    channel = document["channels"][operation["channel"]["$ref"].rpartition("/")[2]]
    example = document["components"]["messages"]["command.watch"]["examples"][0]["payload"]

    assert (operation["action"], channel["address"]) == ("receive", WATCHES)
    assert WatchCommand.model_validate(example).model_dump() == example
    for wrong in ({"app": "shop"}, example | {"more": 1}, example | {"payload": "x"}, example | {"app": "a.b"}):
        assert not validator("command.watch").is_valid(wrong)
