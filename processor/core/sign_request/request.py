"""A sign request in the store: drafted, reserved, and answered."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

import orjson

RequestKind = Literal["sign_request", "sign_in"]
ReservationOutcome = Literal["new", "taken_over", "done", "in_progress", "conflict", "identifier_taken"]
"""``new``: the caller creates the payload; ``taken_over``: likewise, unless Xumm has it; ``done``: the answer is
stored; ``in_progress``: another call creates it; ``conflict``: the idempotency key belongs to another request;
``identifier_taken``: the identifier belongs to another sign request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A sign request to be reserved."""

    app: str
    owner: str
    """Who made it: ``user:<account>``, ``service:<name of its key>``, or ``sign-in``."""
    kind: RequestKind
    identifier: str
    """The payload's custom identifier, unique within the application."""
    request_digest: bytes = field(repr=False)
    """The digest of the order, which tells a repetition from another request under the same key."""
    tx_type: str
    submit: bool
    expires_at: datetime
    account: str | None = None
    """The account that it is for, if that is known."""
    key_digest: bytes | None = field(default=None, repr=False)
    state_digest: bytes | None = field(default=None, repr=False)
    exchange_digest: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRequest:
    """A stored sign request."""

    id: int
    app: str
    owner: str
    kind: RequestKind
    identifier: str
    """The identifier at Xumm; see `named`."""
    account: str | None
    tx_type: str
    submit: bool
    reserved_at: datetime
    expires_at: datetime
    payload: str | None
    """The payload's uuid; None until Xumm's answer is known."""
    answer: bytes | None = field(repr=False)
    """The answer to the caller, which a repetition gets again."""

    @property
    def named(self) -> str:
        """The identifier that the caller chose, which is the one in the answer."""
        return self.identifier if not self.answer else str(orjson.loads(self.answer)["identifier"])


class Reservation(NamedTuple):
    """The result of reserving a sign request."""

    outcome: ReservationOutcome
    request: StoredRequest | None
    """None where the caller may not see it."""
