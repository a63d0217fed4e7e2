"""A table of operations as an OpenAPI 3.1 document, with the schemas of the models that the handlers use.

Source: https://spec.openapis.org/oas/v3.1.0
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Literal, NamedTuple

from aiohttp import hdrs
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from processor import __version__
from processor.web.problem import Problem, ProblemReason, problem_response
from schemas.api import ProblemDetails

SecurityScheme = Literal["session", "xummToken", "serviceKey", "exchangeSecret"]
TEXT: Final[Mapping[str, Any]] = {"type": "string"}
NAME: Final = "openapi.json"
"""The committed document's file name below ``schemas/``."""
_COMPONENT: Final = "#/components/schemas/{model}"
_PROBLEM: Final = "application/problem+json"
_JSON: Final = "application/json"
_DESCRIPTION: Final = (
    "How apps and services ask people to sign with the Xumm wallet, and follow what becomes of it. Refusals are "
    "problem details (RFC 9457) whose `reason` is for programs. A path that does not know a method answers 405 with "
    "`Allow`; an unknown path answers 404."
)
_SECURITY_SCHEMES: Final[Mapping[SecurityScheme, str]] = {
    "session": "Token of a session, `xws_…`.",
    "xummToken": "Access token of Xumm's OAuth2 provider, or an xApp's token where the operator allows it.",
    "serviceKey": "Key of another service, `xwp_…`, with the scopes that its operator gave it.",
    "exchangeSecret": "What whoever began the sign-in was given, `xwe_…`.",
}
_HEADERS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "Idempotency-Replayed": ("The answer is that of the first time.", {"const": "true"}),
    "Location": ("Where to go.", {"type": "string", "format": "uri"}),
    "Refresh": ("The app's link, after `0; url=`.", TEXT),
    "Retry-After": ("Seconds after which to ask again.", {"type": "string", "pattern": "^[0-9]+$"}),
    "WWW-Authenticate": ("As of RFC 6750.", TEXT),
}
_WITH_RETRY_AFTER: Final[tuple[ProblemReason, ...]] = ("rate_limited", "too_many_streams", "idempotency_in_progress")
"""Reasons that are raised with a ``Retry-After`` of their own."""
_ANYWHERE: Final[tuple[ProblemReason, ...]] = ("expectation_failed", "internal_error")
"""Reasons of every operation. No other reason of an operation has their status, so each is a component."""
_BODY_REASONS: Final[frozenset[ProblemReason]] = frozenset(
    {
        "body_invalid",
        "body_incomplete",
        "body_timeout",
        "body_too_large",
        "content_encoding_not_supported",
        "media_type_not_supported",
        "overloaded",
    }
)
_BEARER_REASONS: Final[frozenset[ProblemReason]] = frozenset(
    {"key_missing", "key_invalid", "rate_limited", "store_unavailable"}
)
_IDENTITY_REASONS: Final[frozenset[ProblemReason]] = frozenset({"identity_unavailable", "scope_missing"})


class Parameter(NamedTuple):
    """A parameter of the path, the query or the headers."""

    place: Literal["path", "query", "header"]
    name: str
    description: str
    schema: Mapping[str, Any] = TEXT
    required: bool = False


class Response(NamedTuple):
    """A successful response."""

    description: str
    content: type[BaseModel] | Mapping[str, Mapping[str, Any]]
    """A model, or media types with their schemas."""
    headers: tuple[str, ...] = ()


class Operation(NamedTuple):
    """One method of one path."""

    name: str
    route: str
    """Method and path, as in ``GET /v1/me``."""
    summary: str
    responses: Mapping[int, Response]
    problems: tuple[ProblemReason, ...] = ()
    """Reasons that do not follow from the other fields; see `reasons`."""
    body: type[BaseModel] | None = None
    parameters: tuple[Parameter, ...] = ()
    callers: tuple[SecurityScheme, ...] = ()
    """The bearer tokens that are accepted. None: anybody may call."""

    @property
    def method(self) -> str:
        """The HTTP method, in capitals."""
        return self.route.partition(" ")[0]

    @property
    def path(self) -> str:
        """The path, with the names of its parameters in braces."""
        return self.route.partition(" ")[2]

    @property
    def reasons(self) -> set[ProblemReason]:
        """Every reason for which the operation may be refused, except those of `_ANYWHERE`."""
        reasons = {"request_malformed", *self.problems}
        if self.method != hdrs.METH_GET:
            reasons |= {"origin_forbidden"}
        if self.body is not None:
            reasons |= _BODY_REASONS
        if self.callers:
            reasons |= _BEARER_REASONS
        if self.callers not in {(), ("exchangeSecret",)}:
            reasons |= _IDENTITY_REASONS
        if "{id}" in self.path:
            reasons |= {"not_found"}
        return reasons


