"""Refusals on the wire, as RFC 9457 problem details. `PROBLEMS` lists every reason: they are part of the interface."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final, Literal

from aiohttp import hdrs, web

from processor.core.delivery.authentication import RefusalReason

ProblemReason = (
    RefusalReason
    | Literal[
        "already_expired",
        "already_opened",
        "already_resolved",
        "application_forbidden",
        "body_incomplete",
        "body_invalid",
        "body_timeout",
        "body_too_large",
        "broker_unavailable",
        "challenge_invalid",
        "code_invalid",
        "content_encoding_not_supported",
        "cursor_invalid",
        "expectation_failed",
        "idempotency_in_progress",
        "idempotency_key_invalid",
        "idempotency_key_reused",
        "identifier_taken",
        "identity_unavailable",
        "internal_error",
        "key_invalid",
        "key_missing",
        "media_type_not_supported",
        "method_not_allowed",
        "not_found",
        "not_signed",
        "origin_forbidden",
        "outbox_full",
        "overloaded",
        "parameter_invalid",
        "rate_limited",
        "request_malformed",
        "return_forbidden",
        "return_url_forbidden",
        "scope_missing",
        "session_taken",
        "state_invalid",
        "store_unavailable",
        "template_invalid",
        "too_many_streams",
        "xumm_refused",
        "xumm_unavailable",
    ]
)
PROBLEMS: Final[Mapping[ProblemReason, tuple[int, str]]] = {
    "signature_missing": (401, "one of the two signature headers is missing"),
    "signature_malformed": (401, "the signature is not 40 hexadecimal digits"),
    "signature_invalid": (401, "not signed with a secret of this application, or there is no such application"),
    "timestamp_malformed": (401, "the timestamp is not in Unix seconds"),
    "timestamp_stale": (401, "the timestamp is more than 300 s from now, either way"),
    "key_missing": (401, "there is neither a service key nor a user's token in `Authorization: Bearer`"),
    "key_invalid": (401, "no service has this key; or the token has expired, is of another application, or is none"),
    "scope_missing": (403, "the key or token does not allow this operation"),
    "application_forbidden": (403, "there is no such application, or the caller may not act for it"),
    "request_malformed": (400, "no HTTP/1.1, or a first line or header over 8190 bytes, or a head over 32 KiB"),
    "expectation_failed": (417, "the `Expect` header asks for more than `100-continue`"),
    "internal_error": (500, "a defect, which the log describes; Xumm tries a webhook again"),
    "body_invalid": (400, "the body is not what the operation takes; `errors` names the fields"),
    "template_invalid": (422, "the template, or what goes with it, must not be sent; `errors` names the fields"),
    "return_url_forbidden": (422, "the return URL is not, character by character, one of the application's"),
    "idempotency_key_invalid": (400, "the `Idempotency-Key` is not 1 to 255 visible ASCII characters"),
    "idempotency_key_reused": (409, "the key was used for another request"),
    "idempotency_in_progress": (409, "the same request is under way, or its outcome is not known yet; `Retry-After`"),
    "identifier_taken": (409, "another sign request has this identifier"),
    "already_resolved": (409, "too late to cancel: the sign request was signed or rejected"),
    "already_opened": (409, "too late to cancel: somebody has opened the sign request"),
    "already_expired": (409, "nothing to cancel: the sign request expired"),
    "not_found": (404, "there is no such resource, or it is not the caller's"),
    "not_signed": (409, "no session: the sign-in is not signed, or not proven yet"),
    "session_taken": (409, "the exchange secret was used"),
    "cursor_invalid": (400, "`before` or `limit` is not a positive number"),
    "rate_limited": (429, "too many calls of one caller or application; `Retry-After`"),
    "too_many_streams": (429, "too many event streams of one caller, or in all; `Retry-After`"),
    "xumm_unavailable": (503, "Xumm's API did not answer in time; `Retry-After: 10`"),
    "xumm_refused": (502, "Xumm's API refused the call"),
    "broker_unavailable": (503, "the broker did not confirm in time; repeating does no harm; `Retry-After: 10`"),
    "identity_unavailable": (503, "the keys of Xumm's provider cannot be fetched; `Retry-After: 10`"),
    "parameter_invalid": (400, "a parameter is missing, repeated, too long or unreadable"),
    "return_forbidden": (403, "`return` is none of the application's `deep_links`"),
    "challenge_invalid": (400, "`code_challenge` is not a SHA-256 in base64url, or the method is not `S256`"),
    "state_invalid": (400, "the sign-in took too long, was finished before, or did not begin here"),
    "code_invalid": (400, "the code has expired, was used, or is not for this verifier"),
    "method_not_allowed": (405, "the path does not have this method; `Allow` names those that it has"),
    "body_incomplete": (400, "the sender hung up within the body"),
    "body_timeout": (408, "the body took longer than `body_timeout`"),
    "body_too_large": (413, "the body is longer than `max_body_bytes`, or than 16 KiB below `/v1`"),
    "content_encoding_not_supported": (415, "there is a `Content-Encoding` header, whichever"),
    "media_type_not_supported": (415, "the `Content-Type` is not `application/json`"),
    "origin_forbidden": (
        403,
        "a browser asks for a page of a site that `PROCESSOR_API__ALLOWED_ORIGINS` does not name",
    ),
    "store_unavailable": (503, "the database did not commit within 10 s, or cannot; `Retry-After: 10`"),
    "overloaded": (
        503,
        "too many connections, or too many bytes of unfinished bodies; the oldest goes; `Retry-After: 10`",
    ),
    "outbox_full": (503, "the broker has been unreachable for too long; `Retry-After: 10`"),
}
"""The HTTP status of each reason, and its meaning in Markdown."""
_CHALLENGES: Final[Mapping[ProblemReason, Mapping[str, str]]] = {
    "key_missing": {hdrs.WWW_AUTHENTICATE: "Bearer"},
    "key_invalid": {hdrs.WWW_AUTHENTICATE: 'Bearer error="invalid_token"'},
    "scope_missing": {hdrs.WWW_AUTHENTICATE: 'Bearer error="insufficient_scope"'},
}
"""Source: RFC 6750, section 3."""
_HEADERS: Final[Mapping[HTTPStatus, Mapping[str, str]]] = {
    HTTPStatus.METHOD_NOT_ALLOWED: {hdrs.ALLOW: hdrs.METH_POST},
    HTTPStatus.SERVICE_UNAVAILABLE: {hdrs.RETRY_AFTER: "10"},
}
COMMON_HEADERS: Final = {hdrs.CACHE_CONTROL: "no-store", "X-Content-Type-Options": "nosniff"}
"""Headers of every response."""
_AIOHTTP_REASONS: Final[Mapping[int, ProblemReason]] = {
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large",
    HTTPStatus.EXPECTATION_FAILED: "expectation_failed",
}
"""The statuses with which aiohttp refuses a request before a handler sees it."""
_BODY_UNREAD: Final = frozenset(
    {
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.EXPECTATION_FAILED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    }
)
"""Statuses that are answered before the body was read to its end."""
_BOUNDARY_LOST: Final[frozenset[ProblemReason]] = frozenset(
    {"request_malformed", "internal_error", "body_incomplete", "overloaded"}
)
"""Reasons after which it is unknown where the next request of the connection begins."""


class Problem(Exception):
    """A request is refused for ``reason``. ``errors`` are pairs of a field and its fault."""

    def __init__(
        self,
        reason: ProblemReason,
        *,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status of the response."""
        return HTTPStatus(PROBLEMS[self.reason][0])


def convert_error(error: web.HTTPError) -> Problem:
    """Convert an error of aiohttp's into a problem. Its text is dropped, because it may quote the request."""
    reason = _AIOHTTP_REASONS.get(error.status, "internal_error")
    allowed = error.headers.get(hdrs.ALLOW)
    return Problem(reason, headers={} if allowed is None else {hdrs.ALLOW: allowed})


def problem_response(problem: Problem) -> web.Response:
    """Build the response. It closes the connection if the request's body was not read to its end."""
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
        headers={
            **COMMON_HEADERS,
            **(_HEADERS.get(status) or _CHALLENGES.get(problem.reason) or {}),
            **problem.headers,
        },
    )
    if status in _BODY_UNREAD or problem.reason in _CHALLENGES or problem.reason in _BOUNDARY_LOST:
        response.force_close()
    return response
