"""``/v1/sign-requests``: make sign requests, see how far they are, withdraw them."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from io import BytesIO
from typing import Final, Protocol

import segno
from aiohttp import hdrs, web
from pydantic import BaseModel

from processor.api.callers import Callers, permitted
from processor.api.endpoint import Gate, Handler, answered
from processor.api.events import Streams
from processor.api.request import said
from processor.api.sign_requests.service import SignRequests, Standing, Wish
from processor.core.access.caller import Caller, ServiceCaller, UserCaller
from processor.core.application import Application
from processor.core.payload.progress import progress
from processor.core.payload.state import PayloadState
from processor.core.sign_request.order import Order, is_key, may_see, owner_of, rank_of
from processor.core.sign_request.request import StoredRequest
from processor.core.sign_request.return_url import ReturnTarget, is_registered
from processor.core.sign_request.template import faults_in, faults_in_blob, faults_in_instruction
from processor.web.bodies import Bodies
from processor.web.problem import Problem
from schemas.api import (
    Qr,
    Return,
    SignRequestCancelled,
    SignRequestCommand,
    SignRequestCreated,
    SignRequestPage,
    SignRequestStatus,
)
from schemas.platform import Created
from schemas.text import RESERVED_IDENTIFIERS, is_uuid

PATH: Final = "/v1/sign-requests"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
IDEMPOTENCY_REPLAYED: Final = "Idempotency-Replayed"
PAGE: Final = 20
MAX_PAGE: Final = 100
_CURSOR: Final = re.compile(r"[1-9][0-9]{0,17}")
_QR_SCALE: Final = 6


class RequestStore(Protocol):
    """Where sign requests are kept. All of it raises `StoreError`."""

    async def find(self, payload: str) -> StoredRequest | None:
        """The sign request that became this payload."""
        ...

    async def listed(
        self, apps: Sequence[str] | None, owner: str | None, before: int | None, limit: int
    ) -> Sequence[StoredRequest]:
        """The newest sign requests of ``owner`` (None: of everybody) in ``apps`` (None: all) before a cursor."""
        ...

    async def states(self, payloads: Sequence[tuple[str, str]]) -> Sequence[PayloadState | None]:
        """What is known of payloads, each named by application and uuid."""
        ...


class SignRequestDesk:
    """The handlers."""

    def __init__(  # noqa: PLR0913  its neighbours
        self,
        requests: SignRequests,
        store: RequestStore,
        callers: Callers,
        streams: Streams,
        gate: Gate,
        *,
        applications: Mapping[str, Application],
        return_urls: Mapping[str, Sequence[str]],
        bodies: Bodies,
    ) -> None:
        self._requests = requests
        self._store = store
        self._callers = callers
        self._streams = streams
        self._gate = gate
        self._applications = applications
        self._return_urls = return_urls
        self._bodies = bodies

    @property
    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """The methods of each path."""
        return {
            PATH: {hdrs.METH_POST: self.create, hdrs.METH_GET: self.listed},
            PATH + "/{id}": {hdrs.METH_GET: self.status, hdrs.METH_DELETE: self.cancel},
            PATH + "/{id}/events": {hdrs.METH_GET: self.events},
        }

    async def create(self, request: web.Request) -> web.StreamResponse:
        """201 with the payload; 200 with the same answer if the same was asked before under the same key."""
        caller = await self._callers.permitted(request, "sign-requests:write")
        command = await said(request, SignRequestCommand, self._bodies)
        permitted(caller, "sign-requests:write", command.app)
        key = request.headers.get(IDEMPOTENCY_KEY)
        if key is not None and not is_key(key):
            raise Problem("idempotency_key_invalid")
        order = self._asked(command, caller)
        self._admit(command.app, caller)
        wish = Wish(order=order, owner=owner_of(caller), idempotency_key=key)
        told, new = await self._requests.create(wish, self._told)
        return web.Response(
            body=told,
            status=HTTPStatus.CREATED if new else HTTPStatus.OK,
            content_type="application/json",
            headers={} if new else {IDEMPOTENCY_REPLAYED: "true"},
        )

    async def status(self, request: web.Request) -> web.StreamResponse:
        """200; 404 for what is not the caller's, as for what does not exist."""
        found = await self._found(request, await self._callers.permitted(request, "sign-requests:read"))
        (state,) = await self._store.states([(found.app, found.payload or "")])
        return answered(status_of(found, state))

    async def listed(self, request: web.Request) -> web.StreamResponse:
        """The caller's sign requests, the newest first, page by page."""
        caller = await self._callers.permitted(request, "sign-requests:read")
        apps, owner = _whose(caller)
        limit, before = _page(request)
        found = await self._store.listed(apps, owner, before, limit + 1)
        shown = found[:limit]
        states = await self._store.states([(each.app, each.payload or "") for each in shown])
        items = tuple(status_of(each, state) for each, state in zip(shown, states, strict=True))
        return answered(SignRequestPage(items=items, next=str(shown[-1].id) if len(found) > limit else None))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """200 if it can no longer be opened, or a problem that says why it still can."""
        caller = await self._callers.permitted(request, "sign-requests:write")
        found = await self._found(request, caller)
        self._admit(found.app, caller)
        reason = await self._requests.cancel(found)
        return answered(SignRequestCancelled(id=found.payload or "", reason=reason))

    async def events(self, request: web.Request) -> web.StreamResponse:
        """What happens to it, as it happens."""
        caller = await self._callers.permitted(request, "sign-requests:read")
        return await self._streams.serve(request, await self._found(request, caller), owner_of(caller))

    def _admit(self, app: str, caller: Caller) -> None:
        """Let a caller have one more call of Xumm's. Raises `Problem`."""
        owner = owner_of(caller)
        self._gate.admit_request(app, rank_of(owner), owner)

    async def _found(self, request: web.Request, caller: Caller) -> StoredRequest:
        """The sign request in the path. Raises `Problem`, the same for somebody else's as for none."""
        named = request.match_info["id"]
        found = await self._store.find(named if is_uuid(named) else "")
        if found is None or not may_see(caller, found.app, found.owner):
            raise Problem("not_found")
        return found

    def _asked(self, command: SignRequestCommand, caller: Caller) -> Order:
        application = self._applications.get(command.app)
        if application is None:
            raise Problem("application_forbidden")
        found = (
            *faults_in(command.txjson),
            *faults_in_blob(command.blob),
            *faults_in_instruction(command.instruction),
        )
        faults: list[tuple[str, str]] = [(fault.field, fault.reason) for fault in found]
        network = application.policy.network
        if command.force_network not in {None, network}:
            faults.append(("force_network", "not_the_applications"))
        account = command.account
        if isinstance(caller, ServiceCaller) and (command.identifier or "").startswith(RESERVED_IDENTIFIERS):
            faults.append(("identifier", "reserved"))
        if isinstance(caller, UserCaller):
            faults += [("account", "not_the_users")] if account not in {None, caller.account} else []
            account = caller.account
        if faults:
            raise Problem("template_invalid", errors=faults)
        return Order(
            app=command.app,
            template=command.txjson,
            submit=command.submit,
            expire=timedelta(minutes=command.expire),
            network=network,
            identifier=command.identifier,
            instruction=command.instruction,
            blob=command.blob,
            account=account,
            return_urls=registered(command.return_url, self._return_urls.get(command.app, ())),
        )

    def _told(self, standing: Standing) -> BaseModel:
        uuid = standing.created.uuid
        return SignRequestCreated.model_validate(
            shown(standing, keeps_tokens=self._requests.keeps_tokens)
            | {"status_url": f"{PATH}/{uuid}", "events_url": f"{PATH}/{uuid}/events"}
        )


