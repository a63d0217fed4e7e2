"""The table of the interface's operations. The router, the OpenAPI document and every address in a response use it."""

from functools import cache
from typing import Final

from processor.api.openapi import TEXT, Operation, Parameter, Response, SecurityScheme, build_document
from processor.core.access.ticket import MAX_TICKET
from processor.core.sign_request.device import PATH_PATTERN
from processor.core.sign_request.order import MAX_KEY
from processor.web.problem import ProblemReason
from schemas.api import (
    DeviceRegistration,
    Me,
    SessionCreated,
    SessionRedeemed,
    SignInCommand,
    SignInCreated,
    SignRequestCancelled,
    SignRequestCommand,
    SignRequestCreated,
    SignRequestPage,
    SignRequestStatus,
    Watched,
)
from schemas.commands import RedeemCommand, WatchCommand

_POSITIVE: Final = {"type": "integer", "format": "int64", "minimum": 1, "maximum": 10**18 - 1}
_TICKET: Final = {"type": "string", "minLength": 1, "maxLength": MAX_TICKET}
_PATH_PARAMETERS: Final = {
    "id": Parameter("path", "id", "The payload's UUID.", {"type": "string", "format": "uuid"}, required=True),
    "token": Parameter(
        "path",
        "token",
        "What the push service calls the device; for a browser, the SHA-256 of its endpoint in base64url.",
        {"type": "string", "pattern": PATH_PATTERN},
        required=True,
    ),
}
_LAST_EVENT: Final = Parameter(
    "header", "Last-Event-ID", "The number of the last event that the client has; what comes after is sent."
)
_IDEMPOTENCY: Final = Parameter(
    "header",
    "Idempotency-Key",
    "The same request under the same key makes one payload and gets one answer.",
    {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[ -~]+$"},
)
_PAGE: Final = (
    Parameter("query", "limit", "How many; 20 unless told, 100 at most.", _POSITIVE),
    Parameter("query", "before", "The cursor that the page before named as `next`.", _POSITIVE),
)
_DEVICE_OWNER: Final = (
    Parameter("query", "app", "The application's name, if a service asks."),
    Parameter("query", "account", "The account of the device's user, if a service asks."),
)
_START: Final = (
    Parameter("query", "app", "The application's name.", _TICKET, required=True),
    Parameter("query", "return", "Which of the application's deep links leads back.", _TICKET, required=True),
    Parameter(
        "query",
        "code_challenge",
        "PKCE (RFC 7636): the SHA-256 of the app's verifier, in base64url.",
        {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
        required=True,
    ),
    Parameter("query", "code_challenge_method", "S256 is the only one.", {"const": "S256"}),
)
_CALLBACK: Final = (
    Parameter("query", "state", "As it was sent to the provider.", _TICKET, required=True),
    Parameter("query", "code", "The provider's code."),
    Parameter("query", "error", "Why there is none."),
)
_STATE: Final = Parameter("query", "state", "As it stands in the return URL. It works once.", required=True)

_CREATION: Final[tuple[ProblemReason, ...]] = (
    "application_forbidden",
    "return_url_forbidden",
    "identifier_taken",
    "idempotency_in_progress",
    "outbox_full",
    "xumm_unavailable",
    "xumm_refused",
)
_DEVICE: Final[tuple[ProblemReason, ...]] = ("application_forbidden", "parameter_invalid", "broker_unavailable")
_UNPROVEN: Final[tuple[ProblemReason, ...]] = ("rate_limited", "store_unavailable")

_OBJECT: Final = {"application/json": {"type": "object"}}
_ARRAY: Final = {"application/json": {"type": "array", "items": {"type": "object"}}}
_STREAM: Final = {
    "text/event-stream": {
        "type": "string",
        "description": "Server-sent events. `id` is a number, `event` a type such as `xumm.sign.opened`, and `data` "
        "the CloudEvent that `asyncapi.json` describes, as JSON. Lines that begin with a colon keep it open.",
    }
}
_STATUS: Final = Response("How far it is", SignRequestStatus)
_EVENTS: Final = Response("Server-sent events: `id`, `event` and `data`. The stream ends after the outcome.", _STREAM)
_HELD: Final = {204: Response("The broker holds it", {})}

_SIGN_IN: Final[tuple[SecurityScheme, ...]] = ("exchangeSecret",)
_USERS: Final[tuple[SecurityScheme, ...]] = ("session", "xummToken")
_ALL: Final[tuple[SecurityScheme, ...]] = (*_USERS, "serviceKey")

OPERATIONS: Final = (
    Operation(
        "beginSignIn",
        "POST /v1/sign-in",
        "Begin a sign-in",
        {201: Response("The payload, and the secret with which its session can be had", SignInCreated)},
        (*_CREATION, *_UNPROVEN),
        SignInCommand,
    ),
    Operation("getSignIn", "GET /v1/sign-in/{id}", "How far a sign-in is", {200: _STATUS}, callers=_SIGN_IN),
    Operation(
        "followSignIn",
        "GET /v1/sign-in/{id}/events",
        "What happens to a sign-in, as it happens",
        {200: _EVENTS},
        ("too_many_streams",),
        parameters=(_LAST_EVENT,),
        callers=_SIGN_IN,
    ),
    Operation(
        "takeSession",
        "POST /v1/sign-in/{id}/session",
        "Get the session of a sign-in that is signed",
        {201: Response("The session's token, once", SessionCreated)},
        ("not_signed", "session_taken"),
        callers=_SIGN_IN,
    ),
    Operation(
        "signOut",
        "DELETE /v1/session",
        "End the session",
        {204: Response("The session has ended", {})},
        callers=("session",),
    ),
    Operation(
        "getMe",
        "GET /v1/me",
        "Who the caller is",
        {200: Response("What is believed of the caller", Me)},
        callers=_USERS,
    ),
    Operation(
        "createSignRequest",
        "POST /v1/sign-requests",
        "Ask a user to sign",
        {
            201: Response("The payload stands at Xumm, and is followed", SignRequestCreated),
            200: Response("The same was asked before under this key", SignRequestCreated, ("Idempotency-Replayed",)),
        },
        (*_CREATION, "template_invalid", "idempotency_key_invalid", "idempotency_key_reused"),
        SignRequestCommand,
        (_IDEMPOTENCY,),
        _ALL,
    ),
    Operation(
        "listSignRequests",
        "GET /v1/sign-requests",
        "The caller's sign requests, the newest first",
        {200: Response("A page of them", SignRequestPage)},
        ("cursor_invalid",),
        parameters=_PAGE,
        callers=_ALL,
    ),
    Operation(
        "getSignRequest", "GET /v1/sign-requests/{id}", "How far a sign request is", {200: _STATUS}, callers=_ALL
    ),
    Operation(
        "cancelSignRequest",
        "DELETE /v1/sign-requests/{id}",
        "Withdraw a sign request that nobody opened",
        {200: Response("It can no longer be opened", SignRequestCancelled)},
        ("already_resolved", "already_opened", "already_expired", "outbox_full", "xumm_unavailable", "xumm_refused"),
        callers=_ALL,
    ),
    Operation(
        "followSignRequest",
        "GET /v1/sign-requests/{id}/events",
        "What happens to a sign request, as it happens",
        {200: _EVENTS},
        ("too_many_streams",),
        parameters=(_LAST_EVENT,),
        callers=_ALL,
    ),
    Operation(
        "registerDevice",
        "PUT /v1/devices/{token}",
        "Have the user's notifications pushed to a device",
        _HELD,
        _DEVICE,
        DeviceRegistration,
        _DEVICE_OWNER,
        _ALL,
    ),
    Operation(
        "removeDevice",
        "DELETE /v1/devices/{token}",
        "Push nothing more of the user's to a device",
        _HELD,
        _DEVICE,
        parameters=_DEVICE_OWNER,
        callers=_ALL,
    ),
    Operation(
        "getReturn",
        "GET /v1/return",
        "What is known of the payload that a user comes back from",
        {200: _STATUS},
        (*_UNPROVEN, "not_found"),
        parameters=(_STATE,),
    ),
    Operation(
        "startOAuth2",
        "GET /v1/oauth2/start",
        "Send the system's browser to Xumm's OAuth2 provider; only where `public_url` is set",
        {303: Response("To the provider", {}, ("Location",))},
        ("parameter_invalid", "challenge_invalid", "application_forbidden", "return_forbidden", "rate_limited"),
        parameters=_START,
    ),
    Operation(
        "finishOAuth2",
        "GET /v1/oauth2/callback",
        "Where the provider sends the browser back to",
        {
            303: Response("To the app's universal link, with `code` or `error`", {}, ("Location",)),
            200: Response("A page that leads to the app's own scheme", {"text/html": TEXT}, ("Refresh",)),
        },
        (*_UNPROVEN, "parameter_invalid", "state_invalid"),
        parameters=_CALLBACK,
    ),
    Operation(
        "redeemOAuth2",
        "POST /v1/oauth2/token",
        "Swap code and verifier for a session",
        {200: Response("The session's token, once", SessionRedeemed)},
        (*_UNPROVEN, "code_invalid"),
        RedeemCommand,
    ),
    Operation(
        "watch",
        "POST /v1/watches",
        "Follow a payload that was made elsewhere",
        {202: Response("It is followed from now on", Watched), 200: Response("It was, or it has ended", Watched)},
        ("application_forbidden", "outbox_full"),
        WatchCommand,
        callers=("serviceKey",),
    ),
    Operation("getOpenApi", "GET /v1/openapi.json", "This document", {200: Response("OpenAPI 3.1", _OBJECT)}),
    Operation(
        "getAppleApps",
        "GET /.well-known/apple-app-site-association",
        "Which apps may open this host's links on iOS",
        {200: Response("As Apple reads it", _OBJECT)},
    ),
    Operation(
        "getAndroidApps",
        "GET /.well-known/assetlinks.json",
        "Which apps may open this host's links on Android",
        {200: Response("As Google reads it", _ARRAY)},
    ),
)
_PATHS: Final = {each.name: each.path for each in OPERATIONS}


def build_path(operation: str, **parameters: str) -> str:
    """Build the path of an operation, with ``parameters`` in place of those in braces. Raises `KeyError`."""
    return _PATHS[operation].format(**parameters)


@cache
def openapi_document() -> bytes:
    """Build the OpenAPI document of the interface."""
    return build_document(OPERATIONS, _PATH_PARAMETERS)
