"""A sign request as it is reserved, made and kept."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

import orjson

RequestKind = Literal["sign_request", "sign_in"]
ReservationOutcome = Literal["new", "taken_over", "done", "in_progress", "conflict", "identifier_taken"]
"""``new`` and ``taken_over``: it is the caller's to make, the latter after a look whether it was made; ``done``: here
is the answer; ``conflict``: the key was used for another request; ``identifier_taken``: by another sign request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A sign request that is about to be made."""

    app: str
    owner: str
    """Who asked: ``user:<account>``, ``service:<name of its key>``, or ``sign-in``."""
    kind: RequestKind
    identifier: str
    """The payload's custom identifier, unique within the application."""
    request_digest: bytes = field(repr=False)
    """Of what was asked, to tell a repetition from another request under the same key."""
    tx_type: str
    submit: bool
    expires_at: datetime
    account: str | None = None
    """Whom it is for, if that is known."""
    key_digest: bytes | None = field(default=None, repr=False)
    state_digest: bytes | None = field(default=None, repr=False)
    exchange_digest: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRequest:
    """A sign request as it is kept."""

    id: int
    app: str
    owner: str
    kind: RequestKind
    identifier: str
    """As Xumm knows it; see `named`."""
    account: str | None
    tx_type: str
    submit: bool
    reserved_at: datetime
    expires_at: datetime
    payload: str | None
    """None as long as nobody knows whether Xumm has it."""
    answer: bytes | None = field(repr=False)
    """What the caller was told, to be told again."""

    @property
    def named(self) -> str:
        """The identifier as the caller knows it: the one in the answer."""
        return self.identifier if not self.answer else str(orjson.loads(self.answer)["identifier"])


class Reservation(NamedTuple):
    """What came of reserving."""

    outcome: ReservationOutcome
    request: StoredRequest | None
    """None where it is not the caller's to see."""
