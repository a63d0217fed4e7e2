"""Sign requests made through this service: never two payloads of one request, and each is followed to its end.

The order is what makes a crash harmless. The request is reserved under its identifier, then Xumm is asked, then the
payload is reported as created (from there on it is watched), and then the answer is kept. Whoever repeats a request
that broke off after the first step looks for the payload with that identifier before making one.
"""

import secrets
from asyncio import Future
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol, Self, TypeVar

import structlog
from pydantic import BaseModel
from pydantic_core import to_json

from processor.api.sign_requests.user_tokens import UserTokens
from processor.core.access.digest import digest_of
from processor.core.access.limits import Rank
from processor.core.application import Application
from processor.core.errors import Denied, LookupFailed, NotFound, StoreError, Unavailable
from processor.core.payload.entry import Recorded, Reported
from processor.core.reports.custom_meta import carry
from processor.core.reports.report import RequestReport
from processor.core.sign_request.order import Asked, adopted, body_of, identifier_at_xumm, rank_of
from processor.core.sign_request.request import Draft, Kind, Reservation, StoredRequest
from processor.core.sign_request.return_url import STATE_BYTES, Target, built
from processor.observability.loggers import sampled_log
from processor.web.problem import Problem
from schemas.payload import Payload
from schemas.platform import Cancelled, Created

HOLD: Final = timedelta(seconds=90)
"""Longer than asking Xumm can take: about the token, for the payload, and for what was made; 20 s each."""
UNSURE: Final = timedelta(seconds=30)
"""How long nobody tries again what Xumm may have done, while it may still be at it."""
_IDENTIFIER_BYTES: Final = 16
Made = TypeVar("Made", bound=BaseModel)

log = structlog.get_logger()


class Platform(Protocol):
    """Xumm's API of one application. All of it raises `LookupFailed`."""

    def calling_for(self, rank: Rank) -> Self:
        """The same, whose calls wait where those of this rank do."""
        ...

    async def create(self, body: Mapping[str, Any]) -> Created:
        """A new payload. After `Unavailable` without ``untouched`` nobody knows whether it stands."""
        ...

    async def payload_named(self, identifier: str) -> Payload:
        """The payload with the application's own identifier."""
        ...

    async def cancel(self, uuid: str) -> Cancelled:
        """Withdraw a payload, or learn why not."""
        ...


