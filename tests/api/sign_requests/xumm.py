"""Xumm's API of one application, in memory, for tests that turn the clock and need each kind of failure.

It answers as https://docs.xumm.dev/js-ts-sdk/sdk-syntax/xumm.payload describes: an identifier names one payload of the
application, and a second creation with it is refused (409); an unknown payload is answered 404; a payload that was
opened, resolved or has expired is not cancelled, and the answer says which.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from processor.core.access.limits import Rank
from processor.core.errors import Denied, LookupFailed, NotFound
from processor.core.sign_request.sealing import Keyring, SealingKey
from schemas.payload import Payload
from schemas.platform import Cancelled, Created, TokenStates
from tests.store.samples import APPLICATION

Call = Literal["create", "fetch_by_identifier", "cancel", "token_states"]

KEYRING = Keyring([SealingKey.of(b"k" * 32)])


@dataclass(slots=True)
class Kept:
    """One payload at Xumm."""

    uuid: str
    body: Mapping[str, Any]
    created_at: datetime
    reason: str = "OK"
    """What a cancellation is answered."""


@dataclass(slots=True)
class XummInMemory:
    """Payloads by their identifiers, and the user tokens that are active."""

    clock: Callable[[], datetime]
    payloads: dict[str, Kept] = field(default_factory=dict)
    active: set[str] = field(default_factory=set)
    asleep: bool = False
    """The user's device gets no push."""
    calls: list[Call] = field(default_factory=list)
    ranks: list[Rank] = field(default_factory=list)
    _failures: dict[Call, tuple[LookupFailed, bool]] = field(default_factory=dict)

    def fail(self, call: Call, error: LookupFailed, *, after: bool = False) -> None:
        """Let the next ``call`` fail, with nothing done, or ``after`` all was done and the answer got lost."""
        self._failures[call] = (error, after)

    def calling_for(self, rank: Rank) -> Self:
        self.ranks.append(rank)
        return self

    async def create(self, body: Mapping[str, Any]) -> Created:
        lost = self._begin("create")
        identifier = body["custom_meta"]["identifier"]
        if identifier in self.payloads:
            raise Denied("Xumm answered 409")
        uuid = str(UUID(int=len(self.payloads) + 1, version=4))
        self.payloads[identifier] = Kept(uuid, body, self.clock())
        if lost is not None:
            raise lost
        link = f"https://xumm.app/sign/{uuid}"
        references = {"qr_png": f"{link}_q.png", "qr_matrix": f"{link}_q.json", "websocket_status": f"wss{link[5:]}"}
        pushed = body.get("user_token") in self.active and not self.asleep
        return Created.model_validate(
            {"uuid": uuid, "next": {"always": link}, "refs": references, "pushed": pushed},
        )

    async def fetch_by_identifier(self, identifier: str) -> Payload:
        self._begin("fetch_by_identifier")
        kept = self.payloads.get(identifier)
        if kept is None:
            raise NotFound("Xumm answered 404")
        flags = dict.fromkeys(("resolved", "signed", "cancelled", "expired"), False)
        return Payload.model_validate(
            {
                "meta": {"exists": True, "uuid": kept.uuid, "submit": kept.body["options"]["submit"], **flags},
                "application": {"uuidv4": APPLICATION, "issued_user_token": None},
                "payload": {"tx_type": "Payment", "created_at": kept.created_at.isoformat()},
                "response": {},
            }
        )

    async def cancel(self, uuid: str) -> Cancelled:
        self._begin("cancel")
        kept = next((each for each in self.payloads.values() if each.uuid == uuid), None)
        if kept is None:
            raise NotFound("Xumm answered 404")
        reason = kept.reason
        if reason == "OK":
            kept.reason = "ALREADY_CANCELLED"
        return Cancelled.model_validate({"result": {"cancelled": reason == "OK", "reason": reason}})

    async def token_states(self, tokens: Sequence[str]) -> TokenStates:
        self._begin("token_states")
        return TokenStates.model_validate(
            {"tokens": [{"user_token": token, "active": token in self.active} for token in tokens]}
        )

    def _begin(self, call: Call) -> LookupFailed | None:
        self.calls.append(call)
        error, after = self._failures.pop(call, (None, False))
        if error is not None and not after:
            raise error
        return error
