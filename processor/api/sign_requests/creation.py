"""Sign requests are created at Xumm, once each, and can be cancelled.

The order of the steps makes a crash harmless. A request is reserved under its identifier, the payload is created at
Xumm, it is reported as created, from which on it is watched, and the response is stored. A repetition of a request that
broke off after the first step looks for the payload with that identifier before it creates one.
"""

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol, Self

import structlog
from pydantic import BaseModel
from pydantic_core import to_json

from processor.api.sign_requests.user_tokens import UserTokens
from processor.core.access.limits import Rank
from processor.core.access.service_key import digest_of
from processor.core.application import Application
from processor.core.errors import Denied, LookupFailed, NotFound, StoreError, Unavailable
from processor.core.payload.entry import Recorded, Reported
from processor.core.reports.custom_meta import encode_custom_meta
from processor.core.reports.report import RequestReport
from processor.core.sign_request.order import Order, body_of, identifier_at_xumm, rank_of, recover_answer
from processor.core.sign_request.request import Draft, RequestKind, ReservationOutcome, StoredRequest
from processor.core.sign_request.return_url import STATE_BYTES, build_url
from processor.observability.loggers import sampled_log
from processor.store.ports import Recorder, SignRequestStore
from processor.web.problem import Problem, ProblemReason
from schemas.payload import Payload
from schemas.platform import Cancelled, Created

HOLD: Final = timedelta(seconds=90)
"""How long a reservation lasts: more than three calls of Xumm, of 20 s each, for token, creation and lookup."""
UNSURE: Final = timedelta(seconds=30)
"""How long a request is held that Xumm may still be carrying out."""
_IDENTIFIER_BYTES: Final = 16
_CANCEL_PROBLEMS: Final[Mapping[str, ProblemReason]] = {
    "ALREADY_RESOLVED": "already_resolved",
    "ALREADY_OPENED": "already_opened",
    "ALREADY_EXPIRED": "already_expired",
}

log = structlog.get_logger()


