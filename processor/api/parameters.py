"""What stands in addresses and headers of the interface's operations."""

from typing import Final

from processor.api.operation import Parameter
from processor.core.access.ticket import MAX_TICKET
from processor.core.sign_request.device import PATH_PATTERN
from processor.core.sign_request.order import MAX_KEY

_NUMBER: Final = {"type": "integer", "format": "int64", "minimum": 1, "maximum": 10**18 - 1}


def needed(name: str, about: str) -> Parameter:
    """A text in the query without which nothing goes on."""
    return Parameter("query", name, about, {"type": "string", "minLength": 1, "maxLength": MAX_TICKET}, required=True)


LAST_EVENT: Final = Parameter(
    "header", "Last-Event-ID", "The number of the last event that the client has; what comes after is sent."
)
IDEMPOTENCY: Final = Parameter(
    "header",
    "Idempotency-Key",
    "The same request under the same key makes one payload and gets one answer.",
    {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[ -~]+$"},
)
PAGE: Final = (
    Parameter("query", "limit", "How many; 20 unless told, 100 at most.", _NUMBER),
    Parameter("query", "before", "The cursor that the page before named as `next`.", _NUMBER),
)
OWNER: Final = (
    Parameter("query", "app", "The application's name, if a service asks."),
    Parameter("query", "account", "The account of the device's user, if a service asks."),
)
CHALLENGE: Final = (
    Parameter(
        "query",
        "code_challenge",
        "PKCE (RFC 7636): the SHA-256 of the app's verifier, in base64url.",
        {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
        required=True,
    ),
    Parameter("query", "code_challenge_method", "S256 is the only one.", {"const": "S256"}),
)
IN_PATH: Final = (
    Parameter("path", "id", "The payload's UUID.", {"type": "string", "format": "uuid"}, required=True),
    Parameter(
        "path",
        "token",
        "What the push service calls the device; for a browser, the SHA-256 of its endpoint in base64url.",
        {"type": "string", "pattern": PATH_PATTERN},
        required=True,
    ),
)
"""What stands in braces in paths."""
