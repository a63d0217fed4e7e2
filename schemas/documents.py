"""The documents of the contract: a JSON Schema of each event, command and inbound shape, and an AsyncAPI document.

All are generated from the models and committed; ``processor schema --check`` tells whether they agree.

Sources: https://json-schema.org/draft/2020-12, https://www.asyncapi.com/docs/reference/specification/v3.0.0,
https://github.com/asyncapi/bindings/tree/master/amqp
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from schemas.commands import DeviceCommand, DeviceRegistered, DeviceRemoved, WatchCommand
from schemas.compatibility import breaking_changes
from schemas.events import MODELS, CloudEvent, family_and_name
from schemas.status import Status
from schemas.topology import (
    COMMANDS,
    CONTENT_TYPE,
    DEFAULT_QUEUES,
    EXCHANGE,
    HEADER_TRACEPARENT,
    PUSH_DEVICES,
    WATCHES,
)
from schemas.webhook import WEBHOOK

ROOT: Final = Path(__file__).parent
RELEASED: Final = "released"
"""Folder of the released schemas, which deployed consumers rely on."""

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_INBOUND: Final[dict[str, TypeAdapter[Any]]] = {"webhook": WEBHOOK, "status": TypeAdapter(Status)}
_COMMANDS: Final[dict[str, type[BaseModel]]] = {
    "watch": WatchCommand,
    "device.registered": DeviceRegistered,
    "device.removed": DeviceRemoved,
}
_COMMAND_QUEUES: Final = {"watch": WATCHES, "device.registered": PUSH_DEVICES, "device.removed": PUSH_DEVICES}
_QUEUE_DESCRIPTIONS: Final = {
    WATCHES: "Quorum queue that this service takes commands from. Publish to the default exchange, "
    "persistent and mandatory. An invalid command goes to the dead letters, with the reason.",
    PUSH_DEVICES: f"Quorum queue bound to the direct exchange `{COMMANDS}` by its own name. This service publishes to "
    "it the commands for the devices of apps. Device tokens are secrets: no other queue gets them.",
}
_TAKING: Final = {"ack": True, "bindingVersion": "0.3.0"}
_SENDING: Final = {"deliveryMode": 2, "mandatory": True, "timestamp": True, "bindingVersion": "0.3.0"}
_APP_PATTERN: Final = "A name that the operator gave the application, such as `shop`."


class _Generator(GenerateJsonSchema):
    schema_dialect = _DIALECT

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  the library's hook
        return False


def documents() -> dict[str, str]:
    """Every document, by its path below ``schemas/``."""
    texts = {f"json/{name}.json": _text(schema) for name, schema in event_schemas().items()}
    texts |= {f"json/inbound.{name}.json": _text(_inbound_schema(name)) for name in _INBOUND}
    texts |= {f"json/command.{name}.json": _text(_command_schema(name)) for name in _COMMANDS}
    texts["asyncapi.json"] = _text(_asyncapi())
    return texts


def event_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema of each event, by ``<family>.<name>``."""
    return {".".join(family_and_name(event_type)): _event_schema(model) for event_type, model in MODELS.items()}


def examples(directory: Path = ROOT / "examples") -> dict[str, dict[str, Any]]:
    """One example of each event, by event type."""
    return {event_type: json.loads((directory / f"{event_type}.json").read_text("utf-8")) for event_type in MODELS}


