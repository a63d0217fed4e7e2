"""The interface's OpenAPI schemas as TypeScript: ``python -m tests.native_app.contract`` writes the example's file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from processor.api.operations import openapi_document
from schemas.events import MODELS

APP = Path(__file__).parents[2] / "deploy" / "examples" / "native-app"
CONTRACT = APP / "src" / "contract.ts"
_HEAD = "// Made of the service's OpenAPI document, which is served at /v1/openapi.json. Do not edit.\n"
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def contract() -> str:
    """All of it, as the file has it."""
    schemas: dict[str, Any] = json.loads(openapi_document())["components"]["schemas"]
    blocks = [_declared(name, schema) for name, schema in sorted(schemas.items())]
    types = _union(json.dumps(name) for name in sorted(MODELS))
    blocks.append(
        f"/** The types of events that there are now. More come over time. */\nexport type EventType = {types};\n"
    )
    return "\n".join([_HEAD, *blocks])


def _declared(name: str, schema: Mapping[str, Any]) -> str:
    if schema.get("type") != "object":
        return f"export type {name} = {typed(schema)};\n"
    required = set(schema.get("required", ()))
    fields = [
        f"{_comment(field, '  ')}  readonly {key}{'' if key in required else '?'}: {typed(field)};\n"
        for key, field in schema["properties"].items()
    ]
    return f"{_comment(schema, '')}export interface {name} {{\n{''.join(fields)}}}\n"


def typed(schema: Mapping[str, Any]) -> str:  # noqa: PLR0911  one return for each kind of schema
    """The type of one value. Raises ``KeyError`` for what the interface has not had yet."""
    match schema:
        case {"$ref": str(reference)}:
            return reference.rpartition("/")[2]
        case {"const": value}:
            return json.dumps(value)
        case {"enum": values}:
            return _union(json.dumps(value) for value in values)
        case {"anyOf": options}:
            return _union(typed(option) for option in options)
        case {"type": "array", "items": items}:
            inner = typed(items)
            return f"readonly ({inner})[]" if " | " in inner else f"readonly {inner}[]"
        case {"type": "object", "additionalProperties": values}:
            return f"Readonly<Record<string, {typed(values)}>>"
        case {"type": kind}:
            return _PLAIN[kind]
        case _:
            return "unknown"


def _union(options: Any) -> str:
    return " | ".join(dict.fromkeys(options))


def _comment(schema: Mapping[str, Any], indent: str) -> str:
    said = " ".join(str(schema.get("description", "")).replace("``", "`").split())
    return f"{indent}/** {said} */\n" if said else ""


if __name__ == "__main__":
    CONTRACT.write_text(contract(), encoding="utf-8")
