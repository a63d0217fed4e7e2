"""The interface as an OpenAPI 3.1 document, made of the models that the handlers use.

Source: https://spec.openapis.org/oas/v3.1.0
"""

import json
from functools import cache
from typing import Any, Final, NamedTuple

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from processor import __version__
from processor.problem import STATUS, Reason
from schemas.api import (
    DeviceRegistration,
    Me,
    ProblemDetails,
    SessionCreated,
    SignInCommand,
    SignInCreated,
    SignRequestCancelled,
    SignRequestCommand,
    SignRequestCreated,
    SignRequestPage,
    SignRequestStatus,
)

PATH: Final = "/v1/openapi.json"
_COMPONENT: Final = "#/components/schemas/{model}"
_PROBLEM: Final = "application/problem+json"
_JSON: Final = "application/json"
_CALLER: Final[tuple[Reason, ...]] = ("key_missing", "key_invalid", "rate_limited", "store_unavailable")
_BODY: Final[tuple[Reason, ...]] = ("body_invalid", "body_timeout", "body_too_large", "content_encoding_not_supported")
_ASKING: Final[tuple[Reason, ...]] = (
    "application_forbidden",
    "return_url_forbidden",
    "xumm_unavailable",
    "xumm_refused",
)

_DEVICE: Final[tuple[Reason, ...]] = (
    *_CALLER,
    "scope_missing",
    "application_forbidden",
    "parameter_invalid",
    "broker_unavailable",
)
_DEVICE_PARAMETERS: Final = (("path", "token"), ("query", "app"), ("query", "account"))


class Operation(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    summary: str
    answers: dict[int, type[BaseModel] | str]
    """Status to a model, or to a media type that has none, or to nothing."""
    problems: tuple[Reason, ...]
    body: type[BaseModel] | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    """Where and name."""
    open: bool = False
    """Whether anybody may call."""


OPERATIONS: Final = (
    Operation(
        "post",
        "/v1/sign-in",
        "Begin a sign-in",
        {201: SignInCreated},
        (*_BODY, *_ASKING, "rate_limited", "store_unavailable"),
        SignInCommand,
        open=True,
    ),
    Operation("get", "/v1/sign-in/{id}", "How far a sign-in is", {200: SignRequestStatus}, (*_CALLER, "not_found")),
    Operation(
        "get",
        "/v1/sign-in/{id}/events",
        "What happens to a sign-in, as it happens",
        {200: "text/event-stream"},
        (*_CALLER, "not_found", "too_many_streams"),
        parameters=(("header", "Last-Event-ID"),),
    ),
    Operation(
        "post",
        "/v1/sign-in/{id}/session",
        "Get the session of a sign-in that is signed",
        {201: SessionCreated},
        (*_CALLER, "not_found", "not_signed", "session_taken"),
    ),
    Operation(
        "post",
        "/v1/sign-requests",
        "Ask a user to sign",
        {201: SignRequestCreated, 200: SignRequestCreated},
        (
            *_CALLER,
            *_BODY,
            *_ASKING,
            "scope_missing",
            "template_invalid",
            "idempotency_key_invalid",
            "idempotency_key_reused",
            "idempotency_in_progress",
            "identifier_taken",
        ),
        SignRequestCommand,
        parameters=(("header", "Idempotency-Key"),),
    ),
    Operation(
        "get",
        "/v1/sign-requests",
        "The caller's sign requests, the newest first",
        {200: SignRequestPage},
        (*_CALLER, "scope_missing", "cursor_invalid"),
        parameters=(("query", "limit"), ("query", "before")),
    ),
    Operation(
        "get",
        "/v1/sign-requests/{id}",
        "How far a sign request is",
        {200: SignRequestStatus},
        (*_CALLER, "scope_missing", "not_found"),
    ),
    Operation(
        "delete",
        "/v1/sign-requests/{id}",
        "Withdraw a sign request that nobody opened",
        {200: SignRequestCancelled},
        (
            *_CALLER,
            "scope_missing",
            "not_found",
            "already_resolved",
            "already_opened",
            "already_expired",
            "xumm_unavailable",
            "xumm_refused",
        ),
    ),
    Operation(
        "get",
        "/v1/sign-requests/{id}/events",
        "What happens to a sign request, as it happens",
        {200: "text/event-stream"},
        (*_CALLER, "scope_missing", "not_found", "too_many_streams"),
        parameters=(("header", "Last-Event-ID"),),
    ),
    Operation("get", "/v1/me", "Who the caller is", {200: Me}, (*_CALLER, "scope_missing", "identity_unavailable")),
    Operation(
        "put",
        "/v1/devices/{token}",
        "Have the user's notifications pushed to a device",
        {204: ""},
        (*_DEVICE, *_BODY),
        DeviceRegistration,
        parameters=_DEVICE_PARAMETERS,
    ),
    Operation(
        "delete",
        "/v1/devices/{token}",
        "Push nothing more of the user's to a device",
        {204: ""},
        _DEVICE,
        parameters=_DEVICE_PARAMETERS,
    ),
    Operation(
        "get",
        "/v1/return",
        "What is known of the payload that a user comes back from",
        {200: SignRequestStatus},
        ("not_found", "rate_limited", "store_unavailable"),
        parameters=(("query", "state"),),
        open=True,
    ),
)


@cache
def document() -> bytes:
    """The document, as it is served and committed."""
    models = {each for operation in OPERATIONS for each in _models(operation)} | {ProblemDetails}
    modes = [(model, "serialization") for model in sorted(models, key=lambda model: model.__name__)]
    _, definitions = models_json_schema(modes, ref_template=_COMPONENT)  # type: ignore[arg-type]  # a list of literals
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    whole = {
        "openapi": "3.1.0",
        "info": {"title": "Xumm webhook processor", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }
    return (json.dumps(whole, indent=2, ensure_ascii=False) + "\n").encode()


def _models(operation: Operation) -> list[type[BaseModel]]:
    answers = [each for each in operation.answers.values() if not isinstance(each, str)]
    return answers if operation.body is None else [*answers, operation.body]


def _operation(operation: Operation) -> dict[str, Any]:
    named = [("path", "id")] if "{id}" in operation.path else []
    shown: dict[str, Any] = {
        "summary": operation.summary,
        "security": [] if operation.open else [{"bearer": []}],
        "parameters": [_parameter(*each) for each in (*named, *operation.parameters)],
        "responses": {str(status): _answer(status, each) for status, each in operation.answers.items()}
        | _problems(operation.problems),
    }
    if operation.body is not None:
        shown["requestBody"] = {"required": True, "content": {_JSON: {"schema": _reference(operation.body)}}}
    return shown


def _parameter(place: str, name: str) -> dict[str, Any]:
    return {"in": place, "name": name, "required": place == "path" or name == "state", "schema": {"type": "string"}}


def _answer(status: int, answer: type[BaseModel] | str) -> dict[str, Any]:
    said = {200: "Done, or done before", 201: "Made", 204: "Done, or done before"}
    if not answer:
        return {"description": said[status]}
    content = {answer: {}} if isinstance(answer, str) else {_JSON: {"schema": _reference(answer)}}
    return {"description": said[status], "content": content}


def _problems(reasons: tuple[Reason, ...]) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for reason in sorted(reasons):
        by_status.setdefault(STATUS[reason].value, []).append(reason)
    content = {_PROBLEM: {"schema": _reference(ProblemDetails)}}
    return {
        str(status): {"description": "reason: " + ", ".join(each), "content": content}
        for status, each in sorted(by_status.items())
    }


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _COMPONENT.format(model=model.__name__)}
