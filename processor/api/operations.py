"""What can be asked of the interface: the table of its operations."""

from collections.abc import Mapping
from typing import Final

from processor.api.operation import TEXT, Answer, Caller, Operation, Parameter, Schema
from processor.api.parameters import CHALLENGE, IDEMPOTENCY, LAST_EVENT, OWNER, PAGE, needed
from processor.web.problem import Reason
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

_PROVEN: Final[tuple[Reason, ...]] = ("key_missing", "key_invalid", "rate_limited", "store_unavailable")
_CALLER: Final[tuple[Reason, ...]] = (*_PROVEN, "identity_unavailable")
_BODY: Final[tuple[Reason, ...]] = (
    "body_invalid",
    "body_incomplete",
    "body_timeout",
    "body_too_large",
    "content_encoding_not_supported",
    "media_type_not_supported",
    "overloaded",
)
_ASKING: Final[tuple[Reason, ...]] = (
    "application_forbidden",
    "return_url_forbidden",
    "identifier_taken",
    "idempotency_in_progress",
    "outbox_full",
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
_STREAM: Final[Mapping[str, Schema]] = {
    "text/event-stream": {
        "type": "string",
        "description": "Server-sent events. `id` is a number, `event` a type such as `xumm.sign.opened`, and `data` "
        "the CloudEvent that `asyncapi.json` describes, as JSON. Lines that begin with a colon keep it open.",
    }
}
_OBJECT: Final[Mapping[str, Schema]] = {"application/json": {"type": "object"}}
_ARRAY: Final[Mapping[str, Schema]] = {"application/json": {"type": "array", "items": {"type": "object"}}}
_USERS: Final[tuple[Caller, ...]] = ("session", "xummToken")
_ALL: Final[tuple[Caller, ...]] = (*_USERS, "serviceKey")


_HELD: Final = {204: Answer("The broker holds it", {})}
_STATUS: Final = Answer("How far it is", SignRequestStatus)
_EVENTS: Final = Answer("Server-sent events: `id`, `event` and `data`. The stream ends after the outcome.", _STREAM)

OPERATIONS: Final = (
    Operation(
        "post",
        "/v1/sign-in",
        "beginSignIn",
        "Begin a sign-in",
        {201: Answer("The payload, and the secret with which its session can be had", SignInCreated)},
        (*_BODY, *_ASKING, "rate_limited", "store_unavailable"),
        SignInCommand,
    ),
    Operation(
        "get",
        "/v1/sign-in/{id}",
        "getSignIn",
        "How far a sign-in is",
        {200: _STATUS},
        (*_PROVEN, "not_found"),
        callers=("exchangeSecret",),
    ),
    Operation(
        "get",
        "/v1/sign-in/{id}/events",
        "followSignIn",
        "What happens to a sign-in, as it happens",
        {200: _EVENTS},
        (*_PROVEN, "not_found", "too_many_streams"),
        parameters=(LAST_EVENT,),
        callers=("exchangeSecret",),
    ),
    Operation(
        "post",
        "/v1/sign-in/{id}/session",
        "takeSession",
        "Get the session of a sign-in that is signed",
        {201: Answer("The session's token, once", SessionCreated)},
        (*_PROVEN, "not_found", "not_signed", "session_taken"),
        callers=("exchangeSecret",),
    ),
    Operation(
        "delete",
        "/v1/session",
        "signOut",
        "End the session",
        {204: Answer("The session has ended", {})},
        (*_CALLER, "scope_missing"),
        callers=("session",),
    ),
    Operation(
        "get",
        "/v1/me",
        "getMe",
        "Who the caller is",
        {200: Answer("What is believed of the caller", Me)},
        (*_CALLER, "scope_missing"),
        callers=_USERS,
    ),
    Operation(
        "post",
        "/v1/sign-requests",
        "createSignRequest",
        "Ask a user to sign",
        {
            201: Answer("The payload stands at Xumm, and is followed", SignRequestCreated),
            200: Answer("The same was asked before under this key", SignRequestCreated, ("Idempotency-Replayed",)),
        },
        (
            *_CALLER,
            *_BODY,
            *_ASKING,
            "scope_missing",
            "template_invalid",
            "idempotency_key_invalid",
            "idempotency_key_reused",
        ),
        SignRequestCommand,
        (IDEMPOTENCY,),
        _ALL,
    ),
    Operation(
        "get",
        "/v1/sign-requests",
        "listSignRequests",
        "The caller's sign requests, the newest first",
        {200: Answer("A page of them", SignRequestPage)},
        (*_CALLER, "scope_missing", "cursor_invalid"),
        parameters=PAGE,
        callers=_ALL,
    ),
    Operation(
        "get",
        "/v1/sign-requests/{id}",
        "getSignRequest",
        "How far a sign request is",
        {200: _STATUS},
        (*_CALLER, "scope_missing", "not_found"),
        callers=_ALL,
    ),
    Operation(
        "delete",
        "/v1/sign-requests/{id}",
        "cancelSignRequest",
        "Withdraw a sign request that nobody opened",
        {200: Answer("It can no longer be opened", SignRequestCancelled)},
        (
            *_CALLER,
            "scope_missing",
            "not_found",
            "already_resolved",
            "already_opened",
            "already_expired",
            "outbox_full",
            "xumm_unavailable",
            "xumm_refused",
        ),
        callers=_ALL,
    ),
    Operation(
        "get",
        "/v1/sign-requests/{id}/events",
        "followSignRequest",
        "What happens to a sign request, as it happens",
        {200: _EVENTS},
        (*_CALLER, "scope_missing", "not_found", "too_many_streams"),
        parameters=(LAST_EVENT,),
        callers=_ALL,
    ),
    Operation(
        "put",
        "/v1/devices/{token}",
        "registerDevice",
        "Have the user's notifications pushed to a device",
        _HELD,
        (*_DEVICE, *_BODY),
        DeviceRegistration,
        OWNER,
        _ALL,
    ),
    Operation(
        "delete",
        "/v1/devices/{token}",
        "removeDevice",
        "Push nothing more of the user's to a device",
        _HELD,
        _DEVICE,
        parameters=OWNER,
        callers=_ALL,
    ),
    Operation(
        "get",
        "/v1/return",
        "getReturn",
        "What is known of the payload that a user comes back from",
        {200: _STATUS},
        ("not_found", "rate_limited", "store_unavailable"),
        parameters=(Parameter("query", "state", "As it stands in the return URL. It works once.", required=True),),
    ),
    Operation(
        "get",
        "/v1/oauth2/start",
        "startOAuth2",
        "Send the system's browser to Xumm's OAuth2 provider; only where `public_url` is set",
        {303: Answer("To the provider", {}, ("Location",))},
        ("parameter_invalid", "challenge_invalid", "application_forbidden", "return_forbidden", "rate_limited"),
        parameters=(
            needed("app", "The application's name."),
            needed("return", "Which of the application's deep links leads back."),
            *CHALLENGE,
        ),
    ),
    Operation(
        "get",
        "/v1/oauth2/callback",
        "finishOAuth2",
        "Where the provider sends the browser back to",
        {
            303: Answer("To the app's universal link, with `code` or `error`", {}, ("Location",)),
            200: Answer("A page that leads to the app's own scheme", {"text/html": TEXT}, ("Refresh",)),
        },
        ("parameter_invalid", "state_invalid", "rate_limited", "store_unavailable"),
        parameters=(
            needed("state", "As it was sent to the provider."),
            Parameter("query", "code", "The provider's code."),
            Parameter("query", "error", "Why there is none."),
        ),
    ),
    Operation(
        "post",
        "/v1/oauth2/token",
        "redeemOAuth2",
        "Swap code and verifier for a session",
        {200: Answer("The session's token, once", SessionRedeemed)},
        (*_BODY, "code_invalid", "rate_limited", "store_unavailable"),
        RedeemCommand,
    ),
    Operation(
        "post",
        "/v1/watches",
        "watch",
        "Follow a payload that was made elsewhere",
        {202: Answer("It is followed from now on", Watched), 200: Answer("It was, or it has ended", Watched)},
        (*_CALLER, *_BODY, "scope_missing", "application_forbidden", "outbox_full"),
        WatchCommand,
        callers=("serviceKey",),
    ),
    Operation(
        "get",
        "/v1/openapi.json",
        "getOpenApi",
        "This document",
        {200: Answer("OpenAPI 3.1", _OBJECT)},
    ),
    Operation(
        "get",
        "/.well-known/apple-app-site-association",
        "getAppleApps",
        "Which apps may open this host's links on iOS",
        {200: Answer("As Apple reads it", _OBJECT)},
    ),
    Operation(
        "get",
        "/.well-known/assetlinks.json",
        "getAndroidApps",
        "Which apps may open this host's links on Android",
        {200: Answer("As Google reads it", _ARRAY)},
    ),
)
