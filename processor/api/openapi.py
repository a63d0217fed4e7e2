"""The interface as an OpenAPI 3.1 document, made of the table of operations and of the models that the handlers use.

Source: https://spec.openapis.org/oas/v3.1.0
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from processor import __version__
from processor.api.operation import Answer, Caller, Operation, Parameter
from processor.api.operations import OPERATIONS
from processor.api.parameters import IN_PATH
from processor.web.problem import Problem, Reason, problem_response
from schemas.api import ProblemDetails

PATH: Final = "/v1/openapi.json"
NAME: Final = "openapi.json"
"""Of the committed document, below ``schemas/``."""
_COMPONENT: Final = "#/components/schemas/{model}"
_PROBLEM: Final = "application/problem+json"
_JSON: Final = "application/json"
_ABOUT: Final = (
    "How apps and services ask people to sign with the Xumm wallet, and follow what becomes of it. Refusals are "
    "problem details (RFC 9457) whose `reason` is for programs. A path that does not know a method answers 405 with "
    "`Allow`; an unknown path answers 404."
)
_CALLERS: Final[Mapping[Caller, str]] = {
    "session": "Token of a session, `xws_…`.",
    "xummToken": "Access token of Xumm's OAuth2 provider, or an xApp's token where the operator allows it.",
    "serviceKey": "Key of another service, `xwp_…`, with the scopes that its operator gave it.",
    "exchangeSecret": "What whoever began the sign-in was given, `xwe_…`.",
}
_HEADERS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "Idempotency-Replayed": ("The answer is that of the first time.", {"const": "true"}),
    "Location": ("Where to go.", {"type": "string", "format": "uri"}),
    "Refresh": ("The app's link, after `0; url=`.", {"type": "string"}),
    "Retry-After": ("Seconds after which to ask again.", {"type": "string", "pattern": "^[0-9]+$"}),
    "WWW-Authenticate": ("As of RFC 6750.", {"type": "string"}),
}
_BEFORE_TIME: Final[tuple[Reason, ...]] = ("rate_limited", "too_many_streams", "idempotency_in_progress")
"""Whoever raises these says when to come again."""
_ANYWHERE: Final[tuple[Reason, ...]] = ("expectation_failed", "internal_error")
"""What no handler is asked about, and no operation has reasons of its own beside."""


@cache
def document() -> bytes:
    """The document, as it is served and committed."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "Xumm webhook processor",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "responses": {reason: _refusal([reason]) for reason in _ANYWHERE},
            "headers": {name: {"description": about, "schema": schema} for name, (about, schema) in _HEADERS.items()},
            "securitySchemes": {
                name: {"type": "http", "scheme": "bearer", "description": about} for name, about in _CALLERS.items()
            },
        },
    }
    return (json.dumps(whole, indent=2, ensure_ascii=False) + "\n").encode()


def _schemas() -> dict[str, Any]:
    """What is sent is as strict as it is read, what is answered as complete as it is written."""
    modes: dict[type[BaseModel], JsonSchemaMode] = {ProblemDetails: "validation"}
    for operation in OPERATIONS:
        contents = (each.content for each in operation.answers.values())
        modes |= {each: "serialization" for each in contents if isinstance(each, type)}
        modes |= {operation.body: "validation"} if operation.body is not None else {}
    ordered = sorted(modes.items(), key=lambda pair: pair[0].__name__)
    _, definitions = models_json_schema(ordered, ref_template=_COMPONENT)
    schemas: dict[str, Any] = definitions["$defs"]
    return schemas


def _operation(operation: Operation) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "security": [{caller: []} for caller in operation.callers],
        "parameters": [_parameter(each) for each in (*_in_path(operation.path), *operation.parameters)],
        "responses": {str(status): _answer(each) for status, each in operation.answers.items()}
        | _problems(("request_malformed", *_of_pages(operation), *operation.problems))
        | {_status_of(reason): {"$ref": f"#/components/responses/{reason}"} for reason in _ANYWHERE},
    }
    if operation.body is not None:
        shown["requestBody"] = {"required": True, "content": {_JSON: {"schema": _reference(operation.body)}}}
    return shown


def _of_pages(operation: Operation) -> tuple[Reason, ...]:
    """What pages of other sites hear that want to change something."""
    return () if operation.method == "get" else ("origin_forbidden",)


def _in_path(path: str) -> list[Parameter]:
    return [parameter for parameter in IN_PATH if f"{{{parameter.name}}}" in path]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "in": parameter.place,
        "name": parameter.name,
        "required": parameter.required,
        "description": parameter.about,
        "schema": dict(parameter.schema),
    }


def _answer(answer: Answer) -> dict[str, Any]:
    content = {_JSON: _reference(answer.content)} if isinstance(answer.content, type) else answer.content
    shown: dict[str, Any] = {"description": answer.about}
    if content:
        shown["content"] = {media: {"schema": dict(schema)} for media, schema in content.items()}
    if answer.headers:
        shown["headers"] = _named(answer.headers)
    return shown


def _problems(reasons: tuple[Reason, ...]) -> dict[str, Any]:
    by_status: dict[HTTPStatus, set[Reason]] = {}
    for reason in reasons:
        by_status.setdefault(Problem(reason).status, set()).add(reason)
    return {str(status.value): _refusal(sorted(each)) for status, each in sorted(by_status.items())}


def _status_of(reason: Reason) -> str:
    return str(Problem(reason).status.value)


def _refusal(reasons: list[Reason]) -> dict[str, Any]:
    told = {"properties": {"reason": {"enum": reasons}}}
    shown: dict[str, Any] = {
        "description": "reason: " + ", ".join(reasons),
        "content": {_PROBLEM: {"schema": {"allOf": [_reference(ProblemDetails), told]}}},
    }
    headers = {name for reason in reasons for name in _headers_of(reason)}
    return shown | ({"headers": _named(sorted(headers))} if headers else {})


def _headers_of(reason: Reason) -> Iterable[str]:
    if reason in _BEFORE_TIME:
        return {"Retry-After"}
    return _HEADERS.keys() & problem_response(Problem(reason)).headers.keys()


def _named(headers: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _COMPONENT.format(model=model.__name__)}