class PayloadApi(Protocol):
    """Xumm's API of one application. Its coroutines raise `LookupFailed`."""

    def calling_for(self, rank: Rank) -> Self:
        """The same, whose calls wait where those of this rank do."""

    async def create(self, body: Mapping[str, Any]) -> Created:
        """Create a payload. After `Unavailable` without ``untouched`` it is unknown whether the payload exists."""

    async def fetch_by_identifier(self, identifier: str) -> Payload:
        """Fetch the payload with this custom identifier of the application."""

    async def cancel(self, uuid: str) -> Cancelled:
        """Cancel a payload. Returns the reason if Xumm does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSignRequest:
    """A sign request to create, and for whom."""

    order: Order
    owner: str
    kind: RequestKind = "sign_request"
    idempotency_key: str | None = None
    exchange_digest: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedPayload:
    """A payload that exists at Xumm, to build the response from."""

    created: Created
    identifier: str
    """As the caller named it."""
    expires_at: datetime
    tokens_kept: bool
    """Whether user tokens are stored, so that sign requests can be pushed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignRequests:
    """Creates and cancels sign requests. Raises `Problem` for the caller, and `StoreError`."""

    applications: Mapping[str, Application]
    apis: Mapping[str, PayloadApi]
    """By the application's name."""
    store: SignRequestStore
    recorder: Recorder
    tokens: UserTokens
    links: str
    """Where universal links begin, as in ``https://xumm.app``."""
    clock: Callable[[], datetime]

    async def create(self, new: NewSignRequest, describe: Callable[[CreatedPayload], BaseModel]) -> tuple[bytes, bool]:
        """Create a payload, unless the same request did. Returns the response as JSON, and whether it was created now.

        ``describe`` builds the response, which is stored for repetitions.
        """
        order, state = new.order, secrets.token_urlsafe(STATE_BYTES) if new.order.return_urls else None
        outcome, request = await self.store.reserve(self._draft(new, state), HOLD)
        if outcome == "done" and request is not None and request.answer is not None:
            return request.answer, False
        _check_outcome(outcome)
        assert request is not None  # noqa: S101  new and taken_over have one
        created = await self._find_earlier(request, state) if outcome == "taken_over" else None
        if created is None:
            created = await self._create_payload(order, request, state)
        payload = CreatedPayload(
            created=created,
            identifier=order.identifier or request.identifier,
            expires_at=request.expires_at,
            tokens_kept=self.tokens.kept,
        )
        response = to_json(describe(payload))
        await self._complete(order, request, created, response)
        return response, True

    async def cancel(self, request: StoredRequest) -> Literal["OK", "ALREADY_CANCELLED"]:
        """Cancel a payload, unless somebody opened it."""
        assert request.payload is not None  # noqa: S101  only a payload's uuid leads to a request
        try:
            answer = await self._api_for(request).cancel(request.payload)
        except LookupFailed as error:
            raise _convert_error(error) from error
        reason = answer.result.reason
        if reason != "OK" and reason != "ALREADY_CANCELLED":  # noqa: PLR1714  what narrows the type
            raise Problem(_CANCEL_PROBLEMS[reason])
        await self._report(request, "cancelled")
        log.info("request.cancelled", app=request.app, payload=request.payload)
        return reason

    def _draft(self, new: NewSignRequest, state: str | None) -> Draft:
        order = new.order
        return Draft(
            app=order.app,
            owner=new.owner,
            kind=new.kind,
            identifier=identifier_at_xumm(new.owner, order.identifier, secrets.token_hex(_IDENTIFIER_BYTES)),
            request_digest=order.digest,
            tx_type=order.tx_type,
            submit=order.submit,
            expires_at=self.clock() + order.expire,
            account=order.account,
            key_digest=None if new.idempotency_key is None else digest_of(new.idempotency_key),
            state_digest=None if state is None else digest_of(state),
            exchange_digest=new.exchange_digest,
        )

    async def _create_payload(self, order: Order, request: StoredRequest, state: str | None) -> Created:
        """Create a payload. If Xumm does not answer, look for it; if that fails too, hold the request for a while."""
        token = await self.tokens.find_usable(order.app, order.account)
        urls = {} if state is None else {target: build_url(url, state) for target, url in order.return_urls.items()}
        value = None if token is None else token.value
        body = body_of(order, request.identifier, user_token=value, return_urls=urls)
        try:
            created = await self._api_for(request).create(body)
        except Unavailable as error:
            found = None if error.untouched else await self._look_for(request)
            if found is None:
                await self.store.release(request, None if error.untouched else UNSURE)
                raise _convert_error(error) from error
            return found
        except LookupFailed as error:
            await self.store.release(request, None)
            raise (Problem("xumm_refused") if isinstance(error, NotFound) else _convert_error(error)) from error
        await self.tokens.note_use(token, pushed=created.pushed)
        return created

    async def _find_earlier(self, request: StoredRequest, state: str | None) -> Created | None:
        """Return the payload that an earlier attempt created. If it created none, the next one gets ``state``."""
        try:
            payload = await self._api_for(request).fetch_by_identifier(request.identifier)
        except NotFound:
            await self.store.renew_state(request, None if state is None else digest_of(state))
            return None
        except LookupFailed as error:
            await self.store.release(request, timedelta(0))
            raise _convert_error(error) from error
        found = recover_answer(payload, self.links, request.reserved_at)
        if found is None:
            await self.store.release(request, None)
            raise Problem("identifier_taken")
        log.warning("request.recovered", app=request.app, payload=found.uuid)
        return found

    async def _look_for(self, request: StoredRequest) -> Created | None:
        with suppress(LookupFailed):
            payload = await self._api_for(request).fetch_by_identifier(request.identifier)
            return recover_answer(payload, self.links, request.reserved_at)
        return None

    def _api_for(self, request: StoredRequest) -> PayloadApi:
        return self.apis[request.app].calling_for(rank_of(request.owner))

    async def _complete(self, order: Order, request: StoredRequest, created: Created, response: bytes) -> None:
        """Report the payload, so that it is watched, then store the response; see the module's docstring."""
        meta = {"identifier": request.identifier, "blob": order.blob, "instruction": order.instruction}
        recorded = await self._report(replace(request, payload=created.uuid), "created", encode_custom_meta(meta))
        transition = recorded.transition
        late = transition is not None and transition.state.sequence > len(transition.events)
        await self.store.complete(request, created.uuid, response, late=late)
        log.info("request.created", app=request.app, payload=created.uuid, pushed=created.pushed, kind=request.kind)

    async def _report(
        self, request: StoredRequest, kind: Literal["created", "cancelled"], custom_meta: bytes | None = None
    ) -> Recorded:
        application = self.applications[request.app]
        assert request.payload is not None  # noqa: S101  the payload exists
        report = RequestReport(
            app=request.app,
            application_uuid=application.uuid,
            payload=request.payload,
            at=self.clock(),
            kind=kind,
            expires_at=request.expires_at,
            custom_meta=custom_meta,
            asked_of=request.account,
            asked_by=request.owner,
        )
        return await self.recorder.record(Reported(report=report, policy=application.policy))


def _check_outcome(outcome: ReservationOutcome) -> None:
    match outcome:
        case "conflict":
            raise Problem("idempotency_key_reused")
        case "in_progress":
            raise Problem("idempotency_in_progress", headers={"Retry-After": "5"})
        case "identifier_taken":
            raise Problem("identifier_taken", errors=[("identifier", "taken")])
        case "done":
            raise StoreError("a completed sign request has no response")


def _convert_error(error: LookupFailed) -> Problem:
    sampled_log.warning("request.xumm_failed", error=str(error))
    match error:
        case Denied():
            return Problem("xumm_refused")
        case NotFound():
            return Problem("not_found")
        case _:
            return Problem("xumm_unavailable")