def registered(wanted: Return | None, own: Sequence[str]) -> dict[ReturnTarget, str]:
    """The return URLs that were asked for. Raises `Problem` unless each is registered."""
    urls: dict[ReturnTarget, str] = {}
    for target, url in (("app", wanted.app), ("web", wanted.web)) if wanted is not None else ():
        if url is None:
            continue
        if not is_registered(url, own):
            raise Problem("return_url_forbidden", errors=[(f"return_url.{target}", "not_registered")])
        urls[target] = url  # type: ignore[index]  # both are targets
    return urls


def shown(standing: Standing, *, keeps_tokens: bool) -> dict[str, object]:
    """What is told of every payload that was made."""
    created = standing.created
    return {
        "id": created.uuid,
        "identifier": standing.identifier,
        "link": created.next.always,
        "qr": _code(created),
        "delivery": "push" if created.pushed else "link",
        "tokens_kept": keeps_tokens,
        "expires_at": standing.expires_at,
    }


def status_of(request: StoredRequest, state: PayloadState | None) -> SignRequestStatus:
    """How far it is."""
    told = progress(state)
    return SignRequestStatus(
        id=request.payload or "",
        app=request.app,
        identifier=request.named,
        tx_type=request.tx_type,
        submit=request.submit,
        created_at=request.reserved_at,
        expires_at=request.expires_at if state is None or state.expires_at is None else state.expires_at,
        reported=told.reported,
        outcome=told.outcome,
        account=told.account,
        txid=told.txid,
    )


def _code(created: Created) -> Qr:
    code, picture = segno.make_qr(created.next.always, error="m"), BytesIO()
    code.save(picture, kind="png", scale=_QR_SCALE)
    return Qr(
        png=f"data:image/png;base64,{b64encode(picture.getvalue()).decode()}",
        matrix=tuple("".join(map(str, row)) for row in code.matrix),
        png_url=created.refs.qr_png,
        matrix_url=created.refs.qr_matrix,
    )


def _whose(caller: Caller) -> tuple[Sequence[str] | None, str | None]:
    if isinstance(caller, ServiceCaller):
        return sorted(caller.key.apps) or None, None
    return [caller.app], owner_of(caller)


def _page(request: web.Request) -> tuple[int, int | None]:
    """How many, and before which. Raises `Problem`."""
    limit, before = request.query.get("limit", str(PAGE)), request.query.get("before")
    if not _CURSOR.fullmatch(limit) or (before is not None and not _CURSOR.fullmatch(before)):
        raise Problem("cursor_invalid")
    return min(int(limit), MAX_PAGE), None if before is None else int(before)