def build_document(operations: Sequence[Operation], path_parameters: Mapping[str, Parameter]) -> bytes:
    """Build the document, as it is served and committed; ``path_parameters`` by the names in the paths' braces."""
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        in_path = [path_parameters[name] for name in re.findall(r"{(\w+)}", each.path)]
        paths.setdefault(each.path, {})[each.method.lower()] = _describe_operation(each, in_path)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Xumm webhook processor",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [],
        "paths": paths,
        "components": {
            "schemas": _build_schemas(operations),
            "responses": {reason: _describe_problem([reason]) for reason in _ANYWHERE},
            "headers": {name: {"description": text, "schema": schema} for name, (text, schema) in _HEADERS.items()},
            "securitySchemes": {
                name: {"type": "http", "scheme": "bearer", "description": text}
                for name, text in _SECURITY_SCHEMES.items()
            },
        },
    }
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _build_schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    """Describe bodies of requests as they are validated, and those of responses as they are serialized."""
    modes: dict[type[BaseModel], JsonSchemaMode] = {ProblemDetails: "validation"}
    for operation in operations:
        contents = (each.content for each in operation.responses.values())
        modes |= {each: "serialization" for each in contents if isinstance(each, type)}
        modes |= {operation.body: "validation"} if operation.body is not None else {}
    ordered = sorted(modes.items(), key=lambda pair: pair[0].__name__)
    _, definitions = models_json_schema(ordered, ref_template=_COMPONENT)
    schemas: dict[str, Any] = definitions["$defs"]
    return schemas


def _describe_operation(operation: Operation, in_path: Sequence[Parameter]) -> dict[str, Any]:
    description: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "security": [{caller: []} for caller in operation.callers],
        "parameters": [_describe_parameter(each) for each in (*in_path, *operation.parameters)],
        "responses": {str(status): _describe_response(each) for status, each in operation.responses.items()}
        | _describe_problems(operation.reasons)
        | {str(Problem(reason).status.value): {"$ref": f"#/components/responses/{reason}"} for reason in _ANYWHERE},
    }
    if operation.body is not None:
        description["requestBody"] = {"required": True, "content": {_JSON: {"schema": _reference(operation.body)}}}
    return description


def _describe_parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "in": parameter.place,
        "name": parameter.name,
        "required": parameter.required,
        "description": parameter.description,
        "schema": dict(parameter.schema),
    }


def _describe_response(response: Response) -> dict[str, Any]:
    content = {_JSON: _reference(response.content)} if isinstance(response.content, type) else response.content
    description: dict[str, Any] = {"description": response.description}
    if content:
        description["content"] = {media: {"schema": dict(schema)} for media, schema in content.items()}
    return description | _describe_headers(response.headers)


def _describe_problems(reasons: Iterable[ProblemReason]) -> dict[str, Any]:
    by_status: dict[HTTPStatus, list[ProblemReason]] = {}
    for reason in sorted(reasons):
        by_status.setdefault(Problem(reason).status, []).append(reason)
    return {str(status.value): _describe_problem(each) for status, each in sorted(by_status.items())}


def _describe_problem(reasons: Sequence[ProblemReason]) -> dict[str, Any]:
    constraint = {"properties": {"reason": {"enum": list(reasons)}}}
    description: dict[str, Any] = {
        "description": "reason: " + ", ".join(reasons),
        "content": {_PROBLEM: {"schema": {"allOf": [_reference(ProblemDetails), constraint]}}},
    }
    return description | _describe_headers(sorted({name for reason in reasons for name in _headers_of(reason)}))


def _headers_of(reason: ProblemReason) -> Iterable[str]:
    if reason in _WITH_RETRY_AFTER:
        return {"Retry-After"}
    return _HEADERS.keys() & problem_response(Problem(reason)).headers.keys()


def _describe_headers(names: Sequence[str]) -> dict[str, Any]:
    return {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}} if names else {}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _COMPONENT.format(model=model.__name__)}
