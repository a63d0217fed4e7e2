"""The order of a sign request: the body of ``POST payload`` for it, its owner and its identifier at Xumm.

Source: https://docs.xumm.dev/js-ts-sdk/sdk-syntax/xumm.payload/create
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from processor.core.access.caller import Caller, ServiceCaller
from processor.core.access.limits import Rank
from processor.core.access.service_key import digest_of
from processor.core.sign_request.return_url import ReturnTarget
from schemas.api import MAX_IDENTIFIER
from schemas.payload import Payload
from schemas.platform import Created, NextSteps, References
from schemas.text import RESERVED_IDENTIFIERS, aware

MAX_KEY: Final = 255
"""Characters of an idempotency key."""
_CLOCKS_DIFFER: Final = timedelta(minutes=2)
_SERVICE: Final = "service:"
_USER: Final = "user:"
_GENERATED, _USERS_OWN = RESERVED_IDENTIFIERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A validated request of a caller for a payload."""

    app: str
    template: Mapping[str, Any]
    submit: bool
    expire: timedelta
    network: str
    identifier: str | None = None
    instruction: str | None = None
    blob: Any = None
    account: str | None = None
    """The account that the payload is for: whose user token it is pushed with."""
    return_urls: Mapping[ReturnTarget, str] = field(default_factory=dict)

    @property
    def tx_type(self) -> str:
        """The type of the transaction."""
        return str(self.template["TransactionType"])

    @property
    def digest(self) -> bytes:
        """The hash of the order: a repetition has the same one."""
        minutes = self.expire.total_seconds()
        parts = [self.app, self.template, self.submit, minutes, self.network, self.identifier, self.instruction]
        parts += [self.blob, self.account, dict(self.return_urls)]
        return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).digest()


def body_of(
    order: Order, identifier: str, *, user_token: str | None, return_urls: Mapping[ReturnTarget, str]
) -> dict[str, Any]:
    """The body of ``POST payload``. ``return_urls`` include their state."""
    options: dict[str, Any] = {
        "submit": order.submit,
        "expire": round(order.expire.total_seconds() / 60),
        "force_network": order.network,
    }
    if return_urls:
        options["return_url"] = dict(return_urls)
    meta = {"identifier": identifier, "instruction": order.instruction, "blob": order.blob}
    body: dict[str, Any] = {
        "txjson": dict(order.template),
        "options": options,
        "custom_meta": {name: value for name, value in meta.items() if value is not None},
    }
    return body if user_token is None else body | {"user_token": user_token}


def recover_answer(payload: Payload, base_url: str, reserved_at: datetime) -> Created | None:
    """The lost answer with which Xumm created ``payload``; None if another request created it."""
    created_at = aware(payload.payload.created_at)
    if created_at is None or created_at < reserved_at - _CLOCKS_DIFFER:
        return None
    link = f"{base_url}/sign/{payload.meta.uuid}"
    socket = link.replace("http", "ws", 1)
    references = References(qr_png=f"{link}_q.png", qr_matrix=f"{link}_q.json", websocket_status=socket)
    return Created(uuid=payload.meta.uuid, next=NextSteps(always=link), refs=references, pushed=False)


def owner_of(caller: Caller) -> str:
    """The name under which a caller's sign requests are stored."""
    return f"{_SERVICE}{caller.key.name}" if isinstance(caller, ServiceCaller) else f"{_USER}{caller.account}"


def rank_of(owner: str) -> Rank:
    """The rank of the owner of a sign request."""
    return "service" if owner.startswith(_SERVICE) else "user" if owner.startswith(_USER) else "stranger"


def identifier_at_xumm(owner: str, identifier: str | None, nonce: str) -> str:
    """The identifier at Xumm for the ``identifier`` that ``owner`` chose; one with ``nonce`` if there is none.

    A service's identifier is kept. A user's is hashed together with the user: so no user can take an identifier that a
    service or another user may want, and the length stays within Xumm's limit.
    """
    if identifier is None:
        return _GENERATED + nonce
    if not owner.startswith(_USER):
        return identifier
    digits = MAX_IDENTIFIER - len(_USERS_OWN)
    return _USERS_OWN + digest_of(f"{owner} {identifier}").hex()[:digits]


def is_key(key: str) -> bool:
    """Whether ``key`` has the form of an idempotency key: printable ASCII."""
    return 0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()


def may_see(caller: Caller, app: str, owner: str) -> bool:
    """Whether a caller may see a sign request: a user the own ones, a service those of the applications it covers."""
    if isinstance(caller, ServiceCaller):
        return caller.key.covers(app)
    return caller.app == app and owner == owner_of(caller)
