"""``/v1/sign-requests``: create sign requests, see how far they are, cancel them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Final

from aiohttp import web

from processor.api.callers import RequestAuthenticator, check_permission
from processor.api.endpoint import json_response, parse_body
from processor.api.event_streams import EventStreams
from processor.api.rate_limits import RateLimits
from processor.api.sign_requests.creation import NewSignRequest, SignRequests
from processor.api.sign_requests.responses import describe_created, describe_status
from processor.core.access.caller import Caller, ServiceCaller, UserCaller
from processor.core.sign_request.order import Order, is_key, may_see, owner_of, rank_of
from processor.core.sign_request.request import StoredRequest
from processor.core.sign_request.return_url import ReturnTarget, is_registered
from processor.core.sign_request.template import faults_in, faults_in_blob, faults_in_instruction
from processor.settings.applications import ApplicationSettings
from processor.store.ports import SignRequestStore
from processor.web.bodies import Bodies
from processor.web.problem import Problem
from schemas.api import Return, SignRequestCancelled, SignRequestCommand, SignRequestCreated, SignRequestPage
from schemas.text import RESERVED_IDENTIFIERS, is_uuid

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
IDEMPOTENCY_REPLAYED: Final = "Idempotency-Replayed"
PAGE: Final = 20
MAX_PAGE: Final = 100
_PATHS: Final = {"status_url": "getSignRequest", "events_url": "followSignRequest"}
_CURSOR: Final = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignRequestHandlers:
    """The handlers."""

    requests: SignRequests
    store: SignRequestStore
    authenticator: RequestAuthenticator
    streams: EventStreams
    limits: RateLimits
    applications: Mapping[str, ApplicationSettings]
    bodies: Bodies

    async def create(self, request: web.Request) -> web.StreamResponse:
        """201 with the payload; 200 with the stored response to the same request under the same key."""
        caller = await self.authenticator.authorize(request, "sign-requests:write")
        command = await parse_body(request, SignRequestCommand, self.bodies)
        check_permission(caller, "sign-requests:write", command.app)
        key = request.headers.get(IDEMPOTENCY_KEY)
        if key is not None and not is_key(key):
            raise Problem("idempotency_key_invalid")
        order = self._check_command(command, caller)
        self._count_request(command.app, caller)
        new = NewSignRequest(order=order, owner=owner_of(caller), idempotency_key=key)
        body, created = await self.requests.create(new, partial(describe_created, SignRequestCreated, _PATHS))
        return web.Response(
            body=body,
            status=HTTPStatus.CREATED if created else HTTPStatus.OK,
            content_type="application/json",
            headers={} if created else {IDEMPOTENCY_REPLAYED: "true"},
        )

    async def get_status(self, request: web.Request) -> web.StreamResponse:
        """200; 404 if the sign request does not exist or is another caller's."""
        stored = await self._find(request, await self.authenticator.authorize(request, "sign-requests:read"))
        (state,) = await self.store.load_states([(stored.app, stored.payload or "")])
        return json_response(describe_status(stored, state))

    async def list_page(self, request: web.Request) -> web.StreamResponse:
        """200 with a page of the caller's sign requests, the newest first."""
        caller = await self.authenticator.authorize(request, "sign-requests:read")
        apps, owner = _visible_to(caller)
        limit, before = _parse_page(request)
        found = await self.store.list_newest(apps, owner, before, limit + 1)
        page = found[:limit]
        states = await self.store.load_states([(each.app, each.payload or "") for each in page])
        items = tuple(describe_status(each, state) for each, state in zip(page, states, strict=True))
        return json_response(SignRequestPage(items=items, next=str(page[-1].id) if len(found) > limit else None))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """200 if the payload can no longer be opened, or a problem with the reason why it still can."""
        caller = await self.authenticator.authorize(request, "sign-requests:write")
        stored = await self._find(request, caller)
        self._count_request(stored.app, caller)
        reason = await self.requests.cancel(stored)
        return json_response(SignRequestCancelled(id=stored.payload or "", reason=reason))

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """200 with the payload's events, as they are committed."""
        caller = await self.authenticator.authorize(request, "sign-requests:read")
        return await self.streams.serve(request, await self._find(request, caller), owner_of(caller))

    def _count_request(self, app: str, caller: Caller) -> None:
        owner = owner_of(caller)
        self.limits.count_request(app, rank_of(owner), owner)

    async def _find(self, request: web.Request, caller: Caller) -> StoredRequest:
        """Return the sign request that the path names. Raises the same `Problem` for another caller's as for none."""
        uuid = request.match_info["id"]
        stored = await self.store.find(uuid if is_uuid(uuid) else "")
        if stored is None or not may_see(caller, stored.app, stored.owner):
            raise Problem("not_found")
        return stored

    def _check_command(self, command: SignRequestCommand, caller: Caller) -> Order:
        """Check a command against its application and its caller. Raises `Problem`."""
        application = self.applications.get(command.app)
        if application is None:
            raise Problem("application_forbidden")
        faults = _find_faults(command, caller, application.network)
        if faults:
            raise Problem("template_invalid", errors=faults)
        return Order(
            app=command.app,
            template=command.txjson,
            submit=command.submit,
            expire=timedelta(minutes=command.expire),
            network=application.network,
            identifier=command.identifier,
            instruction=command.instruction,
            blob=command.blob,
            account=caller.account if isinstance(caller, UserCaller) else command.account,
            return_urls=check_return_urls(command.return_url, application.return_urls),
        )


def _find_faults(command: SignRequestCommand, caller: Caller, network: str) -> list[tuple[str, str]]:
    found = (*faults_in(command.txjson), *faults_in_blob(command.blob), *faults_in_instruction(command.instruction))
    faults: list[tuple[str, str]] = [(fault.field, fault.reason) for fault in found]
    if command.force_network not in {None, network}:
        faults.append(("force_network", "not_the_applications"))
    if isinstance(caller, ServiceCaller) and (command.identifier or "").startswith(RESERVED_IDENTIFIERS):
        faults.append(("identifier", "reserved"))
    if isinstance(caller, UserCaller) and command.account not in {None, caller.account}:
        faults.append(("account", "not_the_users"))
    return faults


def check_return_urls(requested: Return | None, registered: Sequence[str]) -> dict[ReturnTarget, str]:
    """Return the requested return URLs by target. Raises `Problem` unless each is registered."""
    urls: dict[ReturnTarget, str] = {}
    for target, url in (("app", requested.app), ("web", requested.web)) if requested is not None else ():
        if url is None:
            continue
        if not is_registered(url, registered):
            raise Problem("return_url_forbidden", errors=[(f"return_url.{target}", "not_registered")])
        urls[target] = url  # type: ignore[index]  # both are targets
    return urls


def _visible_to(caller: Caller) -> tuple[Sequence[str] | None, str | None]:
    """Return the applications and the owner whose sign requests the caller may see; None means all."""
    if isinstance(caller, ServiceCaller):
        return sorted(caller.key.apps) or None, None
    return [caller.app], owner_of(caller)


def _parse_page(request: web.Request) -> tuple[int, int | None]:
    """Return the size of the page, and the cursor before which it begins. Raises `Problem`."""
    limit, before = request.query.get("limit", str(PAGE)), request.query.get("before")
    if not _CURSOR.fullmatch(limit) or (before is not None and not _CURSOR.fullmatch(before)):
        raise Problem("cursor_invalid")
    return min(int(limit), MAX_PAGE), None if before is None else int(before)
