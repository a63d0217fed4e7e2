"""Refusals on the wire, as RFC 9457 problem details. Every ``reason`` stands here: they are part of the interface."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final, Literal

from aiohttp import hdrs, web

from processor.core.delivery.authentication import RefusalReason as SignatureReason

Reason = (
    SignatureReason
    | Literal[
        "request_malformed",
        "expectation_failed",
        "internal_error",
        "method_not_allowed",
        "body_incomplete",
        "body_timeout",
        "body_too_large",
        "content_encoding_not_supported",
        "media_type_not_supported",
        "origin_forbidden",
        "overloaded",
        "store_unavailable",
        "outbox_full",
        "key_missing",
        "key_invalid",
        "scope_missing",
        "application_forbidden",
        "body_invalid",
        "template_invalid",
        "return_url_forbidden",
        "idempotency_key_invalid",
        "idempotency_key_reused",
        "idempotency_in_progress",
        "identifier_taken",
        "already_resolved",
        "already_opened",
        "already_expired",
        "not_found",
        "not_signed",
        "session_taken",
        "cursor_invalid",
        "rate_limited",
        "too_many_streams",
        "xumm_unavailable",
        "xumm_refused",
        "parameter_invalid",
        "return_forbidden",
        "challenge_invalid",
        "state_invalid",
        "code_invalid",
        "identity_unavailable",
        "broker_unavailable",
    ]
)

STATUS: Final[dict[Reason, HTTPStatus]] = {
    "signature_missing": HTTPStatus.UNAUTHORIZED,
    "signature_malformed": HTTPStatus.UNAUTHORIZED,
    "signature_invalid": HTTPStatus.UNAUTHORIZED,
    "timestamp_malformed": HTTPStatus.UNAUTHORIZED,
    "timestamp_stale": HTTPStatus.UNAUTHORIZED,
    "request_malformed": HTTPStatus.BAD_REQUEST,
    "expectation_failed": HTTPStatus.EXPECTATION_FAILED,
    "internal_error": HTTPStatus.INTERNAL_SERVER_ERROR,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "body_incomplete": HTTPStatus.BAD_REQUEST,
    "body_timeout": HTTPStatus.REQUEST_TIMEOUT,
    "body_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "content_encoding_not_supported": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "media_type_not_supported": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "origin_forbidden": HTTPStatus.FORBIDDEN,
    "overloaded": HTTPStatus.SERVICE_UNAVAILABLE,
    "store_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "outbox_full": HTTPStatus.SERVICE_UNAVAILABLE,
    "key_missing": HTTPStatus.UNAUTHORIZED,
    "key_invalid": HTTPStatus.UNAUTHORIZED,
    "scope_missing": HTTPStatus.FORBIDDEN,
    "application_forbidden": HTTPStatus.FORBIDDEN,
    "body_invalid": HTTPStatus.BAD_REQUEST,
    "template_invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "return_url_forbidden": HTTPStatus.UNPROCESSABLE_ENTITY,
    "idempotency_key_invalid": HTTPStatus.BAD_REQUEST,
    "idempotency_key_reused": HTTPStatus.CONFLICT,
    "idempotency_in_progress": HTTPStatus.CONFLICT,
    "identifier_taken": HTTPStatus.CONFLICT,
    "already_resolved": HTTPStatus.CONFLICT,
    "already_opened": HTTPStatus.CONFLICT,
    "already_expired": HTTPStatus.CONFLICT,
    "not_found": HTTPStatus.NOT_FOUND,
    "not_signed": HTTPStatus.CONFLICT,
    "session_taken": HTTPStatus.CONFLICT,
    "cursor_invalid": HTTPStatus.BAD_REQUEST,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_streams": HTTPStatus.TOO_MANY_REQUESTS,
    "xumm_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "xumm_refused": HTTPStatus.BAD_GATEWAY,
    "parameter_invalid": HTTPStatus.BAD_REQUEST,
    "return_forbidden": HTTPStatus.FORBIDDEN,
    "challenge_invalid": HTTPStatus.BAD_REQUEST,
    "state_invalid": HTTPStatus.BAD_REQUEST,
    "code_invalid": HTTPStatus.BAD_REQUEST,
    "identity_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "broker_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
}
_CHALLENGES: Final[dict[Reason, dict[str, str]]] = {
    "key_missing": {hdrs.WWW_AUTHENTICATE: "Bearer"},
    "key_invalid": {hdrs.WWW_AUTHENTICATE: 'Bearer error="invalid_token"'},
    "scope_missing": {hdrs.WWW_AUTHENTICATE: 'Bearer error="insufficient_scope"'},
}
"""As of RFC 6750."""
_HEADERS: Final[dict[HTTPStatus, dict[str, str]]] = {
    HTTPStatus.METHOD_NOT_ALLOWED: {hdrs.ALLOW: hdrs.METH_POST},
    HTTPStatus.SERVICE_UNAVAILABLE: {hdrs.RETRY_AFTER: "10"},
}
EVERYWHERE: Final = {hdrs.CACHE_CONTROL: "no-store", "X-Content-Type-Options": "nosniff"}
"""What every answer bears."""
_OF_THE_SERVER: Final[dict[int, Reason]] = {
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large",
    HTTPStatus.EXPECTATION_FAILED: "expectation_failed",
}
"""What aiohttp refuses by itself."""
_BODY_LEFT_UNREAD: Final = frozenset(
    {
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.EXPECTATION_FAILED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    }
)
_LOST: Final[frozenset[Reason]] = frozenset({"request_malformed", "internal_error", "body_incomplete", "overloaded"})
"""After these nobody knows where the next request begins."""


class Problem(Exception):
    """A request that is refused for ``reason``. ``errors`` names fields, and what is wrong with each."""

    def __init__(
        self, reason: Reason, *, errors: Sequence[tuple[str, str]] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status of the answer."""
        return STATUS[self.reason]


def problem_of(refusal: web.HTTPError) -> Problem:
    """A refusal of aiohttp's own as one of ours; nothing of its text, which may quote the request."""
    reason = _OF_THE_SERVER.get(refusal.status, "internal_error")
    allowed = refusal.headers.get(hdrs.ALLOW)
    return Problem(reason, headers={} if allowed is None else {hdrs.ALLOW: allowed})


def problem_response(problem: Problem) -> web.Response:
    """The answer; it closes the connection where the body was not read to its end."""
    status = problem.status
    details: dict[str, object] = {
        "type": f"urn:xumm-processor:problem:{problem.reason}",
        "title": status.phrase,
        "status": status.value,
        "reason": problem.reason,
    }
    if problem.errors:
        details["errors"] = [{"field": field, "reason": reason} for field, reason in problem.errors]
    response = web.json_response(
        details,
        status=status,
        content_type="application/problem+json",
        headers=EVERYWHERE | (_HEADERS.get(status) or _CHALLENGES.get(problem.reason) or {}) | problem.headers,
    )
    if status in _BODY_LEFT_UNREAD or problem.reason in _CHALLENGES or problem.reason in _LOST:
        response.force_close()
    return response