def stale(directory: Path = ROOT, others: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """The paths of documents in ``directory`` that are stale or left over. ``others`` belong there too."""
    wanted = documents() | dict(others)
    found = {f"json/{path.name}" for path in (directory / "json").glob("*.json")}
    return sorted((found - wanted.keys()) | {path for path, text in wanted.items() if _read(directory / path) != text})


def write(directory: Path = ROOT, others: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """Bring ``directory`` up to date. Returns the paths that changed. Released schemas stay as they are."""
    changed = stale(directory, others)
    wanted = documents() | dict(others)
    for path in changed:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        if path in wanted:
            (directory / path).write_text(wanted[path], encoding="utf-8")
        else:
            (directory / path).unlink()
    return changed


def breaking(directory: Path = ROOT) -> list[str]:
    """The changes that break consumers of the released schemas. An event with a new version is a new event."""
    return breaking_changes(_released(directory), _by_id(_public_schemas()))


def release(directory: Path = ROOT) -> list[str]:
    """Release the schemas as they are. Returns the paths written. Raises `ValueError` if a change breaks consumers."""
    if problems := breaking(directory):
        raise ValueError("; ".join(problems))
    written = []
    for urn, schema in _by_id(_public_schemas()).items():
        path = f"{RELEASED}/{urn.removeprefix('urn:xumm-processor:').replace(':', '.v')}.json"
        if _read(directory / path) != _text(schema):
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(_text(schema), encoding="utf-8")
            written.append(path)
    return written


def _public_schemas() -> list[dict[str, Any]]:
    """The schemas that programs rely on which are deployed independently."""
    return [*event_schemas().values(), *map(_command_schema, _COMMANDS)]


def _released(directory: Path) -> dict[str, Any]:
    return _by_id(json.loads(path.read_text("utf-8")) for path in sorted((directory / RELEASED).glob("*.json")))


def _by_id(schemas: Any) -> dict[str, Any]:
    return {schema["$id"]: schema for schema in schemas}


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _event_schema(model: type[CloudEvent | DeviceCommand]) -> dict[str, Any]:
    schema = model.model_json_schema(mode="serialization", schema_generator=_Generator)
    urn = model.model_fields["dataschema"].default
    # The envelope is always complete, also where the model has a default.
    return _document(urn, schema) | {"required": list(schema["properties"])}


def _inbound_schema(name: str) -> dict[str, Any]:
    schema = _INBOUND[name].json_schema(mode="validation", schema_generator=_Generator)
    return _document(f"urn:xumm-processor:inbound.{name}:1", schema)


def _command_schema(name: str) -> dict[str, Any]:
    model = _COMMANDS[name]
    if issubclass(model, DeviceCommand):
        return _event_schema(model)
    schema = model.model_json_schema(mode="validation", schema_generator=_Generator)
    return _document(f"urn:xumm-processor:command.{name}:1", schema)


def _document(urn: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": _DIALECT, "$id": urn, **schema}


def _asyncapi() -> dict[str, Any]:
    kinds = {".".join(family_and_name(event_type)): event_type for event_type in MODELS}
    shown = examples()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Xumm events",
            "version": "1.0.0",
            "description": "What users do with sign requests, and the proven outcomes of these. Delivered at least "
            "once: dedupe by `id`. Events of one payload are numbered by `sequence`.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": dict(_event_channels(kinds)) | dict(_queue_channels(kinds)) | dict(_command_channels()),
        "operations": {f"publish.{kind}": _operation(kind) for kind in kinds} | dict(_command_operations()),
        "components": {
            "messages": {kind: _message(kind, event_type, shown[event_type]) for kind, event_type in kinds.items()}
            | {f"command.{name}": _command_message(name) for name in _COMMANDS}
        },
    }


def _event_channels(kinds: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    exchange = {"name": EXCHANGE, "type": "topic", "durable": True, "autoDelete": False, "vhost": "/"}
    for kind in kinds:
        yield (
            kind,
            {
                "address": f"{{app}}.{kind}",
                "description": f"Routing key of `{kind}` on the topic exchange `{EXCHANGE}`.",
                "parameters": {"app": {"description": _APP_PATTERN, "examples": ["shop"]}},
                "messages": {kind: {"$ref": f"#/components/messages/{kind}"}},
                "bindings": {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0"}},
            },
        )


def _queue_channels(kinds: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for queue, bindings in DEFAULT_QUEUES.items():
        keys = ", ".join(f"`{binding}`" for binding in bindings)
        families = {binding.split(".")[1] for binding in bindings}
        messages = [kind for kind in kinds if kind.split(".")[0] in families]
        yield _queue_channel(queue, f"Quorum queue bound to `{EXCHANGE}` with {keys}.", messages)


def _command_channels() -> Iterator[tuple[str, dict[str, Any]]]:
    for queue, description in _QUEUE_DESCRIPTIONS.items():
        names = [f"command.{name}" for name, each in _COMMAND_QUEUES.items() if each == queue]
        yield _queue_channel(queue, description, names)


def _queue_channel(queue: str, description: str, messages: Iterable[str]) -> tuple[str, dict[str, Any]]:
    properties = {"name": queue, "durable": True, "exclusive": False, "autoDelete": False, "vhost": "/"}
    channel = {
        "address": queue,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"amqp": {"is": "queue", "queue": properties, "bindingVersion": "0.3.0"}},
    }
    return f"queue.{queue}", channel


def _operation(kind: str) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{kind}"},
        "messages": [{"$ref": f"#/channels/{kind}/messages/{kind}"}],
        "bindings": {"amqp": _SENDING},
    }


def _command_operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, queue in _COMMAND_QUEUES.items():
        channel = f"#/channels/queue.{queue}"
        taken = queue == WATCHES
        yield (
            f"{'receive' if taken else 'publish'}.{name}",
            {
                "action": "receive" if taken else "send",
                "channel": {"$ref": channel},
                "messages": [{"$ref": f"{channel}/messages/command.{name}"}],
                "bindings": {"amqp": _TAKING if taken else _SENDING},
            },
        )


def _command_message(name: str) -> dict[str, Any]:
    model, example = _COMMANDS[name], ROOT / "examples" / "commands" / f"{name}.json"
    return {
        "name": f"command.{name}",
        "title": model.__name__,
        "summary": (model.__doc__ or "").strip(),
        "contentType": CONTENT_TYPE if issubclass(model, DeviceCommand) else "application/json",
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./json/command.{name}.json"},
        },
        "examples": [{"name": name, "payload": json.loads(example.read_text("utf-8"))}],
    }


def _message(kind: str, event_type: str, example: Mapping[str, Any]) -> dict[str, Any]:
    model = MODELS[event_type]
    return {
        "name": event_type,
        "title": model.__name__,
        "summary": (model.__doc__ or "").strip(),
        "contentType": CONTENT_TYPE,
        "correlationId": {"description": "The payload.", "location": "$message.payload#/subject"},
        "headers": {
            "type": "object",
            "properties": {HEADER_TRACEPARENT: {"type": "string", "description": "W3C trace context."}},
        },
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./json/{kind}.json"},
        },
        "bindings": {"amqp": {"messageType": event_type, "bindingVersion": "0.3.0"}},
        "examples": [{"name": kind, "payload": example}],
    }