class RequestStore(Protocol):
    """Where sign requests are kept. All of it raises `StoreError`."""

    async def reserve(self, draft: Draft, hold: timedelta) -> Reservation:
        """Reserve, or find out why not. Of several at the same time, one gets it."""
        ...

    async def renew_state(self, request: StoredRequest, digest: bytes | None) -> None:
        """The payload is made anew, and its return URL gets another state."""
        ...

    async def complete(self, request: StoredRequest, payload: str, answer: bytes, *, late: bool) -> None:
        """Xumm has it; ``late`` if it had events before."""
        ...

    async def release(self, request: StoredRequest, hold: timedelta | None) -> None:
        """It was not made: forget it; or hold it for a while, since it may have been made after all."""
        ...

    def record(self, entry: Reported) -> "Future[Recorded]":
        """Apply a report. Durable when it resolves."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Who asks for what, and how it would be repeated."""

    asked: Asked
    owner: str
    kind: Kind = "sign_request"
    idempotency_key: str | None = None
    exchange_digest: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A payload that stands at Xumm, for the answer to be made of."""

    created: Created
    identifier: str
    """As the caller named it."""
    expires_at: datetime


class SignRequests:
    """Makes and cancels sign requests. Raises `Problem` for what a caller can be told, and `StoreError`."""

    def __init__(  # noqa: PLR0913  its four neighbours, clock and bell
        self,
        applications: Mapping[str, Application],
        apis: Mapping[str, Platform],
        store: RequestStore,
        tokens: UserTokens,
        *,
        links: str,
        clock: Callable[[], datetime],
        on_created: Callable[[], None] = lambda: None,
    ) -> None:
        """``links``: where universal links begin, ``https://xumm.app``; ``on_created``: there is one more to watch."""
        self._on_created = on_created
        self._applications = applications
        self._apis = apis
        self._store = store
        self._tokens = tokens
        self._links = links
        self._clock = clock

    @property
    def keeps_tokens(self) -> bool:
        """Whether user tokens are kept, so that requests can be pushed."""
        return self._tokens.kept

    @property
    def now(self) -> datetime:
        """By the clock of the service."""
        return self._clock()

    async def create(self, wish: Wish, answer: Callable[[Standing], BaseModel]) -> tuple[bytes, bool]:
        """Make it once. The answer as JSON, and whether it was made now and not before."""
        state = secrets.token_urlsafe(STATE_BYTES) if wish.asked.return_urls else None
        reservation = await self._store.reserve(self._draft(wish, state), HOLD)
        request = reservation.request
        if reservation.outcome == "done" and request is not None and request.answer is not None:
            return request.answer, False
        _raise_for(reservation.outcome)
        assert request is not None  # noqa: S101  it is the caller's to make
        created = await self._found(request) if reservation.outcome == "taken_over" else None
        if created is None:
            if reservation.outcome == "taken_over":
                await self._store.renew_state(request, None if state is None else digest_of(state))
            created = await self._made(wish.asked, request, state)
        named = wish.asked.identifier or request.identifier
        told = to_json(answer(Standing(created=created, identifier=named, expires_at=request.expires_at)))
        await self._keep(wish.asked, request, created, told)
        return told, True

    async def cancel(self, request: StoredRequest) -> Literal["OK", "ALREADY_CANCELLED"]:
        """Withdraw it, unless somebody opened it."""
        assert request.payload is not None  # noqa: S101  nobody can name one that has none
        try:
            answer = await self._api(request).cancel(request.payload)
        except LookupFailed as error:
            raise _problem_of(error) from error
        reason = answer.result.reason
        if reason != "OK" and reason != "ALREADY_CANCELLED":  # noqa: PLR1714  what narrows the type
            raise Problem(_CANCEL_PROBLEMS[reason])
        await self._report(request, "cancelled")
        log.info("request.cancelled", app=request.app, payload=request.payload)
        return reason

    def _draft(self, wish: Wish, state: str | None) -> Draft:
        asked = wish.asked
        return Draft(
            app=asked.app,
            owner=wish.owner,
            kind=wish.kind,
            identifier=identifier_at_xumm(wish.owner, asked.identifier, secrets.token_hex(_IDENTIFIER_BYTES)),
            request_digest=asked.digest,
            tx_type=asked.tx_type,
            submit=asked.submit,
            expires_at=self._clock() + asked.expire,
            account=asked.account,
            key_digest=None if wish.idempotency_key is None else digest_of(wish.idempotency_key),
            state_digest=None if state is None else digest_of(state),
            exchange_digest=wish.exchange_digest,
        )

    async def _made(self, asked: Asked, request: StoredRequest, state: str | None) -> Created:
        """A new payload. If nobody knows whether it stands, a look tells; if not even that does, it is held."""
        token = await self._tokens.usable(asked.app, asked.account)
        urls: dict[Target, str] = (
            {} if state is None else {target: built(url, state) for target, url in asked.return_urls.items()}
        )
        value = None if token is None else token.value
        body = body_of(asked, request.identifier, user_token=value, return_urls=urls)
        try:
            created = await self._api(request).create(body)
        except Unavailable as error:
            found = None if error.untouched else await self._looked_for(request)
            if found is None:
                await self._store.release(request, None if error.untouched else UNSURE)
                raise _problem_of(error) from error
            return found
        except LookupFailed as error:
            await self._store.release(request, None)
            raise (Problem("xumm_refused") if isinstance(error, NotFound) else _problem_of(error)) from error
        await self._tokens.used(token, pushed=created.pushed)
        return created

    async def _found(self, request: StoredRequest) -> Created | None:
        """The payload that an earlier attempt made, None if it made none. Raises `Problem` if Xumm does not say."""
        try:
            payload = await self._api(request).payload_named(request.identifier)
        except NotFound:
            return None
        except LookupFailed as error:
            await self._store.release(request, timedelta(0))
            raise _problem_of(error) from error
        found = adopted(payload, self._links, request.reserved_at)
        if found is None:
            await self._store.release(request, None)
            raise Problem("identifier_taken")
        log.warning("request.recovered", app=request.app, payload=found.uuid)
        return found

    async def _looked_for(self, request: StoredRequest) -> Created | None:
        with suppress(LookupFailed):
            payload = await self._api(request).payload_named(request.identifier)
            return adopted(payload, self._links, request.reserved_at)
        return None

    def _api(self, request: StoredRequest) -> Platform:
        return self._apis[request.app].calling_for(rank_of(request.owner))

    async def _keep(self, asked: Asked, request: StoredRequest, created: Created, told: bytes) -> None:
        """It is watched first, then remembered: what breaks off in between is found by its identifier."""
        meta = carry({"identifier": request.identifier, "blob": asked.blob, "instruction": asked.instruction})
        standing = replace(request, payload=created.uuid)
        recorded = await self._report(standing, "created", meta)
        self._on_created()
        transition = recorded.transition
        late = transition is not None and transition.state.sequence > len(transition.announcements)
        await self._store.complete(request, created.uuid, told, late=late)
        log.info("request.created", app=request.app, payload=created.uuid, pushed=created.pushed, kind=request.kind)

    async def _report(
        self, request: StoredRequest, kind: Literal["created", "cancelled"], custom_meta: bytes | None = None
    ) -> Recorded:
        application = self._applications[request.app]
        assert request.payload is not None  # noqa: S101  what is reported stands
        report = RequestReport(
            app=request.app,
            application=application.uuid,
            payload=request.payload,
            at=self._clock(),
            kind=kind,
            expires_at=request.expires_at,
            custom_meta=custom_meta,
            asked_of=request.account,
            asked_by=request.owner,
        )
        return await self._store.record(Reported(report=report, policy=application.policy))


_CANCEL_PROBLEMS: Final[dict[str, Literal["already_resolved", "already_opened", "already_expired"]]] = {
    "ALREADY_RESOLVED": "already_resolved",
    "ALREADY_OPENED": "already_opened",
    "ALREADY_EXPIRED": "already_expired",
}


def _raise_for(outcome: str) -> None:
    match outcome:
        case "conflict":
            raise Problem("idempotency_key_reused")
        case "in_progress":
            raise Problem("idempotency_in_progress", headers={"Retry-After": "5"})
        case "identifier_taken":
            raise Problem("identifier_taken", errors=[("identifier", "taken")])
        case "done":
            raise StoreError("a sign request that stands has no answer")


def _problem_of(error: LookupFailed) -> Problem:
    """What a caller may know of it: whether to try again."""
    sampled_log.warning("request.xumm_failed", error=str(error))
    match error:
        case Denied():
            return Problem("xumm_refused")
        case NotFound():
            return Problem("not_found")
        case _:
            return Problem("xumm_unavailable")
